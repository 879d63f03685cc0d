"""A convolution 3 by 3 of stride 1, padded by 1, with its gradients, in 16 multiplications where there are 36."""

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

from . import library, parallel, suits

SOURCE = Path(__file__).with_name("winograd.c")
GROUP = 16  # channels come in groups of so many, as there
LEAST_CHANNELS = 32
LEAST_TILES = 32


class _Job(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "height", "width", "inputs", "outputs", "threads", "gradient")),
        *((name, ctypes.c_int64) for name in ("by_output", "by_input", "by_row", "by_column")),
        *((name, ctypes.c_void_p) for name in ("x", "y", "weight", "parallel")),
    )


def convolved(x: Tensor, weight: Tensor) -> Tensor:
    """conv2d(x, weight, padding=1) of maps (n, inputs, height, width) and weights (outputs, inputs, 3, 3).

    Where it pays, by Winograd's F(2x2, 3x3), which rounds no more than twice as much as torch's; what is infinite or
    NaN makes places NaN there that are up to two from it, not one. It can be differentiated once. Raises: MemoryError.
    """
    if takes(x, weight):
        y: Tensor = _Convolved.apply(x, weight)  # type: ignore[no-untyped-call]
        return y
    return conv2d(x, weight, padding=1)


def takes(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernel in C has a convolution: it can, and is faster than torch's."""
    n, inputs, height, width = x.shape
    outputs = len(weight)
    # Measured on one core with AVX-512, 128 pictures, forward and both gradients together, torch's time over ours:
    # 1.3 with 32 channels, 1.6 with 64 to 256, 2.3 with 512; with 16 it is 1.0, and the weights' gradient 0.8. With
    # fewer than 32 tiles transforming the weights costs what is gained, and maps one place wide are mostly padding.
    return (
        suits(x)
        and suits(weight)
        and not torch.is_autocast_enabled("cpu")
        and weight.shape[2:] == (3, 3)
        and weight.shape[1] == inputs
        and min(inputs, outputs) >= LEAST_CHANNELS
        and inputs % GROUP == outputs % GROUP == 0
        and min(height, width) > 1
        and n * -(-height // 2) * -(-width // 2) >= LEAST_TILES
        and x.is_contiguous(memory_format=torch.channels_last)
        and library(SOURCE) is not None
    )


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        y = torch.empty((len(x), len(weight), *x.shape[2:]), memory_format=torch.channels_last)
        _call(x, y, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        given = given.contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        dw = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        if dx is not None:
            _call(given, dx, weight, turned=True)
        if dw is not None:
            _call(x, given, dw, gradient=True)
        return dx, dw


def _call(x: Tensor, y: Tensor, weight: Tensor, *, turned: bool = False, gradient: bool = False) -> None:
    """Fill y, maps with their channels last; or, if `gradient`, fill the weights, from x and y's gradient.

    turned: the weights by half a turn, and their channels exchanged: how gradients go back from y to x.
    """
    n, inputs, height, width = x.shape
    place, (by_output, by_input, *steps) = weight.data_ptr(), weight.stride()
    if turned:
        place += 2 * sum(steps) * weight.element_size()
        by_output, by_input, steps = by_input, by_output, [-step for step in steps]
    sizes = n, height, width, inputs, y.shape[1], torch.get_num_threads(), gradient
    job = _Job(*sizes, by_output, by_input, *steps, x.data_ptr(), y.data_ptr(), place, parallel())
    found = library(SOURCE)
    assert found is not None, "ask takes() first"
    if found.winograd(ctypes.byref(job)):
        raise MemoryError("can't allocate memory for the tiles of a convolution")
