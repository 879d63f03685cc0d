"""Max pooling over 2 by 2 places and relu, in one pass over the maps, with a byte a place for the way back."""

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import max_pool2d, relu

from . import library, parallel, suits

SOURCE = Path(__file__).with_name("pooling.c")


class _Job(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "height", "width", "channels", "backward", "threads")),
        *((name, ctypes.c_void_p) for name in ("x", "y", "taken", "parallel")),
        ("next", ctypes.c_int64),
    )


def pooled(x: Tensor) -> Tensor:
    """relu(max_pool2d(x, 2)) of maps (n, channels, height, width), which halves both sides, rounding down."""
    if suits(x) and x.is_contiguous(memory_format=torch.channels_last) and library(SOURCE):
        y: Tensor = _Pooled.apply(x)  # type: ignore[no-untyped-call]
        return y
    return relu(max_pool2d(x, 2))


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, channels, height, width = ctx.shape = x.shape
        y = torch.empty((n, channels, height // 2, width // 2), memory_format=torch.channels_last)
        taken = torch.empty_like(y, dtype=torch.uint8)
        _call(x, y, taken, backward=False)
        ctx.save_for_backward(taken)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> Tensor:
        (taken,) = ctx.saved_tensors
        gradient = torch.empty(ctx.shape, memory_format=torch.channels_last)
        _call(gradient, given.contiguous(memory_format=torch.channels_last), taken, backward=True)
        return gradient


def _call(x: Tensor, y: Tensor, taken: Tensor, *, backward: bool) -> None:
    n, channels, height, width = x.shape
    places = {name: tensor.data_ptr() for name, tensor in {"x": x, "y": y, "taken": taken}.items()}
    job = _Job(n, height, width, channels, backward, torch.get_num_threads(), parallel=parallel(), **places)
    found = library(SOURCE)
    assert found is not None, "ask before"
    found.pooling(ctypes.byref(job))
