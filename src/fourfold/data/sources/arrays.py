"""Arrays, in files or in memory: what they are, and whether they can be used as such.

The files are those of `array_files`: IDX, .npz and .npy.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ..dataset import UNTOLD, Content, Examples, Request
from ..formats import array_files
from ..formats.array_files import Part, damage
from ..formats.pictures import recolour
from ..formats.places import Place
from ..mapped import Mapped, Numbered
from ..schema import Aim, Kind
from ..targets import Told, answers, known_names, step_answers, step_classes

LOOKED_AT = 1000  # rows of an array that stays in its file
ACCEPTED = {
    "image": "pictures as (n, height, width[, 1 or 3]) or (n, 1 or 3, height, width), uint8 or floats in [0, 1]",
    "series": "series as (n, time, channels), or (n, time) with kind 'series'",
    "table": "tables as (n, columns)",
}
TOLD: dict[Aim, str] = {
    "classes": "one whole number, string or bool an example (of one-hot codes the argmax); for several classes at once "
    "--task tag, for numbers --task regress",
    "numbers": "numbers, (n,) or (n, targets)",
    "tags": "0 and 1, (n, tags), or strings such as 'red|round'",
    "labels": "a class for every step, (n, time): whole numbers, strings or bools, -1 or '' where none is told",
}


def matches(path: Place, request: Request) -> bool:
    """Whether this is an IDX, .npz or .npy file, or a folder with such under the usual names."""
    return array_files.matches(path)


def read(path: Place, request: Request) -> Content:
    """The arrays at `path`, under the rules of `from_arrays`.

    Large ones stay in their file if it has them as networks take them.
    Raises: DataError naming the file that is damaged, or whose content breaks a rule.
    """
    return _content(array_files.read(path, request.reading.keys), request)


def from_arrays(x: np.ndarray, y: np.ndarray | None, name: str, request: Request) -> Content:
    """Arrays in memory as content with one split; `name` stands for a file in names and messages.

    What x is, if neither the request's schema nor its kind says so: uint8 of 3 or 4
    dimensions and floats of 4 are pictures (channels last if both places fit), floats of
    3 are series, 2 dimensions are a table. y: whole numbers, strings or bools, (n,) or
    (n, 1); of numbers (n,) or (n, targets); of tags 0 and 1, (n, tags), or strings; of steps
    (n, time), -1 or "" where none is told, and a series ends with the last step that has a class. x may
    share its memory with the result.
    Raises: DataError naming the array and its first bad row.
    """
    return _content({"train": Part(x, name, y, f"{name} (labels)")}, request)


def _content(parts: Mapping[str, Part], request: Request) -> Content:
    schema, train = request.schema, parts["train"]
    kind = request.kind
    if kind == "auto":
        kind = "series" if request.aim == "labels" else _guess(train) or _refuse(train, "auto")
    xs = {split: _read_x(part, kind) for split, part in parts.items()}
    if schema and kind == "image":
        xs = {split: _recoloured(x, schema.shape[0]) for split, x in xs.items()}
    expected = schema.shape if schema else _shape(xs["train"], kind)
    for split, x in xs.items():
        if (shape := _shape(x, kind)) != expected:
            whose = "the model takes" if schema else f"{train.name} has"
            raise DataError(f"{parts[split].name}: {kind} data of shape {shape} an example, where {whose} {expected}")
    if request.aim == "labels":
        return _labelled_steps(parts, xs, kind, request)
    labels = {split: _labels(part, request.aim) for split, part in parts.items()}
    classes = known_names(labels["train"], request)
    ragged = kind == "series" and len({x.shape[1] for x in xs.values()}) > 1
    splits: dict[str, Examples] = {}
    for split, part in parts.items():
        y = answers(labels[split], classes, Numbered(part.y_name, range(len(part.x))), request.aim)
        splits[split] = _examples(xs[split], y, part, ragged)
    return Content(kind, splits, classes)


def _labelled_steps(
    parts: Mapping[str, Part], xs: Mapping[str, Tensor | Mapped], kind: Kind, request: Request
) -> Content:
    """Series with a class for every step; beyond its last one, a series is padding."""
    told = {split: _step_labels(part, xs[split]) for split, part in parts.items()}
    classes = step_classes(told["train"], request)
    found = {
        split: step_answers(told[split], classes, partial(_step_name, part), xs[split].shape[1])
        for split, part in parts.items()
    }
    ends = {
        split: torch.full((len(xs[split]),), xs[split].shape[1]) if y is None else _ends(y)
        for split, y in found.items()
    }
    ragged = len({end for of in ends.values() for end in of.tolist()}) > 1
    splits: dict[str, Examples] = {}
    for split, part in parts.items():
        x, lengths = xs[split], ends[split] if ragged else None
        if isinstance(x, Tensor) and lengths is not None:
            x = x.masked_fill((torch.arange(x.shape[1]) >= lengths[:, None])[:, :, None], 0)
        splits[split] = Examples(x, Numbered(part.name, range(len(x))), found[split], lengths)
    return Content(kind, splits, classes)


def _step_labels(part: Part, x: Tensor | Mapped) -> list[list[str]] | None:
    """A class for every step as text, "" where none is told."""
    y = part.y
    if y is None:
        return None
    if y.dtype.kind not in "biufUS" or y.shape != tuple(x.shape[:2]):
        shapes = f"labels of {y.dtype} and shape {y.shape} for the series {tuple(x.shape)} of {part.name}"
        raise DataError(f"{part.y_name}: {shapes}; accepted: {TOLD['labels']}")
    words = np.array(_words(y, part.y_name), dtype=object)
    words[words == str(UNTOLD)] = ""
    told: list[list[str]] = words.reshape(y.shape).tolist()
    return told


def _step_name(part: Part, row: int, step: int) -> str:
    return f"{part.y_name}[{row}, {step}]"


def _ends(y_nt: Tensor) -> Tensor:
    """How many steps there are up to the last one that has a class, int64 (n,)."""
    steps = torch.arange(1, y_nt.shape[1] + 1)
    return torch.where(y_nt == UNTOLD, 0, steps).amax(dim=1)


def _recoloured(x: Tensor | Mapped, channels: int) -> Tensor | Mapped:
    return x if isinstance(x, Mapped) else torch.from_numpy(recolour(x.numpy(), channels))


def _examples(x: Tensor | Mapped, y: Tensor | None, part: Part, ragged: bool) -> Examples:
    lengths = torch.full((len(x),), x.shape[1]) if ragged else None
    return Examples(x, Numbered(part.name, range(len(x))), y, lengths)


def _guess(part: Part) -> Kind | None:
    """The kind that an array's type and number of dimensions tell."""
    type_, dimensions = _type(part.x).kind, len(part.x.shape)
    if (_type(part.x) == np.uint8 and dimensions in (3, 4)) or (type_ == "f" and dimensions == 4):
        return "image"
    if type_ == "f" and dimensions == 3:
        return "series"
    return "table" if type_ in "biuf" and dimensions == 2 else None


def _type(x: np.ndarray | Mapped) -> np.dtype[Any]:
    return x[:1].numpy().dtype if isinstance(x, Mapped) else x.dtype


def _refuse(part: Part, kind: Kind | Literal["auto"]) -> NoReturn:
    """Raises: DataError with what the array is and what would be accepted."""
    what = f"{_type(part.x)} of shape {tuple(part.x.shape)}" + (f" is {guess} data" if (guess := _guess(part)) else "")
    accepted = "; ".join(ACCEPTED.values()) if kind == "auto" else f"for {kind} data, {ACCEPTED[kind]}"
    raise DataError(f"{part.name}: {what}; accepted: {accepted}")


def _shape(x: Tensor | Mapped, kind: Kind) -> tuple[int, ...]:
    """One example's shape, as a schema has it."""
    return tuple(x.shape[1:] if kind == "image" else x.shape[-1:])


def _read_x(part: Part, kind: Kind) -> Tensor | Mapped:
    """The array as `Examples` hold it."""
    if isinstance(part.x, Mapped):
        return _look_at(part, part.x, kind)
    if not part.x.size:
        raise DataError(f"{part.name}: an empty array, {part.x.shape}")
    return torch.from_numpy(_checked(part.x, part, kind))


def _look_at(part: Part, x: Mapped, kind: Kind) -> Mapped:
    """An array in a file likewise, judged by some of its rows: to read it all would take as long as an epoch."""
    rows = x[torch.linspace(0, len(x) - 1, min(LOOKED_AT, len(x))).long()].numpy()
    shape = _checked(rows, part, kind).shape
    if kind == "image" and rows.ndim == 4 and rows.shape[3] in (1, 3) and shape != rows.shape:
        return x.changed(lambda array: array.permute(0, 3, 1, 2))
    return x.changed(lambda array: array.view(-1, *shape[1:]))


def _checked(x: np.ndarray, part: Part, kind: Kind) -> np.ndarray:
    match kind, x.ndim:
        case "image", _:
            return _pictures(x, part)
        case ("table", 2) | ("series", 3):
            return _finite(x, part)
        case "series", 2:
            return _finite(x[:, :, None], part)
    _refuse(part, kind)


def _pictures(x: np.ndarray, part: Part) -> np.ndarray:
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


def _finite(x: np.ndarray, part: Part) -> np.ndarray:
    """Any numbers as float32."""
    if x.dtype.kind not in "biuf":
        raise DataError(f"{part.name}: its values are of type {x.dtype}; numbers are expected")
    with np.errstate(over="ignore"):
        x = np.require(x, np.float32, ["C", "W"])
    good = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not good.all():
        raise DataError(f"{part.name}[{good.argmin()}]: NaN, infinite or beyond 32 bits; fill or remove such rows")
    return x


def _labels(part: Part, aim: Aim) -> Told | None:
    """A label an example, as text; of numbers and tags the array itself, (n, names)."""
    y = part.y
    if y is None:
        return None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    numbers = y.dtype.kind in "biuf" and y.ndim in (1, 2) and y.size > 0
    words = y.dtype.kind in "biufUS" and y.ndim == 1
    if not {"classes": words, "tags": numbers or words, "numbers": numbers}[aim]:
        raise DataError(f"{part.y_name}: labels of {y.dtype} and shape {y.shape}; accepted: {TOLD[aim]}")
    if len(y) != len(part.x):
        raise DataError(f"{part.y_name}: {len(y):,} labels for the {len(part.x):,} examples of {part.name}")
    if aim != "classes" and numbers:
        return y.reshape(len(y), -1)
    return _words(y, part.y_name)


def _words(y: np.ndarray, name: str) -> list[str]:
    """Classes of any shape as text, one after the other. Raises: DataError naming the first that is none."""
    if y.dtype.kind == "f":
        whole = np.isfinite(y) & (y == np.round(y)) & (abs(y) < 2**53)
        if not whole.all():
            place = np.argwhere(~whole)[0].tolist()
            what = "labels are whole numbers, strings or bools; numbers themselves are learnt by --task regress"
            raise DataError(f"{name}{place}: {y[tuple(place)]} is no class; {what}")
        y = y.astype(np.int64)
    with damage(name):  # text of a damaged file may not be text
        return [str(label) for label in (np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y).ravel().tolist()]
