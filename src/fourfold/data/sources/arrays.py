"""Arrays: MNIST's IDX files, NumPy's .npz and .npy, and arrays that are in memory already.

    digits/train-images-idx3-ubyte[.gz]     with -labels-idx1-, and t10k or test for the test split
    data.npz                                x[, y], or Keras' x_train, y_train, x_val, y_val, x_test, y_test
    data.npy                                unlabelled

Nothing a header says is believed: memory grows only with bytes that are really there.
"""

import gzip
import math
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, NoReturn

import numpy as np
import torch
from numpy.lib import format as npy

from ...errors import DataError
from ..dataset import Content, Examples, Request
from ..pictures import recolour
from ..schema import Kind
from . import classify, entries, known_classes

IDX_SUFFIX = re.compile(r".*[-.]idx\d-ubyte(\.gz)?", re.IGNORECASE)
IDX_NAME = re.compile(r"(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?", re.IGNORECASE)
KEYS = {"_train": "train", "_val": "validation", "_test": "test"}  # as Keras names them
CHUNK = 1 << 20  # bytes
ACCEPTED = {
    "image": "pictures as (n, height, width[, 1 or 3]) or (n, 1 or 3, height, width), uint8 or floats in [0, 1]",
    "series": "series as (n, time, channels), or (n, time) with kind 'series'",
    "table": "tables as (n, columns)",
}


@dataclass(frozen=True)
class _Part:
    """One split as it was found; the names are for messages."""

    x: np.ndarray
    name: str
    y: np.ndarray | None = None
    y_name: str = ""


def matches(path: Path) -> bool:
    """Whether this is an IDX, .npz or .npy file, or a folder with MNIST's file names."""
    if path.is_dir():
        return any(IDX_NAME.fullmatch(file.name) for file in entries(path))
    return path.suffix.lower() in (".npz", ".npy") or IDX_SUFFIX.fullmatch(path.name) is not None


def read(path: Path, request: Request) -> Content:
    """The arrays at `path`, under the rules of `from_arrays`.

    Where an IDX file lies both packed and unpacked, the unpacked one is read.
    Raises: DataError naming the file that is damaged, or whose content breaks a rule.
    """
    if path.is_dir():
        return _content(_read_idx_folder(path), request)
    with _damage(path):
        if path.suffix.lower() == ".npz":
            parts = _read_npz(path)
        elif path.suffix.lower() == ".npy":
            with path.open("rb") as stream:
                parts = {"train": _Part(_read_npy(stream, str(path)), str(path))}
        else:
            parts = {"train": _Part(_read_idx(path), str(path))}
    return _content(parts, request)


def from_arrays(x: np.ndarray, y: np.ndarray | None, name: str, request: Request) -> Content:
    """Arrays in memory as content with one split; `name` stands for a file in names and messages.

    What x is, if neither the request's schema nor its kind says so: uint8 of 3 or 4
    dimensions and floats of 4 are pictures (channels last if both places fit), floats of
    3 are series, 2 dimensions are a table. y: whole numbers, strings or bools, (n,) or
    (n, 1). x may share its memory with the result.
    Raises: DataError naming the array and its first bad row.
    """
    return _content({"train": _Part(x, name, y, f"{name} (labels)")}, request)


# From files to arrays


@contextmanager
def _damage(path: Path | str) -> Iterator[None]:
    """Tell whatever a parser trips over as one error that names the file."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # gzip, zipfile, zlib, struct and NumPy's header parser raise a dozen kinds
        raise DataError(f"{path}: cannot be read; missing, damaged or not what its name says ({error})") from None


def _read_idx_folder(path: Path) -> dict[str, _Part]:
    found: dict[tuple[str, str], Path] = {}
    for file in entries(path):  # sorted, so an unpacked file comes before its .gz
        if match := IDX_NAME.fullmatch(file.name):
            split = "train" if match[1].lower() == "train" else "test"
            found.setdefault((split, match[2].lower()), file)
    parts: dict[str, _Part] = {}
    for split in ("train", "test"):
        images, labels = found.get((split, "images")), found.get((split, "labels"))
        if images is None:
            if labels is not None:
                raise DataError(f"{labels}: labels without their images; put {split} images beside them")
            continue
        with _damage(images):
            parts[split] = _Part(_read_idx(images), str(images))
        if labels is not None:
            with _damage(labels):
                parts[split] = replace(parts[split], y=_read_idx(labels), y_name=str(labels))
    return parts if "train" in parts else {"train": parts["test"]}


def _read_idx(path: Path) -> np.ndarray:
    """IDX: two zero bytes, the values' type, the number of sizes, each big-endian uint32, the values."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        zeros, type_, dimensions = struct.unpack(">HBB", stream.read(4))
        if zeros or type_ != 8 or not dimensions:
            raise DataError(f"{path}: not an IDX file of bytes, which begins with 0 0 8 and the number of sizes")
        shape = struct.unpack(f">{dimensions}I", stream.read(4 * dimensions))
        return _read_values(stream, shape, np.dtype(np.uint8), str(path))


def _read_npz(path: Path) -> dict[str, _Part]:
    with zipfile.ZipFile(path) as archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist()]

        def member(key: str) -> np.ndarray:
            with archive.open(f"{key}.npy") as stream:
                return _read_npy(stream, f"{path}:{key}")

        parts: dict[str, _Part] = {}
        for suffix, split in KEYS.items() if "x" not in keys else [("", "train")]:
            if f"x{suffix}" in keys:
                y = member(f"y{suffix}") if f"y{suffix}" in keys else None
                parts[split] = _Part(member(f"x{suffix}"), f"{path}:x{suffix}", y, f"{path}:y{suffix}")
    if "train" not in parts:
        raise DataError(f"{path}: holds {', '.join(keys) or 'nothing'}; expected x[, y], or x_train[, y_train, …]")
    return parts


def _read_npy(stream: IO[bytes] | gzip.GzipFile, name: str) -> np.ndarray:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{name}: an array with named fields; plain numbers are read")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    if dtype.kind not in "biufUS":
        raise DataError(f"{name}: its values are of type {dtype}; numbers are read, never objects")
    return _read_values(stream, shape, dtype, name, "F" if fortran else "C")


def _read_values(
    stream: IO[bytes] | gzip.GzipFile, shape: tuple[int, ...], dtype: np.dtype[Any], name: str, order: Any = "C"
) -> np.ndarray:
    """The rest of a stream, which must be exactly what its header promises."""
    size = math.prod(shape) * dtype.itemsize
    if size <= 0:
        raise DataError(f"{name}: an empty array, {shape}")
    data = bytearray()
    while len(data) <= size and (piece := stream.read(min(CHUNK, size + 1 - len(data)))):
        data += piece
    if len(data) != size:
        real = "more" if len(data) > size else f"only {len(data):,}"
        raise DataError(f"{name}: its header promises {size:,} bytes of values but there are {real}; is it complete?")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


# From arrays to examples


def _content(parts: Mapping[str, _Part], request: Request) -> Content:
    schema, train = request.schema, parts["train"]
    kind = schema.kind if schema else request.kind
    if kind == "auto":
        kind = _guess(train) or _refuse(train, "auto")
    xs = {split: _read_x(part, kind) for split, part in parts.items()}
    if schema and kind == "image":
        xs = {split: recolour(x, schema.shape[0]) for split, x in xs.items()}
    expected = schema.shape if schema else _shape(xs["train"], kind)
    for split, x in xs.items():
        if (shape := _shape(x, kind)) != expected:
            whose = "the model takes" if schema else f"{train.name} has"
            raise DataError(f"{parts[split].name}: {kind} data of shape {shape} an example, where {whose} {expected}")
    labels = {split: _labels(part) for split, part in parts.items()}
    classes = known_classes(labels["train"], request)
    ragged = kind == "series" and len({x.shape[1] for x in xs.values()}) > 1
    splits = {split: _examples(xs[split], labels[split], parts[split], classes, ragged) for split in parts}
    return Content(kind, splits, classes)


def _examples(
    x: np.ndarray, labels: list[str] | None, part: _Part, classes: tuple[str, ...] | None, ragged: bool
) -> Examples:
    return Examples(
        x=torch.from_numpy(x),
        names=[f"{part.name}[{row}]" for row in range(len(x))],
        y=classify(labels, classes, [f"{part.y_name}[{row}]" for row in range(len(x))]),
        lengths=torch.full((len(x),), x.shape[1]) if ragged else None,
    )


def _guess(part: _Part) -> Kind | None:
    """The kind that an array's type and number of dimensions tell."""
    type_, dimensions = part.x.dtype.kind, part.x.ndim
    if (part.x.dtype == np.uint8 and dimensions in (3, 4)) or (type_ == "f" and dimensions == 4):
        return "image"
    if type_ == "f" and dimensions == 3:
        return "series"
    return "table" if type_ in "biuf" and dimensions == 2 else None


def _refuse(part: _Part, kind: Kind | Literal["auto"]) -> NoReturn:
    """Raises: DataError with what the array is and what would be accepted."""
    what = f"{part.x.dtype} of shape {part.x.shape}" + (f" is {guess} data" if (guess := _guess(part)) else "")
    accepted = "; ".join(ACCEPTED.values()) if kind == "auto" else f"for {kind} data, {ACCEPTED[kind]}"
    raise DataError(f"{part.name}: {what}; accepted: {accepted}")


def _shape(x: np.ndarray, kind: Kind) -> tuple[int, ...]:
    """One example's shape, as a schema has it."""
    return x.shape[1:] if kind == "image" else x.shape[-1:]


def _read_x(part: _Part, kind: Kind) -> np.ndarray:
    """The array as `Examples` hold it."""
    if not part.x.size:
        raise DataError(f"{part.name}: an empty array, {part.x.shape}")
    match kind, part.x.ndim:
        case "image", _:
            return _read_pictures(part)
        case ("table", 2) | ("series", 3):
            return _finite(part.x, part)
        case "series", 2:
            return _finite(part.x[:, :, None], part)
    _refuse(part, kind)


def _read_pictures(part: _Part) -> np.ndarray:
    x = part.x
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        _refuse(part, "image")
    if x.dtype == np.uint8:
        return np.require(x, requirements=["C", "W"])
    x = _finite(x, part)
    low, high = x.min(), x.max()
    if low < 0 or high > 1:
        lie = f"float pictures lie in [0, 1] but these in [{low:g}, {high:g}]"
        raise DataError(f"{part.name}: {lie}; divide them by 255, or pass uint8")
    return x


def _finite(x: np.ndarray, part: _Part) -> np.ndarray:
    """Any numbers as float32."""
    if x.dtype.kind not in "biuf":
        raise DataError(f"{part.name}: its values are of type {x.dtype}; numbers are expected")
    with np.errstate(over="ignore"):
        x = np.require(x, np.float32, ["C", "W"])
    good = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not good.all():
        raise DataError(f"{part.name}[{good.argmin()}]: NaN, infinite or beyond 32 bits; fill or remove such rows")
    return x


def _labels(part: _Part) -> list[str] | None:
    """A label an example, as text."""
    y = part.y
    if y is None:
        return None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "biufUS":
        accepted = "one whole number, string or bool an example (of one-hot codes the argmax)"
        raise DataError(f"{part.y_name}: labels of {y.dtype} and shape {y.shape}; accepted: {accepted}")
    if len(y) != len(part.x):
        raise DataError(f"{part.y_name}: {len(y):,} labels for the {len(part.x):,} examples of {part.name}")
    if y.dtype.kind == "f":
        whole = np.isfinite(y) & (y == np.round(y)) & (abs(y) < 2**53)
        if not whole.all():
            row = whole.argmin()
            raise DataError(f"{part.y_name}[{row}]: {y[row]} is no class; labels are whole numbers, strings or bools")
        y = y.astype(np.int64)
    with _damage(part.y_name):  # text of a damaged file may not be text
        return [str(label) for label in (np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y).tolist()]
