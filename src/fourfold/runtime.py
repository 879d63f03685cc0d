"""The machine: device, threads, and randomness as a function of integers."""

import ctypes
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from .cores import free_threads
from .errors import OutOfMemoryError, UsageError, nearest
from .settings import Device

TORCHS_OWN = torch.get_num_threads()  # before anybody has changed it
_chosen = TORCHS_OWN

WORDS = ("can't allocate memory", "not enough memory", "could not create a primitive")  # torch's, on a CPU


def generator(seed: int, *position: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Random numbers for one place in a run, such as (seed, "step", 1200).

    The same arguments always give the same numbers, whatever was drawn before: what
    makes a resumed run equal to one that was never stopped.
    """
    text = repr((seed, *position)).encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True)
class Runtime:
    """Where the tensors of a run live."""

    device: torch.device

    @property
    def name(self) -> str:
        """The device, as a model's card names it."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"


def start(device: str = "auto", threads: int = 0) -> Runtime:
    """Choose the device ("auto", "cpu" or "cuda") and set the number of CPU threads, 0 for as many as cores are free.

    Raises: UsageError if there is no such device.
    """
    if device not in get_args(Device):
        raise UsageError(f"no device {device!r}; {nearest(device, get_args(Device))}")
    _take_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda': torch finds no GPU here; use --device cpu")
    return Runtime(torch.device(device))


def _take_threads(asked: int) -> None:
    """Take `asked` threads, or as many as cores are free if nobody asks: by OMP_NUM_THREADS, by torch's own call."""
    global _chosen
    if asked:
        torch.set_num_threads(asked)
    elif "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() == _chosen:
        _chosen = free_threads(TORCHS_OWN)
        torch.set_num_threads(_chosen)


def cache() -> Path | None:
    """The folder for what can be made again: FOURFOLD_CACHE, or else ~/.cache/fourfold; None if it says "off"."""
    named = os.environ.get("FOURFOLD_CACHE", "")
    if named.lower() == "off":
        return None
    return Path(named or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/fourfold").expanduser()


@contextmanager
def one_thread() -> Iterator[None]:
    """The block on one CPU thread; the number of threads is as before after it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def keep_freed_memory() -> bool:
    """Have glibc keep the memory that a step frees, for the next step to take again. Returns: whether it does.

    By default it gives large blocks back to the system and the next step pays for new,
    zeroed pages. Another allocator (LD_PRELOAD) is left alone; FOURFOLD_MALLOC=default
    leaves glibc alone. The gain is in docs/log.md.
    """
    if not sys.platform.startswith("linux") or os.environ.get("LD_PRELOAD"):
        return False
    if os.environ.get("FOURFOLD_MALLOC") == "default":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
    return mallopt is not None and bool(mallopt(m_mmap_max, 0) and mallopt(m_trim_threshold, -1))


@contextmanager
def within_memory(mend: str) -> Iterator[None]:
    """Tell that memory ran out in the block as one error that ends with `mend`.

    Raises: OutOfMemoryError.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise OutOfMemoryError(f"out of memory; {mend}") from error


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out. On a CPU torch has no error of its own for it."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(words in str(error) for words in WORDS)
