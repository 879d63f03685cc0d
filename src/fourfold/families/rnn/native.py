"""The recurrences' loops over time in C (`recurrence.c`), for a CPU that has a compiler.

    FOURFOLD_NATIVE     "off" leaves them to torch's operators
    FOURFOLD_CACHE      the folder in which the compiled file is kept (~/.cache/fourfold if not set; "off": none,
                        and no native loops)

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
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ...errors import StorageError
from ...runtime import cache
from ...storage import new_folder

Kind = Literal["relu", "tanh", "gru", "lstm"]

SOURCE = Path(__file__).with_name("recurrence.c")
KINDS: tuple[Kind, ...] = ("relu", "tanh", "gru", "lstm")  # as numbered there
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
PATIENCE = 60  # seconds for the compiler on a busy machine
MOST_UNITS = 384  # beyond, the weights leave the nearer cache, and torch's products over the whole batch are as fast
LEAST_WORK = 1 << 21  # multiplications for which waking another thread pays
POINTERS = ("lengths", "u", "bias", "gates", "memory", "states", "d_states", "d_gates", "d_memory")


class _Job(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("kind", "backward", "every", "n", "t", "h", "threads")),
        *((name, ctypes.c_void_p) for name in (*POINTERS, "parallel")),
    )


class Course(NamedTuple):
    """One pass over time: what goes in, and what the loop fills. Shapes as in `recurrence.py`."""

    x_ntf: Tensor  # zero past the ends
    lengths_n: Tensor | None  # int64
    u_gh: Tensor
    bias_h: Tensor | None  # of a GRU's candidate
    gates_ntg: Tensor  # in: W x + b; out: the gates' values; the states, in a simple cell
    memory_nth: Tensor | None  # kept for backward; None: not wanted
    states: Tensor  # (n, t, h), or (n, h) if only the last one is wanted


def takes(course: Course) -> bool:
    """Whether its loops can be native: 32 bits on a CPU, not too many units, no operators that are being recorded.

    A tensor of another class stands for an operator's result in a graph that is being made.
    """
    gates = course.gates_ntg
    return (
        type(gates) is Tensor
        and gates.dtype is torch.float32
        and gates.device.type == "cpu"
        and course.u_gh.shape[1] <= MOST_UNITS
        and not (torch.compiler.is_compiling() or torch._C._get_tracing_state())
        and _library() is not None
    )


def forward(kind: Kind, course: Course) -> None:
    """Fill the gates, the memory and the states. Raises: MemoryError."""
    _call(kind, course, backward=False, every=course.states.dim() == 3)


def backward(
    kind: Kind, every: bool, course: Course, d_states: Tensor, d_gates: Tensor, d_memory: Tensor | None
) -> None:
    """Fill the gradients of the gates and, for a GRU, of the memory from that of the states. Raises: MemoryError.

    every: whether `d_states` is (n, t, h), or (n, h) of the last step alone.
    """
    _call(kind, course, backward=True, every=every, d_states=d_states, d_gates=d_gates, d_memory=d_memory)


def _call(kind: Kind, course: Course, *, backward: bool, every: bool, **gradients: Tensor | None) -> None:
    function, parallel = _library() or (None, None)
    assert function is not None, "ask takes() first"
    whole = [None if tensor is None else tensor.contiguous() for tensor in course[1:4]]  # kept until the call is over
    n, t, g = course.gates_ntg.shape
    h = course.u_gh.shape[1]
    threads = torch.get_num_threads() if n * t * g * h > LEAST_WORK else 1
    tensors = dict(zip(POINTERS, (*whole, *course[4:]), strict=False)) | gradients
    pointers = {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}
    job = _Job(KINDS.index(kind), backward, every, n, t, h, threads, parallel=parallel, **pointers)
    if function(ctypes.byref(job)):
        raise MemoryError("can't allocate memory for the states of a recurrence")


@functools.cache
def _library() -> tuple[Callable[[Any], int], int | None] | None:
    """The C function and the address of OpenMP's entry, if torch has one; None if the plain path must serve."""
    if os.environ.get("FOURFOLD_NATIVE", "").lower() == "off":
        return None
    try:
        function = ctypes.CDLL(str(_compiled())).recurrence
    except (OSError, AttributeError, RuntimeError, StorageError, subprocess.SubprocessError) as error:
        logging.getLogger(__name__).debug("recurrences run on torch's operators: %s", error)
        return None
    function.argtypes, function.restype = [ctypes.POINTER(_Job)], ctypes.c_int
    # A library's handle also finds what is in the libraries that it needs: the OpenMP that torch itself uses. A second
    # one would keep threads of its own, which compete with torch's for the cores.
    entry = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)
    return function, ctypes.cast(entry, ctypes.c_void_p).value if entry else None


def _compiled() -> Path:
    """The library's file, compiled if there is none. Raises: OSError, StorageError, SubprocessError."""
    compiler, root = shutil.which("cc"), cache()
    if compiler is None or root is None:
        raise FileNotFoundError("no C compiler (cc)" if compiler is None else "FOURFOLD_CACHE=off")
    folder = root / "native" / _key(compiler)
    file = folder / "recurrence.so"
    if not file.exists():
        try:
            with new_folder(folder) as temporary:
                _run(compiler, *FLAGS, str(SOURCE), "-lm", "-o", str(temporary / file.name))
        except StorageError:
            if not file.exists():  # else another process was faster
                raise
    if file.stat().st_uid != os.geteuid():  # a folder that several people write to must not have one run another's code
        raise PermissionError(f"{file}: belongs to another user")
    return file


def _key(compiler: str) -> str:
    """A name for the source, how it is compiled, by whom and for which processor.

    The macros that a compiler defines name its version and every extension that -march=native found.
    """
    macros = _run(compiler, *FLAGS, "-dM", "-E", "-x", "c", os.devnull)
    content = repr((FLAGS, os.geteuid())).encode() + macros + SOURCE.read_bytes()
    return hashlib.blake2b(content, digest_size=20).hexdigest()


def _run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE).stdout
