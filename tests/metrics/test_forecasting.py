"""Figures of forecasts against formulas by loops, smoothing against the textbook's recursion."""

import math

import numpy as np
import pytest
import torch

from fourfold.metrics import forecasting as ahead

SAID = np.random.default_rng(0).normal(size=(4, 3, 3, 2))
SAID.sort(axis=2)
CAME = np.random.default_rng(1).normal(size=(4, 3, 2))
PLACES = list(np.ndindex(*CAME.shape))


def test_figures_are_the_formulas() -> None:
    scale = [0.5, 2.0]
    absolute, squared, scaled, symmetric, missed, inside = [], [], [], [], [], []
    for n, p, c in PLACES:
        said, came = SAID[n, p, :, c], CAME[n, p, c]
        error = abs(came - said[1])
        absolute.append(error)
        squared.append(error**2)
        scaled.append(error / scale[c])
        symmetric.append(200 * error / (abs(came) + abs(said[1])))
        for level, quantile in zip((0.1, 0.5, 0.9), said, strict=True):
            missed.append(level * (came - quantile) if came >= quantile else (1 - level) * (quantile - came))
        inside.append(said[0] <= came <= said[2])
    said_t, came_t = torch.from_numpy(SAID), torch.from_numpy(CAME)
    found = ahead.figures(said_t, came_t)
    assert found == pytest.approx(
        {
            "mae": np.mean(absolute),
            "rmse": math.sqrt(np.mean(squared)),
            "smape": np.mean(symmetric),
            "pinball": np.mean(missed),
            "coverage": np.mean(inside),
        }
    )
    assert ahead.point_figures(said_t[:, :, 1], came_t, torch.tensor(scale))["mase"] == pytest.approx(np.mean(scaled))


def test_nothing_is_no_percentage_of_nothing() -> None:
    zeros = torch.zeros(1, 2, 1)
    assert ahead.point_figures(zeros, zeros)["smape"] == 0


def test_the_scale_is_the_error_of_a_season_ago() -> None:
    series = [torch.from_numpy(np.random.default_rng(k).normal(size=(20 + k, 2))) for k in range(2)]
    errors = [(each[t] - each[t - 7]).abs().numpy() for each in series for t in range(7, len(each))]
    np.testing.assert_allclose(ahead.naive_scale(series, 7), np.mean(errors, axis=0))
    assert ahead.naive_scale([torch.ones(9, 1)], 2).tolist() == [1.0]
    assert ahead.naive_scale([torch.ones(2, 1)], 5).tolist() == [1.0]


def textbook(y: list[float], season: int, weights: list[float], horizon: int) -> list[float]:
    """Holt and Winters' additive method as Hyndman and Athanasopoulos write it, with weights on the old states."""
    alpha, beta, gamma = weights
    level = {season - 1: sum(y[:season]) / season}
    slope = {season - 1: (sum(y[season : 2 * season]) - sum(y[:season])) / season**2}
    seasonal = {t: y[t] - level[season - 1] for t in range(season)}
    for t in range(season, len(y)):
        level[t] = alpha * (y[t] - seasonal[t - season]) + (1 - alpha) * (level[t - 1] + slope[t - 1])
        slope[t] = beta * (level[t] - level[t - 1]) + (1 - beta) * slope[t - 1]
        seasonal[t] = gamma * (y[t] - level[t - 1] - slope[t - 1]) + (1 - gamma) * seasonal[t - season]
    last = len(y) - 1
    return [
        level[last] + h * slope[last] + seasonal[last + h - season * ((h - 1) // season + 1)]
        for h in range(1, horizon + 1)
    ]


def test_holt_winters_is_the_textbooks() -> None:
    y = np.random.default_rng(0).normal(size=(3, 23)).cumsum(axis=1)
    weights = np.array([[0.3, 0.1, 0.6], [0.9, 0.5, 0.0], [0.05, 0.0, 1.0]])
    _, level, slope, seasonal = ahead.recursion(torch.from_numpy(y), torch.from_numpy(weights), 5)
    for row in range(3):
        expected = textbook(y[row].tolist(), 5, weights[row].tolist(), 12)
        got = [float(level[row] + h * slope[row] + seasonal[row, (h - 1) % 5]) for h in range(1, 13)]
        assert got == pytest.approx(expected)


def test_simple_smoothing_is_the_textbooks_and_its_weight_is_near_the_best() -> None:
    y = np.random.default_rng(0).normal(size=40) + np.r_[np.zeros(20), np.ones(20)]

    def error(alpha: float) -> tuple[float, float]:
        level, total = float(y[0]), 0.0
        for value in y[1:]:
            total += (value - level) ** 2
            level = alpha * value + (1 - alpha) * level
        return total / (len(y) - 1), level

    told = ahead.recursion(torch.from_numpy(y)[None], torch.tensor([[0.3]]), 1)
    assert (float(told[0]), float(told[1])) == pytest.approx(error(0.3))
    best = min(error(alpha) for alpha in np.linspace(0, 1, 401))
    said = ahead.smoothed(torch.from_numpy(y)[None], 3, 1)
    assert said[0].tolist() == pytest.approx([best[1]] * 3, abs=0.02)


def test_smoothing_follows_a_season_on_a_slope() -> None:
    t = np.arange(60)
    y = 0.3 * t + np.tile([0.0, 2, -1, 5], 15)
    said = ahead.rivals(torch.from_numpy(y[None, :48, None]), 12, 4)["holt_winters"][0, :, 0]
    np.testing.assert_allclose(said, y[48:], atol=1e-6)


def test_rivals_say_what_their_names_tell() -> None:
    x = torch.arange(20.0).reshape(1, 10, 2) ** 2
    said = ahead.rivals(x, 5, 3)
    assert said.keys() == {"naive", "seasonal_naive", "drift", "exponential_smoothing", "holt_winters"}
    for step in range(5):
        assert said["naive"][0, step].tolist() == x[0, -1].tolist()
        assert said["seasonal_naive"][0, step].tolist() == x[0, 7 + step % 3].tolist()
        slope = (x[0, -1] - x[0, 0]) / 9
        torch.testing.assert_close(said["drift"][0, step].float(), x[0, -1] + (step + 1) * slope)
    assert ahead.rivals(x, 5, 1).keys() == {"naive", "drift", "exponential_smoothing"}
    assert "holt_winters" not in ahead.rivals(x, 5, 5)


def test_who_loses_to_a_plain_rule_is_told() -> None:
    steps = torch.arange(30.0, dtype=torch.float64)
    windows = steps.unfold(0, 12, 1)[:, :, None]
    came = windows[:, -2:]
    good, bad = came[:, :, None].expand(-1, -1, 3, -1), (came + 9)[:, :, None].expand(-1, -1, 3, -1)
    told = ahead.beside_rivals(bad, windows, 1, torch.ones(1))
    assert told["mase"] == 9
    assert told["naive_mase"] == 1.5
    assert any("it loses to naive: MASE 1.5000 against 9.0000" in remark for remark in told["remarks"])
    better = ahead.beside_rivals(good + 0.1, windows, 1, None)
    assert better["mae"] == pytest.approx(0.1)
    assert [remark.partition(":")[0] for remark in better["remarks"]] == ["it loses to drift"]
