"""Series in tables: every form tells the same as the plain one, and every fault is named by file and row."""

import contextlib
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Content, Examples, Request
from fourfold.data.formats.frames import load_all
from fourfold.data.sources import tabled_series
from fourfold.data.sources.series import read as read_ts
from fourfold.data.sources.tabled_series import from_frames, matches
from fourfold.errors import DataError
from fourfold.settings import Reading
from tests.data.damage import damaged

WALKS = "id,time,x,y,kind\n1,1,0,1,left\n1,2,0.5,2,left\n2,1,7,8,right\n1,3,1,3,left\n2,2,9,10,right\n"
LONG: dict[str, Any] = {"id": "id", "time": "time"}

# A walk: its class and its steps, each (x, y).
steps = st.lists(st.tuples(*[st.floats(-9, 9, width=32)] * 2), min_size=1, max_size=5)
walks = st.lists(st.tuples(st.sampled_from(["left", "right"]), steps), min_size=1, max_size=5)


def read(path: Path, request: Request | None = None, **reading: Any) -> Content:
    return from_frames(load_all(path), request or Request(Reading(**reading)))


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def equal(a: Examples, b: Examples) -> bool:
    """Whether two splits hold the same series and labels."""
    pairs = [(a.loaded, b.loaded), (a.y, b.y), (a.lengths, b.lengths)]
    return all(
        one is other is None or (one is not None and other is not None and one.equal(other)) for one, other in pairs
    )


def lines(found: list[tuple[str, list[tuple[float, float]]]]) -> list[str]:
    """The rows of a long table."""
    return [
        f"{number},{time},{x!r},{y!r},{kind}"
        for number, (kind, walk) in enumerate(found)
        for time, (x, y) in enumerate(walk)
    ]


@given(found=walks, data=st.data())
@settings(max_examples=50, deadline=None)
def test_every_form_tells_the_same(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[str, list[tuple[float, float]]]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("walks")
    ts = "".join(
        f"{','.join(repr(x) for x, _ in walk)}:{','.join(repr(y) for _, y in walk)}:{kind}\n" for kind, walk in found
    )
    expected = read_ts(put(folder / "walks.ts", f"@classLabel true\n@data\n{ts}"), Request())
    rows = lines(found)
    long = read(put(folder / "a.csv", "\n".join(["id,time,x,y,kind", *rows])), **LONG)
    assert long.classes == expected.classes
    assert equal(long.splits["train"], expected.splits["train"])
    shuffled = put(folder / "b.csv", "\n".join(["id,time,x,y,kind", *data.draw(st.permutations(rows))]))
    assert equal(read(shuffled, **LONG, sort=True).splits["train"], expected.splits["train"])
    for number, (kind, walk) in enumerate(found):
        put(folder / "files" / kind / f"{number}.csv", "\n".join(["y,x", *(f"{y!r},{x!r}" for x, y in walk)]))
    files = tabled_series.read(folder / "files", Request(Reading(kind="series"))).splits["train"]
    by_class = [place for kind in ("left", "right") for place, (own, _) in enumerate(found) if own == kind]
    swapped = expected.splits["train"].select(torch.tensor(by_class))
    assert files.loaded.flip(2).equal(swapped.loaded)


@given(st.lists(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=6), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_wide_tables(tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]) -> None:
    folder = tmp_path_factory.mktemp("wide")
    cells = [[*map(repr, row), *[""] * (6 - len(row)), "ab"[len(row) % 2]] for row in rows]
    content = read(
        put(folder / "a.csv", "\n".join(map(",".join, [["a", "b", "c", "d", "e", "f", "kind"], *cells]))), kind="series"
    )
    ts = "".join(f"{','.join(map(repr, row))}:{'ab'[len(row) % 2]}\n" for row in rows)
    expected = read_ts(put(folder / "a.ts", f"@classLabel true\n@data\n{ts}"), Request())
    part = content.splits["train"]
    assert equal(part, expected.splits["train"])
    assert part.names == [f"{folder / 'a.csv'}, row {row + 2}" for row in range(len(rows))]
    assert (content.classes, content.columns, content.ordered) == (expected.classes, None, False)


def test_long_tables(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", WALKS)
    content = read(path, **LONG)
    part = content.splits["train"]
    assert (content.kind, content.classes, content.columns) == ("series", ("left", "right"), ("x", "y"))
    assert content.decided == {"id": "id", "time": "time", "target": "kind"}
    assert not content.ordered
    assert part.loaded.tolist() == [[[0, 1], [0.5, 2], [1, 3]], [[7, 8], [9, 10], [0, 0]]]
    assert part.lengths is not None
    assert part.lengths.tolist() == [3, 2]
    assert part.names == [f"{path}, id 1", f"{path}, id 2"]
    assert read(path, id="id").decided["time"] == "time"  # it is plain


def test_without_times_the_file_tells_the_order(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "who,x\n10,3\n2,1\n10,2\n")
    part = read(path, id="who").splits["train"]
    assert part.loaded[:, :, 0].tolist() == [[1, 0], [3, 2]]
    assert part.y is None
    with pytest.raises(DataError, match=r"a\.csv: --sort needs to know the times"):
        read(path, id="who", sort=True)


def test_a_column_that_is_asked_for_is_no_time(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,year,x\n1,1999,1\n2,2000,2\n")
    content = read(path, id="id", target="year")
    assert (content.columns, content.classes, content.decided["time"]) == (("x",), ("1999", "2000"), None)


def test_a_course_of_time(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.csv", "date,co2,level\n19580329,316.1,1\n19580405,317.3,2\n19580419,317.5,3\n19580426,3,4\n"
    )
    content = read(path)
    part = content.splits["train"]
    assert content.ordered
    assert (content.columns, content.decided["time"], part.y, part.lengths) == (("co2", "level"), "date", None, None)
    assert part.loaded.shape == (1, 4, 2)
    assert part.names == [str(path)]
    [gap] = content.remarks
    assert gap.examples == (f"{path}, row 4: 1958-04-05 to 1958-04-19: 1 step missing",)
    content = read(put(tmp_path / "b.csv", "co2\n5\n6\n"), kind="series")  # one column of numbers is no table of steps
    assert content.ordered
    assert content.splits["train"].loaded.tolist() == [[[5], [6]]]


def test_splits_that_the_data_bring(tmp_path: Path) -> None:
    put(tmp_path / "train.csv", "year,a,b\n1700,1,2\n1701,3,4\n1702,5,6\n")
    put(tmp_path / "test.csv", "b,a,year\n8,7,1703\n")
    content = read(tmp_path)
    assert not matches(tmp_path, Request(Reading(kind="series")))
    assert {split: part.loaded.tolist() for split, part in content.splits.items()} == {
        "train": [[[1, 2], [3, 4], [5, 6]]],
        "test": [[[7, 8]]],
    }
    assert [part.lengths.tolist() for part in content.splits.values() if part.lengths is not None] == [[3], [1]]
    assert content.remarks == ()
    put(tmp_path / "test.csv", "b,a,year\n8,7,1702\n")
    assert [remark.name for remark in read(tmp_path).remarks] == ["overlapping-times"]


def test_fields_of_series(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,who,x\n1,Ann,1\n1,Ann,2\n2,Bob,3\n")
    request = Request(Reading(id="id"), fields=("who",))
    assert read(path, request).splits["train"].fields == {"who": ["Ann", "Bob"]}
    wide = Request(Reading(kind="series"), fields=("who",))
    assert read(put(path, "who,x,y\nAnn,1,2\nBob,3,4\n"), wide).splits["train"].fields == {"who": ["Ann", "Bob"]}
    with pytest.raises(DataError, match=r"row 3: who of .*a\.csv, id 1 is 'Bob', but 'Ann' in row 2"):
        read(put(path, "id,who,x\n1,Ann,1\n1,Bob,2\n"), request)


@pytest.mark.parametrize("impute", ["mean", "median"])
def test_missing_values_are_filled_in_time(tmp_path: Path, impute: str) -> None:
    path = put(
        tmp_path / "a.csv", "day,x\n2024-01-01,\n2024-01-02,0\n2024-01-03,NA\n2024-01-06,4\n2024-01-07,\n2024-01-08,?\n"
    )
    content = read(path, impute=impute)
    assert content.splits["train"].loaded.flatten().tolist() == [0, 0, 0, 4, 4, 4]  # a course: by what was known
    rows = [f"7,{line}" for line in path.read_text().splitlines()[1:]]
    several = put(tmp_path / "b.csv", "\n".join(["id,day,x", *rows]))
    assert read(several, id="id", impute=impute).splits["train"].loaded.flatten().tolist() == [0, 0, 1, 4, 4, 4]
    [remark] = [remark for remark in content.remarks if remark.name == "imputed"]
    assert (remark.severity, remark.count) == ("note", 4)
    where = f"{path}, row {{}}, column 'x': {{}}"
    assert remark.examples[1:] == (
        where.format(4, "1 value"),
        where.format(6, "2 values from 2024-01-07 to 2024-01-08"),
    )
    content = read(put(path, "a,b,c,d\n1,,3,\n,5,,\n"), kind="series", impute=impute)
    assert content.splits["train"].loaded[:, :, 0].tolist() == [[1, 2, 3], [5, 5, 0]]
    assert content.remarks[0].examples == (f"{path}, row 2: 1 value", f"{path}, row 3: 1 value")


@pytest.mark.parametrize(
    ("text", "reading", "message"),
    [
        (WALKS.replace("2,2,9", "2,0,9"), LONG, r"row 6: time '0' comes after '1' in row 4; sort .* --sort"),
        (WALKS.replace("2,2,9", "2,1,9"), LONG, r"row 6: the same time as in row 4, '1'; keep one"),
        (WALKS.replace("2,2,9", "2,1,9"), {**LONG, "sort": True}, r"row 6: the same time as in row 4"),
        (WALKS.replace("2,2,9", "2,soon,9"), LONG, r"row 6, column 'time' \('soon'\): no time"),
        (WALKS.replace("10,right", "10,left"), LONG, r"row 6: class of .*, id 2 is 'left', but 'right' in row 4"),
        (WALKS.replace("2,2,9", ",2,9"), LONG, r"row 6, column 'id' \(''\): no series is named"),
        (WALKS.replace("2,2,9", "2,2,"), LONG, r"row 6, column 'x' \(''\): missing values; fill .* --impute"),
        (WALKS.replace("2,2,9", "2,2,9x"), LONG, r"row 6, column 'x' \('9x'\): not a finite number"),
        (WALKS.replace("2,2,9", "2,2,5e38"), {**LONG, "impute": "mean"}, r"row 6, column 'x' \('5e38'\)"),
        (WALKS.replace("2,2,9", "2,2,inf"), {**LONG, "impute": "mean"}, r"row 6, column 'x' \('inf'\)"),
        (WALKS.replace("time", "hour"), LONG, r"a\.csv: no column 'time'"),
        ("id,x\n1,\n1,\n", {"id": "id", "impute": "mean"}, r"id 1: not one value in channel 1"),
        ("id,kind\n1,a\n1,a\n", {"id": "id"}, r"a\.csv: no column of numbers beside id, kind"),
        ("id,kind,sort,x\n1,a,b,1\n", {"id": "id"}, r"a\.csv: columns of text: kind; sort; name the class"),
        ("id,kind,sort,x\n1,a,b,1\n", {"id": "id", "target": "sort"}, r"a\.csv: columns of text: kind; remove"),
        ("year,kind,x\n1,a,1\n2,a,2\n", {}, r"a\.csv: columns of text: kind"),
        ("year,kind,x\n1,a,1\n2,a,2\n", {"target": "kind"}, r"a\.csv: its rows are one series, .*--id"),
        ("id,x\n1,9007199254740993\n", {"id": "id"}, r"a\.csv: column 'x' holds identifiers"),
        ("a,b\n1,2\n,\n", {}, r"row 3: a series without a value"),
        ("a,b,c\n1,2,3\n1,,3\n", {}, r"row 3, column 'b' \(''\): missing values"),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, text: str, reading: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(put(tmp_path / "a.csv", text), kind="series", **reading)


def test_tables_must_have_the_same_columns(tmp_path: Path) -> None:
    put(tmp_path / "train.csv", WALKS)
    put(tmp_path / "test.csv", "id,time,x,kind\n1,1,1,left\n")
    with pytest.raises(DataError, match=r"test\.csv: lacks the columns y; it holds id; time; x; kind"):
        read(tmp_path, **LONG)
    put(tmp_path / "test.csv", "id,time,x,y,z,kind\n1,1,1,1,1,left\n")
    with pytest.raises(DataError, match=r"test\.csv: has the columns z, which others lack"):
        read(tmp_path, **LONG)


@pytest.mark.parametrize("reading", [LONG, {"id": "id", "impute": "mean"}, {"time": "time"}, {}])
@given(data=st.data())
@settings(max_examples=60, deadline=2000)
def test_damage_never_escapes(
    tmp_path_factory: pytest.TempPathFactory, reading: dict[str, Any], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damage") / "a.csv"
    path.write_bytes(damaged(WALKS.encode(), data))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(DataError):
        part = read(path, kind="series", **reading).splits["train"]
        assert len(part)
        assert np.isfinite(part.loaded.numpy()).all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19  # KiB
