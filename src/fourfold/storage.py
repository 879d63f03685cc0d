"""Files and folders that are written whole or not at all, and who may write them."""

import errno
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import StorageError

Piece = bytes | memoryview

FULL, CLOSED = "make room on its disk", "have its folder made writable"
MENDS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), CLOSED),
}


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends well.

    Raises: StorageError if `target` is there already, or if anything cannot be written.
    """
    with _takes_its_place(target) as temporary:
        yield temporary
        for path in temporary.rglob("*"):
            sync(path)


def write_folder(target: Path, files: Mapping[str, Iterable[Piece]]) -> None:
    """Write a folder of files, each on the disk before the next one begins; the folder appears when all are.

    Raises: StorageError if `target` is there already, or if anything cannot be written.
    """
    with _takes_its_place(target) as temporary:
        for name, pieces in files.items():
            _write(temporary / name, pieces)


@contextmanager
def _takes_its_place(target: Path) -> Iterator[Path]:
    """As `new_folder`, for blocks that put their files on the disk themselves."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StorageError(f"{target}: exists already; remove it or choose another place")
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        temporary.chmod(0o777 & ~_umask())  # mkdtemp's 0700 would follow the folder to its final name
        yield temporary
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)
    except OSError as error:
        raise unwritten(target, error) from error
    finally:
        if temporary and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that it is there whole or, under its name, not at all. Raises: OSError."""
    removed = folder.with_name(f".{folder.name}-removed")
    shutil.rmtree(removed, ignore_errors=True)
    folder.replace(removed)
    shutil.rmtree(removed)


def sweep(parent: Path, name: str) -> None:
    """Remove what writers of folders called `name` (a pattern), killed in the midst of it, have left."""
    for remains in parent.glob(f".{name}-*"):
        shutil.rmtree(remains, ignore_errors=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Raises: StorageError if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        _write(temporary, [content.encode() if isinstance(content, str) else content])
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritten(path, error) from error


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file. Raises: StorageError if it cannot be written."""
    try:
        _write(path, [f"{line}\n".encode()], os.O_APPEND, synced=False)
    except OSError as error:
        raise unwritten(path, error) from error


def unwritten(path: Path, error: OSError) -> StorageError:
    """The error that a file or folder cannot be written, with the reason and the mend."""
    mend = f"; {MENDS[error.errno]}" if error.errno in MENDS else ""
    return StorageError(f"{path}: cannot be written ({error.strerror or error}){mend}")


def as_json(value: Any) -> str:
    """JSON as people read it: indented, with the text as it is."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def sync(path: Path) -> None:
    """Have the system put a file or a folder on the disk. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(path: Path) -> IO[str]:
    """Hold the folder of the file `path` until what is returned is closed or the process dies.

    Raises: StorageError, telling who holds it, or that it cannot be written.
    """
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise unwritten(path, error) from error
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with file:
            file.seek(0)
            holder = file.read().strip() or "another process"
        raise StorageError(f"{path.parent}: {holder} is training here; wait until it ends, or end it") from None
    except (ImportError, OSError):
        pass  # Windows, or a file system that knows no locks: two processes at once are the user's to avoid
    with suppress(OSError):  # a full disk: the lock holds without a name
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
    return file


def _write(path: Path, pieces: Iterable[Piece], mode: int = os.O_TRUNC, synced: bool = True) -> None:
    """Write a file, or to its end, and put it on the disk. Raises: OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | mode, 0o666)
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:  # a system may take less than it is given
                rest = rest[os.write(descriptor, rest) :]
        if synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
