"""One step of training: every phase in turn, over one batch."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..data.dataset import Batch
from ..families.contract import Losses, Phase
from ..runtime import out_of_memory
from ..settings import Settings
from .optim import Optimizer, learning_rate
from .state import Tensors, prefixed, under

Figure = Tensor | float  # a number on a device that nothing has waited for, or one that is at hand
NORM = "gradient_norm"


class NotFiniteError(Exception):
    """A loss or a gradient is not a finite number; the phase has not been applied. step: counted from 0."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


class Stepper:
    """Runs steps: zeroing, backward, clipping, the optimizers and their schedule.

    steps: how many steps the whole training has, for the schedule. at_once: of how many examples
    activations are held; larger batches are computed in parts, whose gradients are summed.
    """

    def __init__(self, networks: dict[str, nn.Module], phases: Sequence[Phase], settings: Settings, steps: int) -> None:
        self.networks = networks
        self.settings = settings
        self.steps = steps
        self.at_once = settings.batch_size
        self.phases = [(phase, parameters(networks, phase)) for phase in phases]
        self.optimizers = {phase.name: Optimizer(trained, settings) for phase, trained in self.phases}
        self.device = self.phases[0][1][0].device
        low = settings.precision == "bf16"
        self.computing: Callable[[], AbstractContextManager[Any]] = (
            partial(torch.autocast, self.device.type, torch.bfloat16) if low else nullcontext
        )
        # On a GPU nobody waits to see whether a gradient is finite: from the first one that is not, this makes
        # the fused optimizers leave everything as it is, until the figures are read.
        self.stuck = None if self.device.type == "cpu" else torch.zeros((), device=self.device)

    def __call__(self, batch: Batch, step: int, random: torch.Generator) -> dict[str, Figure]:
        """Step `step`, counted from 0. Returns: the phases' figures.

        Raises: NotFiniteError, on a CPU, before the phase is applied.
        """
        rate = learning_rate(self.settings, step, self.steps)
        figures: dict[str, Figure] = {}
        for phase, trained in self.phases:
            figures |= self.update(phase, trained, batch, rate, step, random)
        return figures

    def update(
        self,
        phase: Phase,
        trained: list[nn.Parameter],
        batch: Batch,
        rate: float,
        step: int,
        random: torch.Generator,
    ) -> Mapping[str, Figure]:
        """One phase: its loss, the gradient of that with respect to its own networks, one update."""
        losses = self.fitting(phase, trained, batch, step, random)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        norm = norm_of(gradients)
        self.hold(losses.total, norm, step)
        if self.settings.clip:
            clip(gradients, norm, self.settings.clip)
        optimizer = self.optimizers[phase.name]
        optimizer.apply(rate, self.stuck)
        optimizer.clear()
        loss, gradient = ("loss", NORM) if len(self.phases) == 1 else (f"{phase.name}_loss", f"{phase.name}_{NORM}")
        return {loss: losses.total, gradient: norm, **losses.logged}

    def fitting(
        self, phase: Phase, trained: list[nn.Parameter], batch: Batch, step: int, random: torch.Generator
    ) -> Losses:
        """What `differentiate` gives, from here on in smaller parts if memory runs out although it was tried before."""
        drawn = random.get_state()
        while True:
            try:
                return self.differentiate(phase, trained, batch, step, random)
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error) or min(self.at_once, len(batch)) == 1:
                    raise
            # Not within `except`: the error holds on to what was computed.
            self.optimizers[phase.name].clear()
            self.at_once = (min(self.at_once, len(batch)) + 1) // 2
            random.set_state(drawn)

    def differentiate(
        self, phase: Phase, trained: list[nn.Parameter], batch: Batch, step: int, random: torch.Generator
    ) -> Losses:
        """The gradients of a phase's loss, left in its parameters; what the loss came to."""
        total, logged = torch.zeros((), device=batch.x.device), dict[str, Tensor]()
        for part in batch.parts(self.at_once):
            losses = self.loss(phase, part, step, random)
            share = len(part) / len(batch)
            accumulate(losses, share, trained)
            if share == 1:
                return Losses(losses.total.detach(), losses.logged)
            total = total + losses.total.detach() * share
            logged = {name: logged.get(name, 0) + value * share for name, value in losses.logged.items()}
        return Losses(total, logged)

    def loss(self, phase: Phase, batch: Batch, step: int, random: torch.Generator) -> Losses:
        """What the phase says of a batch."""
        pace = (step / self.steps,) if phase.paced else ()
        with self.computing():
            return phase.loss(self.networks, batch, random, *pace)

    def hold(self, total: Tensor, norm: Figure, step: int) -> None:
        """Keep what is not finite from being applied: by raising NotFiniteError, or without waiting for the device."""
        if self.stuck is None:
            if not math.isfinite(total.item() + norm):
                raise NotFiniteError(step)
            return
        torch.maximum(self.stuck, (total + norm).isfinite().logical_not().to(self.stuck.dtype), out=self.stuck)

    def tensors(self) -> Tensors:
        """What the optimizers have gathered, by the names of their phases."""
        named = self.optimizers.items()
        return {key: value for name, one in named for key, value in prefixed(name, one.tensors()).items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` told. Raises: ResumeError if it does not fit the parameters."""
        for name, one in self.optimizers.items():
            one.restore(under(name, saved))


def parameters(networks: Mapping[str, nn.Module], phase: Phase) -> list[nn.Parameter]:
    """The parameters of the networks that a phase trains, but for frozen ones."""
    return [p for name in phase.trains for p in networks[name].parameters() if p.requires_grad]


def accumulate(losses: Losses, share: float, trained: list[nn.Parameter]) -> None:
    """Add a share of the gradients of a loss to those of the parameters, and of no others."""
    if losses.gradients is None:
        scaled = losses.total if share == 1 else losses.total * share
        scaled.backward(inputs=trained)  # type: ignore[no-untyped-call]
        return
    for parameter in trained:
        gradient = losses.gradients[parameter]
        gradient = gradient if share == 1 else gradient * share
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def norm_of(gradients: list[Tensor]) -> Figure:
    """The Euclidean norm of gradients taken together: a number on a CPU, elsewhere a scalar on the device."""
    norms = torch._foreach_norm(gradients)
    if gradients[0].device.type == "cpu":
        return math.hypot(*(norm.item() for norm in norms))
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return total


def clip(gradients: list[Tensor], norm: Figure, largest: float) -> None:
    """Scale gradients down, in place, to a norm of at most `largest`."""
    if isinstance(norm, Tensor):
        torch._foreach_mul_(gradients, (largest / norm).clamp(max=1))
    elif norm > largest:
        torch._foreach_mul_(gradients, largest / norm)
