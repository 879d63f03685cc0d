"""How much of an example a reconstruction gives back."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


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
