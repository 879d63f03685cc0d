"""Series in time: filling and cutting against plain loops."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Examples
from fourfold.data.timeline import cut_by_time, fill, periods, runs, stack
from fourfold.errors import DataError


def between(values: list[float | None], times: list[float]) -> list[float]:
    """Missing values by the formula."""
    filled: list[float] = []
    known = {place: value for place, value in enumerate(values) if value is not None}
    for place, value in enumerate(values):
        before = max((other for other in known if other < place), default=None)
        after = min((other for other in known if other > place), default=None)
        if value is not None:
            filled.append(value)
        elif before is not None and after is not None:
            share = (times[place] - times[before]) / (times[after] - times[before])
            filled.append(known[before] * (1 - share) + known[after] * share)
        else:
            filled.append(known[max(known) if after is None else after])
    return filled


@given(
    st.lists(st.tuples(st.none() | st.floats(-9, 9), st.floats(0.1, 5)), min_size=1, max_size=12).filter(
        lambda steps: any(value is not None for value, _ in steps)
    )
)
@settings(deadline=None)
def test_filling_is_the_formula(steps: list[tuple[float | None, float]]) -> None:
    cells = [value for value, _ in steps]
    times = np.cumsum([step for _, step in steps])
    for when in (times, None):
        values = np.array([[np.nan if value is None else value, 1.0] for value in cells])
        fill(values, when, "a")
        expected = between(cells, times.tolist() if when is not None else list(map(float, range(len(cells)))))
        np.testing.assert_allclose(values[:, 0], expected, atol=1e-9)
        assert (values[:, 1] == 1).all()


def test_filling_forward_knows_no_later_value() -> None:
    values = np.array([np.nan, 2, np.nan, np.nan, 5, np.nan])[:, None]
    fill(values, None, "x", forward=True)
    assert values[:, 0].tolist() == [2, 2, 2, 2, 5, 5]


def test_a_channel_without_a_value() -> None:
    with pytest.raises(DataError, match="a: not one value in channel 2"):
        fill(np.array([[1.0, np.nan], [np.nan, np.nan]]), None, "a")


@given(st.lists(st.booleans(), max_size=20))
def test_runs(flags: list[bool]) -> None:
    found = list(runs(np.array(flags, dtype=bool)))
    inside = [place for first, last in found for place in range(first, last + 1)]
    assert inside == [place for place, flag in enumerate(flags) if flag]
    assert all(last + 1 < first for (_, last), (first, _) in itertools.pairwise(found))


@given(st.integers(1, 300), st.floats(0, 0.99), st.floats(0, 0.99))
def test_splits_follow_each_other_and_miss_nothing(steps: int, validation: float, test: float) -> None:
    found = periods(steps, validation, test)
    assert [step for name in ("train", "validation", "test") for step in found.get(name, ())] == list(range(steps))
    assert len(found["train"]) >= 1
    assert len(found.get("test", ())) == min(round(test * steps), steps - 1)
    assert ("validation" in found) == (len(found.get("validation", ())) > 0)


def test_a_course_is_cut_by_time() -> None:
    x = torch.arange(20.0).reshape(1, 10, 2)
    course = Examples(x, ["co2.csv"], fields={"place": ["Mauna Loa"]})
    parts = cut_by_time(course, 0.25, 0.2)
    assert list(parts) == ["train", "validation", "test"]
    torch.testing.assert_close(torch.cat([part.loaded for part in parts.values()], dim=1), x)
    assert [part.lengths.tolist() for part in parts.values() if part.lengths is not None] == [[6], [2], [2]]
    assert parts["test"].names == ["co2.csv, steps 9 to 10"]
    assert parts["test"].fields == {"place": ["Mauna Loa"]}
    padded = Examples(torch.cat([x, torch.zeros(1, 5, 2)], dim=1), ["a"], lengths=torch.tensor([10]))
    torch.testing.assert_close(cut_by_time(padded, 0.25, 0.2)["test"].loaded, parts["test"].loaded)
    assert list(cut_by_time(course, 0, 0)) == ["train"]
    known = replace(course, digests=np.zeros((1, 16), np.uint8))  # of the whole, so of none of its parts
    assert all(part.digests is None for part in cut_by_time(known, 0.25, 0.2).values())


def test_series_are_padded_with_zeros() -> None:
    x, lengths = stack([np.ones((2, 1), np.float32), np.ones((3, 1), np.float32)], ["a", "b"], ragged=True)
    assert x[:, :, 0].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert lengths is not None
    assert lengths.tolist() == [2, 3]
    assert stack([np.ones((2, 1), np.float32)], ["a"], ragged=False)[1] is None
