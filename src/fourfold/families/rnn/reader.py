"""Networks that read series in several ways at once, and several of them as one.

Shapes: n batch, t time, f features, h hidden units, k classes, m members. `random` makes a step's dropout;
without it nothing is hidden.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ..blocks import dropout, glorot_
from .convolution import CONVOLUTIONS, Convolution
from .networks import Cell, Embedding, Entrance, GruCell, LstmCell, SimpleCell
from .pooling import Pooling, blank, center, inside
from .settings import RnnSettings
from .wide import Wide


def cell(features: int, settings: RnnSettings, random: torch.Generator) -> Cell:
    """One recurrent cell of the kind that is asked for."""
    match settings.cell:
        case "gru":
            return GruCell(features, settings.hidden_size, random)
        case "lstm":
            return LstmCell(features, settings.hidden_size, random)
        case _:
            return SimpleCell(features, settings.hidden_size, settings.activation, random)


def convolution(features: int, settings: RnnSettings) -> Convolution | None:
    """The convolutional network that is asked for, if one is."""
    return None if settings.convolution == "none" else CONVOLUTIONS[settings.convolution](features, settings.filters)


def reverse(x_ntf: Tensor, lengths_n: Tensor | None) -> Tensor:
    """Each series from its own last step to its first; what stands past its end stays there."""
    if lengths_n is None:
        return x_ntf.flip(1)
    steps_t = torch.arange(x_ntf.shape[1], device=x_ntf.device)
    turned_nt = lengths_n[:, None] - 1 - steps_t
    place_nt = torch.where(turned_nt >= 0, turned_nt, steps_t)
    return x_ntf.gather(1, place_nt[:, :, None].expand_as(x_ntf))


class Recurrent(nn.Module):
    """Layers of cells, each of which reads what the one below has read, in one direction or in both.

    width: numbers a step; the last `backward_width` of them were read from the end.
    """

    def __init__(self, features: int, settings: RnnSettings, random: torch.Generator) -> None:
        super().__init__()
        directions = 2 if settings.bidirectional else 1
        self.share = settings.dropout
        self.width = directions * settings.hidden_size
        self.backward_width = self.width - settings.hidden_size
        inputs = [features, *[self.width] * (settings.layers - 1)]
        self.there = nn.ModuleList(cell(before, settings, random) for before in inputs)
        self.back = nn.ModuleList(cell(before, settings, random) for before in inputs if directions == 2)

    def forward(self, x_ntf: Tensor, lengths_n: Tensor | None, random: torch.Generator | None) -> Tensor:
        """The states of the topmost layer, (n, t, width)."""
        for layer, there in enumerate(self.there):
            if layer:
                x_ntf = dropout(x_ntf, self.share, random)
            h_nth = there(x_ntf, lengths_n)
            if self.back:
                back_nth = reverse(self.back[layer](reverse(x_ntf, lengths_n), lengths_n), lengths_n)
                h_nth = torch.cat((h_nth, back_nth), dim=2)
            x_ntf = h_nth
        return x_ntf


class Reader(nn.Module):
    """Cells, convolutions, or the bare steps, each pooled over time, and a dense layer over all of them.

    Cells beside a convolution are LSTM-FCN's idea (Karim et al., arXiv 1801.04503). The bare steps are pooled where
    nothing else reads them: a text's bag of pieces (fastText's, arXiv 1607.01759, without its n-grams).

    A wide model beside them (Cheng et al., arXiv 1606.07792) is not trained on the sum, as theirs is: it would soon
    know train's texts by heart and leave the others nothing to learn. A training step shows each text to one of the
    two, so that both learn to tell alone; asked, they are averaged.
    """

    def __init__(self, enter: Entrance, classes: int, settings: RnnSettings, random: torch.Generator) -> None:
        super().__init__()
        self.enter, self.centered = enter, settings.center
        self.share, self.step_share = settings.dropout, settings.step_dropout
        names, width = settings.pooling.split(","), enter.features
        self.recurrent = Recurrent(width, settings, random) if settings.cell != "none" else None
        self.convolution = convolution(width, settings)
        pools: dict[str, Pooling] = {}
        if self.recurrent is not None:
            pools["recurrent"] = Pooling(names, self.recurrent.width, self.recurrent.backward_width)
        if self.convolution is not None:
            pools["convolution"] = Pooling(names, self.convolution.width)
        if not pools:
            pools["steps"] = Pooling(names, width)
        self.pools = nn.ModuleDict(pools)
        self.wide = wide(enter, classes) if settings.wide else None
        self.output = nn.Linear(sum(pool.width for pool in pools.values()), classes)
        glorot_(self, random)

    def forward(self, x: Tensor, lengths_n: Tensor | None = None, random: torch.Generator | None = None) -> Tensor:
        """Logits (n, k). x: what its entrance takes."""
        if self.wide is None:
            return self.read(x, lengths_n, random)
        if random is not None:
            return self._apart(self.wide, x, lengths_n, random)
        averaged_nk: Tensor = (self.read(x, lengths_n, None) + self.wide(x, lengths_n)) / 2
        return averaged_nk

    def read(self, x: Tensor, lengths_n: Tensor | None, random: torch.Generator | None) -> Tensor:
        """Logits (n, k) without the wide model's."""
        x_ntf = self.enter(x)
        within = inside(x_ntf, lengths_n)
        x_ntf = center(x_ntf, lengths_n) if self.centered else blank(x_ntf, within)
        if self.step_share:
            x_ntf = x_ntf * dropout(x_ntf.new_ones(*x_ntf.shape[:2], 1), self.step_share, random)
        read = {"steps": x_ntf}
        if self.recurrent is not None:
            read["recurrent"] = self.recurrent(x_ntf, lengths_n, random)
        if self.convolution is not None:
            read["convolution"] = self.convolution(x_ntf, within)
        pooled = [pool(read[name], lengths_n, self.share, random) for name, pool in self.pools.items()]
        logits_nk: Tensor = self.output(torch.cat(pooled, dim=1))
        return logits_nk

    def _apart(self, linear: Wide, x: Tensor, lengths_n: Tensor | None, random: torch.Generator) -> Tensor:
        """Logits (n, k) of a training step: half of the texts read by one, half by the other."""
        order_n = torch.randperm(len(x), generator=random, device=x.device)
        ours_n, theirs_n = order_n.tensor_split([(len(x) + 1) // 2])  # a text that is alone is ours
        ends = [None if lengths_n is None else lengths_n[some_n] for some_n in (ours_n, theirs_n)]
        told_nk = self.read(x[ours_n], ends[0], random), linear(x[theirs_n], ends[1], self.share, random)
        return torch.cat(told_nk)[order_n.argsort()]


def wide(enter: Entrance, classes: int) -> Wide:
    """The linear model of a text's pieces. Raises: UsageError if there are none."""
    if not isinstance(enter, Embedding):
        raise UsageError("--wide: a linear model of pieces and their pairs is for texts alone; leave it out")
    return Wide(len(enter.rows_pf), classes)


class Members(nn.Module):
    """Networks that learn side by side, each from its own start, and are asked as one."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """The logarithm of the mean of the members' probabilities, (n, k): logits again."""
        log_mnk = torch.stack([member(x, lengths_n).log_softmax(dim=1) for member in self.members])
        return torch.logsumexp(log_mnk, dim=0).log_softmax(dim=1)
