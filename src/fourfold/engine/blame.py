"""What made a step go wrong: which examples of its batch, and at which step it was."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ..data.augment import Augmentation
from ..data.feed import Feed
from ..runtime import generator
from .history import Values
from .step import Stepper

MANY = 512  # examples of a batch that are tried one by one


@dataclass(frozen=True)
class Example:
    """An example of the batch. alone: whether a loss of it alone is not finite either."""

    place: int  # in the training split
    name: str
    alone: bool


@dataclass(frozen=True)
class Failure:
    """A step whose loss or gradient was not a finite number, and its examples."""

    epoch: int
    step: int
    examples: Sequence[Example]

    def __str__(self) -> str:
        alone = [example.name for example in self.examples if example.alone]
        told = f"epoch {self.epoch}, step {self.step}: a loss or its gradient is not a finite number"
        if not alone:
            return told
        if len(alone) == len(self.examples):
            return f"{told}, whichever of its {len(alone)} examples are taken: the weights have gone too far"
        more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
        return f"{told}; so it is for {', '.join(alone[:3])}{more} alone"


def first_bad(values: Values) -> int | None:
    """The place of the first step of which a figure is not a finite number."""
    places = [place for numbers in values.values() for place, value in enumerate(numbers) if not math.isfinite(value)]
    return min(places, default=None)


def suspects(
    stepper: Stepper, train: Feed, augmentation: Augmentation, names: Sequence[str], places: Sequence[int], step: int
) -> list[Example]:
    """The examples of a batch, each tried alone under the weights as they are."""
    seed = stepper.settings.seed

    def alone(place: int) -> bool:
        pair = augmentation.apply(train.gather(torch.tensor([place, place])), seed, step)  # a norm needs two values
        random = generator(seed, "step", step, device=pair.x.device)
        totals = [stepper.loss(phase, pair, step, random).total for phase, _ in stepper.phases]
        return not all(bool(total.isfinite()) for total in totals)

    with buffers_kept(stepper.networks):
        return [Example(place, names[place], number < MANY and alone(place)) for number, place in enumerate(places)]


@contextmanager
def buffers_kept(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Whatever runs within, the networks' buffers (a norm's running moments) are as before after it."""
    before = [(buffer, buffer.clone()) for network in networks.values() for buffer in network.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, kept in before:
                buffer.copy_(kept)
