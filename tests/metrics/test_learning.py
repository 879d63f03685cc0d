"""Learning curves: a power law is found again, and chance alone promises nothing."""

import pytest
import torch
from torch import Tensor

from fourfold.metrics.learning import STEEPEST, learning_curve

SIZES = [100, 200, 400, 800, 1600]


def judged(accuracies: list[float], count: int = 4000) -> list[Tensor]:
    """So many test examples, of which each training tells its share right: whoever tells more tells those as well."""
    return [(torch.arange(count) < round(accuracy * count)).float() for accuracy in accuracies]


@pytest.mark.parametrize("power", [0.1, 0.35, 0.7])
def test_a_power_law_is_found_again(power: float) -> None:
    curve = learning_curve(SIZES, judged([1 - 0.4 * (n / 100) ** -power for n in SIZES]))
    assert curve.power == pytest.approx(power, abs=0.03)
    expected = 1 - 0.4 * 32**-power
    assert curve.twice.examples == 3200
    assert curve.twice.accuracy == pytest.approx(expected, abs=0.01)
    assert curve.twice.low < expected < curve.twice.high
    assert [p.examples for p in curve.points] == SIZES
    assert all(p.low < p.accuracy < p.high for p in curve.points)


@pytest.mark.parametrize("accuracies", [[0.5] * 5, [0.6, 0.55, 0.52, 0.5, 0.5]])
def test_what_does_not_grow_is_not_promised_to(accuracies: list[float]) -> None:
    curve = learning_curve(SIZES, judged(accuracies))
    assert curve.power == 0
    assert curve.twice.accuracy == pytest.approx(0.5, abs=0.001)


def test_all_right_claims_no_certainty() -> None:
    curve = learning_curve([10, 20], judged([0.9, 1.0], count=50))
    assert curve.points[-1].accuracy == 1
    assert curve.points[-1].low < 0.95
    assert curve.power <= STEEPEST
    assert curve.twice.accuracy <= 1


def test_fewer_test_examples_tell_less() -> None:
    spans = []
    for count in (100, 10_000):
        twice = learning_curve(SIZES, judged([0.6, 0.7, 0.77, 0.83, 0.87], count)).twice
        spans.append(twice.high - twice.low)
    assert spans[0] > 3 * spans[1]
