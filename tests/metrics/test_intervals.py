"""Bootstrap intervals: they cover what they claim to, and claim no certainty."""

import pytest
import torch
from torch import Tensor

from fourfold.metrics.intervals import bootstrap, interval, share_interval


def means(*columns: Tensor, resamples: int = 1000) -> Tensor:
    """The draws of the columns' means."""
    both = torch.stack(columns, dim=1)
    return bootstrap(lambda index: both[index].mean(0), len(both), resamples=resamples)


def test_the_spread_is_that_of_a_mean() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = means(values)[:, 0]
    assert draws.shape == (1000,)
    assert float(draws.std()) == pytest.approx(float(values.std()) / 20, rel=0.1)
    low, high = interval(draws)
    assert (high - low) / 2 == pytest.approx(1.96 * float(values.std()) / 20, rel=0.15)
    assert low < float(values.mean()) < high


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = torch.Generator().manual_seed(1)
    covered = 0
    for _ in range(100):
        right = (torch.rand(150, generator=random) < 0.8).double()
        draws = means(right, resamples=300)[:, 0]
        low, high = share_interval(draws, float(right.mean()), 150)
        covered += low <= 0.8 <= high
    assert 88 <= covered <= 99


def test_the_same_seed_draws_the_same() -> None:
    values = torch.arange(50.0)
    assert torch.equal(means(values), means(values))


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    random = torch.Generator().manual_seed(2)
    hard = torch.rand(500, generator=random, dtype=torch.float64)
    ours, theirs = hard, hard + 0.01 * torch.randn(500, generator=random, dtype=torch.float64) + 0.005
    draws = means(ours, theirs)
    low, high = interval(draws[:, 0] - draws[:, 1])
    assert high < 0
    assert high - low < 0.1 * (interval(draws[:, 0])[1] - interval(draws[:, 0])[0])


@pytest.mark.parametrize(("count", "bound"), [(10, 0.6915), (100, 0.9638)])
def test_all_right_is_no_certainty(count: int, bound: float) -> None:
    """The bounds are those of tables of the exact (Clopper-Pearson) interval."""
    draws = torch.ones(1000, dtype=torch.float64)
    assert share_interval(draws, 1.0, count) == pytest.approx((bound, 1.0), abs=1e-4)
    assert share_interval(draws * 0, 0.0, count) == pytest.approx((0.0, 1 - bound), abs=1e-4)
