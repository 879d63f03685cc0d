"""Structural similarity, against Wang et al.'s formula written with loops."""

import math

import pytest
import torch
from torch import Tensor

from fourfold.metrics.reconstruction import similarity


def reference(x: Tensor, y: Tensor) -> float:
    """The mean over all windows of one channel (height, width)."""
    weights = [[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5**2)) for j in range(11)] for i in range(11)]
    total = sum(map(sum, weights))
    height, width = x.shape
    found = []
    for top in range(height - 10):
        for left in range(width - 10):
            window = [
                (weights[i][j] / total, float(x[top + i, left + j]), float(y[top + i, left + j]))
                for i in range(11)
                for j in range(11)
            ]
            mean_x, mean_y = sum(w * a for w, a, _ in window), sum(w * b for w, _, b in window)
            var_x = sum(w * (a - mean_x) ** 2 for w, a, _ in window)
            var_y = sum(w * (b - mean_y) ** 2 for w, _, b in window)
            cov = sum(w * (a - mean_x) * (b - mean_y) for w, a, b in window)
            c1, c2 = 0.01**2, 0.03**2
            found.append(
                (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
            )
    return sum(found) / len(found)


def test_it_is_the_formula() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 13, 12, generator=random)
    y = (x + 0.2 * torch.randn(x.shape, generator=random)).clip(0, 1)
    expected = [sum(reference(x[n, c], y[n, c]) for c in range(3)) / 3 for n in range(2)]
    assert similarity(x, y).tolist() == pytest.approx(expected, rel=1e-6)


def test_equal_pictures_have_one_and_blurred_ones_less_than_brighter_ones() -> None:
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * 0.8
    assert similarity(x, x).tolist() == pytest.approx([1.0] * 4)
    brighter = x + 0.02
    flat = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    assert (similarity(x, brighter) > 0.95).all()
    assert (similarity(x, flat) < 0.1).all()
    torch.testing.assert_close(similarity(x, flat), similarity(flat, x))
