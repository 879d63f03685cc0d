"""Cells of a table by column, as the formats hand them on, and what holds for all formats."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from ...errors import DataError
from ..finding import Finding
from .places import Place
from .text_files import listing

MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "?")  # in lower case
MOST_COLUMNS = 65_536  # genes have 60,000; beyond that a table is an array
MOST_CELLS = 1 << 27  # 1 GiB of numbers


@dataclass(frozen=True)
class Cells:
    """What a file holds: text, stripped, or numbers where the format tells them apart.

    rows: the number of each row, as messages name it. columns: strings without nulls, or
    numbers of any polars type, null where there is none. remarks: what was put right.
    """

    rows: Sequence[int]
    columns: dict[str, pl.Series]
    remarks: tuple[Finding, ...] = field(default=())


def missing(cells: pl.Series) -> pl.Series:
    """Whether each cell is empty, or a word for that."""
    if cells.dtype == pl.String:
        return cells.str.to_lowercase().is_in(MISSING)
    return cells.is_null() | cells.is_nan() if cells.dtype.is_float() else cells.is_null()


def check_names(where: str, names: Sequence[str]) -> None:
    """Raises: DataError, beginning with `where`, unless each column has a name of its own."""
    if "" in names:
        raise DataError(f"{where}: column {names.index('') + 1} has no name; name it, or remove it if it counts rows")
    if len(set(names)) < len(names):
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        raise DataError(f"{where}: repeated column names: {listing(repeated)}; rename or remove them")


def check_size(path: Place, columns: int, rows: int) -> None:
    """Raises: DataError if these are more cells than are read."""
    if columns > MOST_COLUMNS:
        raise DataError(f"{path}: {columns:,} columns, more than {MOST_COLUMNS:,}; save it as an array (.npy)")
    if columns * rows > MOST_CELLS:
        raise DataError(
            f"{path}: {rows:,} rows of {columns:,} columns, more than {MOST_CELLS:,} cells; save it as an array (.npy)"
        )
