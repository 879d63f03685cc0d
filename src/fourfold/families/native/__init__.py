"""Kernels in C for a CPU that has a compiler: how they are compiled, kept and found. None is needed.

    FOURFOLD_NATIVE     "off" leaves their work to torch's operators
    FOURFOLD_CACHE      the folder in which the compiled files are kept (~/.cache/fourfold if not set; "off": none,
                        and no native kernels)

Compiled by the system's `cc` when they are first wanted, in under a second, and kept under a key of the source, the
compiler and the processor: another of these, another file. Whatever is missing or fails, the plain path serves, with
the same numbers to rounding.
"""

import ctypes
import functools
import hashlib
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ...errors import StorageError
from ...runtime import cache
from ...storage import new_folder

FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
HEADERS = Path(__file__).parent
PATIENCE = 60  # seconds for the compiler on a busy machine

_plain = False


def wanted() -> bool:
    """Whether native kernels are to be used here, and can be made."""
    return os.environ.get("FOURFOLD_NATIVE", "").lower() != "off" and bool(shutil.which("cc") and cache())


@functools.cache
def library(source: Path) -> ctypes.CDLL | None:
    """What a file of C compiles to; None if the plain path must serve."""
    if not wanted():
        return None
    try:
        return ctypes.CDLL(str(_compiled(source)))
    except (OSError, RuntimeError, StorageError, subprocess.SubprocessError) as error:
        logging.getLogger(__name__).debug("%s is left to torch's operators: %s", source.name, error)
        return None


@functools.cache
def parallel() -> int | None:
    """The address of OpenMP's entry, if torch has one.

    A library's handle also finds what is in the libraries that it needs: the OpenMP that torch itself uses. A second
    one would keep threads of its own, which compete with torch's for the cores.
    """
    entry = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)
    return ctypes.cast(entry, ctypes.c_void_p).value if entry else None


@contextmanager
def plain() -> Iterator[None]:
    """Torch's operators in place of every kernel meanwhile, for whoever counts them."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def suits(tensor: Tensor) -> bool:
    """Whether kernels in C may have a tensor: 32 bits on a CPU, and no operators that are being counted or recorded.

    A tensor of another class stands for an operator's result in a graph that is being made.
    """
    return (
        not _plain
        and type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.dtype is torch.float32
        and tensor.device.type == "cpu"
        and not (torch.compiler.is_compiling() or torch._C._get_tracing_state())
    )


def _compiled(source: Path) -> Path:
    """The library's file, compiled if there is none. Raises: OSError, StorageError, SubprocessError."""
    compiler, root = shutil.which("cc"), cache()
    assert compiler is not None, "ask wanted() first"
    assert root is not None
    command = (compiler, *FLAGS, f"-I{HEADERS}")
    folder = root / "native" / _key(command, source)
    file = folder / source.with_suffix(".so").name
    if not file.exists():
        try:
            with new_folder(folder) as temporary:
                _run(*command, str(source), "-lm", "-o", str(temporary / file.name))
        except StorageError:
            if not file.exists():  # else another process was faster
                raise
    if file.stat().st_uid != os.geteuid():  # a folder that several people write to must not have one run another's code
        raise PermissionError(f"{file}: belongs to another user")
    return file


def _key(command: tuple[str, ...], source: Path) -> str:
    """A name for the source, how it is compiled, by whom and for which processor.

    The macros that a compiler defines name its version and every extension that -march=native found.
    """
    macros = _run(*command, "-dM", "-E", "-x", "c", os.devnull)
    texts = [path.read_bytes() for path in (source, *sorted(HEADERS.glob("*.h")))]
    content = b"\0".join([repr((FLAGS, os.geteuid())).encode(), macros, *texts])
    return hashlib.blake2b(content, digest_size=20).hexdigest()


def _run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE).stdout
