"""What is written is there whole or not at all, and whoever holds a folder is named."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import StorageError
from fourfold.storage import append_line, lock, new_folder, remove_folder, sweep, write_file, write_folder

FILES = {"a": [b"one ", b"two"], "b": [b"", b"three"]}
WHOLE = {"a": b"one two", "b": b"three"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, int], None]:
    """Makes the n-th call of a function of `os` fail."""

    def arm(name: str, number: int, fault: int) -> None:
        plain, calls = getattr(os, name), iter(range(1, 1000))

        def hook(*arguments: Any, **named: Any) -> Any:
            if next(calls) == number:
                raise OSError(fault, os.strerror(fault))
            return plain(*arguments, **named)

        monkeypatch.setattr(os, name, hook)

    return arm


def test_a_folder_holds_the_pieces_of_its_files(tmp_path: Path) -> None:
    write_folder(tmp_path / "deep" / "new", FILES)
    assert content(tmp_path / "deep" / "new") == WHOLE
    assert names(tmp_path / "deep") == ["new"]
    with pytest.raises(StorageError, match="new: exists already"):
        write_folder(tmp_path / "deep" / "new", FILES)


def test_each_file_is_on_the_disk_before_the_next_and_all_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    opened: dict[int, str] = {}
    open_, write, fsync, replace = os.open, os.write, os.fsync, os.replace

    def hook_open(path: Any, *rest: Any) -> int:
        descriptor = open_(path, *rest)
        name = Path(path).name
        opened[descriptor] = "temporary" if name.startswith(".new-") else name
        return descriptor

    def hook_write(descriptor: int, data: bytes) -> int:
        asked.append(f"write {opened[descriptor]}")
        return write(descriptor, data)

    def hook_fsync(descriptor: int) -> None:
        asked.append(f"sync {opened[descriptor]}")
        fsync(descriptor)

    def hook_replace(source: Path, target: Path) -> None:
        asked.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "open", hook_open)
    monkeypatch.setattr(os, "write", hook_write)
    monkeypatch.setattr(os, "fsync", hook_fsync)
    monkeypatch.setattr(os, "replace", hook_replace)
    write_folder(tmp_path / "new", FILES)
    files = ["write a", "write a", "sync a", "write b", "sync b"]
    assert asked == [*files, "sync temporary", "rename", f"sync {tmp_path.name}"]


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("call", ["open", "write", "fsync"])
def test_a_fault_leaves_nothing_but_a_named_error(
    tmp_path: Path, failing: Callable[[str, int, int], None], call: str, number: int, fault: int
) -> None:
    failing(call, number, fault)
    with pytest.raises(StorageError, match=r"new: cannot be written \(" + os.strerror(fault)):
        write_folder(tmp_path / "new", FILES)
    assert names(tmp_path) == []


def test_a_fault_at_the_rename_leaves_nothing_either(tmp_path: Path, failing: Callable[[str, int, int], None]) -> None:
    failing("replace", 1, errno.EACCES)
    with pytest.raises(StorageError, match=r"new: cannot be written \(Permission"):
        write_folder(tmp_path / "new", FILES)
    assert names(tmp_path) == []


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_fault_leaves_the_old_file(tmp_path: Path, failing: Callable[[str, int, int], None], call: str) -> None:
    write_file(tmp_path / "file", "old")
    failing(call, 1, errno.ENOSPC)
    with pytest.raises(StorageError, match=r"file: cannot be written \(No space"):
        write_file(tmp_path / "file", "new")
    assert content(tmp_path) == {"file": b"old"}


def test_a_system_that_takes_less_than_it_is_given_is_given_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:2]))
    write_folder(tmp_path / "new", FILES)
    append_line(tmp_path / "new" / "a", " three")
    assert content(tmp_path / "new") == {"a": b"one two three\n", "b": b"three"}


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    write_folder(tmp_path / "step-1", FILES)
    for remains in (".step-1-abc", ".step-2-removed", "model"):
        (tmp_path / remains).mkdir()
        (tmp_path / remains / "a").touch()
    sweep(tmp_path, "step-*")
    assert names(tmp_path) == ["model", "step-1"]


def test_a_folder_that_cannot_be_emptied_has_lost_its_name_first(
    tmp_path: Path, failing: Callable[[str, int, int], None]
) -> None:
    write_folder(tmp_path / "step-1", FILES)
    failing("unlink", 2, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        remove_folder(tmp_path / "step-1")
    assert names(tmp_path) == [".step-1-removed"]
    write_folder(tmp_path / "step-1", FILES)
    remove_folder(tmp_path / "step-1")
    assert names(tmp_path) == []


def test_new_folders_are_as_open_as_others(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with new_folder(tmp_path / "new") as folder:
        (folder / "file").touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_what_is_written_is_as_open_as_the_umask_says(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_folder(tmp_path / "written", FILES)
        with new_folder(tmp_path / "new") as folder:
            (folder / "a").touch()
        write_file(tmp_path / "file", "old")
        write_file(tmp_path / "file", "new")
        append_line(tmp_path / "lines", "one")
        lock(tmp_path / ".lock").close()
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~mask, path


@pytest.mark.parametrize(
    ("fault", "mend"),
    [
        (errno.ENOSPC, "; make room on its disk"),
        (errno.EDQUOT, "; make room on its disk"),
        (errno.EACCES, "; have its folder made writable"),
        (errno.EROFS, "; have its folder made writable"),
        (errno.EIO, ""),
    ],
)
def test_the_error_tells_the_mend(
    tmp_path: Path, failing: Callable[[str, int, int], None], fault: int, mend: str
) -> None:
    failing("open", 1, fault)
    with pytest.raises(StorageError) as caught:
        write_file(tmp_path / "file", "new")
    assert str(caught.value) == f"{tmp_path}/file: cannot be written ({os.strerror(fault)}){mend}"


def test_the_second_is_told_who_holds_a_folder(tmp_path: Path) -> None:
    with lock(tmp_path / ".lock"), pytest.raises(StorageError, match=rf"{tmp_path}: process {os.getpid()} on"):
        lock(tmp_path / ".lock")
    lock(tmp_path / ".lock").close()


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from fourfold.storage import lock; held = lock(Path(sys.argv[1]));"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{code} print('held', flush=True); time.sleep(60)", str(tmp_path / ".lock")],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=f"process {process.pid} on .* is training here"):
            lock(tmp_path / ".lock")
        process.kill()
        process.wait()
        lock(tmp_path / ".lock").close()
