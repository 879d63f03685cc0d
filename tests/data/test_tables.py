"""Tables: numbers and categories come back as they were written, and every bad cell is named by row and column."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Content, Request
from fourfold.data.formats.frames import is_frame, load_all
from fourfold.data.schema import Schema
from fourfold.data.sources.tables import from_frames
from fourfold.errors import DataError
from fourfold.settings import Reading


def read(path: Path, request: Request) -> Content:
    return from_frames(load_all(path), request)


PEOPLE = "age,kind,height\n41,cat,1.5\n7, dog ,2e0\n30,cat,-3\n"


def put(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(exist_ok=True)
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz", "people.tsv", "PEOPLE.CSV"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_only_column_of_text_is_the_target(tmp_path: Path, name: str, end: str, encoding: str) -> None:
    text = PEOPLE.replace("\n", end).replace(",", "\t" if name.endswith("tsv") else ",")
    path = put(tmp_path / name, text, encoding)
    assert is_frame(path)
    content = read(path, Request())
    part = content.splits["train"]
    assert (content.kind, content.classes) == ("table", ("cat", "dog"))
    assert (content.columns, content.decided) == (("age", "height"), {"target": "kind"})
    assert part.x.dtype == torch.float32
    assert part.loaded.tolist() == [[41, 1.5], [7, 2], [30, -3]]
    assert part.y is not None
    assert part.y.tolist() == [0, 1, 0]
    assert part.names == [f"{path}, row {row}" for row in (2, 3, 4)]


def test_only_numbers_are_unlabelled(tmp_path: Path) -> None:
    content = read(put(tmp_path / "a.csv", "a,b\n1,2\n3,4\n"), Request())
    assert content.splits["train"].y is None
    assert (content.classes, content.decided, content.columns) == (None, {"target": None}, ("a", "b"))


def test_years_may_be_names(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.csv", "2019,2020,kind\n1,2,x\n"), Request()).columns == ("2019", "2020")


def test_whole_numbers_that_are_asked_for_become_classes(tmp_path: Path) -> None:
    content = read(put(tmp_path / "a.csv", "a,b\n1,10\n3,9.0\n5,10\n"), Request(Reading(target="b")))
    assert content.classes == ("9", "10")
    assert content.splits["train"].y is not None
    assert content.splits["train"].y.tolist() == [1, 0, 1]


def test_rows_are_lines_of_the_file(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", 'a,"b\nb"\n1,"x\ny"\n\n2,z\n')
    content = read(path, Request())
    assert content.classes == ("x\ny", "z")
    assert content.splits["train"].names == [f"{path}, row 3", f"{path}, row 6"]


def test_a_folder_with_splits(tmp_path: Path) -> None:
    put(tmp_path / "train.csv", PEOPLE)
    put(tmp_path / "test.csv", "height,more,age\n1,x,2\n")
    put(tmp_path / "validation.csv", "height,kind,age\n1,dog,2\n")
    (tmp_path / "README.md").touch()
    assert load_all(tmp_path)
    splits = read(tmp_path, Request()).splits
    assert list(splits) == ["train", "validation", "test"]
    assert splits["test"].loaded.tolist() == [[2, 1]]
    assert splits["test"].y is None
    assert splits["validation"].y is not None
    assert splits["validation"].y.tolist() == [1]


def test_a_folder_with_one_table(tmp_path: Path) -> None:
    path = put(tmp_path / "people.csv", PEOPLE)
    assert read(tmp_path, Request()).splits["train"].names[0] == f"{path}, row 2"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.csv", "b.csv"), r"a\.csv: a folder holds one table"),
        (("train.csv", "train.tsv"), r"train\.tsv: a folder holds one table"),
        (("test.csv", "validation.csv"), r"no train\.csv"),
    ],
)
def test_folders_that_are_no_data_set(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        put(tmp_path / name, PEOPLE)
    with pytest.raises(DataError, match=message):
        read(tmp_path, Request())


def test_test_class_that_train_lacks(tmp_path: Path) -> None:
    put(tmp_path / "train.csv", PEOPLE)
    put(tmp_path / "test.csv", "age,kind,height\n1,cow,2\n")
    with pytest.raises(DataError, match=r"test\.csv, row 2: unknown class 'cow'"):
        read(tmp_path, Request())


@given(
    rows=st.integers(1, 4).flatmap(
        lambda columns: st.lists(
            st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=columns, max_size=columns),
            min_size=1,
            max_size=8,
        )
    )
)
@settings(max_examples=50, deadline=None)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]) -> None:
    lines = [",".join(f"c{place}" for place in range(len(rows[0]))), *(",".join(map(repr, row)) for row in rows)]
    path = put(tmp_path_factory.mktemp("csv") / "a.csv", "\n".join(lines))
    assert (read(path, Request()).splits["train"].loaded.numpy() == np.array(rows, dtype=np.float32)).all()


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("1,2\n3,4\n", None, r"a\.csv, row 1: numbers, so the header is missing"),
        ("5.1,3,red\n4.9,4,blue\n", None, r"a\.csv, row 1: numbers, so the header is missing"),
        ("a,a,b\n1,2,3\n", None, r"a\.csv, row 1: repeated column names: a"),
        (",a\n1,2\n", None, r"a\.csv, row 1: column 1 has no name"),
        ("a,b\n", None, r"a\.csv: a header and at least one row"),
        ("", None, r"a\.csv: a header and at least one row"),
        ("a,b\n1,2\n3\n4,5,6\n", None, r"a\.csv, row 3 \(1 columns\); row 4 \(3 columns\), where the header has 2"),
        ("a,b\n1,2\n,3\n", None, r"a\.csv, row 3, column 'a' \(''\): missing; fill .* with --impute"),
        ("a,b\n1,2\n1,NA\n", None, r"a\.csv, row 3, column 'b' \('NA'\)"),
        ("a,b\n1,2\n1,nan\ninf,3\n", None, r"row 4, column 'a' \('inf'\): not a finite number"),
        ("a,b\n1,2\n1,1e300\n", None, r"row 3, column 'b' \('1e300'\)"),
        ("a,b\n1,2\n1,3\n1,4x\n", None, r"row 4, column 'b' \('4x'\)"),
        ("a,b\n1,2\nx,y\n3,4\n", None, r"row 3, column 'a' \('x'\); row 3, column 'b' \('y'\): not a finite number"),
        ("a\n" + "?\n" * 8 + "1\n", None, r"row 2, .*row 6, column 'a' \('\?'\); and 3 more"),
        ("a,b,c\n1,x,y\n2,x,z\n", None, r"columns of text that repeat .*: b .1 different.; c .2 different.; name the"),
        ("a,b,c\n1,x,y\n2,x,z\n", "b", r"columns of text that repeat .*: c .2 different.; remove or encode them"),
        ("a,b\n1,9007199254740993\n2,9007199254740994\n", None, r"a\.csv: column 'b' holds identifiers"),
        ("a\nx\ny\n", None, r"a\.csv: no column beside the target 'a'"),
        ("age,kind\n1,x\n", "ages", r"a\.csv: no column 'ages'; did you mean 'age'"),
        ("a,b\n1,0.5\n2,1\n", "b", r"a\.csv: the target 'b' is a quantity"),
        ("a,b\n" + "".join(f"1,{i}\n" for i in range(101)), "b", r"the target 'b' is a quantity \(101 different"),
        ("a,b\n1,\n2,x\n", "b", r"a\.csv, row 2, column 'b' \(''\): no class"),
        ("a,b\n1,1\n2,NA\n", "b", r"a\.csv, row 3, column 'b' \('NA'\): no class"),
        ("a,b\n1,1\n2,inf\n", "b", r"a\.csv, row 3, column 'b' \('inf'\): no class"),
        ('a,b\n1,2\n"3,4\n', None, r"a\.csv, row 3: .*is a quote open"),
    ],
)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_bad_tables_are_named(tmp_path: Path, text: str, target: str | None, message: str, packed: str) -> None:
    path = put(tmp_path / f"a.csv{packed}", text)
    with pytest.raises(DataError, match=message.replace(r"a\.csv", rf"a\.csv{packed}")):
        read(path, Request(Reading(target=target)))


@pytest.mark.parametrize(
    "content", [b"a,b\n1,\x81\n", "a,b\n1,2\n".encode("utf-16-le"), gzip.compress(b"a,b\n1,2\n")[:-5]]
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    for name in ("a.csv", "a.csv.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read(tmp_path / name, Request())


SCHEMA = Schema(
    kind="table", shape=(2,), columns=("height", "age"), reading=Reading(target="kind"), classes=("dog", "cat")
)


def test_schema_picks_columns_by_name(tmp_path: Path) -> None:
    content = read(put(tmp_path / "a.csv", PEOPLE), Request(schema=SCHEMA))
    part = content.splits["train"]
    assert part.loaded.tolist() == [[1.5, 41], [2, 7], [-3, 30]]
    assert part.y is not None
    assert part.y.tolist() == [1, 0, 1]
    extra = put(tmp_path / "b.csv", "name,age,height\nAnn,1,2\nBob,3,4\n")
    part = read(extra, Request(schema=SCHEMA)).splits["train"]
    assert part.loaded.tolist() == [[2, 1], [4, 3]]
    assert part.y is None
    plain = Schema(kind="table", shape=(2,))
    assert read(put(tmp_path / "c.csv", "a,b\n1,2\n"), Request(schema=plain)).splits["train"].loaded.tolist() == [
        [1, 2]
    ]


@pytest.mark.parametrize(
    ("text", "schema", "message"),
    [
        ("age,weight\n1,2\n", SCHEMA, r"a\.csv: lacks the columns height"),
        (PEOPLE.replace("dog", "cow"), SCHEMA, r"a\.csv, row 3: unknown class 'cow'"),
        ("a\n1\n", Schema(kind="table", shape=(2,)), r"a\.csv: 1 columns where the model takes 2"),
        (PEOPLE, Schema(kind="series", shape=(2,)), r"a\.csv: this is table data, but .* series"),
    ],
)
def test_what_breaks_the_schema_is_named(tmp_path: Path, text: str, schema: Schema, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(put(tmp_path / "a.csv", text), Request(schema=schema))


@pytest.mark.parametrize("name", ["a.txt", "a.gz", "csv", "folder"])
def test_other_things_do_not_match(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    assert not is_frame(tmp_path / name)
