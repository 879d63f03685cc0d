"""How far a figure might be from what it would be on other examples of the kind."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..runtime import generator

RESAMPLES = 1000
LEVEL = 0.95


def bootstrap(figures: Callable[[Tensor], Tensor], count: int, seed: int = 0, resamples: int = RESAMPLES) -> Tensor:
    """Figures of examples that are drawn anew, with repetition, again and again.

    figures: gives (m,) for the places int64 (count,) of the examples drawn; what belongs
    together, as two networks' answers to the same examples, is drawn together. Returns:
    float64 (resamples, m), the same for the same seed. (Efron and Tibshirani, 1993.)
    """
    random = generator(seed, "bootstrap")
    drawn = (torch.randint(count, (count,), generator=random) for _ in range(resamples))
    return torch.stack([figures(index).double() for index in drawn])


def interval(draws: Tensor, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of draws (resamples,): what lies between leaves out an equal share on each side."""
    outside = (1 - level) / 2
    low, high = torch.quantile(draws, torch.tensor([outside, 1 - outside], dtype=draws.dtype)).tolist()
    return low, high


def share_interval(draws: Tensor, share: float, count: int, level: float = LEVEL) -> tuple[float, float]:
    """As `interval`, for a share of `count` examples.

    If all are right, or none, resampling finds nothing else and would claim certainty; the
    interval then ends where that has a chance of (1 - level) / 2 (Clopper and Pearson, 1934).
    """
    bound = ((1 - level) / 2) ** (1 / count)
    if share == 1:
        return bound, 1.0
    return (0.0, 1 - bound) if share == 0 else interval(draws, level)
