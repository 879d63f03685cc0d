"""How much of an example a reconstruction gives back."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import conv2d

WINDOW, SIGMA = 11, 1.5  # pixels
K1, K2 = 0.01, 0.03


def judge(outcomes: Iterable[tuple[Tensor, Tensor, Tensor]], unit_range: bool) -> dict[str, float]:
    """Figures on a split, from its batches: mean loss (), examples and what came back (n, …).

    Returns: loss, mean squared error, and where values lie in [0, 1] the peak
    signal-to-noise ratio in dB of the mean squared error.
    """
    loss = squared = torch.zeros((), dtype=torch.float64)
    count = 0
    for mean_loss, x, reconstructed in outcomes:
        loss = loss.to(x.device) + mean_loss.double() * len(x)
        squared = squared.to(x.device) + error_per_example(x, reconstructed).double().sum()
        count += len(x)
    figures = {"loss": float(loss) / count, "mse": float(squared) / count, "count": count}
    if unit_range and figures["mse"] > 0:
        figures["psnr"] = -10 * math.log10(figures["mse"])
    return figures


def error_per_example(x: Tensor, reconstructed: Tensor) -> Tensor:
    """Mean squared error (n,) of each example, over all its values."""
    return (x - reconstructed).square().flatten(1).mean(dim=1)


def similarity(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity (n,) of pictures (n, channels, height, width) in [0, 1]; 1 if they are equal.

    With a Gaussian window that lies wholly inside, as in Wang et al. (IEEE TIP 13, 2004);
    colours one by one, then their mean. Sides are of at least WINDOW pixels.
    """
    count = len(x)
    x, y = x.double().flatten(0, 1)[:, None], y.double().flatten(0, 1)[:, None]
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    cov = _blurred(x * y) - mean_x * mean_y
    same_mean = (2 * mean_x * mean_y + K1**2) / (mean_x**2 + mean_y**2 + K1**2)
    same_shape = (2 * cov + K2**2) / (var_x + var_y + K2**2)
    return (same_mean * same_shape).reshape(count, -1).mean(dim=1)


def _blurred(x: Tensor) -> Tensor:
    """Means (m, 1, height - 10, width - 10) of pictures (m, 1, height, width) under the window."""
    away = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    weights = torch.exp(-(away**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    return conv2d(conv2d(x, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
