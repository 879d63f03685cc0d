"""How well scores put what is sought before what is not."""

import torch
from torch import Tensor


def auroc(scores: Tensor, positive: Tensor) -> float | None:
    """How often a positive example scores above a negative one, ties counting half.

    scores (n,), higher for positives; positive bool (n,). None if either kind is missing. From
    ranks (Mann and Whitney, 1947), equal to the area under the receiver operating characteristic.
    """
    _, place, count = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks = (count.cumsum(0) - (count - 1) / 2).double()[place]  # from 1; equal scores share the mean of their ranks
    wins, losses = int(positive.sum()), int((~positive).sum())
    if not wins or not losses:
        return None
    return (float(ranks[positive].sum()) - wins * (wins + 1) / 2) / (wins * losses)


def auprc(scores: Tensor, positive: Tensor) -> float | None:
    """Average precision: Σ (recall gained) · (precision there) over the thresholds, from the highest.

    As in `auroc`; examples of equal scores enter together. None without positives. By chance
    it is the share of positives.
    """
    if not positive.any():
        return None
    levels, place = torch.unique(scores, return_inverse=True)
    gained = torch.bincount(place, weights=positive.double(), minlength=len(levels)).flip(0)
    seen = torch.bincount(place, minlength=len(levels)).flip(0).cumsum(0)
    return float((gained * gained.cumsum(0) / seen).sum() / gained.sum())
