"""Tables as files: every format tells the same cells, oddities are put right and told, damage is named."""

import contextlib
import gzip
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.data.formats.frames import Frame, is_frame, load
from fourfold.errors import DataError
from tests.data.damage import damaged

SECONDS = 2.0
KILOBYTES = 1 << 19
MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ROWS: list[dict[str, object]] = [
    {"n": 1, "x": 0.5, "word": "café", "yes": True},
    {"n": 2**60 + 1, "x": None, "word": "two\nlines", "yes": False},
    {"n": -3, "x": 1e300, "word": None, "yes": None},
]


def as_csv(rows: list[dict[str, object]], delimiter: str = ",") -> str:
    def spelt(value: object) -> str:
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        return f'"{text}"' if "\n" in text else text

    return "".join(delimiter.join(cells) + "\n" for cells in (list(rows[0]), *(map(spelt, r.values()) for r in rows)))


def as_json_lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps({name: value for name, value in row.items() if value is not None}) + "\n" for row in rows)


def put(path: Path, data: str | bytes) -> Path:
    data = data.encode() if isinstance(data, str) else data
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def cells(frame: Frame) -> dict[str, list[str]]:
    return {name: frame.text(name).to_list() for name in frame.columns}


# The formats


def test_every_format_tells_the_same(tmp_path: Path) -> None:
    for name in ("a.csv", "a.csv.gz", "A.CSV"):
        put(tmp_path / name, as_csv(ROWS))
    put(tmp_path / "a.tsv", as_csv(ROWS, "\t"))
    for name in ("a.jsonl", "a.ndjson", "a.jsonl.gz"):
        put(tmp_path / name, as_json_lines(ROWS))
    pl.DataFrame(ROWS).write_parquet(tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        assert is_frame(path)
        frame = load(path)
        assert frame.columns == ("n", "x", "word", "yes")
        assert frame.text("n").to_list() == ["1", str(2**60 + 1), "-3"]
        assert frame.numbers("x").to_list() == [0.5, None, 1e300]
        assert frame.missing("x").to_list() == frame.numbers("x").is_null().to_list()
        assert frame.text("word").to_list() == ["café", "two\nlines", ""]
        assert frame.text("yes").to_list() == ["true", "false", ""]
        assert [frame.is_text(column) for column in frame.columns] == [False, False, True, True]
        assert [frame.is_identifier(column) for column in ("n", "x")] == [True, False]
        assert not frame.remarks
        rows = {".csv": [2, 3, 5], ".tsv": [2, 3, 5]}.get(path.suffix.lower(), [1, 2, 3])
        assert list(frame.rows) == (rows if path.name != "a.csv.gz" else [2, 3, 5])


def test_parquet_types_become_numbers_or_text(tmp_path: Path) -> None:
    frame = pl.select(
        day=pl.date(2024, 3, 29),
        noon=pl.datetime(2024, 3, 29, 12),
        berlin=pl.datetime(2024, 3, 29, 12, time_zone="Europe/Berlin"),
        kind=pl.lit("cat").cast(pl.Categorical),
        price=pl.lit("1.25").cast(pl.Decimal(10, 2)),
        id=pl.lit(2**64 - 1, dtype=pl.UInt64),
        nothing=pl.lit(None),
        small=pl.lit(0.1, dtype=pl.Float32),
    )
    frame.write_parquet(tmp_path / "a.parquet")
    assert cells(load(tmp_path / "a.parquet")) == {
        "day": ["2024-03-29"],
        "noon": ["2024-03-29T12:00:00"],
        "berlin": ["2024-03-29T11:00:00"],
        "kind": ["cat"],
        "price": ["1.25"],
        "id": [str(2**64 - 1)],
        "nothing": [""],
        "small": ["0.1"],
    }


@pytest.mark.parametrize("packing", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_parquet_of_other_writers(tmp_path: Path, packing: str, version: str) -> None:
    table = pa.table({"a": [1, 2, 3], "b": pa.array(["x", None, "z"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet", compression=packing, data_page_version=version, row_group_size=2)
    assert cells(load(tmp_path / "a.parquet")) == {"a": ["1", "2", "3"], "b": ["x", "", "z"]}


class Extension(pa.ExtensionType):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(pa.int64(), "arrow.py_extension_type")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"would be unpickled"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> "Extension":
        return cls()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"e": pa.ExtensionArray.from_storage(Extension(), pa.array([1]))}, "extension type arrow.py_extension_type"),
        ({"inner": [[1, 2]]}, r"column 'inner' is nested"),
        ({"inner": [{"a": 1}]}, r"column 'inner' is nested"),
        ({"raw": [b"\0\1"]}, r"column 'raw' is of type Binary"),
        ({"__index_level_0__": [1]}, "counts rows for pandas"),
        ({"a": pa.array([], pa.int64())}, "no rows"),
        ({"a": pa.array(["x" * 10**6] * 1100).dictionary_encode()}, r"more than 1,073,741,824 bytes of text"),
        ({"a": pa.repeat(1, 20_000_000)}, r"bytes that promise 20,000,000 cells"),
    ],
)
def test_parquet_that_is_no_plain_table(tmp_path: Path, table: dict[str, object], message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=rf"a\.parquet: .*{message}"):
        load(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ('{"a": 1}\n[1]\n', "row 2: no object"),
        ('{"a": 1}\n\n{"a": \n', "row 3: no JSON"),
        ('{"a": 1}\n{"a": {"b": 1}}\n', "row 2, column 'a': a nested value"),
        ('{"a": 1}\n{"a": [1]}\n', "row 2, column 'a': a nested value"),
        ('{"a": 1, "a": 2}\n', "row 1: no JSON .the key 'a' is there twice"),
        ('{"": 1}\n', "column 1 has no name"),
        ('{"a": "\\ud800"}\n', "row 1: no JSON"),
        ("[" * 100_000, "row 1: nested too deep"),
        ("".join(f'{{"k{row}": 1}}\n' for row in range(3000)), "3,000 keys in all, and a row has 1"),
        ('{"a": ' + "9" * 5000 + "}", "row 1: no JSON"),
    ],
)
def test_json_lines_that_are_no_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(put(tmp_path / "a.jsonl", text))


def test_json_lines_of_mixed_values_keep_what_is_written(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"a": 9007199254740993, "b": 1}\n\n{"a": 0.5, "b": " x "}\n{"c": true}\n')
    frame = load(path)
    assert cells(frame) == {"a": ["9007199254740993", "0.5", ""], "b": ["1", "x", ""], "c": ["", "", "true"]}
    assert frame.where(2) == f"{path}, row 4"


# Oddities of CSV


@pytest.mark.parametrize(
    ("data", "remarks", "expected"),
    [
        ("\ufeffa,b\n1,é\n".encode(), [], {"a": ["1"], "b": ["é"]}),
        ("a,b\n1,é\n".encode("utf-16"), [], {"a": ["1"], "b": ["é"]}),
        ("a,b\n1,€\n".encode("cp1252"), ["encoding"], {"a": ["1"], "b": ["€"]}),
        (b"a;b\n1,5;x\n2;y\n", ["delimiter", "decimal-commas"], {"a": ["1.5", "2"], "b": ["x", "y"]}),
        (b"a;b\n-,5e3;1,x\n2,25;y\n", ["delimiter", "decimal-commas"], {"a": ["-.5e3", "2.25"], "b": ["1,x", "y"]}),
        (b"a;b\n1;x\n", ["delimiter"], {"a": ["1"], "b": ["x"]}),
        (b'"a";"b"\n"1,5";"x"\n', ["delimiter", "decimal-commas"], {"a": ["1.5"], "b": ["x"]}),
        (b"a\tb\n1.5\tx\n", ["delimiter"], {"a": ["1.5"], "b": ["x"]}),
        (b"a,b,\n1,2,\n\n3,4,\n", ["empty-columns"], {"a": ["1", "3"], "b": ["2", "4"]}),
        (b"a,b,,\n1,,,\n", ["empty-columns"], {"a": ["1"], "b": [""]}),
        (b"2,1,no,yes\n.5,1\n7,0\n", ["count-line"], {"column 1": [".5", "7"], "class": ["yes", "no"]}),
        (b"1,2,no,yes\n.5,1,1\n", ["count-line"], {"column 1": [".5"], "column 2": ["1"], "class": ["yes"]}),
        (b"2019,2020,kind\n1,2,x\n", [], {"2019": ["1"], "2020": ["2"], "kind": ["x"]}),
        (b'a,"b\nb"\r\n1,"x\r\ny"\r\n', [], {"a": ["1"], "b\nb": ["x\r\ny"]}),
    ],
)
def test_oddities_are_put_right_and_told(
    tmp_path: Path, data: bytes, remarks: list[str], expected: dict[str, list[str]]
) -> None:
    frame = load(put(tmp_path / "a.csv", data))
    assert cells(frame) == expected
    assert [remark.name for remark in frame.remarks] == remarks
    assert all(str(frame.path) in remark.examples[0] or remark.name == "decimal-commas" for remark in frame.remarks)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,\x81\n", r"row 2: not UTF-8, nor Windows-1252"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], r"row 2: not UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), r"row 1: a NUL character"),
        (b"a;b\n1,5;2.5\n", r"decimal commas in column 'a', points in 'b'"),
        (b"a;b\n1,234;x\n-12,500;y\n", r"column 'a': commas before decimals or thousands"),
        (b"5,3,red\n4,4,blue\n1,2,red\n", r"row 1: numbers, so the header is missing"),
        (b"3,1,no,yes\n.5,1\n7,0\n", r"row 1: tells 3 rows of 1 columns, and that is not what follows"),
        (b"2,1,no,yes\n.5,2\n7,0\n", r"row 1: tells 2 rows of 1 columns, and that is not what follows"),
        (b"a,b\n1,2\na,b\n3,4\n", r"a\.csv, row 3: the header once more; remove these rows"),
        (b",,\n1,,\n", r"row 1: column 1 has no name"),
        (b'a,b\n1,2\n"3,4\n5,6\n', r"row 3: unexpected end of data; is a quote open"),
        (b'a,b\n1,2\n"' + b"x,y\n" * 5_000_000, r"row 3: field larger than field limit .16777216.; is a quote open"),
        (b"a" * 20_000_000, r"row 1: a line of more than 16,777,216 characters"),
        (b"x," * 70_000 + b"\n" + b"1," * 70_000, r"70,001 columns, more than 65,536"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(put(tmp_path / "a.csv", data))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(80):
            file.write(bytes(1 << 20))
    with pytest.raises(DataError, match=r"a\.csv\.gz: cannot be read .*unpacks to more than"):
        load(path)


@MANY
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.text(st.characters(exclude_categories=["C"])), min_size=width, max_size=width), min_size=1
        )
    )
)
def test_cells_come_back_as_polars_wrote_them(tmp_path: Path, rows: list[list[str]]) -> None:
    names = [f"name {place}" for place in range(len(rows[0]))]
    pl.DataFrame(rows, schema=names, orient="row").write_csv(tmp_path / "a.csv", quote_style="always")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    assert cells(load(tmp_path / "a.csv")) == {
        name: pl.Series(column).str.strip_chars().to_list() for name, column in columns.items()
    }


# Damage


def parquet_of(write: Callable[[io.BytesIO], object]) -> bytes:
    write(buffer := io.BytesIO())
    return buffer.getvalue()


PLAIN = pl.DataFrame(ROWS * 4)
WHOLE = {
    "a.csv": as_csv(ROWS).encode(),
    "b.csv": b"2,1,no,yes\n.5,1\n7,0\n",
    "c.csv": b"a;b\n1,5;x\n2;y\n",
    "a.tsv": as_csv(ROWS, "\t").encode(),
    "a.csv.gz": gzip.compress(as_csv(ROWS).encode()),
    "a.jsonl": as_json_lines(ROWS).encode(),
    "a.parquet": parquet_of(PLAIN.write_parquet),
    "b.parquet": parquet_of(lambda buffer: PLAIN.write_parquet(buffer, compression="uncompressed")),
    "c.parquet": parquet_of(lambda buffer: pq.write_table(PLAIN.to_arrow(), buffer, use_dictionary=False)),
}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".gz", ".jsonl", ".parquet"])
@MANY
@given(data=st.data())
def test_damage_gives_data_or_its_name(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in WHOLE if name.endswith(suffix)]))
    content = damaged(WHOLE[name], data) if data.draw(st.integers(0, 3)) else data.draw(st.binary(max_size=200))
    path = tmp_path / name
    path.write_bytes(content)
    start, before = time.perf_counter(), getrusage(RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(DataError):
        assert len(load(path)) > 0
    assert time.perf_counter() - start < SECONDS
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < KILOBYTES
