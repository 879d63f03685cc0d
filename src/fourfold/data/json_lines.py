"""JSON lines as columns: .jsonl and .ndjson, an object of plain values a line.

A key that a line lacks is a missing cell. Rows are lines of the file.
"""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from ..errors import DataError
from .cells import MOST_COLUMNS, Cells, check_names, check_size
from .places import Place
from .text_files import content, encoding_of, lines

SPARSE = 1 << 22  # cells; beyond that, at least an eighth of them has to be there


def read_json_lines(path: Place) -> Cells:
    """The table in a file of JSON lines.

    Raises: DataError naming file and row: what is no JSON, no object, nested or has a key twice.
    """
    data = content(path)
    encoding, remarks = encoding_of(path, data)
    rows: list[int] = []
    records: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    for row, line in enumerate(lines(path, data, encoding), 1):
        if line.strip():
            rows.append(row)
            records.append(_record(f"{path}, row {row}", line))
            names.update(dict.fromkeys(records[-1]))
            if len(names) > MOST_COLUMNS:
                check_size(path, len(names), len(rows))
    if not records:
        raise DataError(f"{path}: no rows; an object a line is expected")
    check_names(str(path), list(names))
    check_size(path, len(names), len(rows))
    cells, present = len(names) * len(rows), sum(map(len, records))
    if cells > SPARSE and cells > 8 * present:
        raise DataError(
            f"{path}: {len(names):,} keys in all, and a row has {present / len(rows):.0f}; give all rows the same keys"
        )
    return Cells(rows, {name: _column(name, [record.get(name) for record in records]) for name in names}, remarks)


def _record(where: str, line: str) -> dict[str, Any]:
    """The object in a line. Raises: DataError unless it holds plain values under different keys."""
    try:
        record = json.loads(line, object_pairs_hook=_once)
        if "\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()  # half a pair of UTF-16 may be escaped, and is no text
    except RecursionError:
        raise DataError(f"{where}: nested too deep; an object of plain values a line is expected") from None
    except ValueError as error:
        raise DataError(f"{where}: no JSON ({error}); an object a line is expected") from None
    if not isinstance(record, dict):
        raise DataError(f'{where}: no object; a line such as {{"a": 1, "b": "x"}} is expected')
    for key, value in record.items():
        if isinstance(value, dict | list):
            raise DataError(f"{where}, column {key!r}: a nested value; give each part a key of its own")
    return record


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Raises: ValueError if it has a key twice."""
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return record


def _column(name: str, values: Sequence[Any]) -> pl.Series:
    """A column as numbers if all values are that and lose no digit, else as text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if float in kinds <= {int, float} and all(type(value) is not int or abs(value) <= 2**53 for value in values):
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    return pl.Series(name, [_spelt(value) for value in values], dtype=pl.String)


def _spelt(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).strip()
