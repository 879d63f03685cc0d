"""The convolutional networks."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..blocks import glorot_
from ..native.pooling import pooled
from ..native.thin import widened

SMALLEST = 10  # a side below this leaves nothing after the classic network's second pooling


class Classic(nn.Module):
    """The source article's network: two convolutions, two poolings, two dense layers.

    121,930 parameters for pictures of 28×28×1 and ten classes.
    """

    def __init__(self, channels: int, height: int, width: int, classes: int, random: torch.Generator) -> None:
        super().__init__()
        self.height = height
        # The article has relu before the pooling: of the greatest of four it is the same, at a quarter of the work.
        self.features = nn.Sequential(Widening(channels, 32, 3), Pooled(), nn.Conv2d(32, 64, 3), Pooled(), nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(64 * _side(height) * _side(width), 64),
            nn.ReLU(),
            nn.Linear(64, classes),
        )
        glorot_(self, random)

    def forward(self, x: Tensor, lengths: Tensor | None = None, random: torch.Generator | None = None) -> Tensor:
        """Logits (n, classes) of pictures (n, channels, height, width) or spectra (n, frames, bands).

        It reads no lengths and draws nothing: both are there for the networks that do.
        """
        logits: Tensor = self.head(self.features(as_pictures(x, self.height)))
        return logits


class Widening(nn.Conv2d):
    """A convolution of the pictures themselves, whose channels are few; of stride 1, without padding."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps (n, outputs, h - kernel + 1, w - kernel + 1) of pictures (n, inputs, h, w)."""
        return widened(input, self.weight, self.bias)


class Pooled(nn.Module):
    """The greatest of every two by two places, then relu."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height / 2, width / 2) of (n, channels, height, width), both rounded down."""
        return pooled(x)


def as_pictures(x: Tensor, height: int) -> Tensor:
    """Pictures as they are; spectra (n, frames, bands) as grey pictures, cut or filled with zeros to `height`."""
    return pad(x[:, :height], (0, 0, 0, max(0, height - x.shape[1])))[:, None] if x.dim() == 3 else x


def _side(size: int) -> int:
    """What the two convolutions and poolings leave of a side of `size` pixels."""
    return ((size - 2) // 2 - 2) // 2
