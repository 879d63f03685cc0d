"""Times as tables spell them."""

import re
from typing import TYPE_CHECKING

import polars as pl

from ...errors import DataError

if TYPE_CHECKING:  # frames ask here whether a table is a series
    from .frames import Frame

WORDS = frozenset({"date", "time", "datetime", "timestamp", "year", "month", "week", "day"})

DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")
CLOCKS = ("", " %H:%M", " %H:%M:%S%.f")
FORMATS = ("%Y-%m", *(day + clock for clock in CLOCKS for day in DAYS))
ZONED = "%Y-%m-%d %H:%M:%S%.f%#z"
COMPACT = r"^[12]\d{3}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"  # 19580329; 1700 is a year, and 86400 a number of seconds


def names_time(column: str) -> bool:
    """Whether a column is called as times are: Date, YEAR, date_time, but not update or day trip."""
    return WORDS.issuperset(re.split(r"[\W_]+", column.lower()))


def times(frame: "Frame", column: str) -> pl.Series:
    """A column as times: datetimes (of microseconds, in UTC where zones are told), or numbers as they are.

    Dates are known as 2024-03-29, 2024/3/29, 29.3.2024, 2024-03, 20240329 and, where the
    cells tell the day from the month, 29/3/2024 or 3/29/2024; a time of day may follow.
    Raises: DataError naming the rows that are missing, that are no times or that could be two.
    """
    cells = frame.text(column)
    missing = frame.missing(column)
    if missing.any():
        frame.refuse([(row, column) for row in missing.arg_true()], "no time")
    found = _compact(cells)
    if found is None and not frame.is_text(column):
        found = frame.numbers(column)
        found = found.set(~found.is_finite().fill_null(False), None)
    if found is None:
        found = _spelt(f"{frame.path}, column {column!r}", cells)
    if found.null_count():
        frame.refuse([(row, column) for row in found.is_null().arg_true()], "no time, such as 2024-03-29 12:00")
    return found


def _compact(cells: pl.Series) -> pl.Series | None:
    """Dates without marks between their parts, if most cells are such."""
    if 2 * cells.str.contains(COMPACT).sum() <= len(cells):
        return None
    return cells.str.to_datetime("%Y%m%d", strict=False, time_unit="us")


def _spelt(where: str, cells: pl.Series) -> pl.Series:
    """Cells by the format that most of them have, null where they have another one."""
    cells = cells.str.replace(r"^(\d{4}-\d\d?-\d\d?)[Tt]", "${1} ").str.replace(r"[Zz]$", "+00:00")
    cells = cells.set(~cells.str.contains(r"\d{4}"), "")  # polars takes 24 for the year 24
    zoned = cells.str.to_datetime(ZONED, strict=False, time_unit="us", time_zone="UTC").dt.replace_time_zone(None)
    found = {ZONED: zoned, **{each: cells.str.to_datetime(each, strict=False, time_unit="us") for each in FORMATS}}
    best = min(found, key=lambda each: found[each].null_count())
    twin = best.replace("%d/%m", "%m/%d")
    if twin != best and found[twin].null_count() == found[best].null_count() and (found[twin] != found[best]).any():
        raise DataError(f"{where}: days before months, or months before days? Write dates as 2024-03-29")
    return found[best]
