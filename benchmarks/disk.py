"""A disk that fails, or a process that dies, at one call out of all that change the disk."""

import builtins
import io
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fourfold.engine.keeper import Keeper
from victims import Victim

CALLS = ("open", "write", "fsync", "replace", "mkdir", "chmod", "unlink", "rmdir")  # of `os`
Act = Callable[[str, int, object], str | None]


def hooked(act: Act) -> None:
    """Have `act` called, with its name, number and path, before every call that may change the disk.

    Those are `CALLS`, and opening, writing to and closing files of `io`, as the libraries do. If it
    answers "short", a write takes only half of what it is given. Checkpoints are waited for, so that
    the same number is the same call each time.
    """
    seen = 0

    def hook(name: str, plain: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if act(name, seen, arguments[0]) == "short" and len(arguments[1]) > 1:
            arguments = (arguments[0], arguments[1][: len(arguments[1]) // 2])
        return plain(*arguments, **named)

    class File(io.FileIO):
        """One that is written to through `hook`."""

        def write(self, data: Any, /) -> int:
            return int(hook("write", io.FileIO.write, self, memoryview(data)))

    opened = io.open

    def open_(file: Any, mode: str = "r", buffering: int = -1, *text: Any, **named: Any) -> Any:
        if not set(mode) & set("wax+") or isinstance(file, int):
            return opened(file, mode, buffering, *text, **named)
        raw = hook("open", lambda path: File(path, mode.replace("b", "").replace("t", "")), file)
        whole = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return whole if "b" in mode else io.TextIOWrapper(whole, *text, **named)

    for name in CALLS:
        setattr(os, name, partial(hook, name, getattr(os, name)))
    io.open = builtins.open = open_
    _wait_for_checkpoints()


def die(site: int, name: str, number: int, path: object) -> None:
    """Die at one site, as a process does that is killed there."""
    if number == site:
        os.kill(os.getpid(), signal.SIGKILL)


def fail(site: int, fault: int | None, name: str, number: int, path: object) -> str | None:
    """Fail at one site, as a disk does; the `fault` None is a write that takes a part."""
    if number != site or (fault is None and name != "write"):
        return None
    if fault is None:
        return "short"
    raise OSError(fault, os.strerror(fault), path if isinstance(path, str | Path) else None)


def count(victim: Victim, notes: Path) -> int:
    """How many calls that change the disk the whole training makes."""
    counted = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    write = os.write

    def note(name: str, number: int, path: object) -> None:
        write(counted, b".")

    assert victim.end(lambda: hooked(note)) == 0, victim.told
    os.close(counted)
    return notes.stat().st_size


def _wait_for_checkpoints() -> None:
    save = Keeper.save

    def patient(keeper: Keeper, *arguments: Any) -> None:
        save(keeper, *arguments)
        keeper.wait()

    setattr(Keeper, "save", patient)  # noqa: B010
