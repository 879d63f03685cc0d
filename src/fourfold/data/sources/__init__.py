"""The sources: each knows one way in which data lie on a disk, and reads it as `Content`.

A source offers `matches(path)`, which looks at names only, and `read(path, request)`,
which raises a `DataError` that names file and row. Here is what they share.
"""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...errors import DataError, nearest
from ..dataset import Request
from ..schema import Kind

SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


def check_kind(path: Path, kind: Kind, request: Request) -> None:
    """Raises: DataError if the request's schema is of another kind than what lies at `path`."""
    if request.schema is not None and request.schema.kind != kind:
        raise DataError(f"{path}: this is {kind} data, but the model was trained on {request.schema.kind} data")


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted by name. Raises: DataError if it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from None


def read_text(path: Path) -> str:
    """The text of a file, UTF-8 with or without a byte order mark, unpacked if it ends in .gz.

    Raises: DataError if it cannot be read, is damaged or is not UTF-8.
    """
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, row {row}: not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


def known_classes(labels: Sequence[str] | None, request: Request) -> tuple[str, ...] | None:
    """The schema's classes, or else the distinct labels of train.

    They go by value if all are whole numbers, else by the alphabet. None: no labels.
    """
    if request.schema is not None:
        return request.schema.classes
    if labels is None:
        return None
    classes = sorted(set(labels))
    try:
        return tuple(sorted(classes, key=int))
    except ValueError:
        return tuple(classes)


def classify(labels: Sequence[str] | None, classes: Sequence[str] | None, names: Sequence[str]) -> Tensor | None:
    """Labels as int64 (n,) indices into `classes`; None if there are no labels, or no classes.

    Raises: DataError with the name of the first example whose class is unknown.
    """
    if labels is None or classes is None:
        return None
    place = {name: index for index, name in enumerate(classes)}
    y = [place.get(label, -1) for label in labels]
    if -1 in y:
        row = y.index(-1)
        raise DataError(f"{names[row]}: unknown class {labels[row]!r}; {nearest(labels[row], classes)}")
    return torch.tensor(y, dtype=torch.int64)


def listing(problems: Sequence[str], most: int = 5, total: int = 0) -> str:
    """The first problems, and the number of the others; `total`: how many, if not all are given."""
    rest = max(len(problems), total) - most
    return "; ".join([*problems[:most], *([f"and {rest} more"] if rest > 0 else [])])
