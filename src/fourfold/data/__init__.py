"""From a path or arrays to a dataset: which source reads it, how it is split, what is fitted on it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import pad

from ..errors import DataError
from ..settings import Settings
from .dataset import Content, Dataset, Examples, Request
from .samples import SAMPLES, sample_path
from .schema import Schema, as_floats, moments
from .sources import arrays, images, series, tables
from .split import split

SOURCES: tuple[ModuleType, ...] = (arrays, series, images, tables)  # the first that matches reads

Arrays = np.ndarray[Any, Any] | tuple[np.ndarray[Any, Any], ...]
Inputs = Arrays | Sequence[str | Path] | str | Path


def open(data: str | Path | Arrays, settings: Settings) -> Dataset:
    """The dataset that a path, a sample's name or arrays (x, or x and y) hold.

    Raises: DataError, naming the file and the row, if it cannot be used as it is.
    """
    request = Request(kind=settings.kind, target=settings.target, group=settings.group, size=settings.size)
    content = read(data, request)
    if settings.group and content.splits["train"].groups is None:
        raise DataError(f"{source_name(data)}: no column {settings.group!r} to group by; --group is for tables")
    parts, held_out = split(content, settings)
    schema = fit(content, parts["train"], settings)
    require_all_classes(schema, parts["train"])
    if settings.size and schema.shape[1:] != (settings.size, settings.size):
        raise DataError(
            f"{source_name(data)}: --size {settings.size}: picture files are resized, and these data are none; "
            "leave it out"
        )
    return Dataset(
        schema=schema,
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        source=source_name(data),
        fingerprint=fingerprint(parts),
        held_out=held_out,
    )


def read(data: str | Path | Arrays, request: Request) -> Content:
    """What `data` hold, by whichever source knows such files, before anything is fitted."""
    if isinstance(data, np.ndarray):
        return arrays.from_arrays(data, None, "array", request)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise DataError(f"{len(data)} arrays: either x alone or (x, y) is expected")
        return arrays.from_arrays(data[0], data[1], "array", request)
    path = locate(data)
    for source in SOURCES:
        if source.matches(path):
            content: Content = source.read(path, request)
            return content
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path}: an empty folder; put pictures, series or tables into it")
    raise DataError(
        f"{path}: no kind of data that is known here; it may be a folder of pictures (in class folders or not), an "
        "IDX folder, .npz, .npy, .ts or .csv"
    )


def read_inputs(inputs: Inputs, schema: Schema) -> Examples:
    """Examples to ask a model about: every split of every input, one after the other.

    Raises: DataError if one is not as the model's schema says.
    """
    if not are_arrays(inputs) and not inputs:
        raise DataError("no input: name at least one file")
    request = Request.of(schema)
    several = [inputs] if isinstance(inputs, str | Path) or are_arrays(inputs) else inputs
    contents = [read(cast(str | Path | Arrays, each), request) for each in several]
    parts = [part for content in contents for part in content.splits.values()]
    return join(parts)


def are_arrays(inputs: Inputs) -> bool:
    """Whether inputs are arrays, x or (x, y), rather than paths."""
    return isinstance(inputs, np.ndarray) or (isinstance(inputs, tuple) and isinstance(inputs[0], np.ndarray))


def join(parts: Sequence[Examples]) -> Examples:
    """Several examples as one, padded to the longest; labels only if all have them."""
    if len(parts) == 1:
        return parts[0]
    lengths = None
    if parts[0].x.dim() == 3:
        longest = max(part.x.shape[1] for part in parts)
        uneven = any(part.lengths is not None or part.x.shape[1] != longest for part in parts)
        if uneven:
            lengths = torch.cat(
                [torch.full((len(part),), part.x.shape[1]) if part.lengths is None else part.lengths for part in parts]
            )
            parts = [Examples(pad(part.x, (0, 0, 0, longest - part.x.shape[1])), part.names, part.y) for part in parts]
    kinds = {part.x.dtype for part in parts}
    return Examples(
        x=torch.cat([part.x if len(kinds) == 1 else as_floats(part.x) for part in parts]),
        names=[name for part in parts for name in part.names],
        y=None
        if any(part.y is None for part in parts)
        else torch.cat([part.y for part in parts if part.y is not None]),
        lengths=lengths,
    )


def locate(data: str | Path) -> Path:
    """The path that `data` names: a sample's if it is a sample's name and no such file is here."""
    path = Path(data).expanduser()
    if path.exists():
        return path
    if str(data) in SAMPLES:
        return sample_path(str(data))
    raise DataError(f"{path}: no such file or folder, nor a sample (those are {', '.join(SAMPLES)})")


def source_name(data: str | Path | Arrays) -> str:
    """How a run remembers where its data were: an absolute path, a sample's name, or "arrays"."""
    if not isinstance(data, str | Path):
        return "arrays"
    path = Path(data).expanduser()
    return str(path.resolve()) if path.exists() else str(data)


def fit(content: Content, train: Examples, settings: Settings) -> Schema:
    """The schema of some content, its figures fitted on the training split."""
    mean = std = lengths = None
    if content.kind != "image":
        mean, std = moments(train.x, train.lengths)
    if content.kind == "series":
        every = train.lengths if train.lengths is not None else torch.tensor([train.x.shape[1]])
        lengths = (int(every.min()), int(every.max()))
    return Schema(
        kind=content.kind,
        shape=tuple(train.x.shape[1:]) if content.kind == "image" else (train.x.shape[-1],),
        lengths=lengths,
        classes=content.classes,
        columns=content.columns,
        target=content.target,
        size=settings.size,
        mean=mean,
        std=std,
    )


def require_all_classes(schema: Schema, train: Examples) -> None:
    """Raises: DataError if a class has no example in the training split."""
    if schema.classes is None or train.y is None:
        return
    counts = torch.bincount(train.y, minlength=len(schema.classes)).tolist()
    missing = [name for name, count in zip(schema.classes, counts, strict=True) if not count]
    if missing:
        raise DataError(f"no example of class {', '.join(missing)} in the training split: add some, or drop the class")


def fingerprint(parts: dict[str, Examples]) -> str:
    """SHA-256 of the examples, labels and lengths of every split, in order."""
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(f"{name} {tuple(part.x.shape)} {part.x.dtype}".encode())
        for tensor in (part.x, part.y, part.lengths):
            if tensor is not None:
                digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
