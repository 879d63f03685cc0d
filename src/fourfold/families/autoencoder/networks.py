"""The autoencoder's dense networks: the classic one, and one as deep and wide as its input asks for.

Every encoder is called with (x, lengths) and every decoder with (codes, lengths), lengths
being None unless examples differ in length.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..blocks import glorot_

NARROWEST, WIDEST = 64, 1024  # hidden units


class DenseEncoder(nn.Module):
    """z = encoder(x): one dense layer with relu, as in the source article."""

    def __init__(self, shape: tuple[int, ...], latent_size: int, random: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), latent_size), nn.ReLU())
        glorot_(self, random)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Codes (n, latent) of examples (n, *shape)."""
        codes: Tensor = self.layers(x)
        return codes


class DenseDecoder(nn.Module):
    """x̂ = decoder(z): one dense layer; the sigmoid of pictures belongs to `decode` and to the loss."""

    def __init__(self, latent_size: int, shape: tuple[int, ...], random: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent_size, math.prod(shape)), nn.Unflatten(1, shape))
        glorot_(self, random)

    def forward(self, codes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Outputs (n, *shape), of any size, from codes (n, latent)."""
        outputs: Tensor = self.layers(codes)
        return outputs


class DeepEncoder(nn.Module):
    """Three dense layers, relu between them: Hinton and Salakhutdinov's shape (Science 313, 2006)."""

    def __init__(self, shape: tuple[int, ...], outputs: int, random: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), *dense((math.prod(shape), *hidden_sizes(shape), outputs)))
        glorot_(self, random)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Codes (n, outputs) of examples (n, *shape)."""
        codes: Tensor = self.layers(x)
        return codes


class DeepDecoder(nn.Module):
    """Its mirror image."""

    def __init__(self, latent_size: int, shape: tuple[int, ...], random: torch.Generator) -> None:
        super().__init__()
        sizes = (latent_size, *reversed(hidden_sizes(shape)), math.prod(shape))
        self.layers = nn.Sequential(*dense(sizes), nn.Unflatten(1, shape))
        glorot_(self, random)

    def forward(self, codes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Outputs (n, *shape), of any size, from codes (n, latent)."""
        outputs: Tensor = self.layers(codes)
        return outputs


def hidden_sizes(shape: tuple[int, ...]) -> tuple[int, int]:
    """The hidden units of both layers: the input's size, rounded up to a power of two, and half of it.

    >>> hidden_sizes((1, 28, 28)), hidden_sizes((30,))
    ((1024, 512), (64, 32))
    """
    first = min(max(1 << (math.prod(shape) - 1).bit_length(), NARROWEST), WIDEST)
    return first, first // 2


def dense(sizes: Sequence[int]) -> list[nn.Module]:
    """Dense layers of these sizes, with relu between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers[:-1]
