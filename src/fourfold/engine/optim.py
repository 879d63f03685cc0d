"""Optimizers and how their learning rate runs."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..settings import Settings
from .state import Tensors, fill

EPSILON = 1e-7  # Keras' value for Adam, which the classic presets were measured with
MOMENTS = {"adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum",)}


class Optimizer:
    """The optimizer of one phase: Adam, AdamW, or SGD with Nesterov's momentum.

    It calls the kernels that update all parameters at once, as torch.optim does with fused=True,
    which however takes fifty microseconds to reach them: a tenth of a small network's step.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], settings: Settings) -> None:
        self.parameters = list(parameters)
        self.settings = settings
        # Moments lie in memory as their parameter does: the kernels go through both as they lie.
        self.moments = {
            name: [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
            for name in MOMENTS[settings.optimizer]
        }
        self.steps = torch.zeros((), device=self.parameters[0].device)

    @torch.no_grad()
    def apply(self, rate: float, stuck: Tensor | None = None) -> None:
        """Update the parameters that have a gradient. stuck: on the device, 1 if all is to stay as it is."""
        there = [place for place, parameter in enumerate(self.parameters) if parameter.grad is not None]
        parameters: list[Tensor] = [self.parameters[place] for place in there]
        gradients = [one.grad for one in parameters if one.grad is not None]
        moments = [[all_[place] for place in there] for all_ in self.moments.values()]
        self.steps += 1 if stuck is None else 1 - stuck
        if self.settings.optimizer == "sgd":
            self._sgd(parameters, gradients, moments[0], rate, stuck)
            return
        settings = self.settings
        kernel = torch._fused_adam_ if settings.optimizer == "adam" else torch._fused_adamw_
        kernel(
            parameters,
            gradients,
            moments[0],
            moments[1],
            [],
            [self.steps] * len(there),
            lr=rate,
            beta1=settings.beta1,
            beta2=settings.beta2,
            weight_decay=settings.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            found_inf=stuck,
        )

    def _sgd(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        buffers: list[Tensor],
        rate: float,
        stuck: Tensor | None,
    ) -> None:
        momentum = self.settings.beta1
        torch._fused_sgd_(
            parameters,
            gradients,
            buffers if momentum else [],
            weight_decay=self.settings.weight_decay,
            momentum=momentum,
            lr=rate,
            dampening=0.0,
            nesterov=momentum > 0,
            maximize=False,
            is_first_step=False,  # the momentum begins as zero, which comes to the same
            found_inf=stuck,
        )

    def clear(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def tensors(self) -> Tensors:
        """What it has gathered: `steps`, and PLACE.NAME with the parameter's place among those of the phase."""
        moments = {f"{place}.{name}": one for name, all_ in self.moments.items() for place, one in enumerate(all_)}
        return {"steps": self.steps, **moments}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` told. Raises: ResumeError if it does not fit the parameters."""
        fill(self.tensors(), saved)


def learning_rate(settings: Settings, step: int, steps: int) -> float:
    """The learning rate of step `step` of `steps`, counted from 0.

    It rises linearly over the first `warmup` share, then stays, or goes to zero along a
    line or half a cosine.
    """
    rising = settings.warmup * steps
    if step < rising:
        return settings.learning_rate * (step + 1) / (rising + 1)
    if settings.schedule == "constant":
        return settings.learning_rate
    passed = (step - rising) / max(steps - rising, 1)
    share = 1 - passed if settings.schedule == "linear" else (1 + math.cos(math.pi * passed)) / 2
    return settings.learning_rate * share
