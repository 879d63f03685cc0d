"""The residual network, for pictures and spectra of any size."""

import torch
from torch import Tensor, nn

from ..blocks import dropout
from ..trunk import SMALLEST, Sizes, he_, sizes, trunk
from .spectra import as_picture

__all__ = ["SMALLEST", "ResNet", "Sizes", "sizes"]


class ResNet(nn.Module):
    """He et al.'s network (arXiv 1512.03385) behind the stem that they give it for small pictures.

    The stem is one convolution of stride 1 without a pooling; for large pictures it strides. With
    width 64, 2 blocks and 4 stages that is ResNet-18 for CIFAR-10, 11,173,962 parameters for ten
    classes of colour pictures. share: of the last features, left out by dropout in training.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, sizes: Sizes, share: float, random: torch.Generator
    ) -> None:
        super().__init__()
        self.height = shape[1]
        self.share = share
        self.stem, self.blocks, features = trunk(shape[0], sizes)
        self.head = nn.Linear(features, classes)
        he_(self, random)

    def forward(self, x: Tensor, lengths: Tensor | None = None, random: torch.Generator | None = None) -> Tensor:
        """Logits (n, classes) of pictures (n, channels, height, width) or spectra (n, frames, bands).

        lengths: int64 (n,), the frames of each spectrum; None if that is all. random: what dropout
        draws from; without it nothing is dropped.
        """
        if x.dim() == 3:
            if lengths is None:
                lengths = torch.full((len(x),), x.shape[1], device=x.device)
            x = as_picture(x, lengths, self.height)
        maps = self.blocks(self.stem(x, "relu"))
        logits: Tensor = self.head(dropout(maps.mean(dim=(2, 3)), self.share, random))
        return logits
