"""Batch normalisation with what is added to it and the activation after it, in two passes over the maps each way."""

import ctypes
import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import BatchNorm2d
from torch.nn.functional import leaky_relu, relu

from . import library, parallel, suits

SOURCE = Path(__file__).with_name("norm.c")
WIDTH = 16  # of which a row is a multiple there
ROWS, KEPT = 8, 5  # as there
BLOCK = 32_768  # numbers: small maps have some for every thread, and the sums are little beside them

Activation = Literal["relu"] | float | None  # a number: the slope of leaky relu


class _Job(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "channels", "fold", "block", "training", "threads")),
        *((name, ctypes.c_double) for name in ("momentum", "eps", "slope")),
        *((name, ctypes.c_void_p) for name in ("x", "shortcut", "weight", "bias", "running_mean", "running_var")),
        *((name, ctypes.c_void_p) for name in ("kept", "sums", "y", "dy", "d_shortcut", "dx", "mixture")),
        *((name, ctypes.c_void_p) for name in ("d_weight", "d_bias", "parallel")),
    )


def normalised(x: Tensor, norm: BatchNorm2d, activation: Activation = None, shortcut: Tensor | None = None) -> Tensor:
    """activation(norm(x) + shortcut) of maps (n, channels, height, width), in about half of torch's time.

    shortcut: of x's shape, or none. In training the norm's running moments follow those of the
    batch, as they do in norm(x).
    """
    slope = 1.0 if activation is None else 0.0 if activation == "relu" else activation
    if _suits(x, norm, shortcut) and slope >= 0 and library(SOURCE):
        y: Tensor = _Normalised.apply(x, shortcut, norm.weight, norm.bias, norm, slope)  # type: ignore[no-untyped-call]
        return y
    y = norm(x) if shortcut is None else norm(x) + shortcut
    if activation == "relu":
        return relu(y)
    return y if activation is None else leaky_relu(y, activation)


def _suits(x: Tensor, norm: BatchNorm2d, shortcut: Tensor | None) -> bool:
    """Whether the kernels do what torch would; it refuses a single place, and hooks may do anything."""
    own = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return (
        type(norm) is BatchNorm2d
        and not (norm._forward_pre_hooks or norm._forward_hooks)
        and all(tensor is not None and suits(tensor) and tensor.is_contiguous() for tensor in own)
        and suits(x)
        and x.dim() == 4
        and x.shape[1] == norm.num_features
        and 1 in (x.stride(1), x.shape[1])
        and x.numel() > x.shape[1]
        and x.numel() % (x.shape[1] * _fold(x)) == 0
        and (shortcut is None or (suits(shortcut) and shortcut.shape == x.shape))
    )


def _fold(x: Tensor) -> int:
    """How many places make a row of whole vectors."""
    return WIDTH // math.gcd(WIDTH, x.shape[1])


def _whole(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shortcut: Tensor | None, weight: Tensor, bias: Tensor, norm: BatchNorm2d, slope: float
    ) -> Tensor:
        x, shortcut = _whole(x), None if shortcut is None else _whole(shortcut)
        momentum = norm.momentum
        if norm.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
            momentum = 1 / norm.num_batches_tracked.item() if momentum is None else momentum  # as torch: a plain mean
        y, kept = torch.empty_like(x), x.new_empty(KEPT * _fold(x) * x.shape[1])
        ctx.adds = shortcut is not None
        ctx.settings = {"training": norm.training, "momentum": momentum or 0.0, "eps": norm.eps, "slope": slope}
        own = {"weight": weight, "bias": bias, "running_mean": norm.running_mean, "running_var": norm.running_var}
        _call("norm_forward", x, {"shortcut": shortcut, "y": y, "kept": kept, **own}, ctx.settings)
        ctx.save_for_backward(x, kept, y if ctx.adds and slope != 1 else None)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, y = ctx.saved_tensors
        dy, dx, mixture = _whole(given), torch.empty_like(x), x.new_empty(2 * _fold(x) * x.shape[1])
        d_weight, d_bias = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
        d_shortcut = None if y is None else torch.empty_like(x)
        maps = {"kept": kept, "y": y, "dy": dy, "dx": dx, "d_shortcut": d_shortcut}
        _call("norm_backward", x, {**maps, "mixture": mixture, "d_weight": d_weight, "d_bias": d_bias}, ctx.settings)
        return dx, (dy if d_shortcut is None else d_shortcut) if ctx.adds else None, d_weight, d_bias, None, None


def _call(name: str, x: Tensor, tensors: dict[str, Tensor | None], settings: dict[str, Any]) -> None:
    fold = _fold(x)
    wide = fold * x.shape[1]
    rows, block = x.numel() // wide, max(ROWS, BLOCK // wide // ROWS * ROWS)
    sums = torch.empty(-(-rows // block) * 2 * wide, dtype=torch.float64)
    places = {key: one.data_ptr() for key, one in {**tensors, "x": x, "sums": sums}.items() if one is not None}
    sizes = {"rows": rows, "channels": x.shape[1], "fold": fold, "block": block}
    job = _Job(**sizes, **settings, **places, threads=torch.get_num_threads(), parallel=parallel())
    found = library(SOURCE)
    assert found is not None, "ask before"
    getattr(found, name)(ctypes.byref(job))
