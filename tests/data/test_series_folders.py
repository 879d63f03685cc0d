"""Series in folders, a file each, and under the schema of a model that was trained on some."""

from pathlib import Path

import pytest

from fourfold.data.dataset import Request
from fourfold.data.schema import Schema
from fourfold.data.sources import tabled_series
from fourfold.data.sources.tabled_series import matches
from fourfold.errors import DataError
from fourfold.settings import Reading
from tests.data.test_tabled_series import WALKS, put, read


def test_folders_of_files(tmp_path: Path) -> None:
    put(tmp_path / "left/2.csv", "time,x\n1,5\n2,6\n")
    put(tmp_path / "left/10.tsv", "x\ttime\n7\t1\n")
    put(tmp_path / "right/1.csv", "time,x\n1,9\n")
    told: list[tuple[str, int, int]] = []
    assert matches(tmp_path, Request())
    content = tabled_series.read(tmp_path, Request(progress=lambda *each: told.append(each)))
    part = content.splits["train"]
    assert (content.classes, content.columns, content.decided["time"]) == (("left", "right"), ("x",), "time")
    assert part.loaded[:, :, 0].tolist() == [[7, 0], [5, 6], [9, 0]]
    assert part.names == [str(tmp_path / name) for name in ("left/10.tsv", "left/2.csv", "right/1.csv")]
    assert told == [("reading series", place, 3) for place in (1, 2, 3)]
    put(tmp_path / "right/2.csv", "time,y\n1,9\n")
    with pytest.raises(DataError, match=r"right/2\.csv: lacks the columns x"):
        tabled_series.read(tmp_path, Request())
    put(tmp_path / "right/2.csv", "time,x\n2,9\n1,9\n")
    with pytest.raises(DataError, match=r"right/2\.csv, row 3: time '1' comes after '2'"):
        tabled_series.read(tmp_path, Request())


def test_folders_that_are_such(tmp_path: Path) -> None:
    series = Request(Reading(kind="series"))
    put(tmp_path / "one/left/1.csv", "x\n1\n")
    put(tmp_path / "flat/1.csv", "x\n1\n")
    put(tmp_path / "flat/2.csv", "x\n1\n2\n")
    for split, kind in (("train", "left"), ("train", "right"), ("test", "left")):
        put(tmp_path / f"splits/{split}/{kind}/1.csv", "x\n1\n")
    put(tmp_path / "unlabelled/train/1.csv", "x\n1\n")
    put(tmp_path / "unlabelled/test/1.csv", "x\n1\n")
    put(tmp_path / "table/a.csv", "x\n1\n")
    (tmp_path / "empty").mkdir()
    asked = {
        name: (matches(tmp_path / name, Request()), matches(tmp_path / name, series))
        for name in ("one", "flat", "splits", "unlabelled", "table", "empty", "table/a.csv")
    }
    assert asked == {
        "one": (False, True),
        "flat": (False, True),
        "splits": (True, True),
        "unlabelled": (False, True),
        "table": (False, False),
        "empty": (False, False),
        "table/a.csv": (False, False),
    }
    assert tabled_series.read(tmp_path / "flat", series).splits["train"].loaded[:, :, 0].tolist() == [[1, 0], [1, 2]]
    content = tabled_series.read(tmp_path / "splits", Request())
    assert {split: part.y.tolist() for split, part in content.splits.items() if part.y is not None} == {
        "train": [0, 1],
        "test": [0],
    }


def test_names_tell_classes_and_fields(tmp_path: Path) -> None:
    for name in ("left_Ann_1", "right_Bob_1"):
        put(tmp_path / f"{name}.csv", "x\n1\n2\n")
    request = Request(Reading(kind="series", pattern="{label}_{who}_{n}.csv"), fields=("who",))
    content = tabled_series.read(tmp_path, request)
    assert content.classes == ("left", "right")
    assert content.splits["train"].fields == {"who": ["Ann", "Bob"]}


def test_a_file_in_a_hundred_may_be_damaged(tmp_path: Path) -> None:
    for number in range(199):
        put(tmp_path / f"{'ab'[number % 2]}/{number}.csv", f"x,y\n{number},1\n")
    put(tmp_path / "a/damaged.csv", "x,y\n1\n")
    content = tabled_series.read(tmp_path, Request())
    assert len(content.splits["train"]) == 199
    [remark] = content.remarks
    assert remark.examples[0].startswith(f"{tmp_path / 'a/damaged.csv'}: row 2 (1 columns)")
    put(tmp_path / "b/1.csv", "")
    put(tmp_path / "b/3.csv", "")
    with pytest.raises(DataError, match="3 of 200 files cannot be used"):
        tabled_series.read(tmp_path, Request())


# Under a model's schema


def test_a_schema_picks_channels_and_labels_by_name(tmp_path: Path) -> None:
    reading = Reading(kind="series", id="id", time="time", target="kind", sort=True)
    schema = Schema(kind="series", shape=(2,), columns=("y", "x"), classes=("right", "left"), reading=reading)
    part = read(put(tmp_path / "a.csv", WALKS), Request(schema=schema)).splits["train"]
    assert part.loaded[1].tolist() == [[8, 7], [10, 9], [0, 0]]
    assert part.y is not None
    assert part.y.tolist() == [1, 0]
    part = read(put(tmp_path / "b.csv", "id,x,y,note\n1,1,2,good\n1,3,4,bad\n"), Request(schema=schema)).splits["train"]
    assert part.loaded.tolist() == [[[2, 1], [4, 3]]]
    assert part.y is None
    with pytest.raises(DataError, match=r"c\.csv: lacks the columns x"):
        read(put(tmp_path / "c.csv", "id,y\n1,1\n"), Request(schema=schema))
    with pytest.raises(DataError, match=r"d\.csv: no column 'id'"):
        read(put(tmp_path / "d.csv", "x,y\n1,1\n"), Request(schema=schema))


def test_a_schema_of_another_source(tmp_path: Path) -> None:
    one, two = (Schema(kind="series", shape=(channels,), reading=Reading(kind="series")) for channels in (1, 2))
    path = put(tmp_path / "a.csv", "a,b\n1,2\n3,\n")
    assert read(path, Request(schema=one)).splits["train"].loaded[:, :, 0].tolist() == [[1, 2], [3, 0]]
    put(path, "a,b\n1,2\n3,4\n")
    assert read(path, Request(schema=two)).splits["train"].loaded.tolist() == [[[1, 2], [3, 4]]]
    with pytest.raises(DataError, match=r"a\.csv: 3 columns of numbers where the model takes 2"):
        read(put(path, "a,b,c\n1,2,3\n"), Request(schema=two))
    with pytest.raises(DataError, match=r"a\.csv: this is series data, but the model was trained on table data"):
        read(path, Request(schema=Schema(kind="table", shape=(3,))))
