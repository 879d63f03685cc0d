"""Calibration: answers that mean what they say have no error, and the temperature is found again."""

import pytest
import torch
from torch import Tensor

from fourfold.metrics.calibration import calibration_error, fit_temperature, reliability, temper
from fourfold.metrics.classification import losses


def honest(n: int, k: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Log-probabilities (n, k), and classes that are drawn with just these probabilities."""
    random = torch.Generator().manual_seed(seed)
    log_p = torch.log_softmax(2 * torch.randn(n, k, generator=random, dtype=torch.float64), dim=1)
    return log_p, torch.multinomial(log_p.exp(), 1, generator=random)[:, 0]


def test_the_error_is_that_of_its_definition() -> None:
    log_p, y = honest(500, 3)
    sure, said = (each.tolist() for each in log_p.exp().max(dim=1))
    error = 0.0
    for b in range(10):
        inside = [i for i, p in enumerate(sure) if int(p * 10) == b or (b == 9 and p == 1)]
        confidence, right = sum(sure[i] for i in inside), sum(said[i] == int(y[i]) for i in inside)
        error += abs(confidence - right) / 500
    assert calibration_error(reliability(log_p, y, bins=10)) == pytest.approx(error)


def test_adaptive_bins_hold_equally_many() -> None:
    log_p, y = honest(500, 3)
    bins = reliability(log_p, y, adaptive=True, bins=7)
    assert {bin.count for bin in bins} == {71, 72}
    assert [bin.confidence for bin in bins] == sorted(bin.confidence for bin in bins)
    confidence = sum(bin.count * bin.confidence for bin in bins) / 500
    assert confidence == pytest.approx(float(log_p.exp().max(dim=1).values.mean()))


def test_honest_answers_have_little_error_and_boasting_ones_much() -> None:
    log_p, y = honest(10_000, 5)
    assert calibration_error(reliability(log_p, y)) < 0.02
    assert calibration_error(reliability(temper(log_p, 0.3), y)) > 0.1
    assert calibration_error(reliability(temper(log_p, 0.3), y, adaptive=True)) > 0.1


@pytest.mark.parametrize("distortion", [0.2, 1.0, 4.0])
def test_the_temperature_is_found_again(distortion: float) -> None:
    log_p, y = honest(5_000, 5)
    found = fit_temperature(temper(log_p, distortion), y)
    assert found == pytest.approx(1 / distortion, rel=0.1)


def test_no_temperature_nearby_is_better() -> None:
    log_p, y = honest(300, 4, seed=3)
    found = fit_temperature(log_p, y)
    assert found is not None
    best = float(losses(temper(log_p, found), y).mean())
    assert all(float(losses(temper(log_p, found * near), y).mean()) > best for near in (0.97, 0.99, 1.01, 1.03))


def test_a_temperature_leaves_the_order_of_the_classes() -> None:
    log_p, _ = honest(100, 4)
    torch.testing.assert_close(temper(log_p, 3.0).argsort(dim=1), log_p.argsort(dim=1))
    torch.testing.assert_close(temper(log_p, 3.0).exp().sum(1), torch.ones(100, dtype=torch.float64))


def test_without_a_mistake_there_is_no_temperature() -> None:
    log_p, _ = honest(50, 3)
    assert fit_temperature(log_p, log_p.argmax(dim=1)) is None
