"""The autoencoder of series and sounds of any length.

Convolutions read the steps; what they tell is pooled into a fixed number of places spread
evenly over each series' own length, and these make the code. The decoder stretches the
places over that length again. Shapes: n batch, t time, f features, h hidden, p places.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..blocks import glorot_

PLACES = 8
HIDDEN = 64
KERNEL = 5  # steps, an odd number


class SequenceEncoder(nn.Module):
    """Series (n, t, f) with their lengths to numbers (n, outputs)."""

    def __init__(self, features: int, outputs: int, random: torch.Generator) -> None:
        super().__init__()
        self.enter, self.inner = Steps(features, HIDDEN), Steps(HIDDEN, HIDDEN)
        self.head = nn.Linear(PLACES * HIDDEN, outputs)
        glorot_(self, random)

    def forward(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """Numbers (n, outputs); what stands past a series' end changes nothing."""
        inside_nt1 = within(x_ntf, lengths_n)
        h_nth = relu(self.enter(x_ntf * inside_nt1)) * inside_nt1
        h_nth = relu(self.inner(h_nth)) * inside_nt1
        w_ntp = spread(x_ntf.shape[1], len(x_ntf), lengths_n, x_ntf)
        means_nph = torch.einsum("ntp,nth->nph", w_ntp / w_ntp.sum(1, keepdim=True).clamp(min=1e-6), h_nth)
        codes: Tensor = self.head(means_nph.flatten(1))
        return codes


class SequenceDecoder(nn.Module):
    """Codes (n, latent) to series (n, t, f), each over its own length, zero past it.

    longest: the length that codes without lengths are decoded to.
    """

    def __init__(self, latent_size: int, features: int, longest: int, random: torch.Generator) -> None:
        super().__init__()
        self.longest = longest
        self.first = nn.Linear(latent_size, PLACES * HIDDEN)
        self.inner, self.leave = Steps(HIDDEN, HIDDEN), Steps(HIDDEN, features)
        glorot_(self, random)

    def forward(self, codes_nl: Tensor, lengths_n: Tensor | None = None, steps: int | None = None) -> Tensor:
        """Series (n, steps, f), as many steps as the longest has unless they are given."""
        steps = steps or (self.longest if lengths_n is None else int(lengths_n.max()))
        h_nph = relu(self.first(codes_nl)).view(-1, PLACES, HIDDEN)
        w_ntp = spread(steps, len(codes_nl), lengths_n, codes_nl)
        h_nth = torch.einsum("ntp,nph->nth", w_ntp, h_nph)
        inside_nt1 = within(h_nth, lengths_n)
        h_nth = h_nth * inside_nt1
        h_nth = h_nth + relu(self.inner(h_nth)) * inside_nt1
        x_ntf: Tensor = self.leave(h_nth) * inside_nt1
        return x_ntf


class Steps(nn.Module):
    """A convolution over time that keeps the length."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(inputs, outputs, KERNEL, padding=KERNEL // 2)

    def forward(self, x_nti: Tensor) -> Tensor:
        """(n, t, outputs)."""
        y_nto: Tensor = self.convolution(x_nti.transpose(1, 2)).transpose(1, 2)
        return y_nto


def within(x_ntf: Tensor, lengths_n: Tensor | None) -> Tensor:
    """1 at the steps that a series has, 0 past its end: (n, t, 1), or (1, 1, 1) if all have the same."""
    if lengths_n is None:
        return x_ntf.new_ones(1, 1, 1)
    steps = torch.arange(x_ntf.shape[1], device=x_ntf.device)
    return (steps < lengths_n.to(x_ntf.device)[:, None])[:, :, None].to(x_ntf.dtype)


def spread(steps: int, count: int, lengths_n: Tensor | None, like: Tensor) -> Tensor:
    """How much of each step belongs to each place, (n, t, p): a step between two places belongs to both in part.

    The places divide a series' own length evenly, so a step's shares sum to 1; past the end all are 0.
    """
    time_t = torch.arange(steps, device=like.device, dtype=like.dtype)
    lengths = like.new_full((count,), steps) if lengths_n is None else lengths_n.to(like)
    at_nt = (time_t + 0.5) / lengths[:, None] * PLACES - 0.5
    place_p = torch.arange(PLACES, device=like.device, dtype=like.dtype)
    shares_ntp = (1 - (at_nt.clamp(0, PLACES - 1)[:, :, None] - place_p).abs()).clamp(min=0)
    return shares_ntp * (time_t < lengths[:, None])[:, :, None]
