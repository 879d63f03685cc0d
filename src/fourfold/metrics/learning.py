"""How a figure grows with the number of examples, and what more of them would bring.

Errors fall as a power of the number of examples, n^-b, over wide ranges of it (Hestness et al., arXiv 1712.00409;
Cortes et al., 1993): a line, where both are logarithms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .intervals import bootstrap, interval, share_interval

STEEPEST = 1.0  # of the power: a class that is learnt at all is not learnt faster


@dataclass(frozen=True, kw_only=True)
class Point:
    """Of how many training examples, the accuracy that they gave, and its interval."""

    examples: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What was measured, and what twice as many examples as the most would bring. power: b, by which errors fall."""

    points: tuple[Point, ...]
    twice: Point
    power: float


def learning_curve(examples: Sequence[int], right: Sequence[Tensor]) -> Curve:
    """The curve of trainings on ever more examples, judged on one test split.

    examples: ascending, two or more. right: for each, how surely the test's examples were told right: (n,) in [0, 1], 1
    or 0 of one training, or the mean of several. Intervals come from test examples drawn anew, the same ones for all
    trainings; they know nothing of how trainings differ, beyond what is averaged.
    """
    told = torch.stack([one.double() for one in right])
    count = told.shape[1]
    draws = bootstrap(lambda index: told[:, index].mean(1), count)
    points = []
    for place, number in enumerate(examples):
        accuracy = float(told[place].mean())
        low, high = share_interval(draws[:, place], accuracy, count)
        points.append(Point(examples=number, accuracy=accuracy, low=low, high=high))
    sizes, most = torch.tensor(examples, dtype=torch.float64), 2 * examples[-1]
    power, ahead = _ahead(sizes, told.mean(1)[None], count)
    low, high = interval(_ahead(sizes, draws, count)[1])
    return Curve(
        points=tuple(points),
        twice=Point(examples=most, accuracy=float(ahead), low=min(low, float(ahead)), high=max(high, float(ahead))),
        power=float(power),
    )


def _ahead(sizes: Tensor, accuracy: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The powers (m,) of curves, accuracies (m, points) at `sizes`, and where they lead at twice the last size.

    Least squares, a point's weight being what `count` examples tell of its error's logarithm: e / (1 - e) of them. The
    line goes through the last point, which the future continues.
    """
    errors = (1 - accuracy + 0.5 / count) / (1 + 1 / count)  # none is impossible
    weights = errors / (1 - errors)
    across, down = sizes.log() - sizes[-1].log(), errors.log() - errors[:, -1:].log()
    slopes = (weights * across * down).sum(1) / (weights * across.square()).sum(1)
    powers = (-slopes).clamp(0, STEEPEST)
    return powers, 1 - errors[:, -1] * 2.0**-powers
