"""Times as tables spell them, and what a table is taken for by its columns."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Request
from fourfold.data.formats.frames import Frame, kind_of, load
from fourfold.data.formats.times import names_time, times
from fourfold.errors import DataError
from fourfold.settings import Reading


def frame_of(columns: dict[str, list[str]]) -> Frame:
    rows = len(next(iter(columns.values())))
    return Frame(Path("a.csv"), range(2, rows + 2), {name: pl.Series(cells) for name, cells in columns.items()})


def read(*cells: str) -> list[object]:
    return times(frame_of({"t": list(cells)}), "t").to_list()


NOON = dt.datetime(2024, 3, 29, 12)
FORMATS = [
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S.%fZ",
    "%Y-%m-%d %H:%M:%S.%f+00:00",
    "%Y/%m/%d %H:%M:%S.%f",
    "%d.%m.%Y %H:%M:%S.%f",
]


@pytest.mark.parametrize("spelling", FORMATS)
@settings(max_examples=30, deadline=None)
@given(whole=st.lists(st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(2999, 12, 31)), min_size=1))
def test_what_python_writes_is_read(spelling: str, whole: list[dt.datetime]) -> None:
    assert read(*(time.strftime(spelling) for time in whole)) == whole


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-03-29", NOON.replace(hour=0)),
        ("2024-3-29", NOON.replace(hour=0)),
        ("20240329", NOON.replace(hour=0)),
        ("29.3.2024", NOON.replace(hour=0)),
        ("29/3/2024", NOON.replace(hour=0)),
        ("3/29/2024", NOON.replace(hour=0)),
        ("2024-03", NOON.replace(hour=0, day=1)),
        ("2024-03-29T12:00", NOON),
        ("2024-03-29 14:00:00+02:00", NOON),
        ("2024-03-29T14:00:00+0200", NOON),
        ("3/29/2024 12:00", NOON),
        ("1958", 1958.0),
        ("-0.5", -0.5),
        ("12345678", 12345678.0),
        ("1711713600", 1711713600.0),
    ],
)
def test_one_cell(cell: str, expected: object) -> None:
    assert read(cell) == [expected]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["2024-03-29", ""], r"a\.csv, row 3, column 't' \(''\): no time"),
        (["2024-03-29", "2024-02-30", "2024-04-01"], r"row 3, column 't' \('2024-02-30'\): no time"),
        (["20240329", "20240230", "20240401"], r"row 3, column 't' \('20240230'\): no time"),
        (["1", "2", "x"], r"row 4, column 't' \('x'\): no time"),
        (["1", "inf"], r"row 3, column 't' \('inf'\): no time"),
        (["29.03.24"], r"row 2, column 't' \('29.03.24'\): no time"),
        (["soon", "later"], r"row 2, column 't' \('soon'\); row 3, column 't' \('later'\): no time"),
        (["3/4/2024", "5/6/2024"], r"a\.csv, column 't': days before months"),
    ],
)
def test_what_is_no_time_is_named(cells: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(*cells)


def test_days_equal_to_months_are_the_same_either_way() -> None:
    assert read("3/3/2024") == [dt.datetime(2024, 3, 3)]


def test_names_of_times() -> None:
    assert all(map(names_time, ["date", "YEAR", "Date Time", "date_time", "week-day"]))
    assert not any(map(names_time, ["", "update", "daytime", "birth date", "yearly", "times"]))


# Kinds

LONG = [f"this is a message of some words, number {number}" for number in range(9)]
DAYS = [f"2024-03-{day:02}" for day in range(1, 10)]
NUMBERS = [str(number) for number in range(9)]


@pytest.mark.parametrize(
    ("columns", "reading", "kind"),
    [
        ({"a": NUMBERS, "b": NUMBERS}, {}, "table"),
        ({"file": [f"p/{n}.PNG" for n in NUMBERS], "label": NUMBERS}, {}, "image"),
        ({"n": NUMBERS, "file": [f"{n}.wav" for n in NUMBERS]}, {}, "sound"),
        ({"file": [*[f"{n}.flac" for n in NUMBERS[1:]], "lost"]}, {"path": "file"}, "sound"),
        ({"file": [*[f"{n}.flac" for n in NUMBERS[1:]], "lost"]}, {}, "table"),
        ({"label": ["a", "b", "c"] * 3, "text": LONG}, {}, "text"),
        ({"id": NUMBERS, "name": ["Braund, Mr. Owen Harris"] * 9}, {}, "table"),
        ({"name": [f"Braund, Mr. Owen {n}" for n in NUMBERS]}, {}, "table"),
        ({"text": [LONG[0]] * 9, "n": NUMBERS}, {}, "table"),
        ({"text": ["one two"] * 9}, {"text": "text"}, "text"),
        ({"date": DAYS, "co2": NUMBERS}, {}, "series"),
        ({"co2": NUMBERS, "YEAR": [str(1700 + i) for i in range(9)]}, {}, "series"),
        ({"date": DAYS, "event": LONG, "n": NUMBERS}, {}, "text"),
        ({"date": DAYS}, {}, "table"),
        ({"date": DAYS, "word": ["a"] * 9}, {}, "table"),
        ({"date": DAYS[::-1], "co2": NUMBERS}, {}, "table"),
        ({"date": [DAYS[0], *DAYS[:8]], "co2": NUMBERS}, {}, "table"),
        ({"date": DAYS[:2], "co2": NUMBERS[:2]}, {}, "table"),
        ({"born": DAYS, "co2": NUMBERS}, {}, "table"),
        ({"born": DAYS, "co2": NUMBERS}, {"time": "born"}, "series"),
        ({"who": NUMBERS, "x": NUMBERS}, {"id": "who"}, "series"),
        ({"date": DAYS, "co2": NUMBERS}, {"target": "date"}, "table"),
        ({"date": DAYS, "co2": NUMBERS}, {"kind": "table"}, "table"),
    ],
)
def test_what_a_table_is_taken_for(columns: dict[str, list[str]], reading: dict[str, str], kind: str) -> None:
    assert kind_of(frame_of(columns), Request(Reading.model_validate(reading))) == kind


def test_a_course_of_time_may_have_a_few_rows_out_of_order() -> None:
    days = [f"2024-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 29)]
    numbers = list(map(str, range(len(days))))
    swapped = [days[1], days[0], *days[2:]]
    assert kind_of(frame_of({"date": swapped, "n": numbers}), Request()) == "series"
    mixed = [day for pair in zip(days[::2], days[1::2], strict=True) for day in pair[::-1]]
    assert kind_of(frame_of({"date": mixed, "n": numbers}), Request()) == "table"


def test_a_column_of_paths_to_nothing_known_is_named() -> None:
    with pytest.raises(DataError, match="column 'file' names no pictures and no sounds"):
        kind_of(frame_of({"file": ["a.doc"]}), Request(Reading(path="file")))
    with pytest.raises(DataError, match="no column 'files'; did you mean 'file'"):
        kind_of(frame_of({"file": ["a.doc"]}), Request(Reading(path="files")))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=12), min_size=1, max_size=5))
def test_any_cells_are_of_some_kind(tmp_path: Path, cells: list[str]) -> None:
    pl.DataFrame({"date": cells, "year": cells, "x": cells}).write_parquet(tmp_path / "a.parquet")
    assert kind_of(load(tmp_path / "a.parquet"), Request()) in ("table", "text", "series")
