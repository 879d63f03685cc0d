"""From a path or arrays to a dataset: which source reads it, how it is split, what is fitted on it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import pad

from ..errors import DataError
from ..settings import DataSettings
from . import frames
from .content import identified
from .dataset import Content, Dataset, Examples, Request
from .fitting import fingerprint, fit
from .places import Place, place
from .progress import Progress, untold
from .samples import SAMPLES, sample_path
from .schema import Kind, Schema, as_floats
from .sources import arrays, images, series, tables
from .split import fields, split

# Files tell by their names who reads them: the first that matches. The rows of a table may be anything.
SOURCES: tuple[ModuleType, ...] = (arrays, series, images)
FRAMES: dict[Kind, ModuleType] = {"image": images, "table": tables}

Arrays = np.ndarray[Any, Any] | tuple[np.ndarray[Any, Any], ...]
Inputs = Arrays | Sequence[str | Path] | str | Path


def open(data: str | Path | Arrays, settings: DataSettings, progress: Progress = untold) -> Dataset:
    """The dataset that a path, a sample's name or arrays (x, or x and y) hold.

    progress: told what is going on, how much is done and of how much.
    Raises: DataError, naming the file and the row, if it cannot be used as it is.
    """
    content = read(data, Request(settings.reading, fields(settings), progress=progress))
    for name in fields(settings):
        if name not in content.splits["train"].fields:
            raise DataError(f"{source_name(data)}: no column {name!r} to split by; tables and --pattern have such")
    known = {name: identified(part) for name, part in content.splits.items()}
    parts, held_out = split(replace(content, splits=known), settings)
    schema, parts = fit(content, parts, settings)
    if settings.size and schema.shape[1:] != (settings.size, settings.size):
        mend = "picture files are resized, and these data are none; leave it out"
        raise DataError(f"{source_name(data)}: --size {settings.size}: {mend}")
    return Dataset(
        schema=schema,
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        source=source_name(data),
        fingerprint=fingerprint(parts),
        held_out=held_out,
        remarks=content.remarks,
        group=settings.group,
    )


def read(data: str | Path | Arrays, request: Request) -> Content:
    """What `data` hold, by whichever source knows such files, before anything is fitted."""
    if isinstance(data, np.ndarray):
        return arrays.from_arrays(data, None, "array", request)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise DataError(f"{len(data)} arrays: either x alone or (x, y) is expected")
        return arrays.from_arrays(data[0], data[1], "array", request)
    return _read(place(locate(data)), request)


def _read(path: Place, request: Request) -> Content:
    loaded = frames.load_all(path)
    kind = frames.kind_of(loaded["train"], request) if loaded else None
    source = next((source for source in SOURCES if source.matches(path, request)), None)
    if loaded and kind and (source is None or kind in ("image", "sound")):  # a list of files goes before the files
        return cast(Content, FRAMES[kind].from_frames(loaded, request))
    if source is not None:
        return cast(Content, source.read(path, request))
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path}: an empty folder; put pictures, sounds, series, texts or tables into it")
    raise DataError(
        f"{path}: no kind of data that is known here; it may be a folder of pictures, sounds or texts (in class "
        "folders or not), an IDX folder, .npz, .npy, .ts, .csv, .tsv, .jsonl, .parquet, or a .zip of any of these"
    )


def read_inputs(inputs: Inputs, schema: Schema) -> Examples:
    """Examples to ask a model about: every split of every input, one after the other.

    Raises: DataError if one is not as the model's schema says.
    """
    if not are_arrays(inputs) and not inputs:
        raise DataError("no input: name at least one file")
    request = Request(schema=schema)
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
            parts = [
                Examples(pad(part.loaded, (0, 0, 0, longest - part.x.shape[1])), part.names, part.y) for part in parts
            ]
    kinds = {part.x.dtype for part in parts}
    return Examples(
        x=torch.cat([part.loaded if len(kinds) == 1 else as_floats(part.loaded) for part in parts]),
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
