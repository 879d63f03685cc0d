"""Which part of a step costs what: one meter for seconds, operations and bytes alike.

A step is the engine's own, as it trains; the meter only looks on: around a phase's loss, and before and after its
optimizer. What lies between the loss and the optimizer is the backward pass, with the norm of the gradients.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch

from ..data.dataset import Batch
from ..engine.loop import Trainer
from ..families.contract import Losses, Networks, Phase

DATA, AUGMENT, REST = "data", "augment", "rest"


class Meter:
    """Sums up what a counter that only grows counts, by the part of a step that is going on.

    It begins with the part "data". parts: in the order in which they first were.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self.read = read
        self.parts: dict[str, float] = {}
        self.going = DATA
        self.since = read()

    def begin(self, part: str) -> None:
        """The part that was going on is over, and this one goes on."""
        now = self.read()
        self.parts[self.going] = self.parts.get(self.going, 0.0) + now - self.since
        self.going, self.since = part, now


def take_step(trainer: Trainer, batch: Batch, meter: Meter) -> None:
    """One step on a batch that has just been taken from the data. The training stays at its beginning."""
    meter.begin(AUGMENT)
    trainer.take_step(batch)
    trainer.course.open_epoch(closed=0)  # else a short training would run past the end of its learning rate
    meter.begin(DATA)


@contextmanager
def observed(trainer: Trainer, meter: Meter, precision: torch.dtype = torch.float32) -> Iterator[None]:
    """While this lasts, steps tell the meter which part begins. precision: of the products in the losses."""
    stepper = trainer.course.stepper
    plain, several = stepper.phases, len(stepper.phases) > 1
    with ExitStack() as hooks:
        stepper.phases = []
        hooks.callback(setattr, stepper, "phases", plain)
        for phase, trained in plain:
            prefix = f"{phase.name} " if several else ""
            stepper.phases.append((_watched(phase, prefix, meter, precision), trained))
            optimizer = stepper.optimizers[phase.name]
            hooks.callback(setattr, optimizer, "apply", optimizer.apply)
            setattr(optimizer, "apply", _metered(optimizer.apply, meter, f"{prefix}optimizer"))  # noqa: B010
        yield


def _watched(phase: Phase, prefix: str, meter: Meter, precision: torch.dtype) -> Phase:
    """The phase, with a loss that tells when it begins and when the backward pass does."""

    def loss(networks: Networks, batch: Batch, *rest: Any) -> Losses:
        meter.begin(f"{prefix}forward")
        with torch.autocast(batch.x.device.type, precision, enabled=precision is not torch.float32):
            losses = phase.loss(networks, batch, *rest)
        meter.begin(f"{prefix}backward")
        return losses

    return replace(phase, loss=loss)


def _metered(apply: Callable[..., None], meter: Meter, part: str) -> Callable[..., None]:
    def metered(*arguments: Any) -> None:
        meter.begin(part)
        apply(*arguments)
        meter.begin(REST)

    return metered
