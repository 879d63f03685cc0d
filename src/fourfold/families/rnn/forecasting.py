"""Networks that forecast: quantiles of the steps that follow a history, all of them at once.

Shapes: n batch, t time, p steps ahead, q quantiles, c channels. Values are as `Schema.prepare` gives them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..blocks import dropout

FLAT = 0.01  # deviation, of train's, below which a history counts as constant


class Member(nn.Module):
    """One network: what a reader makes of the history, added to what a linear layer makes of its steps.

    The linear layer alone, the same for all channels, is a strong forecaster (Zeng et al., arXiv 2205.13504); it
    starts from zeros. Quantiles cannot cross: those beside the median are a positive step away from it.
    """

    def __init__(self, reader: nn.Module, context: int, horizon: int, channels: int, share: float) -> None:
        super().__init__()
        self.reader = reader
        self.direct = nn.Linear(context, horizon)
        self.shape = (horizon, 3, channels)
        self.share = share
        nn.init.zeros_(self.direct.weight)
        nn.init.zeros_(self.direct.bias)

    def forward(self, z_ntc: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Quantiles (n, p, 3, c) relative to the history's level. random: makes dropout; without it there is none."""
        middle, below, above = self.reader(z_ntc, None, random).unflatten(1, self.shape).unbind(2)
        middle = middle + self.direct(dropout(z_ntc, self.share, random).transpose(1, 2)).transpose(1, 2)
        return torch.stack((middle - softplus(below), middle, middle + softplus(above)), dim=2)


class Forecaster(nn.Module):
    """Members that are asked as one: their quantiles are averaged.

    They see a history relative to its own mean and deviation, and what they say is given back in those: reversible
    instance normalisation (Kim et al., ICLR 2022), without learnt scales.
    """

    def __init__(self, members: Sequence[nn.Module], horizon: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.horizon = horizon

    def forward(self, history_ntc: Tensor) -> Tensor:
        """Quantiles (n, p, q, c)."""
        return torch.stack(self.each(history_ntc)).mean(0)

    def each(self, history_ntc: Tensor, random: torch.Generator | None = None) -> list[Tensor]:
        """Every member's quantiles (n, p, q, c)."""
        level, scale = self.level(history_ntc)
        z_ntc = (history_ntc - level) / scale
        return [member(z_ntc, random) * scale[:, None] + level[:, None] for member in self.members]

    def parted(self, window_ntc: Tensor) -> tuple[Tensor, Tensor]:
        """Windows as history (n, t, c) and what follows it (n, p, c)."""
        return window_ntc[:, : -self.horizon], window_ntc[:, -self.horizon :]

    @staticmethod
    def level(history_ntc: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each history and channel, (n, 1, c)."""
        return history_ntc.mean(1, keepdim=True), history_ntc.std(1, correction=0, keepdim=True).clamp(min=FLAT)
