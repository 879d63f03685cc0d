"""Where to draw the line between normal and not, and how well a score does."""

import math
from typing import Any

import torch
from torch import Tensor

from .ranking import auprc, auroc

LEVEL = 0.95  # of the interval
HALVINGS = 60  # of the interval in which a bound is sought


def fewest(false_alarms: float) -> int:
    """How many normal examples it takes to draw a line with that rate of false alarms.

    >>> fewest(0.05), fewest(0.01)
    (19, 99)
    """
    return math.ceil(1 / false_alarms - 1 - 1e-9)


def threshold(scores: Tensor, false_alarms: float) -> float:
    """The line above which a new normal example falls with a chance of at most `false_alarms`.

    scores (n,): of normal examples that took no part in training, n at least `fewest`. The k-th
    smallest, k = ⌈(n + 1)(1 - rate)⌉: where all n + 1 are alike, the new one is as likely to stand at any
    place among them (Vovk et al., 2005).
    """
    return float(scores.double().sort().values[place(len(scores), false_alarms) - 1])


def place(count: int, false_alarms: float) -> int:
    """Which of so many sorted scores is the threshold, counted from 1."""
    return math.ceil((count + 1) * (1 - false_alarms) - 1e-9)


def rate_interval(count: int, false_alarms: float, level: float = LEVEL) -> tuple[float, float]:
    """Where the true rate of false alarms lies that a threshold from `count` scores has.

    The share above the k-th smallest of n scores is distributed as Beta(n + 1 - k, k), whatever
    the scores are like (Wilks, 1941). Returns: the middle `level` of it.
    """
    k = place(count, false_alarms)
    outside = (1 - level) / 2
    return _beta_quantile(count + 1 - k, k, outside), _beta_quantile(count + 1 - k, k, 1 - outside)


def judge(scores: Tensor, abnormal: Tensor, line: float) -> dict[str, Any]:
    """Figures of scores (n,) where it is known what is abnormal, bool (n,); one at least is, and one is not.

    Returns: the area under the receiver operating characteristic and that under precision and recall,
    and at the line the share of normal examples above it and that of the abnormal ones that it finds.
    """
    alarms = scores > line
    return {
        "auroc": auroc(scores, abnormal),
        "auprc": auprc(scores, abnormal),
        "abnormal": int(abnormal.sum()) / len(abnormal),
        "false_alarms": float(alarms[~abnormal].double().mean()),
        "found": float(alarms[abnormal].double().mean()),
    }


def _beta_quantile(a: int, b: int, share: float) -> float:
    """The number that Beta(a, b), a and b whole, stays below with a chance of `share`."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_least(a, a + b - 1, middle) < share else (low, middle)
    return (low + high) / 2


def _at_least(hits: int, trials: int, chance: float) -> float:
    """The chance of so many hits or more, which is that of Beta(hits, trials + 1 - hits) to be below `chance`."""
    k = torch.arange(hits, trials + 1, dtype=torch.float64)
    n = torch.tensor(float(trials), dtype=torch.float64)
    ways = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return float((ways + k * math.log(chance) + (n - k) * math.log1p(-chance)).exp().sum())
