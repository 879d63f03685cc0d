"""Windows of courses of time: which there are, and that none knows of what comes later."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fourfold import data
from fourfold.data.dataset import Dataset
from fourfold.data.windows import courses, ends, season_of, times_after, usual_context
from fourfold.errors import DataError
from fourfold.families.rnn.settings import RnnSettings
from fourfold.settings import Reading


def opened(x: np.ndarray | Path, **settings: Any) -> Dataset:
    return data.open(x, RnnSettings.resolve("forecast", **{"validation": 0.2, "horizon": 3, "context": 5, **settings}))


def series(steps: int = 60, count: int = 1, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, steps, channels)).cumsum(axis=1).astype(np.float32)


def by_loop(x: np.ndarray, first: int, end: int, context: int = 5, horizon: int = 3) -> np.ndarray:
    """The windows of one series (t, c) whose targets all lie in steps first to end."""
    found = []
    for start in range(len(x)):
        targets = range(start + context, start + context + horizon)
        if targets.start >= first and targets.stop <= end:
            found.append(x[start : targets.stop])
    return np.stack(found)


def test_windows_are_those_of_a_plain_loop() -> None:
    x = series()
    found = opened(x)
    # 60 steps: a fifth, 12, for the test; of the 48 before it a fifth, 10, for validation
    for name, (first, end) in {"train": (0, 38), "validation": (38, 48), "test": (48, 60)}.items():
        np.testing.assert_array_equal(found.splits[name].loaded, by_loop(x[0], first, end))
    assert found.schema.lengths == (8, 8)


def test_every_series_is_cut_by_its_own_time(tmp_path: Path) -> None:
    long, short = series(60, channels=1)[0, :, 0], series(40, channels=1)[0, :, 0] + 100
    lines = [f"{name},{t},{v}" for name, values in (("a", long), ("b", short)) for t, v in enumerate(values)]
    (tmp_path / "two.csv").write_text("\n".join(["id,time,x", *lines]))
    found = opened(tmp_path / "two.csv", id="id")
    tests = np.concatenate([by_loop(long[:, None], 48, 60), by_loop(short[:, None], 32, 40)])
    np.testing.assert_allclose(found.splits["test"].loaded, tests, rtol=1e-6)
    assert [len(each) for each in courses(found.train.loaded)] == [38, 26]


@pytest.mark.parametrize("changed", [38, 45, 48, 59])
def test_nothing_knows_of_what_comes_later(changed: int) -> None:
    """A later step changes no earlier target, no earlier history, and of what is fitted nothing."""
    x = series()
    other = x.copy()
    other[:, changed:] += 1000
    before, after = opened(x, context=None), opened(other, context=None)
    assert after.schema == before.schema
    first_of = {"train": 0, "validation": 38, "test": 48}
    for name, part in before.splits.items():
        after_part = after.splits[name].loaded
        for place in range(len(part)):
            same = bool((part.loaded[place] == after_part[place]).all())
            assert same == (first_of[name] + place + 3 <= changed)


def test_means_are_those_of_trains_steps_each_counted_once() -> None:
    x = series()
    schema = opened(x).schema
    assert schema.mean == pytest.approx(x[0, :38].mean(0))
    assert schema.std == pytest.approx(x[0, :38].std(0), rel=1e-5)


def test_a_course_is_had_back_from_its_windows() -> None:
    found = opened(series(count=3))
    got = courses(found.train.loaded)
    for each, whole in zip(got, series(count=3), strict=True):
        np.testing.assert_array_equal(each, whole[:38])
    assert found.test is not None
    np.testing.assert_array_equal(ends(found.test, 5).loaded, series(count=3)[:, -5:])


def test_windows_of_one_series_share_its_memory() -> None:
    train = opened(series()).train.loaded
    assert train.untyped_storage().nbytes() == 38 * 2 * 4


def test_equal_windows_at_other_times_are_no_duplicates() -> None:
    wave = np.sin(np.arange(80) * np.pi / 4).round(3)[None, :, None].astype(np.float32)
    found = opened(wave)
    assert found.test is not None
    assert found.train.digests is not None
    assert found.test.digests is not None
    every = [bytes(each) for part in (found.train, found.test) for each in part.digests]  # type: ignore[union-attr]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("period", [4, 7, 12, 52])
def test_the_season_is_found(period: int) -> None:
    random = np.random.default_rng(0)
    steps = np.arange(6 * period + 20)
    y = 3 * np.sin(2 * np.pi * steps / period) + 0.05 * steps + random.normal(size=len(steps)) * 0.3
    assert season_of([torch.from_numpy(y)[:, None]]) == period


def test_no_season_is_found_where_there_is_none() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 1)))
    line = torch.arange(100.0)[:, None]
    assert [season_of([each]) for each in (noise, line, torch.ones(50, 1), torch.ones(4, 1))] == [1, 1, 1, 1]


def test_a_history_leaves_half_of_a_short_series() -> None:
    assert usual_context(1000, 12, 12) == 36
    assert usual_context(60, 12, 12) == 24
    assert usual_context(5000, 12, 365) == 730


def test_what_cannot_be_forecast_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="smaller --context or --horizon"):
        opened(series(10))
    with pytest.raises(DataError, match="the test split: "):
        opened(series(60), test=0.03)
    with pytest.raises(DataError, match="cut by time"):
        opened(series(), fold="1/5")
    with pytest.raises(DataError, match="try --kind series"):
        opened(np.zeros((20, 8, 8), np.uint8), kind="image")
    rows = [f"{name},{t},{'' if t == 50 else t}" for name in "ab" for t in range(60)]
    (tmp_path / "gap.csv").write_text("\n".join(["id,time,x", *rows]))
    with pytest.raises(DataError, match="know of the future"):
        opened(tmp_path / "gap.csv", id="id", impute="mean")


TIMES = {
    "months": (["2024-10-31", "2024-11-30", "2024-12-31"], ["2025-01-31", "2025-02-28"]),
    "quarters": (["2024-04-01", "2024-07-01", "2024-10-01"], ["2025-01-01", "2025-04-01"]),
    "weeks": (["2024-12-13", "2024-12-20", "2024-12-27"], ["2025-01-03", "2025-01-10"]),
    "working days": (["2024-12-18", "2024-12-19", "2024-12-20"], ["2024-12-23", "2024-12-24"]),
    "hours": (["2024-12-31 21:00", "2024-12-31 22:00", "2024-12-31 23:00"], ["2025-01-01", "2025-01-01 01:00:00"]),
    "years": (["2006", "2007", "2008"], ["2009", "2010"]),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_go_on(tmp_path: Path, name: str) -> None:
    given, following = TIMES[name]
    path = tmp_path / "course.csv"
    path.write_text("\n".join(["date,x", *(f"{each},{i}" for i, each in enumerate(given))]))
    assert times_after(path, Reading(time="date"), 2) == following
    assert times_after(path, Reading(), 2) is None


def test_a_split_of_its_own_goes_on_where_train_ends(tmp_path: Path) -> None:
    x = series(channels=1)[0]
    whole: Tensor = torch.from_numpy(x)
    for name, part in (("train", x[:48]), ("test", x[48:])):
        lines = [f"{v:.6f}" for v in part[:, 0]]
        (tmp_path / f"{name}.csv").write_text("\n".join(["x", *lines]))
    found = opened(tmp_path)
    assert found.test is not None
    torch.testing.assert_close(found.test.loaded, torch.from_numpy(by_loop(x, 48, 60)), atol=1e-5, rtol=0)
    assert replace(found.train).loaded.shape[0] == len(by_loop(x, 0, 38))
    torch.testing.assert_close(courses(found.train.loaded)[0], whole[:38], atol=1e-5, rtol=0)
