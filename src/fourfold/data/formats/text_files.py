"""Text as it lies in files, and how problems in it are listed."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence

from ...errors import DataError
from ..finding import Finding
from .places import Place, read_bytes, size_of
from .zips import RATIO, SMALL

SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
LARGEST = 1 << 30  # bytes that a packed file may unpack to
LONGEST = 1 << 24  # characters of a line, or of a cell
FALLBACK = "cp1252"  # Windows-1252, what spreadsheets in the west wrote before UTF-8


def read_text(path: Place) -> str:
    """The text of a file, UTF-8 with or without a byte order mark, unpacked if it ends in .gz.

    Raises: DataError if it cannot be read, is damaged, unpacks to more than `unpack` allows or is not UTF-8.
    """
    try:
        return content(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, row {_row(error)}: not UTF-8 text ({error.reason}); save it as UTF-8") from None


def content(path: Place) -> bytes:
    """The bytes of a file, unpacked if it ends in .gz. Raises: DataError, as `read_text` does."""
    try:
        return unpack(path) if path.suffix.lower() == ".gz" else read_bytes(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def unpack(path: Place) -> bytes:
    """The content of a .gz file.

    Raises: OSError if it cannot be read, is damaged or is a bomb: more than LARGEST bytes,
    or more than SMALL ones and RATIO times the file's size.
    """
    size = size_of(path)
    most = min(LARGEST, max(SMALL, RATIO * size))
    try:
        with path.open("rb") as packed, gzip.GzipFile(fileobj=packed) as stream:
            data = stream.read(most + 1)
    except (EOFError, zlib.error) as error:
        raise OSError(str(error)) from None
    if len(data) > most:
        raise OSError(f"{size:,} bytes, and it unpacks to more than {most:,}")
    return data


def encoding_of(path: Place, data: bytes) -> tuple[str, tuple[Finding, ...]]:
    """The encoding of a text, and a note if it is the fallback.

    UTF-16 by its byte order mark, else UTF-8 with or without one, else Windows-1252.
    Raises: DataError if it is none of them, or holds NUL characters and so is no text.
    """
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if marked else "utf-8-sig"
    remarks: tuple[Finding, ...] = ()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        try:
            text = data.decode(FALLBACK if not marked else encoding)
        except UnicodeDecodeError:
            what = "UTF-16" if marked else "UTF-8, nor Windows-1252"
            raise DataError(f"{path}, row {_row(error)}: not {what}; save it as UTF-8") from None
        encoding = FALLBACK
        what, mend = "files that are not UTF-8 and were read as Windows-1252", "save as UTF-8 if letters look wrong"
        remarks = (Finding("note", "encoding", what, 1, (f"{path}, row {_row(error)}",), mend),)
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}, row {row}: a NUL character, so this is no text in UTF-8; save it as UTF-8")
    return encoding, remarks


def lines(path: Place, data: bytes, encoding: str) -> Iterator[str]:
    """The lines of a text, with their ends. Raises: DataError at one that is longer than LONGEST."""
    stream = io.TextIOWrapper(io.BytesIO(data), encoding, newline="")
    row = 1
    while line := stream.readline(LONGEST + 1):
        if len(line) > LONGEST:
            raise DataError(f"{path}, row {row}: a line of more than {LONGEST:,} characters; is this a table?")
        yield line
        row += 1


def listing(problems: Sequence[str], most: int = 5, total: int = 0) -> str:
    """The first problems, and the number of the others; `total`: how many, if not all are given."""
    rest = max(len(problems), total) - most
    return "; ".join([*problems[:most], *([f"and {rest} more"] if rest > 0 else [])])


def _row(error: UnicodeDecodeError) -> int:
    """The line, from 1, in which a text cannot be decoded."""
    return error.object.count(b"\n", 0, error.start) + 1
