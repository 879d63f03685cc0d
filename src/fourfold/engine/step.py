"""One step of training: every phase in turn, over one batch."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..data.dataset import Batch
from ..errors import ResumeError
from ..families.contract import Phase
from ..settings import Settings
from .optim import learning_rate, optimizer
from .state import Tensors, under


class Stepper:
    """Runs steps: zeroing, backward, clipping, the optimizers and their schedule.

    steps: how many steps the whole training has, for the schedule.
    """

    def __init__(self, networks: dict[str, nn.Module], phases: Sequence[Phase], settings: Settings, steps: int) -> None:
        self.networks = networks
        self.settings = settings
        self.steps = steps
        self.phases = [(phase, parameters(networks, phase)) for phase in phases]
        self.optimizers = {phase.name: optimizer(trained, settings) for phase, trained in self.phases}

    def __call__(self, batch: Batch, step: int, random: torch.Generator) -> dict[str, Tensor]:
        """Step `step`, counted from 0. Returns: the phases' figures, scalars on the device."""
        rate = learning_rate(self.settings, step, self.steps)
        figures: dict[str, Tensor] = {}
        for phase, trained in self.phases:
            figures |= self.update(phase, trained, batch, rate, random)
        return figures

    def update(
        self, phase: Phase, trained: list[nn.Parameter], batch: Batch, rate: float, random: torch.Generator
    ) -> Mapping[str, Tensor]:
        """One phase: its loss, the gradient of that with respect to its own networks, one update."""
        losses = phase.loss(self.networks, batch, random)
        # `inputs` keeps gradients out of every network that the phase does not train.
        losses.total.backward(inputs=trained)  # type: ignore[no-untyped-call]
        if self.settings.clip:
            nn.utils.clip_grad_norm_(trained, self.settings.clip)
        phase_optimizer = self.optimizers[phase.name]
        for group in phase_optimizer.param_groups:
            group["lr"] = rate
        phase_optimizer.step()
        phase_optimizer.zero_grad(set_to_none=True)
        name = "loss" if len(self.phases) == 1 else f"{phase.name}_loss"
        return {name: losses.total.detach(), **losses.logged}

    def tensors(self) -> Tensors:
        """What the optimizers have gathered, as PHASE.PLACE.NAME: the parameter's place among those of the phase."""
        return {
            f"{phase.name}.{place}.{name}": value
            for phase, trained in self.phases
            for place, parameter in enumerate(trained)
            for name, value in self.optimizers[phase.name].state.get(parameter, {}).items()
            if isinstance(value, Tensor)
        }

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` told. Raises: ResumeError if it does not fit the parameters."""
        for phase, trained in self.phases:
            state = self.optimizers[phase.name].state
            for name, value in under(phase.name, saved).items():
                place, _, key = name.partition(".")
                if not place.isdecimal() or int(place) >= len(trained):
                    raise ResumeError(f"the checkpoint is of another network: {phase.name} trains no parameter {place}")
                parameter = trained[int(place)]
                if value.shape not in (parameter.shape, ()):
                    raise ResumeError(f"the checkpoint is of another network: {name} does not fit its parameter")
                # Moments lie in memory as their parameter does: fused kernels go through both as they lie.
                kept = torch.empty_like(parameter if value.shape == parameter.shape else value, device=parameter.device)
                state[parameter][key] = kept.detach().copy_(value)


def parameters(networks: Mapping[str, nn.Module], phase: Phase) -> list[nn.Parameter]:
    """The parameters of the networks that a phase trains."""
    return [p for name in phase.trains for p in networks[name].parameters()]
