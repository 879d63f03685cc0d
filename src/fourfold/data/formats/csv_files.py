"""CSV and its kin as columns: a header row, then a row a record.

Python's own reader cuts the text into records, since polars' fills short rows silently and
loses the numbers of lines. Rows are counted as lines of the file; the header is row 1.

What spreadsheets of other countries and old tools write is put right where it can be read
in one way only, and told as a remark; all else is refused by row.
"""

import csv
import functools
import itertools
import operator
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from ...errors import DataError
from ..finding import Finding
from .cells import Cells, check_names, check_size, missing
from .places import Place
from .text_files import LONGEST, content, encoding_of, lines, listing

RECORDS = 1 << 9  # that are Python's at one time; from 700 on its collector takes most of the time
CELLS = 1 << 20  # likewise; polars' take a fifth of the memory
FEW = 5  # bad rows that a message names

WITH_COMMA = r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$"
WITH_POINT = r"^[+-]?\d*\.\d+([eE][+-]?\d+)?$"
NO_THOUSANDS = r"^[+-]?(0?|\d{4,}),\d|,(\d{1,2}|\d{4,})$|,\d+[eE]"  # 1,234 may be thousands, 0,234 and 1,23 are not

Record = tuple[int, list[str]]  # its first line in the file, and its cells


def read_csv(path: Place, delimiter: str) -> Cells:
    """The table in a delimited file.

    delimiter: what its name promises; under ',' the header may show another one.
    Raises: DataError naming file and row: ragged rows, columns that are repeated or nameless, no header.
    """
    data = content(path)
    encoding, remarks = encoding_of(path, data)
    found = _delimiter(path, data, encoding) if delimiter == "," else delimiter
    limit = csv.field_size_limit(LONGEST)
    try:
        cells = _table(path, _records(path, lines(path, data, encoding), found), remarks)
    finally:
        csv.field_size_limit(limit)
    if found == ",":
        return cells
    if found != delimiter:
        what, mend = f"files whose columns are parted by {found!r}", "save them parted by commas"
        remark = Finding("note", "delimiter", what, 1, (str(path),), mend)
        cells = replace(cells, remarks=(*cells.remarks, remark))
    return _with_points(path, cells)


def _delimiter(path: Place, data: bytes, encoding: str) -> str:
    """What parts the columns: a comma, unless the header has none but another delimiter."""
    try:
        _, head = next(_records(path, lines(path, data, encoding), ","), (1, [""]))
    except DataError:  # "a";"b" is no record with commas
        first = next(iter(lines(path, data, encoding)), "")
        return next((other for other in ";\t" if f'"{other}' in first), ",")
    return next((other for other in ";\t" if len(head) == 1 and other in head[0]), ",")


# Records


def _records(path: Place, text: Iterator[str], delimiter: str) -> Iterator[Record]:
    """The records that are not blank lines. Raises: DataError naming the row where one begins that has no end."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    start = 1  # a record with quoted newlines is named by its first line
    try:
        for record in reader:
            if record:
                yield start, record
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, row {start}: {error}; is a quote open?") from None


def _table(path: Place, records: Iterator[Record], remarks: tuple[Finding, ...]) -> Cells:
    first, second = next(records, None), next(records, None)
    if first is None or second is None:
        raise DataError(
            f"{path}: a header and at least one row are needed, and there are {int(first is not None)} rows"
        )
    check_size(path, max(len(first[1]), len(second[1])), 1)
    top = [name.strip() for name in first[1]]
    counts = _counts(top)
    width = counts[1] + 1 if counts and counts[1] + 1 == len(second[1]) else len(top)
    rows, columns = _gather(path, itertools.chain([second], records), width)
    if counts and counts == (len(rows), width - 1) and _are_places(columns[-1], len(top) - 2):
        return _counted(path, top, rows, columns, remarks)
    _check_header(path, top, columns)
    kept = next((place for place in range(width, 1, -1) if top[place - 1] or (columns[place - 1] != "").any()), 1)
    if kept < width:
        what, mend = "nameless columns at the end that are empty and were left out", "remove the delimiters there"
        remarks = (*remarks, Finding("note", "empty-columns", what, width - kept, (str(path),), mend))
    check_names(f"{path}, row 1", top[:kept])
    named = dict(zip(top[:kept], columns[:kept], strict=True))
    _check_repeats(path, rows, named)
    return Cells(rows, named, remarks)


def _gather(path: Place, records: Iterator[Record], width: int) -> tuple[Sequence[int], list[pl.Series]]:
    """Rows and columns of records. Raises: DataError naming those that are not `width` long."""
    rows = array("q")  # an eighth of what Python's own numbers take
    ragged: list[str] = []
    wrong = 0
    parts: list[pl.DataFrame] = []
    batch: list[list[str]] = []
    for row, record in records:
        if len(record) != width:
            wrong += 1
            ragged += [f"row {row} ({len(record)} columns)"] if wrong <= FEW else []
            continue
        rows.append(row)
        batch.append(record)
        if len(batch) == RECORDS or len(batch) * width >= CELLS:
            parts.append(_columns(batch))
            batch = []
            check_size(path, width, len(rows))
    if ragged:
        raise DataError(f"{path}, {listing(ragged, FEW, wrong)}, where the header has {width}; is the delimiter right?")
    return rows, pl.concat([*parts, _columns(batch)] if batch else parts, rechunk=True).get_columns()


def _columns(records: Sequence[Sequence[str]]) -> pl.DataFrame:
    columns = zip(*records, strict=True)
    frame = pl.DataFrame([pl.Series(f"{place}", cells, dtype=pl.String) for place, cells in enumerate(columns)])
    return frame.select(pl.all().str.strip_chars())


# The first row


def _check_header(path: Place, top: Sequence[str], columns: Sequence[pl.Series]) -> None:
    """Raises: DataError if the first row is not of names. 2019 may be one; 5.1 is none, nor is 3 beside a class."""
    if len(top) != len(columns):
        raise DataError(
            f"{path}, row 1: tells {top[0]} rows of {top[1]} columns, and that is not what follows; "
            "replace it by a row with the columns' names"
        )
    numbers = pl.Series(top, dtype=pl.String).cast(pl.Float64, strict=False)
    bare = numbers.null_count() == 0 or (numbers != numbers.round()).any()
    if numbers.null_count() < len(numbers):
        bare |= any(
            (cells == name).any()
            for name, cells, word in zip(top, columns, numbers.is_null(), strict=True)
            if word and name
        )
    if bare:
        raise DataError(f"{path}, row 1: numbers, so the header is missing; add a row with the columns' names")


def _check_repeats(path: Place, rows: Sequence[int], columns: dict[str, pl.Series]) -> None:
    """Raises: DataError naming rows that say the header again, as in files that were put together."""
    again = functools.reduce(operator.and_, (cells == name for name, cells in columns.items()))
    if again.any():
        places = [f"row {rows[place]}" for place in again.arg_true()]
        raise DataError(f"{path}, {listing(places)}: the header once more; remove these rows")


def _counts(top: Sequence[str]) -> tuple[int, int] | None:
    """The rows and columns that a count line tells: `569,30,malignant,benign`; None if it is none."""
    if len(top) < 3 or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in top[:2]):
        return None
    names = top[2:]
    return (int(top[0]), int(top[1])) if all(names) and len(set(names)) == len(names) else None


def _are_places(cells: pl.Series, names: int) -> bool:
    """Whether cells are whole numbers that stand for `names` names, from 0."""
    return bool(cells.str.contains(r"^\d{1,9}$").all() and (cells.cast(pl.Int64, strict=False) < names).all())


def _counted(
    path: Place, top: Sequence[str], rows: Sequence[int], columns: list[pl.Series], remarks: tuple[Finding, ...]
) -> Cells:
    """A table under a count line, as scikit-learn keeps its old ones: the last column is a place in the names."""
    named = {f"column {place}": cells for place, cells in enumerate(columns[:-1], 1)}
    named["class"] = columns[-1].cast(pl.Int64).replace_strict(range(len(top) - 2), top[2:], return_dtype=pl.String)
    remark = Finding(
        severity="note",
        name="count-line",
        what="files that begin with the number of their rows and columns and the names of their classes",
        count=1,
        examples=(f"{path}, row 1: {','.join(top)}",),
        mend="name the columns in a header row",
    )
    return Cells(rows, named, (*remarks, remark))


# Decimal commas


def _with_points(path: Place, cells: Cells) -> Cells:
    """A table that is not parted by commas, with points for its decimal commas.

    Raises: DataError if columns differ in what they have, or if the commas may as well part thousands.
    """
    turned = {name: column.str.replace(WITH_COMMA, "${1}.${2}") for name, column in cells.columns.items()}
    commas = [name for name, new in turned.items() if (new != cells.columns[name]).any() and _are_numbers(new)]
    if not commas:
        return cells
    points = [
        name for name, column in cells.columns.items() if column.str.contains(WITH_POINT).any() and _are_numbers(column)
    ]
    if points:
        raise DataError(
            f"{path}: decimal commas in column {commas[0]!r}, points in {points[0]!r}; write all numbers in one way"
        )
    if not any(cells.columns[name].str.contains(NO_THOUSANDS).any() for name in commas):
        raise DataError(f"{path}: column {commas[0]!r}: commas before decimals or thousands? Write decimal points")
    what, mend = "columns with decimal commas, which were read as points", "write decimal points if that is wrong"
    remark = Finding("note", "decimal-commas", what, len(commas), tuple(commas[:FEW]), mend)
    return replace(
        cells, columns={**cells.columns, **{name: turned[name] for name in commas}}, remarks=(*cells.remarks, remark)
    )


def _are_numbers(cells: pl.Series) -> bool:
    """Whether most cells that are not missing are numbers."""
    words = cells.filter(~missing(cells))
    return 2 * words.cast(pl.Float64, strict=False).null_count() <= len(words)
