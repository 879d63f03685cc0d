"""Lines between normal and not, against counting and drawing."""

import pytest
import torch

from fourfold.metrics.detection import fewest, judge, place, rate_interval, threshold


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.05, 0.01, 0.003])
def test_the_fewest_examples_are_enough_and_one_less_is_not(rate: float) -> None:
    count = fewest(rate)
    assert place(count, rate) == count
    assert place(count - 1, rate) > count - 1


def test_new_normal_examples_are_above_the_line_as_seldom_as_is_promised() -> None:
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(20_000, 60, generator=random, dtype=torch.float64).exp()
    lines = scores[:, :59].sort(dim=1).values[:, place(59, 0.1) - 1]
    assert threshold(scores[0, :59], 0.1) == lines[0].item()
    assert (scores[:, 59] > lines).double().mean().item() == pytest.approx(0.1, abs=0.01)


def test_the_interval_holds_the_true_rate_as_often_as_it_says() -> None:
    random = torch.Generator().manual_seed(1)
    scores = torch.rand(4_000, 99, generator=random, dtype=torch.float64)
    rates = 1 - scores.sort(dim=1).values[:, place(99, 0.05) - 1]  # of uniform scores the line tells its own rate
    low, high = rate_interval(99, 0.05)
    assert ((rates >= low) & (rates <= high)).double().mean().item() == pytest.approx(0.95, abs=0.012)
    assert (rates < low).double().mean().item() == pytest.approx(0.025, abs=0.01)


def test_more_examples_narrow_the_interval() -> None:
    widths = [high - low for low, high in (rate_interval(count, 0.05) for count in (19, 99, 1_000, 20_000))]
    assert widths == sorted(widths, reverse=True)
    assert rate_interval(20_000, 0.05) == pytest.approx((0.047, 0.053), abs=1e-3)


def test_figures_against_counting_with_ties() -> None:
    random = torch.Generator().manual_seed(2)
    scores = torch.randint(0, 6, (40,), generator=random).float()
    abnormal = torch.rand(40, generator=random) < 0.4
    figures = judge(scores, abnormal, 3.0)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[abnormal].tolist() for b in scores[~abnormal].tolist()]
    assert figures["auroc"] == pytest.approx(sum(pairs) / len(pairs))
    precision = 0.0
    for line in sorted(set(scores.tolist()), reverse=True):
        above = scores >= line
        gained = int((abnormal & (scores == line)).sum()) / int(abnormal.sum())
        precision += gained * int((abnormal & above).sum()) / int(above.sum())
    assert figures["auprc"] == pytest.approx(precision)
    assert figures["found"] == pytest.approx(sum(s > 3 for s in scores[abnormal].tolist()) / int(abnormal.sum()))
    assert figures["false_alarms"] == pytest.approx(
        sum(s > 3 for s in scores[~abnormal].tolist()) / int((~abnormal).sum())
    )
