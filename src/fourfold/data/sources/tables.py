"""Tables whose columns are the example: numbers and categories, and a class if there is one.

    people.csv                          or a folder with just this table; .tsv, .jsonl, .parquet
    folder/train.csv, test.csv          and validation.csv, if there is one

The target is the column that is asked for; or else the only one that is called as classes
are (class, label, target, diagnosis, species, outcome); or else the only one of text. Of the
others those of numbers are x as they are, and those of text are categories, of which x holds
the places in their levels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import torch

from ...errors import DataError
from ..dataset import Content, Examples, Request
from ..finding import FEW, Finding
from ..formats.frames import CLASSES, MOST_CLASSES, Frame
from ..formats.text_files import listing
from ..schema import Schema
from ..targets import answers, known_names
from . import check_kind

MOST_LEVELS = 100  # of a category, and fewer than half as many as there are rows


@dataclass(frozen=True)
class _Plan:
    """Which columns are x, in order, the levels of those that are categories, and which is the target."""

    columns: tuple[str, ...]
    target: str | None
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remarks: tuple[Finding, ...] = ()


def from_frames(frames: Mapping[str, Frame], request: Request) -> Content:
    """The tables of each split as content.

    Missing values are NaN if `impute` is asked for; whoever fits fills them. Under a schema a
    level that it lacks is -1.
    Raises: DataError naming file and row: cells that are missing or no numbers, columns that
    are missing, of text that repeats too little, or of identifiers; a target that is no class.
    """
    train = frames["train"]
    check_kind(train.path, "table", request)
    if request.aim == "labels":
        what = "--task label learns series, and nothing tells that these rows are steps"
        mend = "name the column of their times with --time, that of the series' names with --id, or say --kind series"
        raise DataError(f"{train.path}: {what}; {mend}")
    plan = _by_schema(train, request.schema, request.reading.target) if request.schema else _by_content(frames, request)
    labels = {split: _labels(frame, plan.target) for split, frame in frames.items()}
    classes = known_names(labels["train"], request)
    splits = {split: _examples(frame, plan, labels[split], classes, request) for split, frame in frames.items()}
    told = [remark for frame in frames.values() for remark in (*frame.remarks, *_unknown(frame, plan))]
    return Content(
        kind="table",
        splits=splits,
        classes=classes,
        columns=plan.columns,
        decided={"target": plan.target},
        levels=plan.levels,
        remarks=(*plan.remarks, *told),
    )


# Columns


def _by_schema(frame: Frame, schema: Schema, target: str | None) -> _Plan:
    target = target if target in frame.columns else None
    columns = schema.columns or tuple(column for column in frame.columns if column != target)
    if schema.columns is None and len(columns) != schema.shape[0]:
        raise DataError(f"{frame.path}: {len(columns)} columns where the model takes {schema.shape[0]}")
    _require(frame, columns)
    return _Plan(columns, target, schema.levels)


def _by_content(frames: Mapping[str, Frame], request: Request) -> _Plan:
    train = frames["train"]
    target = request.reading.target
    train.require(*request.fields, *([target] if target else []))
    others = [column for column in train.columns if column not in request.fields]
    texts = [column for column in others if train.is_text(column)]
    target = target or _plain_target(train, others, texts)
    columns = tuple(column for column in others if column != target)
    texts = [column for column in texts if column != target]
    if not columns:
        beside = f" and {', '.join(request.fields)}" if request.fields else ""
        raise DataError(f"{train.path}: no column beside the target {target!r}{beside}")
    for column in columns:
        if column not in texts and train.is_identifier(column):
            mend = "remove it, or name it with --group if the rows of one belong together"
            raise DataError(f"{train.path}: column {column!r} holds identifiers, whole numbers beyond 2**53; {mend}")
    for frame in frames.values():
        _require(frame, columns)
    levels = _levels(frames, texts, target)
    return _Plan(columns, target, levels, () if target else _untargeted(texts))


def _plain_target(frame: Frame, others: Sequence[str], texts: Sequence[str]) -> str | None:
    """The one column that is called as classes are and could hold some, or else the only one of text."""
    named = [column for column in others if column.lower() in CLASSES and (column in texts or _few(frame, column))]
    plain = named or texts
    return plain[0] if len(plain) == 1 else None


def _few(frame: Frame, column: str) -> bool:
    """Whether a column of numbers could be classes: few, and all of them whole."""
    numbers = frame.numbers(column)
    return bool((numbers == numbers.floor()).all()) and numbers.n_unique() <= MOST_CLASSES


def _untargeted(texts: Sequence[str]) -> tuple[Finding, ...]:
    """A note on columns of text of which none is plainly the target."""
    if not texts:
        return ()
    what, mend = "columns of text, all taken for categories and none for the target", "name the class with --target"
    return (Finding("note", "no-target", what, len(texts), tuple(texts[:FEW]), mend),)


def _levels(frames: Mapping[str, Frame], texts: Sequence[str], target: str | None) -> dict[str, tuple[str, ...]]:
    """The levels of each column of text, in alphabetical order, over all splits.

    Raises: DataError naming those that have too many to be categories.
    """
    levels: dict[str, tuple[str, ...]] = {}
    free: list[str] = []
    for column in texts:
        different = frames["train"].text(column).n_unique()
        if different > MOST_LEVELS or 2 * different >= len(frames["train"]):
            free.append(f"{column} ({different:,} different)")
            continue
        cells = [frame.text(column).filter(~frame.missing(column)) for frame in frames.values()]
        levels[column] = tuple(pl.concat(cells).unique().sort())
    if free:
        mend = "remove or encode them" if target else "name the target with --target, remove or encode the others"
        what = f"that repeat too little for categories (at most {MOST_LEVELS} levels, each twice on average)"
        raise DataError(f"{frames['train'].path}: columns of text {what}: {listing(free, 20)}; {mend}")
    return levels


def _require(frame: Frame, columns: Sequence[str]) -> None:
    lacking = [column for column in columns if column not in frame.columns]
    if lacking:
        held = listing(list(frame.columns), 20)
        raise DataError(f"{frame.path}: lacks the columns {listing(lacking)}; it holds {held}")


# Cells


def _examples(
    frame: Frame, plan: _Plan, labels: list[str] | None, classes: tuple[str, ...] | None, request: Request
) -> Examples:
    names = [frame.where(row) for row in range(len(frame))]
    return Examples(
        x=torch.from_numpy(_values(frame, plan, request.reading.impute != "none")),
        names=names,
        y=answers(labels, classes, names, request.aim),
        fields={name: frame.text(name).to_list() for name in request.fields},
    )


def _values(frame: Frame, plan: _Plan, imputed: bool) -> np.ndarray:
    """The columns as float32 (n, columns); NaN only where a cell is missing and something is put there later."""
    x = np.empty((len(frame), len(plan.columns)), dtype=np.float32)
    lacking: list[tuple[int, str]] = []
    wrong: list[tuple[int, str]] = []
    for place, column in enumerate(plan.columns):
        missing = frame.missing(column).to_numpy()
        cells = _places(frame, column, plan.levels[column]) if column in plan.levels else frame.numbers(column)
        with np.errstate(over="ignore"):
            x[:, place] = cells.fill_null(float("nan")).to_numpy()
        x[missing, place] = np.nan
        lacking += [(row, column) for row in np.flatnonzero(missing).tolist()]
        wrong += [(row, column) for row in np.flatnonzero(~np.isfinite(x[:, place]) & ~missing).tolist()]
    if wrong:
        frame.refuse(wrong, "not a finite number")
    if lacking and not imputed:
        frame.refuse(
            lacking, "missing", "fill these cells, remove their rows, or choose what stands there with --impute"
        )
    return x


def _places(frame: Frame, column: str, levels: Sequence[str]) -> pl.Series:
    """The place of each cell in the levels, float64; -1 where it is none of them."""
    return frame.text(column).replace_strict(
        list(levels), list(range(len(levels))), default=-1, return_dtype=pl.Float64
    )


def _unknown(frame: Frame, plan: _Plan) -> list[Finding]:
    """What to tell of levels that the schema lacks."""
    found: list[str] = []
    for column, levels in plan.levels.items():
        cells = frame.text(column)
        odd = ~cells.is_in(list(levels)) & ~frame.missing(column)
        found += [f"{frame.where(row)}, column {column!r} ({cells[row]!r})" for row in odd.arg_true()]
    if not found:
        return []
    what, mend = "categories that the model does not know, taken for none", "check how they are spelt"
    return [Finding("warning", "unknown-levels", what, len(found), tuple(found[:FEW]), mend)]


def _labels(frame: Frame, target: str | None) -> list[str] | None:
    """The target as text; None if the table does not hold it."""
    return None if target is None or target not in frame.columns else frame.labels(target)
