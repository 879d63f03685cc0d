"""Zip archives: a directory that is judged whole, and the content of its members.

Nothing is unpacked to a disk, no name leads out, and nothing grows beyond what the directory
promises. Python's zipfile would read the same archives, but a million members take it 7 s and
520 MB before the first can be judged, and it unpacks without end where a size lies.
Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import os
import re
import stat
import struct
import threading
import weakref
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

import numpy as np

from ...errors import DataError

MEMBERS = 2_000_000
DIRECTORY = 1 << 28  # bytes
TOTAL = 1 << 37  # bytes that an archive may unpack to: 128 GiB
RATIO = 200  # unpacked over packed; pictures have 1, text 10, and deflate cannot go beyond 1,032
SMALL = 1 << 26  # bytes; what unpacks to less harms nobody, whatever its ratio
NAME, DEPTH = 1024, 32  # bytes and folders of a name; each folder above a file costs a name of its own

END = Struct("<4s4H2LH")  # the record at an archive's end; then a comment
END_64 = Struct("<4sQ2H2L4Q")  # the same for large archives, before it
LOCATOR_64 = Struct("<4sLQL")  # between the two
ENTRY = Struct("<4s6H3L5H2L")  # of the directory; then a name, an extra field and a comment
HEADER = Struct("<4s22x2H")  # before a member's content; then its name and an extra field
FIELD = Struct("<2H")  # of an extra field
COMMENT = 0xFFFF  # bytes, at most
LARGE = 0xFFFFFFFF  # stands for a figure that is in an extra field

UNREADABLE = 0x1 | 0x20 | 0x40 | 0x2000  # flags: encrypted, patched, strongly encrypted, with its directory
STORED, DEFLATED = 0, 8
OUTSIDE = re.compile(r"/|[A-Za-z]:|.*\\|(.*/)?\.\.(/|$)", re.DOTALL)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Member(NamedTuple):
    """Where a file lies in an archive, and what its content has to be."""

    offset: int
    packed: int  # bytes
    size: int  # bytes
    crc: int
    method: int


class _Entry(NamedTuple):
    """One entry of the directory, as far as it is judged; a folder's name ends in a slash."""

    name: str
    member: Member
    end: int  # no earlier than this does the next member begin
    flags: int
    mode: int  # as Unix has it; 0 if the archive was made elsewhere


class ZipArchive:
    """An archive whose directory can be trusted; it stays open for as long as the object is known.

    members: the files, hidden ones and what macOS adds left out. folders: those that have an
    entry of their own. Members may be read from several threads.
    Raises: DataError naming the archive and the member that is not to be trusted.
    """

    def __init__(self, path: Path) -> None:
        self.members: dict[str, Member] = {}
        self.folders: set[str] = set()
        self._lock = threading.Lock()
        try:
            self._stream = path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        weakref.finalize(self, self._stream.close)
        try:
            self._enter(path)
        except (OSError, struct.error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read as a zip archive ({error}); is it complete?") from None

    def _enter(self, path: Path) -> None:
        """Every member that is data, once all are judged."""
        bounds = array("q")  # where each member begins and ends
        packed = size = 0
        start, directory, shift = _read_directory(path, self._stream)
        for entry in _entries(directory, shift):
            if len(bounds) == 2 * MEMBERS:
                raise DataError(f"{path}: more than {MEMBERS:,} files; unpack it and name the folder")
            _judge(path, entry, start)
            bounds.extend((entry.member.offset, entry.end))
            packed, size = packed + entry.member.packed, size + entry.member.size
            parts = [part for part in entry.name.split("/") if part not in ("", ".")]
            if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
                continue
            name = "/".join(parts)
            if entry.name.endswith("/"):
                self.folders.add(name)
            elif name in self.members:
                raise DataError(f"{path}: {name!r} is in it twice; pack it again")
            else:
                self.members[name] = entry.member
        _judge_size(str(path), packed, size)
        _judge_bounds(path, bounds)

    def read(self, name: str) -> bytes:
        """All of a file. Raises: KeyError if there is none of that name, OSError if it is damaged."""
        member = self.members[name]
        with self._lock:
            self._stream.seek(member.offset)
            head = self._stream.read(HEADER.size)
            if len(head) < HEADER.size or head[:4] != b"PK\3\4":
                raise OSError("damaged: it is not where the archive's directory says")
            self._stream.seek(member.offset + HEADER.size + sum(HEADER.unpack(head)[1:]))
            data = self._stream.read(member.packed)
        if member.method == DEFLATED:
            data = _inflate(data, member.size)
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise OSError("damaged: not the content that the archive's directory promises")
        return data


def too_large(packed: int, size: int) -> bool:
    """Whether so many bytes, unpacked from so few, are meant to harm."""
    return size > TOTAL or (size > SMALL and size > RATIO * packed)


# The directory


def _read_directory(path: Path, stream: BinaryIO) -> tuple[int, bytes, int]:
    """Where the directory begins, its bytes, and how many bytes stand before the archive."""
    whole = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, whole - END.size - COMMENT))
    tail = stream.read()
    at = _find_end(tail)
    _, disk, _, _, _, length, start, _ = END.unpack_from(tail, at)
    end = whole - len(tail) + at
    before = end - LOCATOR_64.size - END_64.size
    stream.seek(max(0, before))
    both = stream.read(END_64.size + LOCATOR_64.size)
    if both[:4] == b"PK\6\6" and both[END_64.size :][:4] == b"PK\6\7":
        end = before
        *_, disk, _, _, _, length, start = END_64.unpack_from(both)
    if disk:
        raise DataError(f"{path}: a part of an archive; join the parts first")
    if length > DIRECTORY:
        raise DataError(f"{path}: a directory of {length:,} bytes; unpack it and name the folder")
    if end - length - start < 0:
        raise OSError("its directory lies beyond its end")
    stream.seek(end - length)
    return end - length, stream.read(length), end - length - start


def _find_end(tail: bytes) -> int:
    """Where the end record is: the last whose comment ends the file, or else the last, with rubbish behind it."""
    at, found = len(tail), -1
    while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:
        if at + END.size + int.from_bytes(tail[at + END.size - 2 : at + END.size], "little") == len(tail):
            return at
        if found < 0 and at + END.size <= len(tail):
            found = at
    if found < 0:
        raise OSError("no directory at its end")
    return found


def _entries(directory: bytes, shift: int) -> Iterator[_Entry]:
    """The directory's entries; `shift` is added to where their members lie."""
    at = 0
    while at < len(directory):
        sign, made, _, flags, method, _, _, crc, packed, size, named, more, said, _, _, mode, offset = (
            ENTRY.unpack_from(directory, at)
        )
        if sign != b"PK\1\2":
            raise OSError("its directory is damaged")
        at += ENTRY.size
        name = directory[at : at + named]
        if LARGE in (packed, size, offset):
            size, packed, offset = _large(directory[at + named : at + named + more], (size, packed, offset))
        at += named + more + said
        if at > len(directory):
            raise OSError("its directory is damaged")
        member = Member(offset + shift, packed, size, crc, method)
        unix = made >> 8 in (3, 19)  # or macOS
        yield _Entry(
            _decode(name, flags),
            member,
            member.offset + HEADER.size + named + packed,
            flags,
            mode >> 16 if unix else 0,
        )


def _large(extra: bytes, figures: tuple[int, int, int]) -> list[int]:
    """The figures of an entry, those that are too large for it from its extra field."""
    at = 0
    while at < len(extra):
        sign, length = FIELD.unpack_from(extra, at)
        at += FIELD.size
        if sign == 1:
            values = iter(Struct(f"<{length // 8}Q").unpack_from(extra, at))
            found = [next(values, None) if figure == LARGE else figure for figure in figures]
            if None not in found:
                return [figure for figure in found if figure is not None]
        at += length
    return list(figures)


def _decode(name: bytes, flags: int) -> str:
    """A name as text: UTF-8, which macOS writes without saying so, or else what the format says, code page 437."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        if flags & 0x800:
            raise
        return name.decode("cp437")


# Judgement


def _judge(path: Path, entry: _Entry, start: int) -> None:
    """Raises: DataError if a member is one that harms, or cannot be read."""
    name, member = entry.name, entry.member
    if OUTSIDE.match(name):
        raise DataError(f"{path}: {name!r} leads out of the archive, or has a backslash; do not trust it")
    if CONTROL.search(name):
        raise DataError(f"{path}: {name!r} has control characters in its name; pack it again under another")
    if len(name) > NAME or name.count("/") > DEPTH:
        raise DataError(f"{path}: {name[:40]!r}… is a name of {len(name):,} characters; pack it under a shorter one")
    if stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{path}: {name!r} is a link or a device; pack the file itself")
    if entry.flags & UNREADABLE:
        raise DataError(f"{path}: {name!r} is encrypted; unpack it and name the folder")
    if member.method not in (STORED, DEFLATED):
        raise DataError(f"{path}: {name!r} is packed by method {member.method}; pack it again, with deflate")
    if entry.end > start:
        raise DataError(f"{path}: {name!r} reaches beyond the files' part of the archive; is it complete?")
    _judge_size(f"{path}: {name!r}", member.packed, member.size)


def _judge_size(what: str, packed: int, size: int) -> None:
    if too_large(packed, size):
        raise DataError(f"{what} unpacks from {packed:,} to {size:,} bytes; if you trust it, unpack it yourself")


def _judge_bounds(path: Path, bounds: "array[int]") -> None:
    """Raises: DataError if members lie on top of each other, as in David Fifield's bomb of 2019.

    Source: https://www.usenix.org/conference/woot19/presentation/fifield
    """
    if not bounds:
        return
    starts, ends = np.frombuffer(bounds, dtype=np.int64).reshape(-1, 2).T
    order = np.argsort(starts, kind="stable")
    if (ends[order[:-1]] > starts[order[1:]]).any():
        raise DataError(f"{path}: files in it lie on top of each other; do not trust it")


def _inflate(packed: bytes, size: int) -> bytes:
    """Deflated bytes, no more than one past `size` of them. Raises: OSError if they are damaged."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error as error:
        raise OSError(f"damaged ({error})") from None
