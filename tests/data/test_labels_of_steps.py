"""A class for every step: as tables and arrays tell it, cut into splits, and refused where it cannot be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold import data
from fourfold.data.audit import audit, brief
from fourfold.data.audit.findings import require_classes
from fourfold.data.dataset import UNTOLD, Dataset, Request
from fourfold.errors import DataError
from fourfold.families.rnn.settings import RnnSettings

WALKS = "who,t,x,doing\na,1,0.5,sit\na,2,0.7,walk\na,3,0.1,walk\nb,1,2.5,run\nb,2,2.7,sit\n"


def opened(source: Any, **settings: Any) -> Dataset:
    whole = {"validation": 0.0, "test": 0.0, **settings}
    return data.open(source, RnnSettings.resolve("classic", task="label", **whole))


def written(folder: Path, text: str, name: str = "a.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def walks(count: int, steps: int) -> str:
    """Series of different lengths in rows that are shuffled; a step's class is whether its x is positive."""
    random = np.random.default_rng(0)
    rows = [
        f"{who},{t},{(x := random.normal()):.4f},{'up' if x > 0 else 'down'}"
        for who in range(count)
        for t in range(steps + who % 3)
    ]
    random.shuffle(rows)
    return "\n".join(["who,t,x,doing", *rows])


def test_each_row_of_a_table_has_the_class_of_its_step(tmp_path: Path) -> None:
    found = opened(written(tmp_path, WALKS), id="who", time="t", target="doing")
    assert found.schema.classes == ("run", "sit", "walk")
    assert found.schema.aim == "labels"
    assert found.schema.counts == (1, 2, 2)
    assert found.schema.columns == ("x",)
    assert found.train.y is not None
    assert found.train.y.tolist() == [[1, 2, 2], [0, 1, UNTOLD]]
    assert found.train.lengths is not None
    assert found.train.lengths.tolist() == [3, 2]
    assert found.train.times is not None
    assert [times.tolist() for times in found.train.times] == [[1, 2, 3], [1, 2]]


def test_sorting_rows_sorts_their_classes(tmp_path: Path) -> None:
    found = opened(written(tmp_path, walks(9, 6)), id="who", time="t", target="doing", sort=True)
    assert found.train.y is not None
    assert found.train.lengths is not None
    inside = torch.arange(found.train.x.shape[1]) < found.train.lengths[:, None]
    assert torch.equal(found.train.y[inside], (found.train.loaded[:, :, 0][inside] > 0).long())
    assert bool((found.train.y[~inside] == UNTOLD).all())


def test_the_only_column_of_text_is_the_class(tmp_path: Path) -> None:
    found = opened(written(tmp_path, WALKS), id="who", time="t")
    assert found.schema.reading.target == "doing"


def test_series_are_held_out_whole_and_in_no_need_of_classes(tmp_path: Path) -> None:
    found = opened(written(tmp_path, walks(40, 6)), id="who", time="t", target="doing", sort=True, test=0.25)
    assert found.test is not None
    assert (len(found.train), len(found.test)) == (30, 10)
    assert not set(found.train.names) & set(found.test.names)


def test_one_course_is_cut_by_time_and_then_into_pieces(tmp_path: Path) -> None:
    names = ["low" if i % 7 < 3 else "high" for i in range(1000)]
    rows = [f"{i},{i * 0.5},{name}" for i, name in enumerate(names)]
    path = written(tmp_path, "\n".join(["time,x,state", *rows]))
    found = opened(path, target="state", validation=0.1, test=0.2)
    there = [each for each in (found.train, found.validation, found.test) if each is not None]
    assert len(there) == 3
    assert len(found.train) == -(-720 // 32)
    assert [sum(part.lengths.tolist()) for part in there if part.lengths is not None] == [720, 80, 200]
    values, labels = [], []
    for part in there:
        assert part.y is not None
        assert part.lengths is not None
        for x, y, length in zip(part.loaded, part.y, part.lengths.tolist(), strict=True):
            values += (x[:length, 0] * 2).round().int().tolist()
            labels += [found.schema.classes[place] for place in y[:length].tolist()] if found.schema.classes else []
            assert bool((y[length:] == UNTOLD).all())
    assert values == list(range(1000))  # in the order of time, each step once
    assert labels == names


def test_what_repeats_in_a_course_is_no_duplicate_but_a_change_is_seen(tmp_path: Path) -> None:
    rows = [f"{i},{i % 4},{'odd' if i % 2 else 'even'}" for i in range(400)]
    path = written(tmp_path, "\n".join(["time,x,state", *rows]))
    found = opened(path, target="state", test=0.3)
    assert {finding.name for finding in audit(found).findings} & {"duplicates", "repeats", "conflicts"} == set()
    rows[5] = "5,1,even"
    path = written(tmp_path, "\n".join(["time,x,state", *rows]))
    assert opened(path, target="state", test=0.3).fingerprint != found.fingerprint


def test_an_audit_counts_steps(tmp_path: Path) -> None:
    found = opened(written(tmp_path, WALKS), id="who", time="t", target="doing")
    assert audit(found).splits["train"].classes == {"run": 1, "sit": 2, "walk": 2}
    assert [finding.name for finding in brief(found)] == ["small-classes"]
    require_classes(found)
    with pytest.raises(DataError, match="no example of class other in the training split"):
        require_classes(
            replace(found, schema=found.schema.model_copy(update={"classes": ("run", "sit", "walk", "other")}))
        )


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            WALKS.replace("walk\nb", "\nb"),
            {"id": "who", "time": "t", "target": "doing"},
            r"row 4, column 'doing'.*no class",
        ),
        (
            "x,y,doing\n1,2,a\n2,3,b\n3,4,a\n",
            {"target": "doing"},
            r"nothing tells that these rows are steps; .*--time.*--id",
        ),
        (WALKS, {"id": "who", "time": "t", "target": "done"}, r"no column 'done'; .*doing"),
    ],
)
def test_tables_without_classes_of_steps_are_refused(
    tmp_path: Path, text: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        opened(written(tmp_path, text), **settings)


def test_without_the_task_a_class_that_changes_names_it(tmp_path: Path) -> None:
    path = written(tmp_path, WALKS)
    with pytest.raises(
        DataError, match=r"a\.csv, row 3: class of .*who a is 'walk', but 'sit' in row 2; .*--task label"
    ):
        data.open(path, RnnSettings.resolve("classic", id="who", time="t", target="doing"))
    with pytest.raises(DataError, match=r"its rows are one series, .*--id; .*--task label"):
        data.open(
            written(tmp_path, "t,x,doing\n1,2,a\n2,3,b\n", "b.csv"),
            RnnSettings.resolve("classic", time="t", target="doing"),
        )


def test_one_label_an_example_is_refused(tmp_path: Path) -> None:
    for place, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8), 100 * place).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=r"one label an example, where --task label learns one a step"):
        opened(tmp_path)


def test_a_model_reads_its_classes_where_they_are(tmp_path: Path) -> None:
    schema = opened(written(tmp_path, WALKS), id="who", time="t", target="doing").schema
    request = Request(schema=schema)
    without = "\n".join(line.rpartition(",")[0] for line in WALKS.splitlines())
    assert data.read(written(tmp_path, without, "b.csv"), request).splits["train"].y is None
    with pytest.raises(DataError, match=r"c\.csv, row 4: unknown class 'jump'"):
        data.read(written(tmp_path, WALKS.replace("walk\nb", "jump\nb"), "c.csv"), request)


# Arrays


def test_arrays_tell_a_class_a_step_and_minus_one_past_the_end() -> None:
    x = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    y = np.array([[0, 1, 2, 2], [-1, 1, -1, -1], [5, -1, 5, -1]])
    found = opened((x, y))
    assert found.schema.classes == ("0", "1", "2", "5")
    assert found.train.lengths is not None
    assert found.train.lengths.tolist() == [4, 2, 3]
    assert found.train.y is not None
    assert found.train.y.tolist() == [[0, 1, 2, 2], [-1, 1, -1, -1], [3, -1, 3, -1]]
    assert bool((found.train.loaded[1, 2:] == 0).all())
    assert opened((x, np.abs(y))).train.lengths is None
    words = np.array([["on", "off", "on", "on"]] * 3)
    assert opened((x, words)).schema.classes == ("off", "on")


def test_arrays_of_one_channel_and_of_bytes_are_series() -> None:
    y = np.array([[0, 1, 1]] * 2)
    assert opened((np.array([[1.0, 2, 3], [2, 3, 5]]), y)).schema.shape == (1,)
    assert opened((np.arange(12, dtype=np.uint8).reshape(2, 3, 2), y)).schema.kind == "series"


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, 1]), r"labels of int64 and shape \(2,\).*a class for every step, \(n, time\)"),
        (np.array([[0, 1], [1, 0]]), r"shape \(2, 2\) for the series \(2, 3, 2\)"),
        (np.array([[0, 1, 0.5], [1, 0, 0]]), r"array \(labels\)\[0, 2\]: 0\.5 is no class"),
        (np.array([[0, 1, 0], [-1, -1, -1]]), r"array \(labels\)\[1, 0\]: no step of this series has a class"),
    ],
)
def test_arrays_that_are_no_classes_of_steps_are_refused(y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened((np.arange(12, dtype=np.float32).reshape(2, 3, 2), y))
