"""How near told numbers are to the true ones.

n examples, k numbers; all in the data's own units, in which figures of different numbers have no mean.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def errors(said: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Of each number r2, mean absolute error and root mean squared error, float64 (k,); said, y: (n, k).

    r2 is 1 - Σ(y - said)² / Σ(y - mean of y)²: 1 if all is right, 0 for telling the mean; NaN where y never changes.
    """
    said, y = said.double(), y.double()
    missed = said - y
    spread = (y - y.mean(0)).square().mean(0)
    spread = torch.where(y.amax(0) > y.amin(0), spread, torch.nan)
    squared = missed.square().mean(0)
    return {"r2": 1 - squared / spread, "mae": missed.abs().mean(0), "rmse": squared.sqrt()}


def single(said: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The figures that are one for all numbers: the mean r2 of those that change; of one number its errors, too."""
    each = errors(said, y)
    r2 = each["r2"].nanmean()
    return {"r2": r2, "mae": each["mae"][0], "rmse": each["rmse"][0]} if y.shape[1] == 1 else {"r2": r2}


def drawn(said: Tensor, y: Tensor) -> Callable[[Tensor], dict[str, Tensor]]:
    """What `single` tells of a draw of examples: their places, int64 (m,)."""
    return lambda index: single(said[index], y[index])


def figures(said: Tensor, y: Tensor, names: Sequence[str], mean: Sequence[float]) -> dict[str, Any]:
    """Figures on a split, from what is told of it and what is true, (n, k).

    mean: of train, (k,), the baseline's answer to everything. Returns: what `single` does, the
    baseline's r2, and the figures of each number; r2 is None where none of its numbers changes.
    """
    always = torch.tensor(mean, dtype=torch.float64).expand(y.shape)
    each = {name: values.tolist() for name, values in errors(said, y).items()}
    return {
        **plain(single(said, y)),
        "baseline": {"mean": plain(single(always, y))["r2"]},
        "count": len(y),
        "targets": {
            name: {figure: _known(values[place]) for figure, values in each.items()} for place, name in enumerate(names)
        },
    }


def plain(found: dict[str, Tensor]) -> dict[str, float | None]:
    """Figures as JSON has them."""
    return {name: _known(float(value)) for name, value in found.items()}


def _known(value: float) -> float | None:
    return None if value != value else value
