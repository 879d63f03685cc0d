"""The autoencoder's residual encoder: a cnn's trunk, so that a cnn can begin with what it has learnt."""

import torch
from torch import Tensor, nn

from ..trunk import Sizes, he_, trunk


class ResidualEncoder(nn.Module):
    """Pictures (n, channels, height, width) to numbers (n, outputs)."""

    def __init__(self, shape: tuple[int, ...], outputs: int, sizes: Sizes, random: torch.Generator) -> None:
        super().__init__()
        self.stem, self.blocks, features = trunk(shape[0], sizes)
        height, width = sizes.last(shape)
        self.head = nn.Linear(features * height * width, outputs)  # a code has to tell where things are
        he_(self, random)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Numbers (n, outputs)."""
        codes: Tensor = self.head(self.blocks(self.stem(x, "relu")).flatten(1))
        return codes
