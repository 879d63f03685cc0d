"""Where a picture has edges, and which way they run: what detection in pictures learns to reconstruct.

An autoencoder of pixels learns to draw strokes, and draws those of unknown things as well;
how edges lie tells shapes apart better than pixels do. After the histograms of oriented
gradients of Dalal and Triggs (CVPR 2005); the measurements are in docs/log.md.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, relu

DIRECTIONS = 8
SIDE = 7  # cells, of the picture's longer side, about
SHARPNESS = 3  # power of the cosine between an edge and a direction
FLOOR, SCALE = 1e-4, 8.0  # keep the root smooth at nothing, and its values of the size of one


class Edges(nn.Module):
    """Edge strengths (n, DIRECTIONS, rows, columns) of pictures (n, channels, height, width) in [0, 1].

    It learns nothing. A cell is the mean over twice its own side, so that a stroke that moves
    a little changes a little; the root brings faint edges nearer to strong ones.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.cell = max(1, math.ceil(max(shape[1:]) / SIDE))
        self.shape = (DIRECTIONS, *(math.ceil(side / self.cell) for side in shape[1:]))

    def forward(self, x: Tensor) -> Tensor:
        """Edge strengths, about 0 to 5."""
        wide = pad(x, (1, 1, 1, 1), mode="replicate")
        across = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]
        down = wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
        strength = (across.square() + down.square() + 1e-12).sqrt()
        angle = torch.arange(DIRECTIONS, device=x.device, dtype=x.dtype) * (2 * math.pi / DIRECTIONS)
        cosine, sine = (f(angle).view(1, -1, 1, 1, 1) for f in (torch.cos, torch.sin))
        along = (across[:, None] * cosine + down[:, None] * sine) / strength[:, None]
        oriented = (strength[:, None] * relu(along) ** SHARPNESS).mean(2)
        pooled = avg_pool2d(oriented, 2 * self.cell - 1, self.cell, self.cell - 1, ceil_mode=True)
        rows, columns = self.shape[1:]
        return SCALE * (pooled[:, :, :rows, :columns] + FLOOR).sqrt()
