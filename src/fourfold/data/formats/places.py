"""Places: files and folders, on a disk, in a zip archive or in memory, under one set of names.

A source reads a `Place` and does not ask which of them it is.
"""

import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from ...errors import DataError
from .zips import ZipArchive

LARGEST = 1 << 30  # bytes that are read of one file at once


@dataclass(frozen=True, eq=False)
class Archive:
    """Files that lie in one file, or in memory as if in one.

    path: what messages call it. sizes: of each file by its name, in bytes. read: all of a
    file, by its name, or OSError. children: what lies in each folder; the root is "".
    """

    path: Path
    sizes: Mapping[str, int]
    read: Callable[[str], bytes]
    folders: Iterable[str] = ()  # that may have nothing in them

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """The names in each folder; the root is "". Raises: DataError if a file is a folder as well."""
        found: dict[str, list[str]] = {"": []}
        for name in self.sizes:
            _hang(found, name)
        for name in self.folders:
            if name not in found:
                _hang(found, name)
                found[name] = []
        both = next((name for name in self.sizes if name in found), None)
        if both is not None:
            raise DataError(f"{self.path}: {both!r} is both a file and a folder; pack it again")
        return found

    @cached_property
    def root(self) -> "Zipped":
        """Where its data begin: below a single folder that wraps all, or at a single file."""
        inside = self.children[""]
        return Zipped(self, inside[0] if len(inside) == 1 else "")


def _hang(children: dict[str, list[str]], name: str) -> None:
    """Enter a file or folder, and each folder above it that is new."""
    while name:
        parent = name.rpartition("/")[0]
        known = parent in children
        children.setdefault(parent, []).append(name)
        if known:
            return
        name = parent


@dataclass(frozen=True)
class Zipped:
    """A file or a folder in an archive; it has the part of `pathlib.Path` that sources use."""

    archive: Archive
    inside: str

    def __str__(self) -> str:
        return f"{self.archive.path}/{self.inside}" if self.inside else str(self.archive.path)

    def __lt__(self, other: "Zipped") -> bool:
        # As pathlib has it, part by part; no name has a character below a slash's stand-in.
        return self.inside.replace("/", "\0") < other.inside.replace("/", "\0")

    def __truediv__(self, name: str) -> "Zipped":
        parts: list[str] = self.inside.split("/") if self.inside else []
        for part in name.split("/"):
            parts = parts[:-1] if part == ".." else parts if part in ("", ".") else [*parts, part]
        return Zipped(self.archive, "/".join(parts))

    @property
    def name(self) -> str:
        """The last part of the name."""
        return self.inside.rpartition("/")[2] or self.archive.path.name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name.removesuffix(self.suffix)

    @property
    def suffix(self) -> str:
        """The end of the name, from its last dot on."""
        dot = self.name.rfind(".")
        return self.name[dot:] if 0 < dot < len(self.name) - 1 else ""

    @property
    def parent(self) -> "Zipped":
        """The folder around it; the root's is itself."""
        return Zipped(self.archive, self.inside.rpartition("/")[0])

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return self.is_file() or self.is_dir()

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.inside in self.archive.children

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.inside in self.archive.sizes

    def iterdir(self) -> Iterator["Zipped"]:
        """What lies in the folder. Raises: OSError if there is no such folder."""
        if not self.is_dir():
            raise self._missing()
        return (Zipped(self.archive, name) for name in self.archive.children[self.inside])

    def open(self, mode: str = "rb") -> IO[bytes]:
        """The file's bytes, all read, as a stream that can be sought in. Raises: as `read_bytes`."""
        assert mode == "rb"
        return io.BytesIO(self.read_bytes())

    def read_bytes(self) -> bytes:
        """All of the file. Raises: OSError if there is none, if it is damaged or holds more than LARGEST bytes."""
        if self.size() > LARGEST:
            raise OSError(f"{self.size():,} bytes, more than {LARGEST:,}; unpack the archive")
        return self.archive.read(self.inside)

    def size(self) -> int:
        """The file's size in bytes. Raises: OSError if there is none."""
        if not self.is_file():
            raise self._missing()
        return self.archive.sizes[self.inside]

    def _missing(self) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))


Place = Path | Zipped


def place(path: Path) -> Place:
    """The path itself, or the root of the zip archive that it names.

    Raises: DataError if it is an archive that cannot be trusted or read.
    """
    if path.suffix.lower() != ".zip" or not path.is_file():
        return path
    opened = ZipArchive(path)
    sizes = {name: member.size for name, member in opened.members.items()}
    return Archive(path, sizes, opened.read, opened.folders).root


def size_of(file: Place) -> int:
    """A file's size in bytes. Raises: OSError."""
    return file.size() if isinstance(file, Zipped) else file.stat().st_size


def read_bytes(file: Place) -> bytes:
    """All of a file. Raises: OSError if it cannot be read, is damaged or holds more than LARGEST bytes."""
    if isinstance(file, Zipped):
        return file.read_bytes()
    with file.open("rb") as stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"more than {LARGEST:,} bytes")
    return content


def entries(folder: Place) -> list[Any]:
    """What a folder holds, sorted by name. Raises: DataError if it cannot be listed."""
    try:
        return sorted(folder.iterdir() if isinstance(folder, Zipped) else [Path(entry.path) for entry in _scan(folder)])
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from None


def walk(folder: Place) -> Iterator[Place]:
    """Every file below a folder, but for hidden folders, in no order; nothing if there is no such folder.

    Raises: DataError if a folder cannot be listed.
    """
    if folder.is_dir():
        yield from _walk_archive(folder) if isinstance(folder, Zipped) else _walk_disk(folder)


def _walk_archive(folder: Zipped) -> Iterator[Zipped]:
    children = folder.archive.children
    folders = [folder.inside]
    while folders:
        for name in children[folders.pop()]:
            if name in children:
                folders.append(name)
            else:
                yield Zipped(folder.archive, name)


def _walk_disk(folder: Path) -> Iterator[Path]:
    folders: list[str] = [str(folder)]
    while folders:
        here = folders.pop()
        try:
            for entry in _scan(here):
                if not entry.is_dir():
                    yield Path(entry.path)
                elif not entry.name.startswith(".") and not entry.is_symlink():
                    folders.append(entry.path)
        except OSError as error:
            raise DataError(f"{here}: cannot be listed ({error.strerror})") from None


def _scan(folder: str | Path) -> Iterator["os.DirEntry[str]"]:
    """What lies in a folder, but for pipes and devices, which would be waited for without end."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_file() or entry.is_dir() or not Path(entry.path).exists():
                yield entry
