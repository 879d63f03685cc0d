"""JSON lines as columns: .jsonl and .ndjson, an object of plain values a line.

A key that a line lacks is a missing cell. Rows are lines of the file.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from ...errors import DataError
from .cells import Cells, check_names, check_size
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
            if not records[-1].keys() <= names.keys():
                names.update(dict.fromkeys(records[-1]))
                check_size(path, len(names), 1)
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
        record = DECODER.decode(line)
        if "\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()  # half a pair of UTF-16 may be escaped, and is no text
    except RecursionError:
        raise DataError(f"{where}: nested too deep; an object of plain values a line is expected") from None
    except ValueError as error:
        raise DataError(f"{where}: no JSON ({error}); an object a line is expected") from None
    if not isinstance(record, dict):
        raise DataError(f'{where}: no object; a line such as {{"a": 1, "b": "x"}} is expected')
    nested = next((key for key, value in record.items() if type(value) in (dict, list)), None)
    if nested is not None:
        raise DataError(f"{where}, column {nested!r}: a nested value; give each part a key of its own")
    return record


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Raises: ValueError if it has a key twice."""
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r} is there twice")
    return record


DECODER = json.JSONDecoder(object_pairs_hook=_once)


def _column(name: str, values: Sequence[Any]) -> pl.Series:
    """A column as numbers if all values are that and lose no digit, else as text."""
    kinds = set(map(type, values)) - {type(None)}
    whole = [value for value in values if type(value) is int] if int in kinds else []
    largest = max(map(abs, whole), default=0)
    if kinds == {int} and largest < 2**63:
        return pl.Series(name, values, dtype=pl.Int64)
    if float in kinds <= {int, float} and largest <= 2**53:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    return pl.Series(name, [_spelt(value) for value in values], dtype=pl.String)


def _spelt(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).strip()
