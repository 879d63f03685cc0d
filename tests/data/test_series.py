"""The .ts format: what is written is what is read, and every fault is named by its line."""

import gzip
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Request
from fourfold.data.schema import Schema
from fourfold.data.sources.series import matches, read
from fourfold.errors import DataError
from fourfold.settings import Reading

HEADER = """# a comment
@problemName toy
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength false
@classLabel true b a

@data
"""
ROWS = "1,2,3:4,5,6:a\n# another comment\n7,8:9,-1e1: b\n"


def put(path: Path, text: str) -> Path:
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["toy.ts", "toy.ts.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_of_unequal_length(tmp_path: Path, name: str, end: str) -> None:
    path = put(tmp_path / name, ("\ufeff" + HEADER + ROWS).replace("\n", end))
    assert matches(path, Request())
    content = read(path, Request())
    part = content.splits["train"]
    assert content.kind == "series"
    assert content.classes == ("b", "a")
    assert part.loaded.tolist() == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, -10], [0, 0]]]
    assert part.lengths is not None
    assert part.lengths.tolist() == [3, 2]
    assert part.y is not None
    assert part.y.tolist() == [1, 0]
    assert part.names == [f"{path}, row 11", f"{path}, row 13"]


def test_equal_lengths_need_no_lengths(tmp_path: Path) -> None:
    path = put(tmp_path / "toy.ts", "@univariate true\n@classLabel false\n@data\n1,2\n3,4\n")
    content = read(path, Request())
    assert content.splits["train"].lengths is None
    assert content.splits["train"].y is None
    assert content.classes is None
    assert content.splits["train"].x.shape == (2, 2, 1)


@pytest.mark.parametrize("tag", ["@classLabel true\n", "@univariate true\n"])
def test_classes_that_the_header_lacks(tmp_path: Path, tag: str) -> None:
    path = put(tmp_path / "toy.ts", f"{tag}@data\n1,2:10\n3,4:9\n")
    assert read(path, Request()).classes == ("9", "10")


def test_missing_values_lie_between_their_neighbours(tmp_path: Path) -> None:
    path = put(tmp_path / "toy.ts", HEADER + "?,1,NaN,?,4: 7 ,?,?,5, ? :a\n1:2:b\n")
    content = read(path, Request(Reading(impute="mean")))
    part = content.splits["train"]
    assert part.loaded[0].T.tolist() == [[1, 1, 2, 3, 4], [7, pytest.approx(7 - 2 / 3), pytest.approx(7 - 4 / 3), 5, 5]]
    [remark] = content.remarks
    assert (remark.name, remark.count, remark.examples) == ("imputed", 6, (f"{path}, row 11: 6",))
    with pytest.raises(DataError, match=r"row 12: not one value in channel 2"):
        read(put(path, HEADER + "1:2:a\n1,2:?,?:b\n"), Request(Reading(impute="median")))


def test_tags_and_labels_in_other_letters(tmp_path: Path) -> None:
    header = " # comment\n@CLASSLABEL TRUE Left right RIGHT\n@Univariate True\n @Data\n"
    content = read(put(tmp_path / "toy.ts", header + "  # more\n1,2:left\n3,4:RIGHT\n5,6:LEFT\n"), Request())
    assert content.classes == ("Left", "right", "RIGHT")
    assert content.splits["train"].y is not None
    assert content.splits["train"].y.tolist() == [0, 2, 0]


@pytest.mark.parametrize("tags", ["@targetLabel false", "@classLabel false\n@targetLabel false", "@classLabel false"])
def test_no_labels(tmp_path: Path, tags: str) -> None:
    content = read(put(tmp_path / "toy.ts", f"{tags}\n@data\n1,2:3,4\n"), Request())
    assert content.splits["train"].y is None
    assert content.splits["train"].x.shape == (1, 2, 2)


def test_a_class_label_goes_before_a_target_label(tmp_path: Path) -> None:
    path = put(tmp_path / "toy.ts", "@classLabel true a\n@targetLabel false\n@data\n1,2:a\n")
    assert read(path, Request()).classes == ("a",)


def test_lengths_that_the_header_promises(tmp_path: Path) -> None:
    rows = "@classLabel false\n@data\n1,2,3\n4,5,6\n"
    for tags in (
        "@seriesLength 3\n@equalLength true\n",
        "@equalLength true\n",
        "@equalLength false\n@seriesLength 9\n",
    ):
        assert read(put(tmp_path / "toy.ts", tags + rows), Request()).splits["train"].lengths is None


def test_a_data_set_is_a_folder_or_its_train_file(tmp_path: Path) -> None:
    train = put(tmp_path / "toy_TRAIN.ts", HEADER + "1,2:3,4:a\n")
    put(tmp_path / "toy_TEST.ts.gz", HEADER + "1,2,3:4,5,6:b\n")
    put(tmp_path / "toy_VALIDATION.ts", HEADER + "1:2:b\n")
    (tmp_path / "README.md").touch()
    assert matches(tmp_path, Request())
    for path in (tmp_path, train):
        content = read(path, Request())
        assert list(content.splits) == ["train", "validation", "test"]
        lengths = [part.lengths.tolist() for part in content.splits.values() if part.lengths is not None]
        assert lengths == [[2], [1], [3]]
        assert content.splits["test"].names == [f"{tmp_path / 'toy_TEST.ts.gz'}, row 11"]
    assert list(read(tmp_path / "toy_TEST.ts.gz", Request()).splits) == ["train"]


def test_several_data_sets_in_a_folder_are_listed(tmp_path: Path) -> None:
    for name in ("bees", "ants"):
        put(tmp_path / f"{name}_TRAIN.ts", HEADER + ROWS)
    with pytest.raises(DataError, match=r"2 data sets \(ants, bees\)"):
        read(tmp_path, Request())
    assert len(read(tmp_path / "ants_TRAIN.ts", Request()).splits["train"]) == 2


def test_parts_without_train(tmp_path: Path) -> None:
    for split in ("TEST", "VALIDATION"):
        put(tmp_path / f"toy_{split}.ts", HEADER + ROWS)
    with pytest.raises(DataError, match=r"toy_TRAIN\.ts must be one of them"):
        read(tmp_path, Request())


@given(
    rows=st.integers(1, 3).flatmap(
        lambda channels: st.lists(
            st.integers(1, 6).flatmap(
                lambda length: st.lists(
                    st.lists(
                        st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=length, max_size=length
                    ),
                    min_size=channels,
                    max_size=channels,
                )
            ),
            min_size=1,
            max_size=6,
        )
    )
)
@settings(max_examples=50, deadline=None)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[list[list[float]]]) -> None:
    lines = [":".join(",".join(map(repr, channel)) for channel in row) + ":a" for row in rows]
    path = put(tmp_path_factory.mktemp("ts") / "toy.ts", "@classLabel true a\n@data\n" + "\n".join(lines))
    part = read(path, Request()).splits["train"]
    lengths = [len(row[0]) for row in rows]
    assert (part.lengths is None) == (len(set(lengths)) == 1)
    assert part.lengths is None or part.lengths.tolist() == lengths
    for x, row, length in zip(part.loaded, rows, lengths, strict=True):
        assert (x[:length].numpy() == np.array(row, dtype=np.float32).T).all()
        assert not x[length:].any()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,2:3,4:a\n1,2:a", r"row 12: 1 channels where 2 are expected"),
        ("1,2:3,4:5,6:a", r"row 11: 3 channels where 2 are expected"),
        ("1,2:3,4:a\n\n1,2:3:a", r"row 13: its channels differ in length \(1 to 2"),
        ("1,2:3,4:c", r"row 11: unknown label 'c'; the header names b, a"),
        ("1,2:3,4", r"row 11: unknown label '3,4'"),
        ("1,2:3,4:a\n1,?:3,NaN:a", r"row 12: 2 missing values; .*--impute"),
        ("1,2:3,inf:a", r"row 11: 'inf' is not finite"),
        ("?,?:3,x?:a", r"row 11: 'x\?' is no number"),
        ("1,2:3,1e300:a", r"row 11: '1e300' is not finite"),
        ("1,2:3,x:a", r"row 11: 'x' is no number"),
        ("1,2:3,:a", r"row 11: '' is no number"),
        ("(0,1):(0,2):a", r"row 11: '\(0' is no number"),
        ("::a", r"row 11: a series of zero length"),
        ("1,2::a", r"row 11: a series of zero length"),
        ("", r"no series after '@data'"),
    ],
)
@pytest.mark.parametrize("name", ["toy.ts", "toy.ts.gz"])
def test_bad_rows_are_named(tmp_path: Path, rows: str, message: str, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}.*{message}"):
        read(put(tmp_path / name, HEADER + rows), Request())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no line '@data'"),
        ("1,2:3\n", r"row 1: '1,2:3' before '@data'"),
        ("@timeStamps true\n@data\n", r"row 1: series with time stamps"),
        ("@targetlabel true\n@data\n", r"row 1: series with numeric targets"),
        ("@dimensions many\n@data\n", r"row 1: @dimensions needs a number"),
        ("@data\n1,2:a\n", r"row 2: the header must tell '@classLabel"),
        ("@univariate true\n@classLabel false\n@data\n1,2:3,4\n", r"row 4: 2 channels where 1"),
        ("@equalLength true\n@classLabel false\n@data\n1,2\n1,2\n1\n", r"row 6: 1 steps where 2 are expected"),
        ("@seriesLength 3\n@classLabel false\n@data\n1,2,3\n1,2\n", r"row 5: 2 steps where 3 are expected"),
        ("@seriesLength 3\n@equalLength true\n@classLabel false\n@data\n1\n", r"row 5: 1 steps where 3"),
        ("@seriesLength three\n@data\n", r"row 1: @seriesLength needs a number of steps, not 'three'"),
    ],
)
def test_bad_headers_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"toy\.ts.*{message}"):
        read(put(tmp_path / "toy.ts", text), Request())


@pytest.mark.parametrize("name", ["toy.ts", "toy_TRAIN.ts"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: cannot be read"):
        read(tmp_path / name, Request())


def test_splits_must_agree(tmp_path: Path) -> None:
    put(tmp_path / "toy_TRAIN.ts", "@classLabel true\n@data\n1:2:a\n")
    put(tmp_path / "toy_TEST.ts", "@classLabel true\n@data\n1:a\n")
    with pytest.raises(DataError, match=r"toy_TEST\.ts, row 3: 1 channels where 2"):
        read(tmp_path, Request())
    put(tmp_path / "toy_TEST.ts", "@classLabel true\n@data\n1:2:b\n")
    with pytest.raises(DataError, match=r"toy_TEST\.ts, row 3: unknown class 'b'"):
        read(tmp_path, Request())


def test_schema_maps_labels_by_name(tmp_path: Path) -> None:
    path = put(tmp_path / "toy.ts", HEADER + ROWS)
    schema = Schema(kind="series", shape=(2,), classes=("a", "b", "c"))
    part = read(path, Request(schema=schema)).splits["train"]
    assert part.y is not None
    assert part.y.tolist() == [0, 1]
    unlabelled = put(tmp_path / "new.ts", "@classLabel false\n@data\n1,2:3,4\n")
    content = read(unlabelled, Request(schema=schema))
    assert content.splits["train"].y is None
    assert content.classes == schema.classes
    assert read(path, Request(schema=Schema(kind="series", shape=(2,)))).splits["train"].y is None


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (Schema(kind="series", shape=(3,)), r"toy\.ts, row 11: 2 channels where 3"),
        (Schema(kind="series", shape=(2,), classes=("b",)), r"toy\.ts, row 11: unknown class 'a'"),
        (Schema(kind="image", shape=(1, 2, 2)), r"toy\.ts: this is series data, but .* image"),
    ],
)
def test_what_breaks_the_schema_is_named(tmp_path: Path, schema: Schema, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(put(tmp_path / "toy.ts", HEADER + ROWS), Request(schema=schema))


def test_ten_megabytes_take_about_a_second(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2000, 500)).round(7)
    lines = "\n".join(",".join(map(str, row)) + ":a" for row in values.tolist())
    path = put(tmp_path / "toy.ts", "@classLabel true a\n@data\n" + lines)
    assert path.stat().st_size > 9e6
    start = time.process_time()
    read(path, Request())
    assert time.process_time() - start < 2


@pytest.mark.parametrize("name", ["a.csv", "a.gz", ".ts", "folder"])
def test_other_things_do_not_match(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    assert not matches(tmp_path / name, Request())
