"""What is told of an example: one of some classes, several tags at once, numbers, or a class for every step.

A source tells it as text, whatever it is: a class; tags, parted by one of SEPARATORS; numbers, or for
each tag 0 or 1, parted by UNIT; the class of each step, "" where none is told. Arrays of numbers are told
as they are, (n, names).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..errors import DataError, nearest
from ..settings import DataSettings, Settings
from .columns import LEAST
from .dataset import UNTOLD, Request
from .formats.frames import Frame
from .formats.text_files import listing
from .schema import Aim

Told = Sequence[str] | np.ndarray
StepTold = Sequence[Sequence[str]]  # the class of each step of each example
StepNamer = Callable[[int, int], str]  # from the places of an example and of its step

AIMS: Mapping[str, Aim] = {"regress": "numbers", "tag": "tags", "label": "labels"}  # of tasks
TASKS = {aim: task for task, aim in AIMS.items()}
UNIT = "\x1f"  # ASCII's own separator: no cell holds it
SEPARATORS = ("|", ";", ",")  # of the tags in a cell: the first that occurs
TRUTHS = {"true": "1", "false": "0"}
HIGHEST = float(np.finfo(np.float32).max)


def aim_of(settings: DataSettings) -> Aim:
    """What labels tell under a training's task."""
    return AIMS.get(settings.task, "classes") if isinstance(settings, Settings) else "classes"


def fit_answers(aim: Aim, names: tuple[str, ...] | None, y: Tensor | None) -> dict[str, Any]:
    """What a schema knows of train's answers `y`, by the names of its fields; see `Schema`.

    A number that never changes gets 1 as its deviation.
    """
    if names is None or y is None:
        return {"classes": names} if aim == "classes" else {}
    if aim == "labels":
        counts = torch.bincount(y[y != UNTOLD], minlength=len(names))
        return {"classes": names, "counts": tuple(counts.tolist()), "stepwise": True}
    if aim == "classes":
        return {"classes": names, "counts": tuple(torch.bincount(y, minlength=len(names)).tolist())}
    if aim == "tags":
        return {"tags": names, "counts": tuple(y.sum(0).int().tolist())}
    std, mean = torch.std_mean(y.double(), dim=0, correction=0)
    std = torch.where(std > (1e-7 * mean.abs()).clamp(min=LEAST), std, 1)  # less is lost in 32 bits
    return {"targets": names, "target_mean": tuple(mean.tolist()), "target_std": tuple(std.tolist())}


# From what is told to y


def known_names(told: Told | None, request: Request) -> tuple[str, ...] | None:
    """The schema's names, or else those of the classes, tags or numbers that train tells; None: nothing is told.

    Classes and tags go by value if all are whole numbers, else by the alphabet; columns as they were named.
    """
    if request.schema is not None:
        return request.schema.names
    if told is None:
        return None
    if isinstance(told, np.ndarray) or request.aim == "numbers" or _in_units(told):
        width = told.shape[1] if isinstance(told, np.ndarray) else told[0].count(UNIT) + 1
        asked = request.reading.target
        names = () if asked is None else (asked,) if width == 1 else column_names(asked)
        return names if len(names) == width else tuple(f"y{i}" for i in range(width)) if width > 1 else ("y",)
    if request.aim in ("classes", "labels"):
        return _by_value(told)
    return _by_value(tag for tags in _parted(told) for tag in tags)


def answers(told: Told | None, names: Sequence[str] | None, where: Sequence[str], aim: Aim) -> Tensor | None:
    """Examples' y as `Examples` have it; None if nothing is told, or nothing known to be told.

    where: the examples' own names. Raises: DataError with the name of the first example that tells something else.
    """
    if told is None or names is None:
        return None
    if aim == "labels":
        raise DataError(f"{where[0]}: one label an example, where --task label learns one a step; leave the task out")
    if isinstance(told, np.ndarray):
        return _checked(told, names, where, aim)
    if aim == "classes":
        places = [places[0] for places in _places(((label,) for label in told), names, where, "class")]
        return torch.tensor(places, dtype=torch.int64)
    if aim == "numbers" or _in_units(told):
        return _checked(_numbers(told, where), names, where, aim)
    y = torch.zeros(len(told), len(names))
    for row, places in enumerate(_places(_parted(told, names), names, where, "tag")):
        y[row, places] = 1
    return y


def step_classes(told: StepTold | None, request: Request) -> tuple[str, ...] | None:
    """The schema's classes, or else those that the steps of train tell; None: nothing is told."""
    if request.schema is not None:
        return request.schema.classes
    return None if told is None else _by_value({label for labels in told for label in labels} - {""})


def step_answers(told: StepTold | None, classes: Sequence[str] | None, where: StepNamer, time: int) -> Tensor | None:
    """The class of every step, int64 (n, time): UNTOLD where none is told, and past a series' own end.

    None if nothing is told, or nothing known to be told. where: names a step of an example, by their places.
    Raises: DataError naming the first step with an unknown class, or the first example without any.
    """
    if told is None or classes is None:
        return None
    place = {"": UNTOLD, **{name: index for index, name in enumerate(classes)}}
    y = np.full((len(told), time), UNTOLD, dtype=np.int64)
    for row, labels in enumerate(told):
        unknown = next((step for step, label in enumerate(labels) if label not in place), None)
        if unknown is not None:
            label = labels[unknown]
            raise DataError(f"{where(row, unknown)}: unknown class {label!r}; {nearest(label, classes)}")
        y[row, : len(labels)] = [place[label] for label in labels]
        if (y[row] == UNTOLD).all():
            raise DataError(f"{where(row, 0)}: no step of this series has a class; remove the series")
    return torch.from_numpy(y)


def joined(ys: Sequence[Tensor]) -> Tensor:
    """The y of several `Examples`, one after the other; classes of steps are padded to the longest."""
    if ys[0].dim() == 1 or ys[0].is_floating_point():
        return torch.cat(list(ys))
    longest = max(y.shape[1] for y in ys)
    return torch.cat([pad(y, (0, longest - y.shape[1]), value=UNTOLD) for y in ys])


def _in_units(told: Sequence[str]) -> bool:
    return bool(told) and UNIT in told[0]


def _by_value(names: Iterable[str]) -> tuple[str, ...]:
    different = sorted(set(names))
    try:
        return tuple(sorted(different, key=int))
    except ValueError:
        return tuple(different)


def _parted(told: Sequence[str], known: Sequence[str] = ()) -> list[list[str]]:
    """The tags in each text; what stands in a known tag parts none."""
    possible = [mark for mark in SEPARATORS if not any(mark in tag for tag in known)]
    mark = next((mark for mark in possible if any(mark in label for label in told)), UNIT)
    return [[tag for part in label.split(mark) if (tag := part.strip())] for label in told]


def _places(told: Iterable[Sequence[str]], names: Sequence[str], where: Sequence[str], what: str) -> list[list[int]]:
    place = {name: index for index, name in enumerate(names)}
    found: list[list[int]] = []
    for row, each in enumerate(told):
        unknown = next((name for name in each if name not in place), None)
        if unknown is not None:
            raise DataError(f"{where[row]}: unknown {what} {unknown!r}; {nearest(unknown, names)}")
        found.append([place[name] for name in each])
    return found


def _numbers(told: Sequence[str], where: Sequence[str]) -> np.ndarray:
    rows = []
    for row, label in enumerate(told):
        try:
            rows.append([float(part) for part in label.split(UNIT)])
        except ValueError:
            raise DataError(f"{where[row]}: {label!r} is no number; correct it, or leave out --task regress") from None
    return np.array(rows)


def _checked(told: np.ndarray, names: Sequence[str], where: Sequence[str], aim: Aim) -> Tensor:
    """Numbers, or tags' 0 and 1, as float32 (n, names)."""
    if told.shape[1] != len(names):
        raise DataError(f"{where[0]}: {told.shape[1]} numbers where {len(names)} are told: {listing(list(names))}")
    with np.errstate(over="ignore"):
        y = told.astype(np.float32)
    good = np.isfinite(y) if aim == "numbers" else (y == 0) | (y == 1)
    if not good.all():
        row, place = (int(index) for index in np.argwhere(~good)[0])
        of = f"{told[row, place]} for {names[place]!r}"
        if aim == "numbers":
            raise DataError(f"{where[row]}: {of}: NaN, infinite or beyond 32 bits; correct it or remove the example")
        raise DataError(f"{where[row]}: {of}, where 1 means that an example has the tag and 0 that it has not")
    return torch.from_numpy(y)


# Tables


def column_names(asked: str) -> tuple[str, ...]:
    """The columns that --target names, parted by commas, each once."""
    return tuple(dict.fromkeys(name for part in asked.split(",") if (name := part.strip())))


def gathered(frames: Mapping[str, Frame], request: Request) -> Mapping[str, Frame]:
    """Tables whose target columns are one, named as --target has it, with what is told as text.

    As they are where classes are told, of steps or of series, or what a model is asked about tells nothing.
    Raises: DataError naming the file, row and column of what is missing or no such answer.
    """
    if request.aim in ("classes", "labels"):
        return frames
    return {split: _gathered(frame, request) for split, frame in frames.items()}


def _gathered(frame: Frame, request: Request) -> Frame:
    asked = request.reading.target
    if asked is None:
        if request.schema:
            return frame
        needs = f"--task {TASKS[request.aim]} needs --target: one column, or several parted by commas"
        raise DataError(f"{frame.path}: {needs}; it holds {listing(list(frame.columns), 20)}")
    columns = (asked,) if asked in frame.columns else column_names(asked)
    if request.schema and not set(columns) & set(frame.columns):
        return frame
    frame.require(*columns)
    one_of_tags = len(columns) == 1 and request.aim == "tags"
    cells = _tags(frame, asked, request) if one_of_tags else _rows(frame, columns, request.aim)
    others = {name: column for name, column in frame.cells.items() if name not in columns}
    return replace(frame, cells={**others, asked: pl.Series(asked, cells, dtype=pl.String)}, answers=asked)


def _tags(frame: Frame, column: str, request: Request) -> list[str]:
    """A column of tags. An example without any is written as a separator alone."""
    missing = frame.missing(column)
    if missing.any():
        mend = f"fill these cells or remove their rows; no tag at all is written {SEPARATORS[0]}"
        frame.refuse([(row, column) for row in missing.arg_true()], "no tags", mend)
    cells = frame.text(column).to_list()
    if request.schema is None and not any(mark in cell for cell in cells for mark in SEPARATORS):
        raise DataError(
            f"{frame.path}: the column {column!r} has one tag a row; part several by {SEPARATORS[0]}, name several "
            "columns of 0 and 1, or leave out --task tag, since one a row is a class"
        )
    return cells


def _rows(frame: Frame, columns: Sequence[str], aim: Aim) -> list[str]:
    """The numbers of several columns in one text a row."""
    wrong: list[tuple[int, str]] = []
    told: list[list[float]] = []
    for column in columns:
        numbers = frame.numbers(column)
        if aim == "tags":
            spelt = frame.text(column).str.to_lowercase().replace(TRUTHS)
            numbers = spelt.cast(pl.Float64, strict=False)
        good = numbers.abs() <= HIGHEST if aim == "numbers" else numbers.is_in([0.0, 1.0])
        wrong += [(row, column) for row in (~good.fill_null(False)).arg_true()]
        told.append(numbers.to_list())
    if wrong:
        what = "no finite number" if aim == "numbers" else "neither 0 nor 1, as each of several columns of tags is"
        frame.refuse(wrong, what, "correct these cells or remove their rows")
    return [UNIT.join(map(repr, row)) for row in zip(*told, strict=True)]
