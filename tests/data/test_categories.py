"""Columns of tables: which is the target, which are categories, and what is missing."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Content, Request
from fourfold.data.formats.frames import load_all
from fourfold.data.schema import Schema
from fourfold.data.sources.tables import from_frames
from fourfold.errors import DataError
from fourfold.settings import Reading


def read(path: Path, request: Request) -> Content:
    return from_frames(load_all(path), request)


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# Targets


def pets(**columns: list[str]) -> str:
    """A table of eight rows, in which every column repeats."""
    return "\n".join([",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]) + "\n"


AGE = list("12345678")
SEX = ["f", "m"] * 4
KIND = ["cat", "dog", "cow", "cow"] * 2


@pytest.mark.parametrize(
    ("columns", "target", "remarks"),
    [
        ({"age": AGE, "sex": SEX}, "sex", []),
        ({"age": AGE, "sex": SEX, "Species": KIND}, "Species", []),
        ({"age": AGE, "sex": SEX, "outcome": ["0", "1"] * 4}, "outcome", []),
        ({"age": AGE, "sex": SEX, "outcome": [f"{n}.5" for n in AGE]}, "sex", []),
        ({"age": AGE, "outcome": ["0", "1"] * 4}, "outcome", []),
        ({"age": AGE, "sex": SEX, "kind": KIND}, None, ["no-target"]),
        ({"age": AGE, "label": SEX, "class": KIND}, None, ["no-target"]),
        ({"age": AGE, "height": AGE}, None, []),
    ],
)
def test_the_target_is_what_is_plainly_one(
    tmp_path: Path, columns: dict[str, list[str]], target: str | None, remarks: list[str]
) -> None:
    content = read(put(tmp_path / "a.csv", pets(**columns)), Request())
    assert content.decided == {"target": target}
    assert content.columns == tuple(name for name in columns if name != target)
    assert [remark.name for remark in content.remarks] == remarks


def test_long_identifiers_keep_their_digits_as_classes_and_fields(tmp_path: Path) -> None:
    ids = ["9007199254740993", "9007199254740992"] * 4
    path = put(tmp_path / "a.csv", pets(age=AGE, id=ids))
    assert read(path, Request(Reading(target="id"))).classes == ("9007199254740992", "9007199254740993")
    content = read(path, Request(fields=("id",)))
    assert content.columns == ("age",)
    assert content.splits["train"].fields["id"] == ids


def test_a_count_line_names_the_classes(tmp_path: Path) -> None:
    content = read(put(tmp_path / "a.csv", "3,2,bad,good\n1,2,0\n3,4,1\n5,6,1\n"), Request())
    part = content.splits["train"]
    assert (content.columns, content.classes) == (("column 1", "column 2"), ("bad", "good"))
    assert part.y is not None
    assert part.y.tolist() == [0, 1, 1]
    assert part.loaded.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert part.names[0].endswith("a.csv, row 2")
    assert [remark.name for remark in content.remarks] == ["count-line"]


# Categories and missing values


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 99), st.sampled_from("abc")), min_size=7, max_size=30))
def test_categories_are_places_in_their_levels(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]
) -> None:
    text = "n,letter,kind\n" + "".join(f"{n},{letter},{n % 2}x\n" for n, letter in rows)
    content = read(put(tmp_path_factory.mktemp("csv") / "a.csv", text), Request(Reading(target="kind")))
    levels = content.levels["letter"]
    assert levels == tuple(sorted({letter for _, letter in rows}))
    x = content.splits["train"].loaded.tolist()
    assert [(int(n), levels[int(place)]) for n, place in x] == rows


def test_levels_of_every_split_are_known(tmp_path: Path) -> None:
    put(tmp_path / "train.csv", pets(age=AGE, sex=SEX, kind=KIND))
    put(tmp_path / "test.csv", "age,sex,kind\n1,x,cat\n")
    content = read(tmp_path, Request(Reading(target="kind")))
    assert content.levels == {"sex": ("f", "m", "x")}
    assert content.splits["test"].loaded.tolist() == [[1, 2]]


@pytest.mark.parametrize(("rows", "few"), [(202, True), (200, False)])
def test_a_hundred_levels_each_twice_are_a_category(tmp_path: Path, rows: int, few: bool) -> None:
    text = "n,word,kind\n" + "".join(f"{row},w{row % 100},{'xy'[row % 2]}\n" for row in range(rows))
    path = put(tmp_path / "a.csv", text)
    if few:
        assert len(read(path, Request(Reading(target="kind"))).levels["word"]) == 100
    else:
        with pytest.raises(DataError, match=r"columns of text that repeat too little .*: word \(100 different\)"):
            read(path, Request(Reading(target="kind")))


def test_missing_values_are_nan_if_something_is_put_there(tmp_path: Path) -> None:
    columns = {"age": ["", *AGE[1:]], "sex": [*SEX[:-1], "?"], "kind": KIND}
    path = put(tmp_path / "a.csv", pets(**columns))
    content = read(path, Request(Reading(target="kind", impute="median")))
    x = content.splits["train"].loaded
    assert content.levels == {"sex": ("f", "m")}
    assert x.isnan().nonzero().tolist() == [[0, 0], [7, 1]]
    with pytest.raises(DataError, match=r"row 2, column 'age' \(''\); row 9, column 'sex' \('\?'\): missing"):
        read(path, Request(Reading(target="kind")))
    columns["age"][1] = "4x"
    with pytest.raises(DataError, match=r"row 3, column 'age' \('4x'\): not a finite number"):
        read(put(tmp_path / "b.csv", pets(**columns)), Request(Reading(target="kind", impute="median")))


def test_a_level_that_the_schema_lacks_is_told(tmp_path: Path) -> None:
    schema = Schema(kind="table", shape=(3,), columns=("age", "sex"), levels={"sex": ("m", "f")})
    content = read(put(tmp_path / "a.csv", "sex,age\nf,1\nother,2\n"), Request(schema=schema))
    assert content.splits["train"].loaded.tolist() == [[1, 1], [2, -1]]
    assert [(remark.name, remark.count) for remark in content.remarks] == [("unknown-levels", 1)]
    assert content.remarks[0].examples[0].endswith("a.csv, row 3, column 'sex' ('other')")
