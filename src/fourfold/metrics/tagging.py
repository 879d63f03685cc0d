"""How well several tags are told at once.

n examples, k tags. p: probabilities (n, k), y: 0 and 1, (n, k). A tag is told from a probability of one half on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

HALF = 0.5


class Ranked:
    """Examples in the order of their probabilities of each tag, for figures of any draw of them."""

    def __init__(self, p: Tensor, y: Tensor) -> None:
        p, self.order = p.sort(dim=0, descending=True)
        self.there = y.double().gather(0, self.order)
        # Examples of equal probability enter together: the precision of each is that at the last one.
        last = torch.cat([p[1:] != p[:-1], torch.ones_like(p[:1], dtype=torch.bool)])
        places = torch.arange(len(p))[:, None].expand_as(p)
        self.ends = torch.where(last, places, len(p)).flip(0).cummin(0).values.flip(0)

    def average_precision(self, weights: Tensor) -> Tensor:
        """Of each tag, float64 (k,), as `ranking.auprc` has it; NaN where no example has the tag.

        weights: how often each example counts, float64 (n,).
        """
        seen = weights[self.order]
        gained = seen * self.there
        precision = gained.cumsum(0) / seen.cumsum(0).clamp(min=1)
        return (gained * precision.gather(0, self.ends)).sum(0) / gained.sum(0)


def drawn(p: Tensor, y: Tensor) -> Callable[[Tensor], dict[str, Tensor]]:
    """The figures that are one for all tags, float64 (), of a draw of examples: their places, int64 (m,).

    Macro figures are means over the tags that occur, 0 if none does; micro F1 is that of all
    answers at once. accuracy: of single answers; subset accuracy: of examples of which all are right.
    """
    ranked, right = Ranked(p, y), ((p >= HALF) == (y == 1)).double()
    whole = right.amin(1)

    def figures(index: Tensor) -> dict[str, Tensor]:
        weights = torch.bincount(index, minlength=len(y)).double()
        hits, said, occurs = _counts(p, y, weights)
        there = occurs > 0
        several = there.sum().clamp(min=1)
        return {
            "macro_ap": ranked.average_precision(weights)[there].sum() / several,
            "macro_f1": (2 * hits / (said + occurs))[there].sum() / several,
            "micro_f1": 2 * hits.sum() / (said + occurs).sum().clamp(min=1),
            "accuracy": (weights @ right).sum() / right.shape[1] / len(index),
            "subset_accuracy": weights @ whole / len(index),
        }

    return figures


def figures(p: Tensor, y: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Figures on a split: what `drawn` does of all, and those of each tag, None where they are not defined.

    The baseline is the accuracy of always telling the commoner answer of each tag.
    """
    once = torch.ones(len(y), dtype=torch.float64)
    hits, said, occurs = _counts(p, y, once)
    columns = {
        "precision": hits / said,
        "recall": hits / occurs,
        "f1": 2 * hits / (said + occurs),
        "ap": Ranked(p, y).average_precision(once),
        "accuracy": ((p >= HALF) == (y == 1)).double().mean(0),
    }
    each = {figure: values.tolist() for figure, values in columns.items()}
    shares = occurs / len(y)
    return {
        **{name: float(value) for name, value in drawn(p, y)(torch.arange(len(y))).items()},
        "baseline": {"commoner": float(torch.maximum(shares, 1 - shares).mean())},
        "count": len(y),
        "tags": {
            name: {figure: None if values[k] != values[k] else values[k] for figure, values in each.items()}
            | {"count": int(occurs[k])}
            for k, name in enumerate(names)
        },
    }


def _counts(p: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each tag how often it is told rightly, told, and there, float64 (k,)."""
    told, there = (p >= HALF).double(), y.double()
    return weights @ (told * there), weights @ told, weights @ there
