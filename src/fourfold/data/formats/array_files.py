"""Files of arrays: MNIST's IDX, NumPy's .npz and .npy.

    digits/train-images-idx3-ubyte[.gz]     with -labels-idx1-, and t10k or test for the test split
    data.npz                                x[, y], or Keras' x_train, y_train, x_val, y_val, x_test, y_test
    data/x_train.npy, data/y_train.npy      likewise, a file an array
    data.npy                                unlabelled

Nothing a header says is believed: memory grows only with bytes that are really there.
"""

import gzip
import math
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from ...errors import DataError, UsageError, nearest
from ..mapped import LARGE, Mapped
from .places import Place, entries, size_of
from .zips import too_large

IDX_SUFFIX = re.compile(r".*[-.]idx\d-ubyte(\.gz)?", re.IGNORECASE)
IDX_NAME = re.compile(r"(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?", re.IGNORECASE)
KEYS = {"": "train", "_train": "train", "_val": "validation", "_test": "test"}  # as Keras names them
NPY_NAME = re.compile(r"[xy](_train|_val|_test)?\.npy")
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Part:
    """One split as it was found; the names are for messages."""

    x: np.ndarray | Mapped
    name: str
    y: np.ndarray | None = None
    y_name: str = ""


def matches(path: Place) -> bool:
    """Whether this is an IDX, .npz or .npy file, or a folder with MNIST's or Keras' names."""
    if path.is_dir():
        return any(IDX_NAME.fullmatch(file.name) or NPY_NAME.fullmatch(file.name) for file in entries(path))
    return path.suffix.lower() in (".npz", ".npy") or IDX_SUFFIX.fullmatch(path.name) is not None


def read(path: Place, keys: str | None) -> dict[str, Part]:
    """The arrays of each split.

    keys: other names of the arrays of an .npz or a folder of .npy, as in x=pictures,y=kinds.
    Where an IDX file lies both packed and unpacked, the unpacked one is read. An array of
    more than LARGE bytes that networks can take as it is stays in its file.
    Raises: DataError naming the file that is damaged.
    """
    if path.is_dir():
        if any(IDX_NAME.fullmatch(file.name) for file in entries(path)):
            return _read_idx_folder(path)
        files = {file.stem: file for file in entries(path) if file.suffix.lower() == ".npy"}
        return _by_name(str(path), "/", list(files), lambda name: _open_npy(files[name]), keys)
    with damage(path):
        if path.suffix.lower() == ".npz":
            return _read_npz(path, keys)
        if path.suffix.lower() == ".npy":
            return {"train": Part(_open_npy(path), str(path))}
        return {"train": Part(_read_idx(path), str(path))}


@contextmanager
def damage(path: Place | str) -> Iterator[None]:
    """Tell whatever a parser trips over as one error that names the file."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # gzip, zipfile, zlib, struct and NumPy's header parser raise a dozen kinds
        raise DataError(f"{path}: cannot be read; missing, damaged or not what its name says ({error})") from None


def _read_idx_folder(path: Place) -> dict[str, Part]:
    found: dict[tuple[str, str], Place] = {}
    for file in entries(path):  # sorted, so an unpacked file comes before its .gz
        if match := IDX_NAME.fullmatch(file.name):
            split = "train" if match[1].lower() == "train" else "test"
            found.setdefault((split, match[2].lower()), file)
    parts: dict[str, Part] = {}
    for split in ("train", "test"):
        images, labels = found.get((split, "images")), found.get((split, "labels"))
        if images is None:
            if labels is not None:
                raise DataError(f"{labels}: labels without their images; put {split} images beside them")
            continue
        with damage(images):
            parts[split] = Part(_read_idx(images), str(images))
        if labels is not None:
            with damage(labels):
                y = _read_idx(labels)
                assert not isinstance(y, Mapped)  # a gigabyte of labels is none
                parts[split] = replace(parts[split], y=y, y_name=str(labels))
    return parts if "train" in parts else {"train": parts["test"]}


def _read_idx(path: Place) -> np.ndarray | Mapped:
    """IDX: two zero bytes, the values' type, the number of sizes, each big-endian uint32, the values."""
    packed = path.suffix.lower() == ".gz"
    with path.open("rb") as raw, gzip.open(raw) if packed else raw as stream:
        zeros, type_, dimensions = struct.unpack(">HBB", stream.read(4))
        if zeros or type_ != 8 or not dimensions:
            raise DataError(f"{path}: not an IDX file of bytes, which begins with 0 0 8 and the number of sizes")
        shape = struct.unpack(f">{dimensions}I", stream.read(4 * dimensions))
        if packed:
            _judge(str(path), size_of(path), math.prod(shape))
        elif math.prod(shape) > LARGE and isinstance(path, Path):
            return _mapped(path, stream.tell(), np.dtype(np.uint8), shape)
        return _read_values(stream, shape, np.dtype(np.uint8), str(path))


def _judge(name: str, packed: int, size: int) -> None:
    """Raises: DataError if so many bytes are packed into so few that they mean harm."""
    if too_large(packed, size):
        raise DataError(f"{name}: promises {size:,} bytes, unpacked from {packed:,}; if you trust it, save it as .npy")


def _read_npz(path: Place, keys: str | None) -> dict[str, Part]:
    with path.open("rb") as raw, zipfile.ZipFile(raw) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]

        def member(name: str) -> np.ndarray:
            info = archive.getinfo(f"{name}.npy")
            _judge(f"{path}:{name}", info.compress_size, info.file_size)
            with archive.open(info) as stream:
                return _read_npy(stream, f"{path}:{name}")

        return _by_name(str(path), ":", names, member, keys)


def _by_name(
    where: str, mark: str, names: Sequence[str], member: Callable[[str], np.ndarray | Mapped], keys: str | None
) -> dict[str, Part]:
    """The arrays of each split, by the names that hold them."""
    called = _spelt(keys, where, names)
    parts: dict[str, Part] = {}
    for suffix, split in KEYS.items() if called.get("x", "x") not in names else [("", "train")]:
        x, y = (called.get(f"{role}{suffix}", f"{role}{suffix}") for role in "xy")
        if x in names:
            labels = member(y) if y in names else None
            assert not isinstance(labels, Mapped)  # a gigabyte of labels is none
            parts[split] = Part(member(x), f"{where}{mark}{x}", labels, f"{where}{mark}{y}")
    if "train" not in parts:
        mend = "x[, y], or x_train[, y_train, …], or name them: --keys x=pictures,y=kinds"
        raise DataError(f"{where}: holds {', '.join(names) or 'nothing'}; expected {mend}")
    return parts


def _spelt(keys: str | None, where: str, names: Sequence[str]) -> dict[str, str]:
    """The arrays' own names, by the usual ones. Raises: UsageError if a setting spells none."""
    called = dict(part.strip().partition("=")[::2] for part in keys.split(",")) if keys else {}
    for usual, own in called.items():
        if not re.fullmatch("[xy](_train|_val|_test)?", usual):
            raise UsageError(
                f"--keys {keys}: {usual!r} is none of x, y, x_train, y_train, x_val, y_val, x_test, y_test"
            )
        if own not in names:
            raise UsageError(f"--keys {keys}: {where} holds no {own!r}; {nearest(own, names)}")
    return called


def _mapped(path: Path, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Mapped:
    """The values of a file that begin at `offset`, which must be all that follows."""
    size, real = math.prod(shape) * dtype.itemsize, path.stat().st_size - offset
    if real != size:
        raise DataError(f"{path}: its header promises {size:,} bytes of values but there are {real:,}")
    return Mapped.open(path, offset, dtype, shape)


def _open_npy(path: Place) -> np.ndarray | Mapped:
    with damage(path), path.open("rb") as stream:
        shape, fortran, dtype = _npy_header(stream, str(path))
        size = math.prod(shape) * dtype.itemsize
        if size > LARGE and isinstance(path, Path) and not fortran and dtype in (np.uint8, np.float32):
            return _mapped(path, stream.tell(), dtype, shape)
        return _read_values(stream, shape, dtype, str(path), "F" if fortran else "C")


def _read_npy(stream: IO[bytes], name: str) -> np.ndarray:
    shape, fortran, dtype = _npy_header(stream, name)
    return _read_values(stream, shape, dtype, name, "F" if fortran else "C")


def _npy_header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version != (1, 0):  # the others are for headers that only named fields can need
        raise DataError(f"{name}: an array with named fields; plain numbers are read")
    shape, fortran, dtype = npy.read_array_header_1_0(stream)
    if dtype.kind not in "biufUS":
        raise DataError(f"{name}: its values are of type {dtype}; numbers are read, never objects")
    return shape, fortran, dtype


def _read_values(
    stream: IO[bytes] | gzip.GzipFile, shape: tuple[int, ...], dtype: np.dtype[Any], name: str, order: Any = "C"
) -> np.ndarray:
    """The rest of a stream, which must be exactly what its header promises."""
    size = math.prod(shape) * dtype.itemsize
    if size <= 0:
        raise DataError(f"{name}: an empty array, {shape}")
    promised = f"{name}: its header promises {size:,} bytes of values"
    try:
        data = np.empty(size, np.uint8)  # whose memory is taken as it is filled, however much is promised
    except (MemoryError, ValueError) as error:
        raise DataError(f"{promised}, more than there is memory; is it complete?") from error
    filled = 0
    while filled < size and (piece := stream.read(min(CHUNK, size - filled))):
        data[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    more = bool(stream.read(1))
    if more or filled < size:
        raise DataError(f"{promised} but there are {'more' if more else f'only {filled:,}'}; is it complete?")
    return data.view(dtype).reshape(shape, order=order)
