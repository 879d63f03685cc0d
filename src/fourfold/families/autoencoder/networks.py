"""The autoencoder's two networks."""

import math

import torch
from torch import Tensor, nn

from ..blocks import glorot_


class DenseEncoder(nn.Module):
    """z = encoder(x): one dense layer with relu, as in the source article."""

    def __init__(self, shape: tuple[int, ...], latent_size: int, random: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), latent_size), nn.ReLU())
        glorot_(self, random)

    def forward(self, x: Tensor) -> Tensor:
        """Codes (n, latent) of examples (n, *shape)."""
        codes: Tensor = self.layers(x)
        return codes


class DenseDecoder(nn.Module):
    """x̂ = decoder(z): one dense layer; the sigmoid of pictures belongs to `decode` and to the loss."""

    def __init__(self, latent_size: int, shape: tuple[int, ...], random: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent_size, math.prod(shape)), nn.Unflatten(1, shape))
        glorot_(self, random)

    def forward(self, codes: Tensor) -> Tensor:
        """Outputs (n, *shape), of any size, from codes (n, latent)."""
        outputs: Tensor = self.layers(codes)
        return outputs
