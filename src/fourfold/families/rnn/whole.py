"""The step of the source article's network in one call of C (`whole.c`): the loss and the gradients of all weights.

Of a step of a network so small, torch's operators and autograd's graph take more than the mathematics.

Shapes: n batch, t time, f features, h hidden units, k classes.
"""

import ctypes
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...data.dataset import Batch
from ..contract import Losses
from ..native import library, parallel, suits
from .networks import Classic, Rows, SimpleCell

SOURCE = Path(__file__).with_name("whole.c")
MOST = 128  # features, units and classes: beyond, torch's products over the whole batch are as fast or faster
MOST_STEPS = 4096  # all of them are kept, for sixteen examples even of one
LEAST_WORK = 1 << 19  # multiplications on the way forward for which waking another thread pays

Weights = tuple[Tensor, ...]  # W (h, f), U (h, h), b (h), V (k, h), c (k)


class _Job(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "t", "f", "h", "k", "relu", "threads")),
        *((name, ctypes.c_void_p) for name in ("lengths", "labels", "shares", "x", "w", "u", "b", "v", "c")),
        *((name, ctypes.c_void_p) for name in ("d_w", "d_u", "d_b", "d_v", "d_c", "loss", "parallel")),
        ("smoothing", ctypes.c_float),
    )


class Given(NamedTuple):
    """What a loss is of, but for the weights. relu: or else tanh."""

    x_ntf: Tensor
    lengths_n: Tensor | None  # int64; what stands past them is not read
    y: Tensor  # labels, int64 (n), or probabilities (n, k)
    relu: bool
    smoothing: float


def losses(network: nn.Module, batch: Batch, smoothing: float = 0.0) -> Losses | None:
    """The cross-entropy of softmax(logits) as a mean over a batch, torch's; None where the plain path must serve.

    That is for all but the article's network, and for what `takes` does not take. smoothing: the share of each label
    that goes to all classes alike. The gradients come from the same call, unless autograd is told to want none.
    Raises: IndexError if a label is no class, MemoryError.
    """
    if not isinstance(network, Classic) or network._compiled_call_impl is not None or batch.y is None:
        return None
    enter, cell, output = network.enter, network.cell, network.output
    if not isinstance(enter, Rows) or not isinstance(cell, SimpleCell):
        return None
    weights = (cell.w_hf, cell.u_hh, cell.b_h, output.weight, output.bias)
    given = Given(enter(batch.x), batch.lengths, batch.y, cell.activation == "relu", smoothing)
    if not takes(given, weights):
        return None
    gradients = [torch.empty_like(weight) for weight in weights] if torch.is_grad_enabled() else None
    mean = _run(given, weights, gradients)
    return Losses(mean, {}, None if gradients is None else dict(zip(weights, gradients, strict=True)))


def takes(given: Given, weights: Weights) -> bool:
    """Whether the step can be native: not too large, of weights that all learn, where there are native kernels.

    Where a mode sees every operator, to count or to record them, operators must serve.
    """
    x, lengths, y = given[:3]
    n, t, f = x.shape if x.dim() == 3 else (0, 0, 0)
    k, h = weights[3].shape
    return (
        n > 0
        and f == weights[0].shape[1]
        and max(f, h, k) <= MOST
        and t <= MOST_STEPS
        and (lengths is None or (lengths.dtype is torch.int64 and lengths.is_cpu and lengths.shape == (n,)))
        and (y.is_cpu and y.shape == (n,) if y.dtype is torch.int64 else suits(y) and y.shape == (n, k))
        and not (x.requires_grad or y.requires_grad)
        and suits(x)
        and all(map(_learns, weights))
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._len_torch_dispatch_stack()
        and library(SOURCE) is not None
    )


def _learns(weight: Tensor) -> bool:
    """Whether it lies as C reads it and wants a gradient; `suits` in a third of its time, once the series suit."""
    kind = type(weight) is nn.Parameter and weight.dtype is torch.float32 and weight.is_cpu
    return kind and weight.requires_grad and weight.is_contiguous()


def _run(given: Given, weights: Weights, gradients: list[Tensor] | None) -> Tensor:
    """The loss; fills the gradients, if any are wanted."""
    x, y = given.x_ntf.contiguous(), given.y.contiguous()  # kept until the call is over, as the lengths are
    lengths = None if given.lengths_n is None else given.lengths_n.contiguous()
    (n, t, f), (k, h) = x.shape, weights[3].shape
    labels, shares = (y.data_ptr(), None) if y.dtype is torch.int64 else (None, y.data_ptr())
    mean, compiled = x.new_empty(()), library(SOURCE)
    assert compiled is not None, "ask takes() first"
    job = _Job(
        *(n, t, f, h, k, given.relu, torch.get_num_threads() if n * t * (f + h) * h > LEAST_WORK else 1),
        *(None if lengths is None else lengths.data_ptr(), labels, shares, x.data_ptr()),
        *[weight.data_ptr() for weight in weights],
        *((None,) * len(weights) if gradients is None else [gradient.data_ptr() for gradient in gradients]),
        *(mean.data_ptr(), parallel(), given.smoothing),
    )
    failed = compiled.whole(ctypes.byref(job))
    if failed == 1:
        raise MemoryError("can't allocate memory for the states of a recurrence")
    if failed:
        raise IndexError(f"a label is no class; these are counted from 0 to {k - 1}")
    return mean
