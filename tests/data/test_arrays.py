"""Arrays: IDX, .npz, .npy and memory give back what was put in, under one set of rules."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fourfold.data.dataset import Content, Examples, Request
from fourfold.data.schema import Kind, Schema
from fourfold.data.sources.arrays import from_arrays, matches, read
from fourfold.errors import DataError
from fourfold.settings import Reading

RANDOM = np.random.default_rng(0)
DIGITS = RANDOM.integers(0, 256, (6, 4, 5), dtype=np.uint8)
LABELS = np.array([3, 1, 0, 1, 3, 0], dtype=np.uint8)


def idx(x: np.ndarray, sizes: tuple[int, ...] | None = None) -> bytes:
    return struct.pack(f">HBB{x.ndim}I", 0, 8, x.ndim, *(sizes or x.shape)) + x.tobytes()


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def labels(part: Examples) -> list[int]:
    assert part.y is not None
    return part.y.tolist()


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("test", ["t10k", "test"])
def test_idx_folder(tmp_path: Path, mark: str, packed: str, test: str) -> None:
    for name, x, y in (("train", DIGITS, LABELS), (test, DIGITS[:2], LABELS[1:3])):
        put(tmp_path / f"{name}-images{mark}idx3-ubyte{packed}", idx(x))
        put(tmp_path / f"{name}-labels{mark}idx1-ubyte{packed}", idx(y))
    assert matches(tmp_path, Request())
    content = read(tmp_path, Request())
    assert content.kind == "image"
    assert content.classes == ("0", "1", "3")
    assert list(content.splits) == ["train", "test"]
    assert (content.splits["train"].loaded.numpy() == DIGITS[:, None]).all()
    assert labels(content.splits["train"]) == [2, 1, 0, 1, 2, 0]
    assert labels(content.splits["test"]) == [1, 0]
    assert content.splits["test"].names[1] == f"{tmp_path}/{test}-images{mark}idx3-ubyte{packed}[1]"


@pytest.mark.parametrize("name", ["train", "t10k"])
def test_idx_folder_with_one_split(tmp_path: Path, name: str) -> None:
    put(tmp_path / f"{name}-images-idx3-ubyte", idx(DIGITS))
    content = read(tmp_path, Request())
    assert list(content.splits) == ["train"]
    assert content.classes is None
    put(tmp_path / f"{name}-labels-idx1-ubyte.gz", idx(LABELS))
    assert len(labels(read(tmp_path, Request()).splits["train"])) == 6


def test_unpacked_idx_comes_first(tmp_path: Path) -> None:
    put(tmp_path / "train-images-idx3-ubyte", idx(DIGITS))
    (tmp_path / "train-images-idx3-ubyte.gz").write_text("no gzip")
    assert len(read(tmp_path, Request()).splits["train"]) == 6


def test_single_idx_file_is_unlabelled(tmp_path: Path) -> None:
    path = put(tmp_path / "some-images.idx3-ubyte.gz", idx(DIGITS))
    assert matches(path, Request())
    part = read(path, Request()).splits["train"]
    assert part.y is None
    assert part.names[0] == f"{path}[0]"


@given(
    x=arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3)),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_idx_round_trip(tmp_path_factory: pytest.TempPathFactory, x: np.ndarray, seed: int) -> None:
    folder = tmp_path_factory.mktemp("idx")
    y = np.random.default_rng(seed).integers(0, 256, len(x), dtype=np.uint8)
    put(folder / "train-images-idx3-ubyte.gz", idx(x))
    put(folder / "train-labels-idx1-ubyte.gz", idx(y))
    content = read(folder, Request())
    assert (content.splits["train"].loaded.numpy() == x[:, None]).all()
    assert content.classes is not None
    assert [int(content.classes[place]) for place in labels(content.splits["train"])] == y.tolist()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "a.npz"
    save(path, x=DIGITS, y=LABELS)
    assert matches(path, Request())
    content = read(path, Request())
    assert (content.splits["train"].loaded.numpy() == DIGITS[:, None]).all()
    assert labels(content.splits["train"]) == [2, 1, 0, 1, 2, 0]
    assert content.splits["train"].names[1] == f"{path}:x[1]"


def test_npz_with_the_names_of_keras(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x_train=DIGITS, y_train=LABELS, x_test=DIGITS[:2], y_test=LABELS[:2], x_val=DIGITS[:1])
    splits = read(path, Request()).splits
    assert {split: len(part) for split, part in splits.items()} == {"train": 6, "validation": 1, "test": 2}
    assert splits["validation"].y is None
    assert labels(splits["test"]) == [2, 1]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i2", "|b1", "<f2"])
def test_npy(tmp_path: Path, order: Any, dtype: str) -> None:
    x = np.asarray(RANDOM.integers(0, 2, (5, 3)).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", x)
    part = read(tmp_path / "a.npy", Request()).splits["train"]
    assert part.x.dtype == torch.float32
    assert (part.loaded.numpy() == x.astype(np.float32)).all()


# What an array is


@pytest.mark.parametrize(
    ("shape", "dtype", "asked", "kind", "expected"),
    [
        ((2, 4, 5), np.uint8, "auto", "image", (2, 1, 4, 5)),
        ((2, 4, 5, 3), np.uint8, "auto", "image", (2, 3, 4, 5)),
        ((2, 3, 4, 5), np.uint8, "auto", "image", (2, 3, 4, 5)),
        ((2, 1, 4, 3), np.uint8, "auto", "image", (2, 3, 1, 4)),
        ((2, 4, 5, 1), np.float64, "auto", "image", (2, 1, 4, 5)),
        ((2, 4, 5), np.float64, "auto", "series", (2, 4, 5)),
        ((2, 4), np.float16, "auto", "table", (2, 4)),
        ((2, 4), np.uint8, "auto", "table", (2, 4)),
        ((2, 4), np.int64, "auto", "table", (2, 4)),
        ((2, 4, 5), np.float32, "image", "image", (2, 1, 4, 5)),
        ((2, 4), np.float32, "series", "series", (2, 4, 1)),
        ((2, 4, 5), np.int32, "series", "series", (2, 4, 5)),
        ((2, 4, 5), np.uint8, "series", "series", (2, 4, 5)),
    ],
)
def test_kind_of_an_array(
    shape: tuple[int, ...], dtype: Any, asked: Kind, kind: Kind, expected: tuple[int, ...]
) -> None:
    content = from_arrays(np.ones(shape, dtype=dtype), None, "x", Request(Reading(kind=asked)))
    x = content.splits["train"].x
    assert content.kind == kind
    assert tuple(x.shape) == expected
    assert x.dtype == (torch.uint8 if kind == "image" and dtype == np.uint8 else torch.float32)


def test_channels_last_is_moved_not_reshaped() -> None:
    x = RANDOM.random((2, 4, 5, 3))
    part = from_arrays(x, None, "x", Request()).splits["train"]
    assert np.allclose(part.loaded.numpy(), x.transpose(0, 3, 1, 2))


def test_a_read_only_array_is_no_hindrance() -> None:
    x = DIGITS.copy()
    x.flags.writeable = False
    assert len(from_arrays(x, LABELS, "x", Request()).splits["train"]) == 6


@pytest.mark.parametrize(
    ("y", "classes", "expected"),
    [
        (np.array([10, 9, 10]), ("9", "10"), [1, 0, 1]),
        (np.array([[-1], [1], [-1]]), ("-1", "1"), [0, 1, 0]),
        (np.array([2.0, 0.0, 2.0]), ("0", "2"), [1, 0, 1]),
        (np.array([True, False, True]), ("False", "True"), [1, 0, 1]),
        (np.array(["dog", "cat", "dog"]), ("cat", "dog"), [1, 0, 1]),
        (np.array([b"dog", b"cat", b"dog"]), ("cat", "dog"), [1, 0, 1]),
    ],
)
def test_labels(y: np.ndarray, classes: tuple[str, ...], expected: list[int]) -> None:
    content = from_arrays(np.ones((3, 2)), y, "x", Request())
    assert content.classes == classes
    assert labels(content.splits["train"]) == expected


def test_series_of_two_lengths_tell_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=np.ones((2, 5, 1)), x_test=np.ones((3, 4, 1)))
    splits = read(tmp_path / "a.npz", Request()).splits
    assert [part.lengths.tolist() for part in splits.values() if part.lengths is not None] == [[5, 5], [4, 4, 4]]
    assert from_arrays(np.ones((2, 5, 1)), None, "x", Request()).splits["train"].lengths is None


ROW = np.ones((3, 2, 2))
ROW[1, 0, 1] = np.nan


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones(5), None, r"accepted: pictures"),
        (np.ones((2, 3, 4), dtype=np.int64), None, r"int64 of shape \(2, 3, 4\); accepted"),
        (np.ones((2, 5, 5, 2)), None, r"accepted"),
        (np.ones((0, 5)), None, r"empty"),
        (np.ones((2, 2), dtype=complex), None, r"accepted"),
        (np.full((2, 4, 4, 1), 255.0), None, r"\[255, 255\]; divide them by 255, or pass uint8"),
        (ROW, None, r"mine\[1\]: NaN"),
        (np.array([[1.0], [1e300]]), None, r"mine\[1\]: NaN, infinite or beyond 32 bits"),
        (np.array([[1.0], [-np.inf]]), None, r"mine\[1\]"),
        (np.ones((3, 2)), np.ones(4), r"mine.*: 4 labels for the 3 examples of mine"),
        (np.ones((2, 2)), np.array([1, 1.5]), r"\[1\]: 1\.5 is no class"),
        (np.ones((2, 2)), np.array([1, np.nan]), r"\[1\]: nan is no class"),
        (np.ones((2, 2)), np.eye(2), r"argmax"),
        (np.ones((2, 2)), np.array(["a", None]), r"object"),
    ],
)
def test_bad_arrays_are_named(x: np.ndarray, y: np.ndarray | None, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        from_arrays(x, y, "mine", Request())
    assert "mine" in str(raised.value)


# Under a schema


def read_as(schema: Schema, x: np.ndarray, y: np.ndarray | None = None) -> Content:
    return from_arrays(x, y, "x", Request(schema=schema))


def test_schema_decides_the_kind_and_maps_labels() -> None:
    image = Schema(kind="image", shape=(3, 4, 5), classes=("3", "1", "0"))
    content = read_as(image, DIGITS, LABELS)
    assert content.splits["train"].x.shape == (6, 3, 4, 5)
    assert labels(content.splits["train"]) == [0, 1, 2, 1, 0, 2]
    assert content.classes == image.classes
    assert read_as(image, DIGITS).splits["train"].y is None
    assert (
        read_as(Schema(kind="image", shape=(1, 4, 5)), DIGITS.repeat(3).reshape(6, 4, 5, 3)).splits["train"].x.shape[1]
        == 1
    )
    assert read_as(Schema(kind="series", shape=(1,)), np.ones((2, 9))).splits["train"].x.shape == (2, 9, 1)
    assert read_as(Schema(kind="image", shape=(1, 4, 5)), DIGITS / 255).splits["train"].x.dtype == torch.float32


@pytest.mark.parametrize(
    ("schema", "x", "message"),
    [
        (Schema(kind="image", shape=(1, 8, 8)), DIGITS, r"\(1, 4, 5\).*\(1, 8, 8\)"),
        (Schema(kind="image", shape=(1, 4, 5)), np.ones((2, 5)), r"is table data; accepted: for image data"),
        (Schema(kind="table", shape=(3,)), np.ones((2, 4)), r"\(4,\).*\(3,\)"),
        (Schema(kind="table", shape=(3,)), DIGITS, r"is image data; accepted: for table data"),
        (Schema(kind="series", shape=(3,)), np.ones((2, 9, 4)), r"\(4,\).*\(3,\)"),
    ],
)
def test_what_breaks_the_schema_is_named(schema: Schema, x: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_as(schema, x)


def test_unknown_label_is_named() -> None:
    with pytest.raises(DataError, match=r"\[0\]: unknown class '3'"):
        read_as(Schema(kind="image", shape=(1, 4, 5), classes=("0", "1")), DIGITS, LABELS)


@pytest.mark.parametrize("name", ["a.csv", "a.gz", "folder"])
def test_other_things_do_not_match(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    assert not matches(tmp_path / name, Request())
