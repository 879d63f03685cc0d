"""The running average of the weights, which often judges better than the weights."""

import copy

import torch
from torch import Tensor, nn


class Average:
    """The exponential moving average of some networks, as networks of their own.

    In the first steps it forgets faster, so that it does not remember the initial weights
    (the warm-up min(decay, (1 + step) / (10 + step)) of TensorFlow's ExponentialMovingAverage).
    Buffers, such as a norm's running moments, are copied.
    """

    def __init__(self, networks: dict[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self.networks = {name: copy.deepcopy(network).requires_grad_(False) for name, network in networks.items()}
        self._averaged: list[Tensor] = [p for network in self.networks.values() for p in network.parameters()]
        self._current: list[Tensor] = [p for network in networks.values() for p in network.parameters()]
        self._buffers = [
            (kept, current)
            for name, network in networks.items()
            for kept, current in zip(self.networks[name].buffers(), network.buffers(), strict=True)
        ]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._current, 1 - decay)
        for kept, current in self._buffers:
            kept.copy_(current)
