"""How far figures might be from what they would be on other examples, and from those of a rival."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..metrics.intervals import LEVEL, RESAMPLES, interval


def spread(draws: Tensor, names: Sequence[str], figures: Mapping[str, Any], rival: Mapping[str, Any]) -> dict[str, Any]:
    """Intervals by name, and of what the model is above the rival.

    draws (resamples, names), or (resamples, 2 names) with the rival's figures behind the model's, of the same
    examples drawn anew; rival is not looked at for the former.
    """
    spans = {name: interval(draws[:, i]) for i, name in enumerate(names)}
    found: dict[str, Any] = {"intervals": {"level": LEVEL, "resamples": RESAMPLES, **spans}}
    if draws.shape[1] > len(names):
        apart = draws[:, : len(names)] - draws[:, len(names) :]
        found["differences"] = {
            name: {"value": figures[name] - rival[name], "interval": interval(apart[:, i])}
            for i, name in enumerate(names)
        }
    return found
