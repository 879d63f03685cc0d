"""The recurrences' loops over time in C (`recurrence.c`), for a CPU that has a compiler; see `families.native`."""

import ctypes
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..native import library, parallel, suits

Kind = Literal["relu", "tanh", "gru", "lstm"]

SOURCE = Path(__file__).with_name("recurrence.c")
KINDS: tuple[Kind, ...] = ("relu", "tanh", "gru", "lstm")  # as numbered there
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
    """Whether its loops can be native: with not too many units, where there are native kernels."""
    return suits(course.gates_ntg) and course.u_gh.shape[1] <= MOST_UNITS and library(SOURCE) is not None


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
    compiled = library(SOURCE)
    assert compiled is not None, "ask takes() first"
    whole = [None if tensor is None else tensor.contiguous() for tensor in course[1:4]]  # kept until the call is over
    n, t, g = course.gates_ntg.shape
    h = course.u_gh.shape[1]
    threads = torch.get_num_threads() if n * t * g * h > LEAST_WORK else 1
    tensors = dict(zip(POINTERS, (*whole, *course[4:]), strict=False)) | gradients
    pointers = {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}
    job = _Job(KINDS.index(kind), backward, every, n, t, h, threads, parallel=parallel(), **pointers)
    if compiled.recurrence(ctypes.byref(job)):
        raise MemoryError("can't allocate memory for the states of a recurrence")
