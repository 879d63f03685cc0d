"""What an autoencoder minimises: how far decoder(encoder(x)) is from x, by the kind of data.

Each kind tells the loss of outputs, as a mean over all values that are data, and what
outputs mean as examples. Nothing past the end of a series counts.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..native.cross_entropy import cross_entropy as of_logits

LARGEST = 10.0  # of a logarithm of a variance: beyond it a sample is noise, or none, and the exponential overflows


class Likeness(Protocol):
    """How outputs and examples compare."""

    def loss(self, outputs: Tensor, x: Tensor, lengths: Tensor | None) -> Tensor:
        """A scalar; outputs and x (n, …)."""
        ...

    def examples(self, outputs: Tensor) -> Tensor:
        """Outputs as examples, of the same shape."""
        ...


class Pixels:
    """For x in [0, 1]: -x log x̂ - (1 - x) log(1 - x̂), x̂ = sigmoid(outputs)."""

    def loss(self, outputs: Tensor, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The mean over all values."""
        return of_logits(outputs, x)

    def examples(self, outputs: Tensor) -> Tensor:
        """Pictures in [0, 1]."""
        return torch.sigmoid(outputs)


class Values:
    """For standardised x: (x - x̂)², x̂ = outputs; every example counts the same, however long it is."""

    def loss(self, outputs: Tensor, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The mean over examples of the mean over their values."""
        return mean_per_example((x - outputs).square(), lengths).mean()

    def examples(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs


class Columns:
    """For rows: (x - x̂)² of a number, -log p(level) of a category, p the softmax over its levels.

    widths: how many of the values belong to each column. categories: which columns are such; theirs
    are one-hot, and all zero, which costs nothing, for a level that train does not have.
    """

    def __init__(self, widths: Sequence[int], categories: Sequence[bool]) -> None:
        self.widths = list(widths)
        self.categories = tuple(categories)

    def loss(self, outputs: Tensor, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The mean over rows and columns, a column of numbers counting as much as a category."""
        terms = [
            cross_entropy(y_hat, y) if category else (y - y_hat).square().mean()
            for category, y, y_hat in self._parts(x, outputs)
        ]
        return torch.stack(terms).mean()

    def examples(self, outputs: Tensor) -> Tensor:
        """Numbers, and probabilities of levels."""
        parts = [
            torch.softmax(part, dim=1) if category else part for category, part, _ in self._parts(outputs, outputs)
        ]
        return torch.cat(parts, dim=1)

    def per_column(self, values: Tensor) -> Tensor:
        """Sums (n, columns) of values (n, width)."""
        return torch.stack([part.sum(1) for part in torch.split(values, self.widths, dim=1)], dim=1)

    def _parts(self, a: Tensor, b: Tensor) -> list[tuple[bool, Tensor, Tensor]]:
        pieces = zip(self.categories, *(torch.split(each, self.widths, dim=1) for each in (a, b)), strict=True)
        return list(pieces)


def mean_per_example(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Means (n,) of values (n, …); of series (n, t, c) that are zero past their lengths, over their own steps."""
    sums = values.flatten(1).sum(1)
    steps = values.shape[1] if lengths is None else lengths.to(values)
    return sums / (steps * values[0, 0].numel())


def drawn(moments: Tensor, random: torch.Generator) -> Tensor:
    """z ~ N(m, exp(v)) from (n, 2 latent), m beside v: differentiable (Kingma and Welling, arXiv 1312.6114)."""
    mean, log_variance = halves(moments)
    noise = torch.randn(mean.shape, generator=random, device=mean.device)
    return mean + noise * (log_variance / 2).exp()


def divergence(moments: Tensor) -> Tensor:
    """KL(N(m, exp(v)) ‖ N(0, 1)), summed over the latent, as a mean over examples; moments (n, 2 latent)."""
    mean, log_variance = halves(moments)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


def halves(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Means and logarithms of variances, (n, latent) each."""
    mean, log_variance = moments.chunk(2, dim=1)
    return mean, log_variance.clamp(-LARGEST, LARGEST)
