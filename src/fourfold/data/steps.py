"""Rows of a table as series: those of one id, in the order of their times, or a row a series."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from ..errors import DataError
from ..settings import Reading
from .finding import FEW, natural
from .formats.frames import Frame
from .formats.places import Place
from .formats.times import names_time, times
from .gaps import ticks, word
from .timeline import fill, runs

HIGHEST = float(np.finfo(np.float32).max)
OR_LABEL = "; a class for every step is learnt by --task label (rnn)"


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are.

    channels: those of numbers, in order. wide: whether these are the steps, and each row a series.
    course: whether all rows are one series, to be cut by time. stepwise: whether the target tells
    a class of each row, and not of its series.
    """

    channels: tuple[str, ...] = ()
    id: str | None = None
    time: str | None = None
    target: str | None = None
    fields: tuple[str, ...] = ()
    wide: bool = False
    course: bool = False
    stepwise: bool = False

    @property
    def told(self) -> tuple[str, ...]:
        """The columns that tell of a series and are no part of it."""
        return tuple(name for name in (self.id, self.time, self.target, *self.fields) if name)


@dataclass(frozen=True)
class Series:
    """One series: float32 (time, channels), and what is told of it.

    labels: the class of each step, where steps have classes. where: names the row of a step. times:
    datetime64[us] or float64, (time,). filled: how many values were missing; spots: where the first of
    them were.
    """

    values: np.ndarray
    name: str
    where: Callable[[int], str]
    label: str | None = None
    labels: Sequence[str] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    times: np.ndarray | None = None
    filled: int = 0
    spots: tuple[str, ...] = ()


def series(frame: Frame, columns: Columns, reading: Reading) -> list[Series]:
    """The series that a table holds, those of ids in the order of the ids, whatever that of the rows.

    Raises: DataError naming file and row: times that are repeated, or unsorted without
    --sort; values that are no numbers, or missing without --impute; a class or a field that
    changes within a series.
    """
    values = _numbers(frame, columns.channels)
    found = _wide(frame, columns, values) if columns.wide else _long(frame, columns, values, reading.sort)
    inside = np.isnan(values)
    if columns.wide:  # beyond its last value a row is only shorter than others
        inside &= np.arange(values.shape[1]) < np.array([len(each.values) for each in found])[:, None]
    if inside.any() and reading.impute == "none":
        places = [(row, columns.channels[place]) for row, place in np.argwhere(inside).tolist()]
        frame.refuse(places, "missing values", "fill these cells, or let --impute do it from their neighbours in time")
    return [_filled(each, columns) for each in found]


def plain_time(frame: Frame, columns: Columns) -> str | None:
    """The first column that is called as times are, and whose cells are times that differ within each series."""
    ids = frame.text(columns.id) if columns.id else pl.repeat("", len(frame), eager=True)
    for column in frame.columns:
        if column in columns.told or not names_time(column):
            continue
        with contextlib.suppress(DataError):
            if pl.DataFrame({"id": ids, "time": times(frame, column)}).is_unique().all():
                return column
    return None


def _long(frame: Frame, columns: Columns, values: np.ndarray, sort: bool) -> list[Series]:
    when = times(frame, columns.time).to_numpy() if columns.time else None
    labels = frame.labels(columns.target) if columns.target else None
    fields = {name: frame.text(name).to_list() for name in columns.fields}
    lines, order = np.array(frame.rows), None if when is None else ticks(when)
    found: list[Series] = []
    whole = None if columns.stepwise else labels
    for name, group in _groups(frame, columns.id):
        rows = group if order is None else _in_order(frame, columns.time or "", group, order[group], sort)
        found.append(
            Series(
                values=values[rows],
                name=name,
                where=_namer(frame.path, lines[rows]),
                label=None if whole is None else _only(frame, rows, f"class of {name}", whole, OR_LABEL),
                labels=None if labels is None or whole else [labels[row] for row in rows],
                fields={column: _only(frame, rows, f"{column} of {name}", cells) for column, cells in fields.items()},
                times=None if when is None else when[rows],
            )
        )
    return found


def _wide(frame: Frame, columns: Columns, values: np.ndarray) -> list[Series]:
    """A series a row, up to its last cell that is not empty."""
    labels = frame.labels(columns.target) if columns.target else None
    fields = {name: frame.text(name).to_list() for name in columns.fields}
    found: list[Series] = []
    for row, cells in enumerate(values):
        known = np.flatnonzero(~np.isnan(cells))
        if not len(known):
            raise DataError(f"{frame.where(row)}: a series without a value; remove the row")
        found.append(
            Series(
                values=cells[: known[-1] + 1, None],
                name=frame.where(row),
                where=_namer(frame.path, np.full(len(cells), frame.rows[row])),
                label=None if labels is None else labels[row],
                fields={name: of[row] for name, of in fields.items()},
            )
        )
    return found


def _groups(frame: Frame, id: str | None) -> Iterator[tuple[str, np.ndarray]]:
    """The rows of each series, int64 (time,) as they stand in the file, and its name."""
    if id is None:
        yield str(frame.path), np.arange(len(frame))
        return
    empty = frame.missing(id)
    if empty.any():
        frame.refuse([(row, id) for row in empty.arg_true()], "no series is named")
    rows = pl.DataFrame({"id": frame.text(id), "row": np.arange(len(frame))}).group_by("id").agg("row")
    groups = dict(zip(rows["id"], rows["row"], strict=True))
    for name in sorted(groups, key=natural):
        yield f"{frame.path}, {id} {name}", np.sort(groups[name].to_numpy())


def _in_order(frame: Frame, column: str, rows: np.ndarray, when: np.ndarray, sort: bool) -> np.ndarray:
    """The rows of a series by time; `when`: the time of each. Raises: DataError unless all can follow each other."""
    order = np.argsort(when, kind="stable") if sort else np.arange(len(rows))
    rows = rows[order]
    steps = np.diff(when[order])
    if (steps > 0).all():
        return rows
    place = int((steps <= 0).argmax())
    before, after = int(rows[place]), int(rows[place + 1])
    cells = frame.text(column)
    if steps[place] == 0:
        what = f"the same {column} as in row {frame.rows[before]}, {cells[after]!r}"
        raise DataError(f"{frame.where(after)}: {what}; keep one of them, or tell series apart with --id")
    what = f"{column} {cells[after]!r} comes after {cells[before]!r} in row {frame.rows[before]}"
    raise DataError(f"{frame.where(after)}: {what}; sort the rows, or let --sort do it")


def _only(frame: Frame, rows: np.ndarray, what: str, cells: list[str], mend: str = "") -> str:
    """The one value that all rows of a series have. Raises: DataError naming the first row with another."""
    first = cells[int(rows[0])]
    odd = next((int(row) for row in rows if cells[row] != first), None)
    if odd is not None:
        told = f"{what} is {cells[odd]!r}, but {first!r} in row {frame.rows[rows[0]]}"
        raise DataError(f"{frame.where(odd)}: {told}; a series has one, or is several series with an id each{mend}")
    return first


def _namer(path: Place, lines: np.ndarray) -> Callable[[int], str]:
    """What names the row of each step, as `Frame.where` does, without holding on to the table."""
    return lambda step: f"{path}, row {lines[step]}"


# Values


def _numbers(frame: Frame, columns: Sequence[str]) -> np.ndarray:
    """Columns as float64 (rows, columns), NaN where a cell is missing. Raises: DataError for what is no number."""
    values = np.empty((len(frame), len(columns)))
    odd: list[tuple[int, str]] = []
    for place, column in enumerate(columns):
        values[:, place] = frame.numbers(column).fill_null(float("nan")).to_numpy()
        good = (abs(values[:, place]) <= HIGHEST) | frame.missing(column).to_numpy()
        odd += [(row, column) for row in np.flatnonzero(~good).tolist()]
    if odd:
        frame.refuse(odd, "not a finite number")
    return values


def _filled(series: Series, columns: Columns) -> Series:
    """The series as float32, each missing value filled from its neighbours (in a course of time from those before)."""
    missing = np.isnan(series.values)
    spots = [
        _spot(series, first, last, "" if columns.wide else f", column {columns.channels[channel]!r}")
        for channel in np.flatnonzero(missing.any(axis=0))
        for first, last in runs(missing[:, channel])
    ]
    if spots:
        fill(series.values, None if series.times is None else ticks(series.times), series.name, columns.course)
    values = series.values.astype(np.float32)
    return replace(series, values=values, filled=int(missing.sum()), spots=tuple(spots[:FEW]))


def _spot(series: Series, first: int, last: int, column: str) -> str:
    """A run of missing values in words."""
    when = "" if series.times is None else f" from {word(series.times[first])} to {word(series.times[last])}"
    count = last - first + 1
    return f"{series.where(first)}{column}: {count} {'value' if count == 1 else 'values'}{when if count > 1 else ''}"
