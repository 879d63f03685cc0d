"""Convolutions between maps of few channels and maps of many, with a leaky relu in the same pass, and their gradients.

They cost what reading and writing the maps of many channels costs, and torch's operators do that several times.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from . import library, parallel, suits

SOURCE = Path(__file__).with_name("thin.c")
GROUP = 16  # the many channels come in groups of so many, as there
FEW = 4  # channels, at most


class _Job(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "height", "width", "few", "down", "across", "many")),
        *((name, ctypes.c_int64) for name in ("kernel", "stride", "padding", "threads")),
        *((name, ctypes.c_int64) for name in ("by_many", "by_few", "by_row", "by_column")),
        ("slope", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("thin", "wide", "weight", "bias", "active", "parallel")),
    )


def widened(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0, slope: float = 1.0
) -> Tensor:
    """leaky_relu(conv2d(x, weight, bias, stride, padding), slope) of maps (n, few, height, width).

    weight: (many, few, kernel, kernel). slope: of the leaky relu, 1 for none. Raises: MemoryError.
    """
    # Measured on one core with AVX-512: of three channels without a leaky relu torch's own is as fast, or faster.
    pays = len(weight[0]) == 1 or slope != 1
    if pays and slope > 0 and _takes(x, weight, bias) and _agrees(x, weight, padding):
        y: Tensor = _Widened.apply(x, weight, bias, stride, padding, slope)  # type: ignore[no-untyped-call]
        return y
    return _widened(x, weight, bias, stride, padding, slope)


def narrowed(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """conv_transpose2d(x, weight, bias, stride, padding) of maps (n, many, height, width).

    weight: (many, few, kernel, kernel). Raises: MemoryError.
    """
    if _takes(x, weight, bias) and x.shape[1] == len(weight) and min(_sides(x, weight, stride, padding)) > 0:
        y: Tensor = _Narrowed.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
        return y
    return conv_transpose2d(x, weight, bias, stride, padding)


def _widened(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, slope: float) -> Tensor:
    """By torch's operators."""
    y = conv2d(x, weight, bias, stride, padding)
    return y if slope == 1 else leaky_relu(y, slope)


def _takes(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether the kernels have what they need, but for sizes that do not agree; torch has words for these."""
    return (
        suits(x)
        and suits(weight)
        and (bias is None or (suits(bias) and bias.is_contiguous()))
        and not torch.is_autocast_enabled("cpu")
        and x.dim() == weight.dim() == 4
        and len(weight) % GROUP == 0
        and 1 <= weight.shape[1] <= FEW
        and weight.shape[2] == weight.shape[3]
        and min(*x.shape, *weight.shape) > 0
        and library(SOURCE) is not None
    )


def _agrees(x: Tensor, weight: Tensor, padding: int) -> bool:
    """Whether pictures have the weights' channels and are as large as their kernel."""
    return x.shape[1] == weight.shape[1] and min(x.shape[2:]) + 2 * padding >= weight.shape[2]


def _sides(x: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[int, int]:
    """Of what a transposed convolution makes."""
    height, width = ((side - 1) * stride - 2 * padding + weight.shape[2] for side in x.shape[2:])
    return height, width


def _maps(n: int, channels: int, height: int, width: int) -> Tensor:
    return torch.empty((n, channels, height, width), memory_format=torch.channels_last)


def _whole(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


class _Widened(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, slope: float
    ) -> Tensor:
        down, across = ((side + 2 * padding - weight.shape[2]) // stride + 1 for side in x.shape[2:])
        y = _maps(len(x), len(weight), down, across)
        _call("widen", _whole(x), y, weight, bias, stride, padding, slope)
        ctx.save_for_backward(x, weight, bias, None if slope == 1 else y)
        ctx.settings = stride, padding, slope
        return y

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, y = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants the gradients' own gradients
            return *_by_torch(_widened, ctx, (x, weight, bias), given), None, None, None
        dx = dw = db = None
        dy, settings = _whole(given), (*ctx.settings, y)
        if ctx.needs_input_grad[0]:
            dx = _maps(*x.shape)
            _call("narrow", dx, dy, weight, None, *settings)
        if any(ctx.needs_input_grad[1:3]):
            dw, db = torch.empty_like(weight), None if bias is None else torch.empty_like(bias)
            _call("weigh", _whole(x), dy, dw, db, *settings)
        return dx, dw, db, None, None, None


class _Narrowed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        y = _maps(len(x), weight.shape[1], *_sides(x, weight, stride, padding))
        _call("narrow", y, _whole(x), weight, bias, stride, padding)
        ctx.save_for_backward(x, weight, bias)
        ctx.settings = stride, padding
        return y

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_by_torch(conv_transpose2d, ctx, (x, weight, bias), given), None, None
        dx = dw = db = None
        dy = _whole(given)
        if ctx.needs_input_grad[0]:
            dx = _maps(*x.shape)
            _call("widen", dy, dx, weight, None, *ctx.settings)
        if ctx.needs_input_grad[1]:
            dw = torch.empty_like(weight)
            _call("weigh", dy, _whole(x), dw, None, *ctx.settings)
        if ctx.needs_input_grad[2]:
            db = dy.sum(dim=(0, 2, 3))
        return dx, dw, db, None, None


def _by_torch(
    function: Callable[..., Tensor], ctx: Any, tensors: tuple[Tensor | None, ...], given: Tensor
) -> list[Tensor | None]:
    """The gradients of function(*tensors, *ctx.settings) that are wanted, which can be differentiated themselves."""
    y = function(*tensors, *ctx.settings)
    wanted = [one for one, needed in zip(tensors, ctx.needs_input_grad, strict=False) if needed and one is not None]
    found = iter(torch.autograd.grad(y, wanted, given, create_graph=True))
    return [next(found) if needed else None for needed in ctx.needs_input_grad[: len(tensors)]]


def _call(
    name: str,
    thin: Tensor,
    wide: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    slope: float = 1.0,
    active: Tensor | None = None,
) -> None:
    """`widen` fills wide, `narrow` thin, `weigh` the weight and the bias. active: whose leaky relu wide is behind."""
    n, few, height, width = thin.shape
    many, _, kernel, _ = weight.shape
    sizes = n, height, width, few, *wide.shape[2:], many, kernel, stride, padding, torch.get_num_threads()
    places = (None if one is None else one.data_ptr() for one in (thin, wide, weight, bias, active))
    job = _Job(*sizes, *weight.stride(), slope, *places, parallel())
    found = library(SOURCE)
    assert found is not None, "ask before"
    if getattr(found, name)(ctypes.byref(job)):
        raise MemoryError("can't allocate memory for a convolution of few channels")
