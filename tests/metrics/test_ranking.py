"""Ranking figures, against every pair and every threshold looked at."""

import pytest
import torch
from torch import Tensor

from fourfold.metrics.ranking import auprc, auroc


def scored(n: int, levels: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Scores with ties, on so many levels, and what is positive."""
    random = torch.Generator().manual_seed(seed)
    positive = torch.rand(n, generator=random) < 0.3
    scores = torch.randint(levels, (n,), generator=random) + 2 * positive
    return scores.double(), positive


@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_auroc_is_the_share_of_pairs_in_order(levels: int) -> None:
    scores, positive = scored(80, levels)
    sought, rest = scores[positive].tolist(), scores[~positive].tolist()
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in sought for b in rest]
    assert auroc(scores, positive) == pytest.approx(sum(pairs) / len(pairs))


@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_auprc_is_the_sum_over_thresholds(levels: int) -> None:
    scores, positive = scored(80, levels)
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        named = scores >= threshold
        recall = float((named & positive).sum() / positive.sum())
        area += (recall - before) * float((named & positive).sum() / named.sum())
        before = recall
    assert auprc(scores, positive) == pytest.approx(area)


def test_the_ends() -> None:
    scores, positive = torch.tensor([0.1, 0.2, 0.8, 0.9]), torch.tensor([False, False, True, True])
    assert (auroc(scores, positive), auprc(scores, positive)) == (1.0, 1.0)
    assert auroc(-scores, positive) == 0.0
    same = torch.zeros(4)
    assert (auroc(same, positive), auprc(same, positive)) == (0.5, 0.5)
    nothing = torch.zeros(4, dtype=torch.bool)
    assert (auroc(scores, nothing), auroc(scores, ~nothing), auprc(scores, nothing)) == (None, None, None)
