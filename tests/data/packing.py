"""Zip archives and gzip files as nobody's tool writes them: every figure of every header can lie."""

import struct
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from fourfold.data.formats.places import Place, place


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A member of an archive. What is None is told truly; `shift` moves where the directory says that it begins."""

    name: str | bytes
    content: bytes = b""
    packed: bytes | None = None  # the bytes in the file
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    shift: int = 0
    extra: bytes = field(default=b"")

    @property
    def raw_name(self) -> bytes:
        return self.name.encode() if isinstance(self.name, str) else self.name

    @property
    def data(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflated(self.content) if self.method == 8 else self.content

    @property
    def figures(self) -> tuple[int, int, int]:
        crc = zlib.crc32(self.content) if self.crc is None else self.crc
        packed = len(self.data) if self.packed_size is None else self.packed_size
        return crc, packed, len(self.content) if self.size is None else self.size


def zip_of(*members: Packed, comment: bytes = b"", before: bytes = b"") -> bytes:
    """An archive; `before`: bytes that it does not count, as a self-extracting one has."""
    files, directory = before, b""
    for member in members:
        name, figures = member.raw_name, member.figures
        flags = member.flags | (0 if name.isascii() or isinstance(member.name, bytes) else 0x800)
        head = struct.pack("<5H3L2H", 20, flags, member.method, 0, 33, *figures, len(name), 0)
        offset = len(files) - len(before) + member.shift
        entry = struct.pack(
            "<6H3L5H2L",
            0x314,
            20,
            flags,
            member.method,
            0,
            33,
            *figures,
            len(name),
            len(member.extra),
            0,
            0,
            0,
            member.mode << 16,
            offset,
        )
        files += b"PK\3\4" + head + name + member.data
        directory += b"PK\1\2" + entry + name + member.extra
    start, count = len(files) - len(before), len(members)
    end = struct.pack("<4H2LH", 0, 0, count, count, len(directory), start, len(comment))
    return files + directory + b"PK\5\6" + end + comment


def place_of(*members: Packed) -> Place:
    """An archive of these members, open; its file is gone already."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.zip"
        path.write_bytes(zip_of(*members))
        return place(path)


def deflated(content: bytes) -> bytes:
    """A raw deflate stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def deflated_zeros(mebibytes: int, before: bytes = b"") -> bytes:
    """A raw deflate stream of some bytes and then many zeros, made in no time: one block again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * mebibytes + packer.flush()


def gzip_bomb(mebibytes: int, before: bytes = b"") -> bytes:
    """A .gz of some bytes and then many zeros; its check sum is wrong, but who gets that far has lost."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflated_zeros(mebibytes, before) + struct.pack("<2L", 0, 0)
