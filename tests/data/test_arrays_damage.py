"""Arrays that are damaged, lie or mean harm: one error that names the file, and no memory lost."""

import contextlib
import gzip
import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Request
from fourfold.data.sources.arrays import read
from fourfold.errors import DataError
from tests.data.damage import damaged

from .test_arrays import DIGITS, LABELS, idx, put


def npy(shape: str, data: bytes = b"", descr: str = "'|u1'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ""),
        (b"\0\0\x08", ""),
        (b"\0\0\x08\x03\0\0", ""),
        (idx(DIGITS)[:-1], "promises 120 bytes of values but there are only 119"),
        (idx(DIGITS) + b"\0", "more"),
        (idx(DIGITS, (4_000_000_000, 4_000_000_000, 4)), "promises"),
        (idx(DIGITS, (0, 4, 5)), "empty"),
        (b"\x01" + idx(DIGITS)[1:], "not an IDX file"),
        (idx(DIGITS)[:2] + b"\x0d" + idx(DIGITS)[3:], "not an IDX file"),
        (b"\0\0\x08\0", "not an IDX file"),
    ],
)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_bad_idx_is_named(tmp_path: Path, data: bytes, message: str, packed: str) -> None:
    path = put(tmp_path / f"train-images-idx3-ubyte{packed}", data)
    with pytest.raises(DataError, match=rf"train-images-idx3-ubyte{packed}.*{message}"):
        read(path, Request())
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte{packed}"):
        read(tmp_path, Request())


def test_idx_counts_must_agree(tmp_path: Path) -> None:
    put(tmp_path / "train-images-idx3-ubyte", idx(DIGITS))
    put(tmp_path / "train-labels-idx1-ubyte", idx(LABELS[:5]))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte: 5 labels for the 6 examples of .*train-images"):
        read(tmp_path, Request())


def test_idx_labels_without_images(tmp_path: Path) -> None:
    put(tmp_path / "train-labels-idx1-ubyte", idx(LABELS))
    with pytest.raises(DataError, match="train-labels-idx1-ubyte: labels without their images"):
        read(tmp_path, Request())


def test_split_shapes_must_agree(tmp_path: Path) -> None:
    put(tmp_path / "train-images-idx3-ubyte", idx(DIGITS))
    put(tmp_path / "t10k-images-idx3-ubyte", idx(DIGITS[:, :3]))
    with pytest.raises(DataError, match=r"t10k.*\(1, 3, 5\).*train.*\(1, 4, 5\)"):
        read(tmp_path, Request())


def test_test_label_that_train_lacks(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=DIGITS, y_train=LABELS, x_test=DIGITS[:1], y_test=np.array([7]))
    with pytest.raises(DataError, match=r"a\.npz:y_test\[0\]: unknown class '7'"):
        read(tmp_path / "a.npz", Request())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ""),
        (b"no array", ""),
        (npy("(4000000000, 1000)"), "promises 4,000,000,000,000 bytes of values(, more than| but there are (only )?0)"),
        (npy("(2, 3)", b"12345"), "promises 6 bytes of values but there are only 5"),
        (npy("(2, 3)", b"1234567"), "more"),
        (npy("(-2, -3)", b"123456"), ""),
        (npy("(2, 3"), ""),
        (npy("__import__('os').abort()"), ""),
        (npy("(1,)", b"\x80\x04N.", "'|O'"), "never objects"),
        (npy("(1, 1)", b"12345678", "'<M8[s]'"), "datetime64"),
        (npy("(1,)", b"1", "[('a', '|u1')]"), "type"),
    ],
)
def test_bad_npy_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = put(tmp_path / "a.npy", data)
    with pytest.raises(DataError, match=rf"a\.npy.*{message}"):
        read(path, Request())
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", data)
    with pytest.raises(DataError, match=rf"a\.npz.*{message}"):
        read(tmp_path / "a.npz", Request())


def test_a_header_that_lies_takes_no_memory(tmp_path: Path) -> None:
    paths = [
        put(tmp_path / "a.npy", npy("(4000000000, 1000)")),
        put(tmp_path / "a-idx3-ubyte.gz", idx(DIGITS, (4_000_000_000, 4_000_000_000, 4))),
        put(tmp_path / "b-idx3-ubyte.gz", idx(DIGITS) + bytes(100_000_000)),
    ]
    tracemalloc.start()
    for path in paths:
        with pytest.raises(DataError, match="promises"):
            read(path, Request())
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_npz_with_other_keys_lists_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pixels=DIGITS)
    with pytest.raises(DataError, match=r"a\.npz: holds pixels; expected x"):
        read(tmp_path / "a.npz", Request())


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a-idx3-ubyte"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name):
        read(tmp_path / name, Request())


def npz_bytes() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, x=DIGITS, y=np.array(["a", "b", "a", "b", "a", "b"]))
    return stream.getvalue()


def npy_bytes() -> bytes:
    stream = io.BytesIO()
    np.save(stream, DIGITS)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("a.npz", npz_bytes()),
        ("a.npy", npy_bytes()),
        ("a-idx3-ubyte", idx(DIGITS)),
        ("a-idx3-ubyte.gz", gzip.compress(idx(DIGITS))),
    ],
)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_damage_never_escapes(
    tmp_path_factory: pytest.TempPathFactory, name: str, whole: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damage") / name
    path.write_bytes(damaged(whole, data))
    with contextlib.suppress(DataError):
        assert len(read(path, Request()).splits["train"])
