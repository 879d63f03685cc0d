"""Pictures, tables, series and sounds that mean harm; see `attacks`."""

import base64
import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from .attacks import CSI, TOUCH, Attack, file
from .packing import Packed, deflated_zeros, gzip_bomb, zip_of

# Pictures


def png(width: int, height: int, *chunks: tuple[bytes, bytes], colour: int = 0) -> bytes:
    head = struct.pack(">2L5B", width, height, 8, colour, 0, 0, 0)
    every = ((b"IHDR", head), *chunks, (b"IEND", b""))
    parts = (
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data)) for kind, data in every
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zeros(mebibytes: int) -> bytes:
    """As in `deflated_zeros`, in zlib's wrapping."""
    return b"\x78\x9c" + deflated_zeros(mebibytes) + bytes(4)


ONE = (b"IDAT", zlib.compress(bytes(2)))


def gif(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\2\2\x4c\1\0"
    return b"GIF89a" + struct.pack("<2H3B", width, height, 0, 0, 0) + frame + b";"


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, offset: int = 54) -> bytes:
    head = struct.pack("<LlL2H2L2l2L", 40, width, height & 0xFFFFFFFF, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<LLL", 58, 0, offset) + head + bytes(4)


def tiff(**tags: int | tuple[int, int, int]) -> bytes:
    """One grey picture; a tag is its value, or its type, count and value."""
    usual: dict[str, int | tuple[int, int, int]] = {
        "t256": 1,
        "t257": 1,
        "t258": 8,
        "t259": 1,
        "t262": 1,
        "t273": 8,
        "t277": 1,
        "t278": 1,
        "t279": 1,
    }
    entries = b"".join(
        struct.pack("<2H2L", int(tag[1:]), *(value if isinstance(value, tuple) else (4, 1, value)))
        for tag, value in sorted((usual | tags).items())
    )
    return b"II*\0" + struct.pack("<LH", 8, len(usual | tags)) + entries + bytes(4)


def webp(width: int, height: int) -> bytes:
    head = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<L", 10) + head
    return b"RIFF" + struct.pack("<L", len(body)) + body


def jpeg(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "JPEG")
    data = bytearray(stream.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">2H", height, width)
    return bytes(data)


EPS = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch {'CANARY'}) (w) file\n".encode()
SVG = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg><text>&b;</text></svg>'


def pipe(folder: Path) -> Path:
    """A pipe, from which nobody ever reads to the end."""
    (folder / "cat").mkdir()
    os.mkfifo(folder / "cat/1.png")
    return folder


def endless(folder: Path) -> Path:
    (folder / "cat").mkdir()
    (folder / "cat/1.png").symlink_to("/dev/zero")
    return folder


def picture(name: str, content: Callable[[], bytes], says: str | None = "", suffix: str = ".png") -> Attack:
    return Attack(name, file(f"a{suffix}", content), says if says is None else rf"a\{suffix}: .*{says}")


PICTURES = [
    picture("png of 4 G x 4 G", lambda: png(2**31 - 1, 2**31 - 1, ONE), "pixels"),
    picture("png of just too many pixels", lambda: png(9_460, 9_460, ONE), "pixels, more than 89,478,485"),
    picture("png of 89 M pixels in 260 KB", lambda: png(9_459, 9_459, (b"IDAT", zeros(257)), colour=2), "pixels in"),
    picture("png of no pixels", lambda: png(0, 0, ONE)),
    picture("png with a profile of zeros", lambda: png(1, 1, (b"iCCP", b"a\0\0" + zeros(2048)), ONE)),
    picture("png with text of zeros", lambda: png(1, 1, (b"zTXt", b"a\0\0" + zeros(2048)), ONE)),
    picture("png with other text of zeros", lambda: png(1, 1, (b"iTXt", b"a\0\1\0\0\0" + zeros(2048)), ONE)),
    picture("png with much text", lambda: png(1, 1, *[(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))] * 100, ONE)),
    picture("png chunk of 4 GB", lambda: b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 2**32 - 1) + b"IHDR"),
    picture("gif of 4 G pixels", lambda: gif(65_535, 65_535), "pixels", ".gif"),
    picture("jpeg of 4 G pixels", lambda: jpeg(65_535, 65_535), "pixels", ".jpg"),
    picture("webp of 268 M pixels", lambda: webp(16_384, 16_384), "", ".webp"),
    picture("webp of 281 T pixels", lambda: webp(1 << 24, 1 << 24), "", ".webp"),
    picture("bmp of negative width", lambda: bmp(-5, 5), "", ".bmp"),
    picture("bmp of 4 G pixels", lambda: bmp(65_535, -65_535), "pixels", ".bmp"),
    picture("bmp of odd packing", lambda: bmp(9, 9, compression=77), "", ".bmp"),
    picture("bmp whose pixels lie beyond", lambda: bmp(9, 9, offset=2**32 - 1), "", ".bmp"),
    picture("tiff of 4 G pixels", lambda: tiff(t256=65_535, t257=65_535), "pixels", ".tif"),
    picture("tiff of 16 E pixels", lambda: tiff(t256=2**32 - 1, t257=2**32 - 1), "", ".tif"),
    picture("tiff of a tag of 16 GB", lambda: tiff(t258=(3, 2**32 - 1, 8)), None, ".tif"),
    picture("tiff of tags in a ring", lambda: tiff(t330=(4, 1, 8), t273=(4, 2**30, 8)), "", ".tif"),
    picture("tiff of many channels", lambda: tiff(t277=60_000), "", ".tif"),
    picture("tiff whose strips lie beyond", lambda: tiff(t273=2**32 - 1, t279=2**32 - 1), "", ".tif"),
    picture("postscript named png", lambda: EPS, "its content is no PNG"),
    picture("svg named png", lambda: SVG, "its content is no PNG"),
    picture("zip named png", lambda: zip_of(Packed(name="a")), "its content is no PNG"),
    Attack("picture named by escapes", file(f"{CSI}.png", lambda: b"none"), "its content is no PNG"),
    Attack("pipe among pictures", pipe, "nothing to read|no kind of data"),
    Attack("device among pictures", endless, "nothing to read|no kind of data"),
]


# Tables


def parquet(table: Callable[[Any], Any]) -> Callable[[Path], Path]:
    """A table that pyarrow makes, written as Parquet."""

    def make(folder: Path) -> Path:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        pq.write_table(
            table(pa), folder / "a.parquet", compression="zstd", use_dictionary=False, write_statistics=False
        )
        return folder / "a.parquet"

    return make


def extension(pa: Any, name: str) -> Any:
    data = base64.b64encode(f"cbuiltins\neval\n({TOUCH!r}\ntR.".encode())  # as CVE-2023-47248 has it
    told = {"ARROW:extension:name": name, "ARROW:extension:metadata": data}
    return pa.table([pa.array([1, 2])], schema=pa.schema([pa.field("a", pa.int64(), metadata=told)]))


def many_rows(folder: Path) -> Path:
    """A footer that promises a trillion rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(100))}), stream, compression="none", use_dictionary=False)
    data = bytearray(stream.getvalue())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    rows = data.index(b"\x16\xc8\x01", footer)  # field of 64 bits: 100, twice over
    data[rows : rows + 3] = b"\x16\x80\x80\x80\x80\x80\x80\x01"
    data[-8:-4] = struct.pack("<L", len(data) - 8 - footer)
    (folder / "a.parquet").write_bytes(data)
    return folder / "a.parquet"


def jsonl(line: Callable[[], str]) -> Callable[[Path], Path]:
    return file("a.jsonl", lambda: line().encode())


def list_of_files(cell: str) -> Callable[[Path], Path]:
    """A table that names one picture."""
    return file("a.csv", f'path,label\n"{cell}",x\n'.encode)


TABLES = [
    Attack(
        "csv of a million columns",
        file("a.csv", lambda: b"a," * 1_000_000 + b"b\n" + b"1," * 1_000_000 + b"2\n"),
        "columns, more",
    ),
    Attack("csv of one line", file("a.csv", lambda: b"a" * (80 << 20)), "a.csv"),
    Attack("csv of an open quote", file("a.csv", lambda: b'a,b\n1,"' + b"x\n" * (5 << 20)), "a.csv"),
    Attack("csv of quotes", file("a.csv", lambda: b'a,b\n1,"' + b'""' * (20 << 20)), "a.csv"),
    Attack("csv of NULs", file("a.csv", lambda: bytes(20 << 20)), "a.csv"),
    Attack("csv with escapes", file("a.csv", f"a,b\n1,{CSI}\n2,{CSI}x\n".encode), None),
    Attack("csv header with escapes", file("a.csv", f"{CSI},{CSI}\n1,2\n".encode), "repeated column names"),
    Attack("packed csv of zeros", file("a.csv.gz", lambda: gzip_bomb(2048, b"a,b\n1,2\n")), "unpacks|bytes"),
    Attack("packed csv of packed zeros", file("a.csv.gz", lambda: gzip.compress(gzip_bomb(2048))), "a.csv.gz"),
    Attack("list that names a device", list_of_files("/dev/zero.png"), "a.csv|zero.png"),
    Attack("list that names too long a file", list_of_files("a" * 300 + ".png"), "aaa.png"),
    Attack("list that names a NUL", list_of_files("a\0b.png"), "a.csv|png"),
    Attack("json lines of brackets", jsonl(lambda: '{"a":' + "[" * 100_000), "row 1: nested too deep"),
    Attack("json lines of objects", jsonl(lambda: '{"a":' * 100_000), "row 1: nested too deep"),
    Attack("json lines of a huge number", jsonl(lambda: '{"a":' + "9" * 5_000_000 + "}"), "row 1: no JSON"),
    Attack(
        "json lines of other keys in each", jsonl(lambda: "\n".join(f'{{"{n}":1}}' for n in range(70_000))), "a.jsonl"
    ),
    Attack("json lines of a key twice", jsonl(lambda: '{"a":1,"a":2}'), "twice"),
    Attack(
        "parquet of an extension type",
        parquet(lambda pa: extension(pa, "arrow.py_extension_type")),
        "extension type arrow.py_ext",
    ),
    Attack("parquet of another extension type", parquet(lambda pa: extension(pa, "x" * 9_000)), "extension type x"),
    Attack("parquet of nested lists", parquet(lambda pa: pa.table({"a": [[1], [2]]})), "'a' is nested"),
    Attack("parquet of a trillion rows", many_rows, "a.parquet"),
    Attack(
        "parquet of one cell many times",
        parquet(lambda pa: pa.table({"a": pa.nulls(100_000_000, pa.int8())})),
        "promise",
    ),
    Attack("parquet of long text", parquet(lambda pa: pa.table({"a": ["x" * (1 << 20)] * 100})), "unpack to"),
    Attack(
        "parquet of a long footer",
        file("a.parquet", lambda: b"PAR1" + bytes(20 << 20) + struct.pack("<L", 20 << 20) + b"PAR1"),
        "footer",
    ),
    Attack("parquet of nothing but magic", file("a.parquet", lambda: b"PAR1\xff\xff\xff\xffPAR1"), "no Parquet file"),
]


# Series


def ts(*lines: str, head: str = "@classLabel true a") -> bytes:
    return "\n".join([head, "@data", *lines]).encode()


SERIES = [
    Attack("packed ts of zeros", file("a.ts.gz", lambda: gzip_bomb(2048, b"@data\n")), "unpacks|bytes"),
    Attack(
        "ts of one long series", file("a.ts", lambda: ts(",".join(["1"] * 250_000) + ":a", *["1:a"] * 20_000)), "a.ts"
    ),
    Attack(
        "ts of absurd channels", file("a.ts", lambda: ts("1:a", head="@dimension 999999\n@classLabel true a")), "999999"
    ),
    Attack("ts of NULs", file("a.ts", lambda: bytes(20 << 20)), "a.ts"),
    Attack("ts with escapes", file("a.ts", lambda: ts(f"1:{CSI}")), "unknown label"),
    Attack("ts of a name without end", file("a.ts", lambda: ts("1:" + "a" * (20 << 20))), "a.ts"),
]


# Sounds


def wav(channels: int = 1, rate: int = 8_000, size: int | None = None, bits: int = 16) -> bytes:
    block = channels * bits // 8
    head = struct.pack("<4sL2H2L2H", b"fmt ", 16, 1, channels, rate, min(rate * block, 2**32 - 1), block & 0xFFFF, bits)
    data = b"data" + struct.pack("<L", 8 if size is None else size) + bytes(8)
    return b"RIFF" + struct.pack("<L", 4 + len(head) + len(data)) + b"WAVE" + head + data


def flac(frames: int) -> bytes:
    """A header that promises `frames`, and nothing after it."""
    about = (8_000 << 44 | 15 << 36 | frames).to_bytes(8, "big")
    return b"fLaC\x80\0\0\x22" + struct.pack(">2H", 4096, 4096) + bytes(6) + about + bytes(16)


def sound(name: str, content: Callable[[], bytes], says: str | None = "", suffix: str = ".wav") -> Attack:
    return Attack(name, file(f"a{suffix}", content), says if says is None else rf"a\{suffix}: .*{says}", "sounds")


SOUNDS = [
    sound("wav of 4 GB", lambda: wav(size=2**32 - 8), None),  # who writes into a pipe says so
    sound("wav that is cut short", lambda: wav(size=1 << 30), "cut short"),
    sound("wav of 65,535 channels", lambda: wav(channels=65_535)),
    sound("wav of no channels", lambda: wav(channels=0)),
    sound("wav of 4 GHz", lambda: wav(rate=2**32 - 1)),
    sound("wav of no rate", lambda: wav(rate=0)),
    sound("wav of odd bits", lambda: wav(bits=13), None),
    sound("wav without end", lambda: wav(size=0)),
    sound("flac of 64 G samples", lambda: flac(2**36 - 1), "", ".flac"),
    sound("flac of nothing", lambda: flac(0), "", ".flac"),
    sound("ogg of nothing", lambda: b"OggS" + bytes(100), "", ".ogg"),
    sound("program named wav", lambda: b"\x7fELF" + bytes(999), "no WAV, FLAC or Ogg"),
]
