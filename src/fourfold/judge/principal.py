"""The plain coder that an autoencoder has to beat: principal components, as many as its code has numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.dataset import Examples
from ..data.schema import Schema
from ..runtime import generator
from .examples import evenly, prepared

HELD = 1 << 26  # numbers of train that are learnt from, at most
EXTRA, ROUNDS = 10, 12  # directions beyond those that are asked for, and rounds that turn them


@dataclass(frozen=True)
class Principal:
    """A mean example, (d,), and orthonormal directions (d, components) of the largest variance."""

    mean: Tensor
    directions: Tensor
    learnt_from: int

    def reconstruct(self, x: Tensor) -> Tensor:
        """What is left of prepared examples (n, …) after encoding and decoding."""
        centred = x.flatten(1) - self.mean
        return (centred @ self.directions @ self.directions.T + self.mean).reshape(x.shape)


def fit_principal(train: Examples, schema: Schema, components: int) -> Principal:
    """Principal components of the prepared training examples; at most as many as there can be.

    By rounds of subspace iteration from a fixed start (Halko, Martinsson and Tropp, arXiv
    0909.4061), which cost the same whatever the size of the examples.
    """
    size = prepared(train.select(torch.arange(1)), schema).numel()
    most = max(HELD // size, components + 1)
    x = prepared(evenly(train, most), schema).flatten(1)
    mean = x.mean(0)
    x = x - mean
    kept = min(components, *x.shape)
    start = torch.randn(size, min(kept + EXTRA, *x.shape), generator=generator(0, "principal"))
    basis = torch.linalg.qr(start).Q
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
    turned = torch.linalg.svd(x @ basis, full_matrices=False).Vh
    return Principal(mean, basis @ turned[:kept].T, len(x))
