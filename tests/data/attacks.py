"""Files that mean harm: what each claims to be, how it is made, and what has to be said of it.

Every maker writes into an empty folder and returns the path that a person would open. CANARY
is the name of a file that appears beside it if anything in it is run.
"""

import io
import pickle  # noqa: TID251  to make what must never be loaded
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .packing import Packed, deflated_zeros, gzip_bomb, zip_of

Loader = Literal["data", "sounds", "model", "config"]

CANARY = "CANARY"
CSI = "\x1b[31m\x07"  # turns a terminal red, and rings its bell
TOUCH = f"__import__('pathlib').Path('{CANARY}').touch()"


@dataclass(frozen=True)
class Attack:
    """One way to do harm.

    says: what the refusal has to say, as a regular expression; None if there is nothing to
    refuse, since what is told is not believed and the rest is data.
    """

    name: str
    make: Callable[[Path], Path]
    says: str | None
    loader: Loader = "data"


def file(name: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    """A maker of one file; its name may be a path."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content())
        return path

    return make


class Canary:
    """An object that runs code where its pickle is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (TOUCH,)


# Arrays


def npy(header: str | bytes, data: bytes = b"", version: int = 1, length: int | None = None) -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    told = len(raw) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<L", told) + raw + data


def array(shape: str, descr: str = "'|u1'", data: bytes = b"") -> bytes:
    """An .npy file whose header has its usual size, 128 bytes with all before it."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"
    return npy(f"{header:117}\n", data)


def pickled() -> bytes:
    return array("(1,)", "'|O'", pickle.dumps(np.array([Canary()], dtype=object)))


def npz(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def npz_bomb() -> bytes:
    head = array(f"({1 << 20}, {1 << 10})")
    packed = deflated_zeros(1 << 10, head)
    return zip_of(Packed(name="x.npy", packed=packed, size=len(head) + (1 << 30)))


def idx(*shape: int, type_: int = 8, data: bytes = b"") -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, type_, len(shape), *shape) + data


IDX = "train-images-idx3-ubyte"

ARRAYS = [
    Attack("128 bytes that ask for 3.64 TiB", file("a.npy", lambda: array("(4000000000, 1000)")), "promises"),
    Attack("pickled array", file("a.npy", pickled), "never objects"),
    Attack("pickled array in an npz", file("a.npz", lambda: npz({"x.npy": pickled()})), "never objects"),
    Attack("pickle named npy", file("a.npy", lambda: pickle.dumps(Canary())), "cannot be read"),
    Attack("pickle named npz", file("a.npz", lambda: pickle.dumps(Canary())), "cannot be read"),
    Attack("npy header of code", file("a.npy", lambda: npy(TOUCH + "\n")), "cannot be read"),
    Attack("npy header with a call", file("a.npy", lambda: array(f"({TOUCH},)")), "cannot be read"),
    Attack("npy header of brackets", file("a.npy", lambda: npy("(" * 9_000)), "cannot be read"),
    Attack("npy header of 4 GB", file("a.npy", lambda: npy("{}", version=2, length=2**32 - 1)), "a.npy"),
    Attack("npy with named fields", file("a.npy", lambda: array("(1,)", "[('a', '|O')]")), "is of type|type"),
    Attack("npy of an array type", file("a.npy", lambda: array("(2, 2)", "('|u1', (1000000000,))")), "a.npy"),
    Attack("npy of a text of 16 GB", file("a.npy", lambda: array("(1, 1)", "'<U2000000000'")), "a.npy"),
    Attack("npy of negative size", file("a.npy", lambda: array("(-1, 4)", data=b"1234")), "a.npy"),
    Attack("npy of two negative sizes", file("a.npy", lambda: array("(-2, -2)", data=b"1234")), "a.npy"),
    Attack("npy of sizes beyond 64 bits", file("a.npy", lambda: array(f"({2**62}, 4)")), "promises"),
    Attack("npy of no rows of everything", file("a.npy", lambda: array(f"(0, {10**18})")), "empty"),
    Attack(
        "npy of a hundred dimensions",
        file("a.npy", lambda: npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(1,) * 100}}}\n", b"1")),
        "a.npy",
    ),
    Attack("npz whose arrays are elsewhere", file("a.npz", lambda: npz({"../../x.npy": array("(1, 1)")})), "holds"),
    Attack("npz of zeros", file("a.npz", npz_bomb), "unpacked from"),
    Attack("idx of 64 EB", file(IDX, lambda: idx(2**32 - 1, 2**32 - 1, 4)), "promises"),
    Attack("idx of 255 dimensions", file(IDX, lambda: idx(*[1] * 255, data=b"1")), IDX),
    Attack("packed idx of zeros", file(f"{IDX}.gz", lambda: gzip_bomb(1024, idx(1 << 20, 32, 32))), "unpacked from"),
]


# Archives


def fifield() -> bytes:
    """The "better zip bomb": each member's content begins with the heads of all after it, and all share one kernel."""
    kernel = deflated_zeros(1)
    members = [
        Packed(name=f"{number:02}.csv", packed=b"", packed_size=len(kernel), size=1 << 20) for number in range(50)
    ]
    return zip_of(*members, Packed(name="kernel.csv", packed=kernel, size=1 << 20))


def zipped(*members: Packed) -> Callable[[Path], Path]:
    return file("a.zip", lambda: zip_of(*members))


def bomb(name: str, mebibytes: int) -> Packed:
    return Packed(name=name, packed=deflated_zeros(mebibytes), size=mebibytes << 20)


PNG = b"\x89PNG\r\n\x1a\n"
DEEP = "/".join(["a"] * 5_000)

ARCHIVES = [
    Attack("zip traversal", zipped(Packed(name="../../escaped.png", content=PNG)), "leads out"),
    Attack("zip traversal further in", zipped(Packed(name="a/../../escaped.png", content=PNG)), "leads out"),
    Attack("zip with an absolute name", zipped(Packed(name="/tmp/escaped.png", content=PNG)), "leads out"),
    Attack("zip with a drive", zipped(Packed(name="C:escaped.png", content=PNG)), "leads out"),
    Attack("zip with backslashes", zipped(Packed(name="..\\escaped.png", content=PNG)), "backslash"),
    Attack("zip with a share", zipped(Packed(name="\\\\host\\share\\1.png", content=PNG)), "backslash"),
    Attack("zip with a NUL", zipped(Packed(name="a.png\0.exe", content=PNG)), "control characters"),
    Attack("zip with escapes", zipped(Packed(name=f"{CSI}.png", content=PNG)), "control characters"),
    Attack("zip with an escape of one character", zipped(Packed(name="\x9b31m.png", content=PNG)), "control char"),
    Attack("zip link", zipped(Packed(name="a.png", content=b"/etc/passwd", mode=0o120777)), "is a link"),
    Attack("zip link to a folder", zipped(Packed(name="cat", content=b"/", mode=0o120777)), "is a link"),
    Attack("zip device", zipped(Packed(name="a.png", mode=0o020666)), "a device"),
    Attack("zip pipe", zipped(Packed(name="a.png", mode=0o010666)), "a device"),
    Attack("zip of zeros", zipped(bomb("a.csv", 2047)), "unpacks from"),
    Attack("zip of many zeros", zipped(*(bomb(f"{number}.csv", 60) for number in range(50))), "unpacks from"),
    Attack("zip of what lies on top of each other", file("a.zip", fifield), "on top of each other"),
    Attack(
        "zip of one place twice",
        zipped(Packed(name="a", content=b"ab"), Packed(name="b", content=b"ab", shift=-33)),
        "on top",
    ),
    Attack("zip in a zip", zipped(Packed(name="a.zip", content=zip_of(Packed(name="b.csv")))), "no kind of data"),
    Attack("encrypted zip", zipped(Packed(name="a.csv", content=b"a,b", flags=1)), "is encrypted"),
    Attack("zip of another method", zipped(Packed(name="a.csv", content=b"a,b", method=12)), "method 12"),
    Attack("zip whose size lies", zipped(Packed(name="a.csv", packed=deflated_zeros(900), size=9)), "damaged"),
    Attack("zip whose packed size lies", zipped(Packed(name="a.csv", packed_size=2**32 - 2, size=1)), "a.zip"),
    Attack("zip of a name twice", zipped(Packed(name="a.csv"), Packed(name="./a.csv")), "in it twice"),
    Attack("zip of a file in a file", zipped(Packed(name="a"), Packed(name="a/b.png")), "both a file and a folder"),
    Attack("zip of deep folders", zipped(Packed(name=f"{DEEP}.png", content=PNG)), "a name of"),
    Attack(
        "zip of an endless directory",
        file("a.zip", lambda: b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 9, 9, 2**32 - 1, 0, 0)),
        "a.zip",
    ),
]


def attacks() -> list[Attack]:
    """All of them."""
    from .attacks_on_files import PICTURES, SERIES, SOUNDS, TABLES
    from .attacks_on_models import CONFIGS, MODELS

    return [*ARRAYS, *ARCHIVES, *MODELS, *CONFIGS, *PICTURES, *TABLES, *SERIES, *SOUNDS]
