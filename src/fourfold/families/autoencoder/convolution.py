"""The convolutional autoencoder of pictures of any size.

An encoder halves the sides, rounding up, and doubles the channels until few pixels are
left; a decoder doubles them again and cuts off what rounding up added.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..blocks import glorot_

SMALLEST = 7  # pixels a side, where the halving ends
WIDEST = 8  # times the width: the most channels
GROUP = 8  # channels that are normalised together, at least


class Residual(nn.Module):
    """x + f(x), f two normalised 3×3 convolutions; it begins as the identity (Goyal et al., 2017: the last gain is 0).

    Groups of channels are normalised (Wu and He, 2018), so that no example knows of its batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(norm(channels) for _ in range(2))
        nn.init.zeros_(self.norms[1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width), as it came."""
        inner = silu(self.norms[0](self.convolutions[0](x)))
        y: Tensor = x + self.norms[1](self.convolutions[1](inner))
        return y


class ConvEncoder(nn.Module):
    """Pictures (n, channels, height, width) to numbers (n, outputs)."""

    def __init__(self, shape: tuple[int, ...], outputs: int, width: int, random: torch.Generator) -> None:
        super().__init__()
        sides, widths = halvings(shape), level_widths(shape, width)
        layers: list[nn.Module] = []
        for before, after in zip([shape[0], *widths], widths, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), norm(after), nn.SiLU()]
        height, wide = sides[-1]
        head = nn.Linear(widths[-1] * height * wide, outputs)
        self.layers = nn.Sequential(*layers, Residual(widths[-1]), nn.Flatten(), head)
        glorot_(self, random)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Numbers (n, outputs)."""
        codes: Tensor = self.layers(x)
        return codes


class ConvDecoder(nn.Module):
    """Codes (n, latent) to outputs (n, channels, height, width), of any size."""

    def __init__(self, latent_size: int, shape: tuple[int, ...], width: int, random: torch.Generator) -> None:
        super().__init__()
        self.sides, widths = halvings(shape), level_widths(shape, width)
        self.first = nn.Linear(latent_size, widths[-1] * self.sides[-1][0] * self.sides[-1][1])
        self.residual = Residual(widths[-1])
        down = [shape[0], *widths]
        self.norms = nn.ModuleList(norm(channels) for channels in widths[::-1])
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
            for inputs, outputs in zip(widths[::-1], down[-2::-1], strict=True)
        )
        glorot_(self, random)

    def forward(self, codes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Outputs (n, channels, height, width)."""
        x: Tensor = self.residual(self.first(codes).unflatten(1, (-1, *self.sides[-1])))
        for group, doubling, (height, wide) in zip(self.norms, self.doublings, self.sides[-2::-1], strict=True):
            x = doubling(silu(group(x)))[:, :, :height, :wide]
        return x


def norm(channels: int) -> nn.GroupNorm:
    """Normalises groups of GROUP channels, or of all if they cannot be parted so."""
    return nn.GroupNorm(channels // GROUP if channels % GROUP == 0 else 1, channels)


def halvings(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Height and width from a picture's own to the smallest, each half of the one before, rounded up.

    >>> halvings((1, 28, 28)), halvings((3, 16, 50))
    ([(28, 28), (14, 14), (7, 7)], [(16, 50), (8, 25), (4, 13), (2, 7)])
    """
    sides = [(shape[1], shape[2])]
    while max(sides[-1]) > SMALLEST:
        height, wide = sides[-1]
        sides.append(((height + 1) // 2, (wide + 1) // 2))
    return sides


def level_widths(shape: tuple[int, ...], width: int) -> list[int]:
    """Channels after each halving: `width`, doubled each time, up to WIDEST times `width`."""
    return [min(width << level, WIDEST * width) for level in range(len(halvings(shape)) - 1)]
