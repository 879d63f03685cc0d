"""Parquet as columns, by polars: numbers stay numbers, all else becomes text.

Nothing is handed to polars that `parquet_footer` has not judged. Row 1 is the first record.
"""

import io

import polars as pl

from ...errors import DataError
from .cells import Cells, check_names
from .parquet_footer import judge
from .places import LARGEST, Place
from .text_files import content

ISO = {pl.Date: "%Y-%m-%d", pl.Datetime: "%Y-%m-%dT%H:%M:%S%.f", pl.Time: "%H:%M:%S%.f"}
INDEX = "__index_level_0__"  # what pandas calls the index of its rows


def read_parquet(path: Place) -> Cells:
    """The table in a Parquet file.

    Dates and times become ISO text (UTC where they have a zone), categories and truth values
    text, decimals numbers.
    Raises: DataError if it is damaged, a bomb, or has columns that are nested or neither text nor numbers.
    """
    data = content(path)
    judge(path, data)
    try:
        types = pl.read_parquet_schema(io.BytesIO(data))
        for name, dtype in types.items():
            _check_type(path, name, dtype)
        check_names(str(path), list(types))
        frame = pl.read_parquet(io.BytesIO(data), use_pyarrow=False)
        columns = {name: _plain(frame[name]) for name in frame.columns}
    except DataError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: a damaged Parquet file ({error})") from None
    texts = [column for column in columns.values() if column.dtype == pl.String]
    if sum(column.str.len_bytes().sum() for column in texts) > LARGEST:
        raise DataError(f"{path}: more than {LARGEST:,} bytes of text; save it in several files")
    if not len(frame):
        raise DataError(f"{path}: no rows")
    stripped = {name: each.str.strip_chars() if each.dtype == pl.String else each for name, each in columns.items()}
    return Cells(range(1, len(frame) + 1), stripped)


def _check_type(path: Place, name: str, dtype: pl.DataType) -> None:
    """Raises: DataError if a column is neither of text nor of numbers."""
    if name == INDEX:
        raise DataError(f"{path}: column {INDEX!r} counts rows for pandas; save it with index=False, or name the index")
    plain = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null, *ISO)
    if not (dtype.is_numeric() or dtype.base_type() in plain):
        raise DataError(f"{path}: column {name!r} is of type {dtype}; save it as numbers or text")


def _plain(column: pl.Series) -> pl.Series:
    """A column as text without nulls, or as numbers."""
    kind = column.dtype.base_type()
    if column.dtype.is_numeric():
        return column.cast(pl.Float64) if kind == pl.Decimal else column
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
        column = column.dt.convert_time_zone("UTC")
    text = column.dt.strftime(ISO[kind]) if kind in ISO else column.cast(pl.String)
    return text.fill_null("")
