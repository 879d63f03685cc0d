"""Optimizers and how their learning rate runs."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from ..settings import Settings

EPSILON = 1e-7  # Keras' value for Adam, which the classic presets were measured with


def optimizer(parameters: Sequence[nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
    """The optimizer of one phase, in its fused form: one kernel for all parameters."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, rate, settings.beta1, weight_decay=decay, nesterov=settings.beta1 > 0, fused=True
        )
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, rate, betas=(settings.beta1, settings.beta2), eps=EPSILON, weight_decay=decay, fused=True)


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
