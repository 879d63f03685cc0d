"""Sums of all that was read: series of any length to one row of numbers each.

Shapes: n batch, t time, f features. What stands past a series' own end is never read, be it infinite.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..blocks import dropout


def inside(x_ntf: Tensor, lengths_n: Tensor | None) -> Tensor | None:
    """Bool (n, t, 1): which steps come before a series' end; None if all do."""
    if lengths_n is None:
        return None
    steps_t = torch.arange(x_ntf.shape[1], device=x_ntf.device)
    return (steps_t < lengths_n[:, None])[:, :, None]


def blank(x_ntf: Tensor, inside_nt1: Tensor | None) -> Tensor:
    """Zeros past the ends: what a series that is not padded has beyond its last step."""
    return x_ntf if inside_nt1 is None else x_ntf.masked_fill(~inside_nt1, 0)


def center(x_ntf: Tensor, lengths_n: Tensor | None) -> Tensor:
    """Each series without its own mean over time, and zeros past its end."""
    within = inside(x_ntf, lengths_n)
    return blank(x_ntf - mean(x_ntf, lengths_n)[:, None], within)


def mean(x_ntf: Tensor, lengths_n: Tensor | None) -> Tensor:
    """The mean over time, (n, f)."""
    if lengths_n is None:
        return x_ntf.mean(dim=1)
    return blank(x_ntf, inside(x_ntf, lengths_n)).sum(dim=1) / lengths_n[:, None]


def largest(x_ntf: Tensor, lengths_n: Tensor | None) -> Tensor:
    """The largest over time, (n, f)."""
    within = inside(x_ntf, lengths_n)
    return (x_ntf if within is None else x_ntf.masked_fill(~within, -torch.inf)).amax(dim=1)


def last(x_ntf: Tensor, lengths_n: Tensor | None) -> Tensor:
    """Each series' own last step, (n, f)."""
    if lengths_n is None:
        return x_ntf[:, -1]
    place_n1f = (lengths_n - 1)[:, None, None].expand(-1, 1, x_ntf.shape[2])
    return x_ntf.gather(1, place_n1f).squeeze(1)


class Attention(nn.Module):
    """A mean over time whose weights are learnt: softmax over the steps of v · tanh(A x + b).

    Bahdanau et al. (arXiv 1409.0473) with one learnt question, as Yang et al. (NAACL 2016) have it.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.inner = nn.Linear(features, features)
        self.score = nn.Linear(features, 1, bias=False)

    def forward(self, x_ntf: Tensor, lengths_n: Tensor | None) -> Tensor:
        """The weighted mean, (n, f)."""
        within = inside(x_ntf, lengths_n)
        x_ntf = blank(x_ntf, within)
        score_nt1 = self.score(torch.tanh(self.inner(x_ntf)))
        if within is not None:
            score_nt1 = score_nt1.masked_fill(~within, -torch.inf)
        return (torch.softmax(score_nt1, dim=1) * x_ntf).sum(dim=1)


class Pooling(nn.Module):
    """Several sums of one series side by side.

    names: of "mean", "max", "last" and "attention". features: of the series. backward: how many of these, the last
    ones, were read from the end, so that their last step is the first. width: numbers that come out.
    """

    def __init__(self, names: Sequence[str], features: int, backward: int = 0) -> None:
        super().__init__()
        self.names = tuple(names)
        self.there = features - backward
        self.attention = Attention(features) if "attention" in names else None
        self.width = len(names) * features

    def forward(self, x_ntf: Tensor, lengths_n: Tensor | None, share: float, random: torch.Generator | None) -> Tensor:
        """(n, width), a share of which is hidden if there is `random`."""
        return dropout(torch.cat([self._one(name, x_ntf, lengths_n) for name in self.names], dim=1), share, random)

    def _one(self, name: str, x_ntf: Tensor, lengths_n: Tensor | None) -> Tensor:
        if name == "mean":
            return mean(x_ntf, lengths_n)
        if name == "max":
            return largest(x_ntf, lengths_n)
        if name == "attention":
            assert self.attention is not None
            weighted: Tensor = self.attention(x_ntf, lengths_n)
            return weighted
        return torch.cat((last(x_ntf[:, :, : self.there], lengths_n), x_ntf[:, 0, self.there :]), dim=1)
