"""The store: what took long to decode is kept, and the next start maps it instead.

    FOURFOLD_CACHE      its folder (~/.cache/fourfold if not set); "off" keeps nothing
    FOURFOLD_CACHE_GB   its size at most (32); what was not used for longest goes first

An entry is a folder of arrays under a key: the content of the files that it was made of and
how they were decoded. It is written whole or not at all; of two processes that want the same
one, the second waits for the first. Files that are as they were (by size, times and inode) are
not read again to know their content.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ..errors import StorageError, UsageError
from ..runtime import cache
from ..storage import new_folder, write_file
from .formats.places import Place, Zipped
from .progress import Progress

T = TypeVar("T")
Facts = Mapping[str, Any]  # plain JSON

FORMAT = 1  # of an entry; another number, other keys
LEAST = 64  # files; fewer are decoded in no time
SETTLED = 2.0  # seconds; a file that changed so lately may change again under the same times
DESCRIPTION = "entry.json"
BLOCK = 1 << 20  # bytes


def stored(
    files: Sequence[Place],
    recipe: Facts,
    make: Callable[[Path], Facts],
    use: Callable[[Path, Facts], T],
    progress: Progress,
) -> T:
    """What `use` makes of the entry for some files under a recipe, which `make` writes if there is none.

    make: writes arrays into a folder; its facts are kept beside them. use: maps or reads
    what it needs while the entry is held; a map outlives it. Where nothing can be kept (or
    the files are few), the folder is a temporary one.
    Raises: what `make` raises.
    """
    root = cache() if len(files) >= LEAST else None
    if root is not None and _writable(root):
        key = _key(root, files, recipe)
        with _held(root, key, progress):
            folder = root / "entries" / key
            facts = _facts(folder)
            if facts is None:
                facts = _write(folder, make)
                _prune(root, keep=key)
            return use(folder, facts)
    with tempfile.TemporaryDirectory(prefix="fourfold-") as temporary:
        return use(Path(temporary), make(Path(temporary)))


def limit() -> int:
    """The store's size at most, in bytes. Raises: UsageError if the setting is no number."""
    named = os.environ.get("FOURFOLD_CACHE_GB", "32")
    try:
        return int(float(named) * 1e9)
    except (ValueError, OverflowError):
        raise UsageError(f"FOURFOLD_CACHE_GB={named}: a number of gigabytes is expected, such as 32") from None


# Entries


def _write(folder: Path, make: Callable[[Path], Facts]) -> Facts:
    for remains in (folder, *folder.parent.glob(f".{folder.name}-*")):  # a damaged one, or of a process that died
        shutil.rmtree(remains, ignore_errors=True)
    with new_folder(folder) as temporary:
        facts = make(temporary)
        sizes = {file.name: file.stat().st_size for file in temporary.iterdir()}
        write_file(temporary / DESCRIPTION, json.dumps({"facts": facts, "sizes": sizes}))
    return facts


def _facts(folder: Path) -> Facts | None:
    """What is known of an entry, which counts as used now; None if there is none, or files of it are not whole."""
    try:
        description = json.loads((folder / DESCRIPTION).read_bytes())
        if any((folder / name).stat().st_size != size for name, size in description["sizes"].items()):
            return None
        os.utime(folder / DESCRIPTION)
        facts: Facts = description["facts"]
        return facts
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _prune(root: Path, keep: str) -> None:
    """Remove the entries that were not used for longest until the store is within its limit, but none in use."""
    ages: list[tuple[float, int, Path]] = []
    for folder in (root / "entries").iterdir():
        with suppress(OSError):  # another process may prune as well
            size = sum(file.stat().st_size for file in folder.iterdir())
            description = folder / DESCRIPTION
            ages.append((description.stat().st_mtime if description.exists() else folder.stat().st_mtime, size, folder))
    total = sum(size for _, size, _ in ages)
    for _, size, folder in sorted(ages):
        if total <= limit():
            return
        if folder.name != keep and _remove(root, folder):
            total -= size


def _remove(root: Path, folder: Path) -> bool:
    try:
        with _held(root, folder.name.split("-")[0].lstrip("."), None):
            shutil.rmtree(folder, ignore_errors=True)
            return True
    except BlockingIOError:
        return False


@contextmanager
def _held(root: Path, key: str, progress: Progress | None) -> Iterator[None]:
    """The entry's lock, which its process loses when it dies. Without `progress`: BlockingIOError if another has it."""
    try:
        import fcntl
    except ImportError:  # Windows: two processes may both decode, and the later one fails to rename
        yield
        return
    with (root / "locks" / key).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress is None:
                raise
            progress("waiting for another process that reads the same files", 0, 0)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _writable(root: Path) -> bool:
    try:
        for name in ("entries", "locks", "seen"):
            (root / name).mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(root / "entries", os.W_OK)


# Keys


def _key(root: Path, files: Sequence[Place], recipe: Facts) -> str:
    """A name for the content of the files, in their order, and the recipe."""
    digest = hashlib.blake2b(json.dumps([FORMAT, recipe], sort_keys=True).encode(), digest_size=20)
    archives = {id(file.archive): file.archive for file in files if isinstance(file, Zipped)}
    packed = {key: archive.path for key, archive in archives.items() if archive.path.is_file()}
    loose = [file for file in files if isinstance(file, Path)]
    digest.update(_contents(root, [*packed.values(), *loose]))
    for file in files:
        if isinstance(file, Zipped):
            digest.update(f"{file.inside}\0".encode())
            if id(file.archive) not in packed:  # in memory
                digest.update(hashlib.blake2b(file.read_bytes(), digest_size=20).digest())
    return digest.hexdigest()


def _contents(root: Path, paths: Sequence[Path]) -> bytes:
    """A digest of the content of the files, from when they were last read if they are as they were then."""
    states = [_state(path) for path in paths]
    sign = hashlib.blake2b(repr((list(map(str, paths)), states)).encode(), digest_size=20).hexdigest()
    seen = root / "seen" / sign
    with suppress(OSError):
        return seen.read_bytes()
    digest = hashlib.blake2b(digest_size=20)
    for path in paths:
        digest.update(_digest(path))
    if all(state and time.time() - max(state[1:3]) / 1e9 > SETTLED for state in states):
        with suppress(StorageError):
            write_file(seen, digest.digest())
    return digest.digest()


def _state(path: Path) -> tuple[int, int, int, int] | None:
    """What changes with a file's content: its size, its times, its inode; None if the file cannot be reached."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _digest(path: Path) -> bytes:
    """The digest of a file; that of nothing if it cannot be read, which whoever decodes it will tell."""
    digest = hashlib.blake2b(digest_size=20)
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
    except OSError:
        return hashlib.blake2b(b"cannot be read", digest_size=20).digest()
    return digest.digest()
