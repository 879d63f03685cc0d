"""From a path or arrays to a dataset: which source reads it, how it is split, what is fitted on it."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import pad

from ..errors import DataError, DataWarning
from ..runtime import one_thread
from ..settings import DataSettings
from .content import identified
from .dataset import Content, Dataset, Examples, Request
from .finding import Finding
from .fitting import fingerprint, fit
from .formats import frames
from .formats.places import Place, place
from .progress import Progress, untold
from .samples import SAMPLES, sample_path
from .schema import Kind, Schema, as_floats
from .sources import arrays, hub, images, series, sounds, tabled_series, tables, texts
from .split import fields, normal_alone, split
from .targets import aim_of, gathered, joined
from .vocabulary import Vocabulary, encode_parts
from .windows import split_by_time, windowed

# Files tell by their names who reads them: the first that matches. The rows of a table may be anything.
SOURCES: tuple[ModuleType, ...] = (arrays, series, images, sounds, texts, tabled_series)
FRAMES: dict[Kind, ModuleType] = {
    "image": images,
    "sound": sounds,
    "series": tabled_series,
    "text": texts,
    "table": tables,
}

Arrays = np.ndarray[Any, Any] | tuple[np.ndarray[Any, Any], ...]
Inputs = Arrays | Sequence[str | Path] | str | Path


def open(data: str | Path | Arrays, settings: DataSettings, progress: Progress = untold) -> Dataset:
    """The dataset that a path, a sample's name or arrays (x, or x and y) hold.

    progress: told what is going on, how much is done and of how much.
    Raises: DataError, naming the file and the row, if it cannot be used as it is.
    """
    return prepare(content_of(data, settings, progress), data, settings)


def content_of(data: str | Path | Arrays, settings: DataSettings, progress: Progress = untold) -> Content:
    """What `data` hold before they are split. Raises: DataError."""
    with one_thread():  # of torch's, whose small steps here would wait for each other; decoding has threads of its own
        request = Request(settings.reading, fields(settings), progress=progress, aim=aim_of(settings))
        content = to_write(data, request) if settings.writes else read(data, request)
        content = replace(content, aim=request.aim)
    for name in fields(settings):
        if name not in content.splits["train"].fields:
            raise DataError(f"{source_name(data)}: no column {name!r} to split by; tables and --pattern have such")
    return content


def prepare(content: Content, data: str | Path | Arrays, settings: DataSettings) -> Dataset:
    """The dataset of what `data` hold: split, then fitted on train. Raises: DataError."""
    with one_thread():
        return _prepare(content, data, settings)


def _prepare(content: Content, data: str | Path | Arrays, settings: DataSettings) -> Dataset:
    known = {name: identified(part) for name, part in content.splits.items()}
    windows = settings.windows
    parts, held_out = (split_by_time if windows else split)(replace(content, splits=known), settings)
    if normal := settings.normal_classes:  # before anything is fitted on train
        parts, held_out = normal_alone(parts, held_out, content.classes, normal)
    mark = fingerprint(parts)  # of what was read: a fitted vocabulary may differ from one version to another
    told: tuple[Finding, ...] = ()
    if settings.writes:
        schema, parts = texts.fit_passages(content, parts, settings.reading)
    else:
        schema, parts, told = fit(content, parts, settings.reading)
    if windows:  # fitted on steps, each of which counts once
        schema, parts = windowed(schema, parts, **windows)
    if settings.size and schema.shape[1:] != (settings.size, settings.size):
        mend = "picture files are resized, and these data are none; leave it out"
        raise DataError(f"{source_name(data)}: --size {settings.size}: {mend}")
    return Dataset(
        schema=schema,
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        source=source_name(data),
        fingerprint=mark,
        held_out=held_out,
        remarks=(*content.remarks, *told),
        group=settings.group,
    )


def to_write(data: str | Path | Arrays, request: Request) -> Content:
    """The texts that `data` hold, without their classes; a .txt file may be all there is. Raises: DataError."""
    alone = isinstance(data, str | Path) and not hub.matches(data) and locate(data).suffix.lower() in texts.SUFFIXES
    return texts.unlabelled(texts.read_all(place(locate(cast(str, data))), request) if alone else read(data, request))


def read(data: str | Path | Arrays, request: Request) -> Content:
    """What `data` hold, by whichever source knows such files, before anything is fitted."""
    if isinstance(data, np.ndarray):
        return arrays.from_arrays(data, None, "array", request)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise DataError(f"{len(data)} arrays: either x alone or (x, y) is expected")
        return arrays.from_arrays(data[0], data[1], "array", request)
    if hub.matches(data):
        loaded = gathered(hub.load_all(str(data), request), request)
        content: Content = FRAMES[frames.kind_of(loaded["train"], request)].from_frames(loaded, request)
    else:
        content = _read(place(locate(data)), request)
    schema = request.schema
    if schema is None or schema.vocabulary is None:
        return content
    parts, _ = encode_parts(dict(content.splits), Vocabulary(schema.vocabulary), schema.reading.longest)
    return replace(content, splits=parts)


def _read(path: Place, request: Request) -> Content:
    source = next((source for source in SOURCES if source.matches(path, request)), None)
    if source is images and request.kind == "auto" and sounds.matches(path, request):
        raise DataError(f"{path}: holds pictures and sounds; tell which of them to read with --kind image or sound")
    loaded = {} if source is tabled_series else gathered(frames.load_all(path), request)  # there a table is an example
    kind = frames.kind_of(loaded["train"], request) if loaded else None
    if kind and (source is None or kind in ("image", "sound")):  # a list of files goes before the files
        return cast(Content, FRAMES[kind].from_frames(loaded, request))
    if source is not None:
        return cast(Content, source.read(path, request))
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path}: an empty folder; put pictures, sounds, series, texts or tables into it")
    raise DataError(
        f"{path}: no kind of data that is known here; it may be a folder of pictures, sounds or texts (in class "
        "folders or not), an IDX folder, .npz, .npy, .ts, .csv, .tsv, .jsonl, .parquet, or a .zip of any of these"
    )


def read_inputs(inputs: Inputs | None, schema: Schema) -> Examples:
    """Examples to ask a model about: every split of every input, one after the other.

    Raises: DataError if one is not as the model's schema says.
    """
    if inputs is None or (not are_arrays(inputs) and not inputs):
        raise DataError("no input: name at least one file")
    request = Request(schema=schema)
    several = [inputs] if isinstance(inputs, str | Path) or are_arrays(inputs) else inputs
    contents = [read(cast(str | Path | Arrays, each), request) for each in several]
    for remark in (remark for content in contents for remark in content.remarks):
        if remark.severity != "note":
            examples = "; ".join(remark.examples)
            warnings.warn(f"{remark.count} {remark.what} ({examples}); {remark.mend}", DataWarning, stacklevel=3)
    return join([part for content in contents for part in content.splits.values()])


def are_arrays(inputs: Inputs | None) -> bool:
    """Whether inputs are arrays, x or (x, y), rather than paths."""
    return isinstance(inputs, np.ndarray) or (
        isinstance(inputs, tuple) and any(isinstance(each, np.ndarray) for each in inputs)
    )


def join(parts: Sequence[Examples]) -> Examples:
    """Several examples as one, padded to the longest; labels only if all have them."""
    if len(parts) == 1:
        return parts[0]
    xs = [part.loaded for part in parts]
    if len({x.dtype for x in xs}) > 1:
        xs = [as_floats(x) for x in xs]
    lengths = None
    if any(part.lengths is not None for part in parts) or (xs[0].dim() == 3 and len({x.shape[1] for x in xs}) > 1):
        longest = max(x.shape[1] for x in xs)
        own = [torch.full((len(part),), part.x.shape[1]) if part.lengths is None else part.lengths for part in parts]
        lengths = torch.cat(own)
        xs = [pad(x, (*(0, 0) * (x.dim() - 2), 0, longest - x.shape[1])) for x in xs]
    labels = [part.y for part in parts if part.y is not None]
    times = [each for part in parts for each in part.times or ()]
    return Examples(
        x=torch.cat(xs),
        names=[name for part in parts for name in part.names],
        y=joined(labels) if len(labels) == len(parts) else None,
        lengths=lengths,
        texts=[text for part in parts for text in part.texts or ()] or None,
        times=times if len(times) == sum(map(len, parts)) else None,
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
    prefix = hub.PREFIX if hub.matches(data) else ""
    path = Path(str(data).removeprefix(prefix)).expanduser()
    return f"{prefix}{path.resolve()}" if path.exists() else str(data)
