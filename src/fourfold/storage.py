"""Files and folders that are written whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import StorageError


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends well.

    Raises: StorageError if `target` is there already, or if anything cannot be written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StorageError(f"{target}: exists already; remove it or choose another place")
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        temporary.chmod(0o777 & ~_umask())  # mkdtemp's 0700 would follow the folder to its final name
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            _sync(path)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Raises: StorageError if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        _sync(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file. Raises: StorageError if it cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error


def as_json(value: Any) -> str:
    """JSON as people read it: indented, with the text as it is."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _sync(path: Path) -> None:
    """Have the system put a file or a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
