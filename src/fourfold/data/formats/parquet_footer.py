"""What a Parquet file promises, judged before anything that unpacks it sees it.

The footer and the heads of pages are structs in Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md); their
fields are numbered as in parquet.thrift of https://github.com/apache/parquet-format. Polars
does not tell how large the columns become.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any

from ...errors import DataError
from .cells import check_size
from .places import LARGEST, Place
from .zips import RATIO, SMALL

MAGIC = b"PAR1"
FOOTER = 1 << 24  # bytes; each column of each group of rows takes 100 to 200
PAGES = 1 << 18  # usual ones hold 1 MB
MANY = 1 << 24  # cells; fewer are let through however well they are packed
DEPTH = 16
REPEATED = 2
EXTENSION = re.compile(rb"(?:([\x20-\x7e]+)\0+\x14\0\0\0)?ARROW:extension:name")  # flatbuffers: the value, then the key

Struct = dict[int, Any]  # fields by number


def judge(path: Place, data: bytes) -> None:
    """Raises: DataError if a Parquet file is damaged, a bomb, encrypted, nested, or of types that extend Arrow's.

    Those are refused whoever made them: loading one may run code (CVE-2023-47248), and only
    its maker knows what its cells mean.
    """
    try:
        length = int.from_bytes(data[-8:-4], "little")
        start = len(data) - 8 - length
        if data[:4] != MAGIC or data[-4:] != MAGIC or start < 4:
            raise ValueError("it does not begin and end as one")
        if length > FOOTER:
            raise DataError(
                f"{path}: its footer has {length:,} bytes, more than {FOOTER:,}; make groups of rows larger"
            )
        view = memoryview(data)
        _judge_footer(path, Compact(view[:-8], start).struct(), len(data))
        _judge_pages(path, view[:start], Compact(view[:-8], start).struct()[4])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no Parquet file, or a damaged one ({error})") from None


def _judge_footer(path: Place, footer: Struct, size: int) -> None:
    schema, rows, groups = footer[2], footer[3], footer.get(4, [])
    for element in schema[1:]:
        if element.get(5) or element.get(3) == REPEATED:
            name = element[4].decode(errors="replace")
            raise DataError(f"{path}: column {name!r} is nested; give each of its parts a column of its own")
    counts = [group[3] for group in groups]
    if min([rows, *counts]) < 0 or sum(counts) != rows or any(len(group[1]) != len(schema) - 1 for group in groups):
        raise ValueError("its groups of rows do not add up")
    check_size(path, len(schema) - 1, rows)
    cells = rows * (len(schema) - 1)
    if cells > MANY and cells > RATIO * size:
        raise DataError(f"{path}: {size:,} bytes that promise {cells:,} cells; if you trust it, save it as CSV")
    if 8 in footer or any(8 in chunk or 1 in chunk for group in groups for chunk in group[1]):
        raise DataError(f"{path}: encrypted, or spread over several files; save it as one that is open")
    for pair in footer.get(5, []):
        value = pair.get(2, b"")
        found = EXTENSION.search(value if pair[1] != b"ARROW:schema" else base64.b64decode(value))
        if found:
            name = (found[1] or b"without a name").decode()
            raise DataError(f"{path}: has a column of the extension type {name}; save it as numbers or text")


def _judge_pages(path: Place, data: memoryview, groups: list[Struct]) -> None:
    """Raises: DataError if the pages of all columns unpack to too much; ValueError if they are none."""
    unpacked = pages = 0
    for group in groups:
        for chunk in group[1]:
            about = chunk[3]
            at = min(about[field] for field in (9, 11) if about.get(field))  # the first of data or of a dictionary
            end, values = at + about[7], 0
            while at < end and values < about[5]:
                head = Compact(data, at)
                page = head.struct()
                at = head.at + page[3]
                told = page.get(5) or page.get(8) or {}
                values += told.get(1, 0)
                entries = page.get(7, {}).get(1, 0)
                unpacked += page[2]
                pages += 1
                if min(page[2], page[3], told.get(1, 0), entries) < 0 or values > group[3] or entries > page[2]:
                    raise ValueError("a page that cannot be")
                if unpacked > LARGEST or (unpacked > SMALL and unpacked > RATIO * len(data)) or pages > PAGES:
                    raise DataError(
                        f"{path}: {len(data):,} bytes that unpack to more than {unpacked:,}, in {pages:,} pages; "
                        "if you trust it, save it in several files"
                    )


@dataclass
class Compact:
    """Values in the compact protocol, from the place `at` on. Reading raises ValueError or LookupError at damage."""

    data: memoryview
    at: int

    def struct(self, depth: int = 0) -> Struct:
        """A struct's fields by their numbers."""
        if depth > DEPTH:
            raise ValueError("nested too deep")
        fields: Struct = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            fields[number] = head & 15 == 1 if head & 15 in (1, 2) else self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._number())
        if kind in (9, 10):
            head = self._byte()
            count = self._number() if head >> 4 == 15 else head >> 4
            return [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError(f"a value of kind {kind}")  # 11, a map, is nowhere in Parquet

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if self.at > len(self.data):
            raise ValueError("it ends too early")
        return bytes(self.data[start : self.at])

    def _number(self) -> int:
        """An unsigned number: seven bits a byte, the lowest first."""
        number = 0
        for shift in range(0, 64, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number without an end")

    def _signed(self) -> int:
        number = self._number()
        return (number >> 1) ^ -(number & 1)
