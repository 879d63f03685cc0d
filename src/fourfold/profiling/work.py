"""What a step has to do, counted: floating-point operations, bytes that its operators touch, memory that it holds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ..data.dataset import Batch
from ..engine.loop import Trainer
from ..engine.memory import held
from ..families.native import plain
from .meter import Meter, observed, take_step


@dataclass(frozen=True)
class Work:
    """A step's operations and bytes, by its parts.

    flops: of products and convolutions, an addition and a multiplication being two; all else is
    little beside them. traffic: bytes that operators read and write, were there no caches.
    """

    flops: dict[str, int]
    traffic: dict[str, int]


def work(trainer: Trainer, batch: Batch) -> Work:
    """Count one step on a batch.

    A counter of operators is blind to kernels in C, so torch's operators do their work meanwhile. Where a kernel
    multiplies less than these do (a convolution 16 times in place of 36), a step may seem to do more than there is.
    """
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: _product})
    traffic = Traffic()
    with plain(), counter, traffic:
        flops = _by_part(trainer, batch, counter.get_total_flops)
        touched = _by_part(trainer, batch, lambda: traffic.bytes)
    return Work(flops, touched)


def _by_part(trainer: Trainer, batch: Batch, read: Callable[[], int]) -> dict[str, int]:
    meter = Meter(read)
    with observed(trainer, meter):
        take_step(trainer, batch, meter)
    return {part: int(count) for part, count in meter.parts.items() if count}


def _product(_: Any, a: tuple[int, int], b: tuple[int, int], **__: Any) -> int:
    """Of c += a b, from the shapes; torch's own formulas know only the form that returns a new c."""
    return 2 * a[0] * a[1] * b[1]


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of what each operator is given and returns; views touch nothing, new memory is not read."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not func.is_view and not func.__name__.startswith("empty"):
            touched = [one for one in tree_leaves((args, kwargs, result)) if isinstance(one, Tensor)]
            self.bytes += sum(one.nbytes for one in touched)
        return result


def memory(trainer: Trainer, batch: Batch) -> dict[str, int]:
    """The bytes that a step on a batch holds, once a step has been taken.

    activations: what is kept between forward and backward, the batch itself among it; that and the
    gradients of the phase that needs the most.
    """
    course = trainer.course
    networks, stepper = course.networks.values(), course.stepper
    counts = {
        "weights": sum(one.nbytes for network in networks for one in network.state_dict().values()),
        "gradients": max(sum(one.nbytes for one in trained) for _, trained in stepper.phases),
        "optimizer": sum(one.nbytes for one in stepper.tensors().values()),
        "activations": held(stepper, batch),
    }
    if course.average:
        averages = course.average.networks.values()
        counts["average"] = sum(one.nbytes for network in averages for one in network.state_dict().values())
    return counts
