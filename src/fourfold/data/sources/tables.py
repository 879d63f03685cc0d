"""Tables: .csv and .tsv, packed (.gz) or not, with a header row.

    people.csv                          or a folder with just this table
    folder/train.csv, test.csv          and validation.csv, if there is one

Columns of numbers are x. The target is the column that is asked for, or else the only
one of text. Rows are counted as lines of the file: the header is row 1.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl
import torch

from ...errors import DataError, nearest
from ..dataset import Content, Examples, Request
from ..schema import Schema
from . import SPLITS, check_kind, classify, entries, known_classes, listing, read_text

DELIMITERS = {".csv": ",", ".tsv": "\t"}
MISSING = ("", "na", "n/a", "nan", "null", "?")
MOST_CLASSES = 100  # more whole numbers than these are taken for a quantity


@dataclass(frozen=True)
class _Table:
    """A file's cells as text, stripped, by column; `rows` are their lines in the file."""

    path: Path
    rows: list[int]
    cells: dict[str, pl.Series]

    def numbers(self, column: str) -> pl.Series:
        """A column as float64, null where a cell is no number."""
        return self.cells[column].cast(pl.Float64, strict=False)

    def is_text(self, column: str) -> bool:
        """Whether most cells that are not missing are no numbers; a few such cells are slips."""
        words = self.cells[column].filter(~_missing(self.cells[column]))
        return 2 * words.cast(pl.Float64, strict=False).null_count() > len(words)


@dataclass(frozen=True)
class _Plan:
    """Which columns are x, in order, which is the target and which tells the group."""

    columns: tuple[str, ...]
    target: str | None
    group: str | None = None


def matches(path: Path) -> bool:
    """Whether this is a .csv or .tsv file, or a folder with one."""
    return any(map(_delimiter, entries(path) if path.is_dir() else [path]))


def read(path: Path, request: Request) -> Content:
    """The table at `path`, or a folder's, with splits if it holds train and test.

    Raises: DataError naming file and row: cells that are missing or no numbers, ragged
    rows, columns that are repeated, missing or of text, a target that is no class.
    """
    check_kind(path, "table", request)
    tables = {split: _load(file) for split, file in _files(path).items()}
    train = tables["train"]
    plan = _by_schema(train, request.schema, request.target) if request.schema else _by_content(train, request)
    labels = {split: _labels(table, plan.target) for split, table in tables.items()}
    classes = known_classes(labels["train"], request)
    splits = {split: _examples(table, plan, labels[split], classes) for split, table in tables.items()}
    return Content("table", splits, classes, plan.columns, plan.target)


# Files


def _delimiter(path: Path) -> str | None:
    return DELIMITERS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def _files(path: Path) -> dict[str, Path]:
    """The file of each split."""
    if not path.is_dir():
        return {"train": path}
    files = [file for file in entries(path) if _delimiter(file)]
    if len(files) == 1:
        return {"train": files[0]}
    splits: dict[str, Path] = {}
    for file in files:
        split = SPLITS.get(file.name.lower().split(".")[0])
        if split is None or split in splits:
            raise DataError(f"{file}: a folder holds one table, or train, test and validation; name one of them")
        splits[split] = file
    if "train" not in splits:
        raise DataError(f"{path}: holds {', '.join(file.name for file in files) or 'no table'}, but no train.csv")
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


def _load(path: Path) -> _Table:
    text = io.StringIO(read_text(path), newline="")
    reader = csv.reader(text, delimiter=_delimiter(path) or ",", strict=True)
    rows: list[int] = []
    records: list[list[str]] = []
    start = 1  # a record with quoted newlines is named by its first line
    try:
        for record in reader:
            if record:
                rows.append(start)
                records.append(record)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num}: {error}; is a quote open?") from None
    if len(records) < 2:
        raise DataError(f"{path}: a header and at least one row are needed, and there are {len(records)} rows")
    header = _header(path, records[0])
    ragged = [
        f"row {row} ({len(record)} columns)"
        for row, record in zip(rows, records, strict=True)
        if len(record) != len(header)
    ]
    if ragged:
        raise DataError(f"{path}, {listing(ragged)}, where the header has {len(header)}; is the delimiter right?")
    columns = dict(zip(header, zip(*records[1:], strict=True), strict=True))
    cells = {name: pl.Series(name, column, pl.String).str.strip_chars() for name, column in columns.items()}
    return _Table(path, rows[1:], cells)


def _header(path: Path, record: list[str]) -> list[str]:
    """The columns' names. Raises: DataError unless each has one of its own."""
    names = [name.strip() for name in record]
    numbers = pl.Series(names, dtype=pl.String).cast(pl.Float64, strict=False)
    if numbers.null_count() == 0 or (numbers != numbers.round()).any():  # 2019 may be a name, 5.1 is none
        raise DataError(f"{path}, row 1: numbers, so the header is missing; add a row with the columns' names")
    if "" in names:
        raise DataError(
            f"{path}, row 1: column {names.index('') + 1} has no name; name it, or remove it if it counts rows"
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{path}, row 1: repeated column names: {listing(repeated)}; rename or remove them")
    if len(names) == 1 and ";" in names[0]:
        raise DataError(f"{path}, row 1: columns parted by ';'; save them parted by commas, with decimal points")
    return names


# Columns


def _by_schema(table: _Table, schema: Schema, asked: str | None) -> _Plan:
    target = schema.target or asked
    target = target if target in table.cells else None
    columns = schema.columns or tuple(column for column in table.cells if column != target)
    if len(columns) != schema.shape[0]:
        raise DataError(f"{table.path}: {len(columns)} columns where the model takes {schema.shape[0]}")
    return _Plan(columns, target)


def _by_content(table: _Table, request: Request) -> _Plan:
    asked = [column for column in (request.target, request.group) if column is not None]
    for column in asked:
        if column not in table.cells:
            raise DataError(f"{table.path}: no column {column!r}; {nearest(column, table.cells)}")
    texts = [column for column in table.cells if column not in asked and table.is_text(column)]
    target = texts.pop() if request.target is None and len(texts) == 1 else request.target
    if texts:
        mend = "remove or encode them" if target else "name the target with --target, remove or encode the others"
        raise DataError(f"{table.path}: columns of text: {listing(texts, 20)}; {mend}")
    columns = tuple(column for column in table.cells if column not in (target, request.group))
    if not columns:
        group = f" and the group {request.group!r}" if request.group else ""
        raise DataError(f"{table.path}: no column beside the target {target!r}{group}")
    return _Plan(columns, target, request.group)


# Cells


def _missing(cells: pl.Series) -> pl.Series:
    return cells.str.to_lowercase().is_in(MISSING)


def _refuse(table: _Table, places: Sequence[tuple[int, str]], what: str) -> NoReturn:
    """Raises: DataError with the first places (row, column) and the cells that stand there."""
    first = sorted(places)[:5]
    spots = [f"row {table.rows[row]}, column {column!r} ({table.cells[column][row]!r})" for row, column in first]
    raise DataError(f"{table.path}, {listing(spots, total=len(places))}: {what}; fill these cells or remove their rows")


def _examples(table: _Table, plan: _Plan, labels: list[str] | None, classes: tuple[str, ...] | None) -> Examples:
    names = [f"{table.path}, row {row}" for row in table.rows]
    return Examples(
        x=torch.from_numpy(_values(table, plan.columns)),
        names=names,
        y=classify(labels, classes, names),
        groups=table.cells[plan.group].to_list() if plan.group in table.cells else None,
    )


def _values(table: _Table, columns: tuple[str, ...]) -> np.ndarray:
    """The columns as float32 (n, columns)."""
    lacking = [column for column in columns if column not in table.cells]
    if lacking:
        raise DataError(
            f"{table.path}: lacks the columns {listing(lacking)}; it holds {listing(list(table.cells), 20)}"
        )
    x = np.empty((len(table.rows), len(columns)), dtype=np.float32)
    places: list[tuple[int, str]] = []
    for place, column in enumerate(columns):
        with np.errstate(over="ignore"):
            x[:, place] = table.numbers(column).fill_null(float("nan")).to_numpy()
        places += [(row, column) for row in np.flatnonzero(~np.isfinite(x[:, place])).tolist()]
    if places:
        _refuse(table, places, "not a finite number")
    return x


def _labels(table: _Table, target: str | None) -> list[str] | None:
    """The target as text; None if the table does not hold it."""
    if target is None or target not in table.cells:
        return None
    cells, numbers = table.cells[target], table.numbers(target)
    unusable = _missing(cells) | ~numbers.is_finite().fill_null(True)
    if unusable.any():
        _refuse(table, [(row, target) for row in unusable.arg_true()], "no class")
    if numbers.null_count():
        return cells.to_list()
    whole = ((numbers == numbers.floor()) & (numbers.abs() < 2**53)).all()
    if not whole or numbers.n_unique() > MOST_CLASSES:
        raise DataError(
            f"{table.path}: the target {target!r} is a quantity ({numbers.n_unique()} different numbers); "
            f"a class is text, or one of at most {MOST_CLASSES} whole numbers"
        )
    return [str(int(number)) for number in numbers]
