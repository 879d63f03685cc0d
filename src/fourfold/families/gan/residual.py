"""Residual networks without norms, in the manner of R3GAN (Huang et al., arXiv 2501.05441).

Their sides are those of dcgan, a block at each; what leads from one side to the next is linear. No layer mixes
examples, so a gradient with respect to one picture means something. Two things differ from R3GAN, for the
sake of a CPU: two convolutions of 3×3 in a block where it has a grouped one between two of 1×1, and no layer at
the full side: a stride of two into the discriminator, four pixels at once out of the generator.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, pixel_shuffle

from .networks import SLOPE, doublings

WIDEST = 8  # times the channels next to the picture


class ResidualGenerator(nn.Module):
    """Latents to pictures; behind a latent's normal numbers the class, if there are some, as a one and zeros."""

    def __init__(
        self, latent_size: int, classes: int, channels: int, size: int, width: int, random: torch.Generator
    ) -> None:
        super().__init__()
        self.size = size
        self.sides = doublings(size)[:-1]
        widths = widths_of(width, len(self.sides))[::-1]
        self.first = nn.Linear(latent_size + classes, widths[0] * self.sides[0] ** 2)
        self.unflatten = nn.Unflatten(1, (widths[0], self.sides[0], self.sides[0]))
        self.blocks = nn.ModuleList(Block(width) for width in widths)
        self.narrowings = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 1, bias=False) for inputs, outputs in pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1], channels * 4, 3, padding=1)
        residual_(self, random)
        with torch.no_grad():  # the class is one number beside many, and weighs as much as all of them
            self.first.weight *= math.sqrt((latent_size + classes) / latent_size)
            self.first.weight[:, latent_size:] *= math.sqrt(latent_size)

    def forward(self, latents: Tensor) -> Tensor:
        """Pictures (n, channels, size, size) in [-1, 1] from latents (n, latent + classes)."""
        x = self.unflatten(self.first(latents)).contiguous(memory_format=torch.channels_last)
        x = self.blocks[0](x)
        for narrowing, block, side in zip(self.narrowings, list(self.blocks)[1:], self.sides[1:], strict=True):
            x = block(interpolate(narrowing(x), scale_factor=2)[:, :, :side, :side])
        x = pixel_shuffle(self.last(leaky_relu(x, SLOPE)), 2)[:, :, : self.size, : self.size]
        return torch.tanh(x)


class ResidualDiscriminator(nn.Module):
    """Pictures to logits, by a last layer with a row for each class if there are some (arXiv 1802.05637)."""

    def __init__(self, classes: int, channels: int, size: int, width: int, random: torch.Generator) -> None:
        super().__init__()
        sides = doublings(size)[:-1]
        widths = widths_of(width, len(sides))
        self.first = nn.Conv2d(channels, width, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(Block(width) for width in widths)
        self.widenings = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 1, bias=False) for inputs, outputs in pairwise(widths)
        )
        self.head = nn.Linear(widths[-1] * sides[0] ** 2, max(classes, 1))
        residual_(self, random)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of pictures (n, channels, size, size), taken for those of the classes `labels`, int64 (n,)."""
        x = self.blocks[0](self.first(x))
        for widening, block in zip(self.widenings, list(self.blocks)[1:], strict=True):
            x = block(widening(avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)))
        logits: Tensor = self.head(leaky_relu(x, SLOPE).flatten(1))
        return logits.squeeze(1) if labels is None else logits.gather(1, labels[:, None]).squeeze(1)


class Block(nn.Module):
    """x + f(x), where f has two convolutions and begins as zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, height, width), as given."""
        change: Tensor = self.second(leaky_relu(self.first(leaky_relu(x, SLOPE)), SLOPE))
        return x + change


def widths_of(width: int, levels: int) -> list[int]:
    """Channels at each side, from the one next to the picture on."""
    return [width * min(1 << level, WIDEST) for level in range(levels)]


def residual_(network: nn.Module, random: torch.Generator) -> None:
    """Draw weights that keep the variance and make blocks the identity, biases zero, in place.

    Fixup (Zhang, Dauphin and Ma, arXiv 1901.09321): in place of norms, the last convolution of a block
    begins as zero, and its first one is smaller the more blocks follow each other.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, 0, 1 / math.sqrt(layer.weight[0].numel()), generator=random)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    blocks = [block for block in network.modules() if isinstance(block, Block)]
    for block in blocks:
        with torch.no_grad():
            block.first.weight *= nn.init.calculate_gain("leaky_relu", SLOPE) / math.sqrt(len(blocks))
        nn.init.zeros_(block.second.weight)
