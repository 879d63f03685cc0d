"""What is normal, as figures of what an autoencoder gives back of normal examples."""

import torch
from torch import Tensor, nn

RIDGE = 1e-3  # share of the mean of all usual errors that is added to each: none is quite zero


class Normality(nn.Module):
    """How odd each value of an example is, and the threshold above which their mean is a sign of something else.

    It has nothing to learn: `fit` fills its figures when training has ended, and they travel with
    the weights. In pictures the oddness of a value is its squared error. Where values are
    standardised (tables, series) the error is divided by what is usual for its column or channel, and
    the squared distance of what came back from its mean is added: a network that reconstructs an odd
    row well has to give back something far from the usual for that.
    """

    scale: Tensor
    mean: Tensor
    threshold: Tensor
    held_out: Tensor

    def __init__(self, features: int) -> None:
        """Features: columns or channels that are standardised, 0 for pictures."""
        super().__init__()
        self.standardised = features > 0
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("threshold", torch.tensor(torch.inf))
        self.register_buffer("held_out", torch.zeros((), dtype=torch.int64))  # normal examples behind the threshold

    def forward(self, target: Tensor, back: Tensor) -> Tensor:
        """Oddness of each value, in the shape of both, (n, …, features)."""
        squares = (target - back).square()
        return squares / self.scale + (back - self.mean).square() if self.standardised else squares


class Usual:
    """Gathers, batch by batch, what is usual in normal examples: sums over all values of a column or channel."""

    def __init__(self) -> None:
        self.count: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0
        self.back: Tensor | float = 0.0

    def add(self, target: Tensor, back: Tensor, lengths: Tensor | None) -> None:
        """Take in examples and what came back, (n, …, features), both zero past the lengths."""
        features = target.shape[-1]
        self.squares = self.squares + (target - back).double().square().reshape(-1, features).sum(0)
        self.back = self.back + back.double().reshape(-1, features).sum(0)
        self.count = self.count + (target.numel() // features if lengths is None else lengths.sum())

    def fill(self, normality: Normality) -> None:
        """Write the figures down."""
        usual, mean = torch.as_tensor(self.squares / self.count), torch.as_tensor(self.back / self.count)
        normality.scale.copy_(usual + RIDGE * usual.mean() + 1e-12)
        normality.mean.copy_(mean)
