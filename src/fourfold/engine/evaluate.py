"""Asking networks without touching them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..data.feed import Feed, in_order
from ..families.contract import Family, Metrics, Sampler

BATCH_SIZE = 256  # small enough for the activations to stay in the cache


@contextmanager
def asking(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Evaluation mode and no gradients within; the networks' own modes again after."""
    modes = {name: network.training for name, network in networks.items()}
    try:
        for network in networks.values():
            network.eval()
        with torch.inference_mode():
            yield
    finally:
        for name, network in networks.items():
            network.train(modes[name])


def evaluate(family: Family, networks: Mapping[str, nn.Module], split: Feed) -> Metrics:
    """The family's figures on a split."""
    with asking(networks):
        return family.evaluate(networks, in_order(split, BATCH_SIZE))


def generate(sampler: Sampler, networks: Mapping[str, nn.Module], latents: Tensor) -> Tensor:
    """Pictures (n, channels, height, width) in [0, 1], on the CPU, from latents (n, latent)."""
    with asking(networks):
        return torch.cat([sampler.generate(networks, part).cpu() for part in torch.split(latents, BATCH_SIZE)])


def scalars(metrics: Metrics) -> dict[str, float]:
    """The figures of `metrics` that are single numbers, for the history and the terminal."""
    return {name: value for name, value in metrics.items() if isinstance(value, float)}
