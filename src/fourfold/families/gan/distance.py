"""How far generated pictures are from real ones, cheaply enough to be asked after every epoch.

No network that learned anything judges: the features are those of convolutions with fixed random weights, and
pixels in coarse squares. So the figure compares epochs and settings on the same pictures, and nothing else. It
follows what a classifier's features tell of a training's epochs, but hardly sees that a class is missing.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv2d, relu

from ...metrics.generation import frechet
from ...runtime import generator

WIDTHS = (16, 32, 64)  # channels, each at half the side
SQUARES = 4  # a side


class RandomFeatures:
    """Features (n, d) of pictures (n, channels, size, size) in [0, 1]; the same weights for ever.

    The mean and the deviation over places of each channel of three convolutions, and the
    picture's mean colour in 4×4 squares: d = 224 + 16 · channels.
    """

    def __init__(self, channels: int) -> None:
        random = generator(0, "distance")
        self.weights = [
            torch.randn(outputs, inputs, 3, 3, generator=random) * math.sqrt(2 / (inputs * 9))
            for inputs, outputs in zip((channels, *WIDTHS[:-1]), WIDTHS, strict=True)
        ]

    def __call__(self, pictures: Tensor) -> Tensor:
        """Features (n, d)."""
        found = [adaptive_avg_pool2d(pictures, SQUARES)]
        x = pictures * 2 - 1
        for weight in self.weights:
            x = relu(conv2d(x, weight.to(x.device), stride=2, padding=1))
            found += [x.mean(dim=(2, 3)), x.std(dim=(2, 3))]
        return torch.cat([part.flatten(1) for part in found], dim=1)


def distance(real: Tensor, fake: Tensor) -> dict[str, float]:
    """The Fréchet distance of features (n, d), as {"distance": …}; nothing if there are too few to tell."""
    return {} if len(real) < 2 else {"distance": frechet(real, fake)}
