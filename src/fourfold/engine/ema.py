"""The running average of the weights, which often judges better than the weights."""

import copy

import torch
from torch import Tensor, nn


class Average:
    """The exponential moving average of some networks, as networks of their own.

    In the first steps it forgets faster, so that it does not remember the initial weights
    (the warm-up min(decay, (1 + step) / (10 + step)) of TensorFlow's ExponentialMovingAverage).
    A norm's running moments are averaged like the weights that they belong to; buffers of
    whole numbers are copied.
    """

    def __init__(self, networks: dict[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self.networks = {name: copy.deepcopy(network).requires_grad_(False) for name, network in networks.items()}
        pairs = [
            (kept, current)
            for name, network in networks.items()
            for kept, current in zip(_tensors(self.networks[name]), _tensors(network), strict=True)
        ]
        self._averaged = [kept for kept, _ in pairs if kept.is_floating_point()]
        self._current = [current for _, current in pairs if current.is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._current, 1 - decay)
        for kept, current in self._copied:
            kept.copy_(current)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
