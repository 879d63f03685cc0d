"""The recurrent networks.

Shapes: n batch, t time, f features, h hidden units, k classes.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from ..blocks import glorot_

Activation = Literal["relu", "tanh"]


class SimpleCell(nn.Module):
    """h_t = activation(W x_t + U h_{t-1} + b), from h_0 = 0.

    W is drawn Glorot-uniform, U orthogonal, b zero: Keras' defaults.
    """

    def __init__(self, features: int, hidden_size: int, activation: Activation, random: torch.Generator) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.activation = {"relu": torch.relu_, "tanh": torch.tanh_}[activation]
        self.w_hf = nn.Parameter(nn.init.xavier_uniform_(torch.empty(hidden_size, features), generator=random))
        self.u_hh = nn.Parameter(nn.init.orthogonal_(torch.empty(hidden_size, hidden_size), generator=random))
        self.b_h = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> list[Tensor]:
        """The hidden states (n, h) after each time step.

        Past a series' own end its state stays as it was, so that what stands in the
        padding changes nothing and the last state is every series' own last.
        """
        x_tnf = x_ntf.transpose(0, 1).contiguous()
        running_tn1 = None if lengths_n is None else _running(len(x_tnf), lengths_n)
        if running_tn1 is not None:
            x_tnf = x_tnf.masked_fill(~running_tn1, 0)  # an infinite value times a gradient of 0 is not 0
        # One product serves all time steps; only the product with the state must wait for the step before.
        drive_tnh = linear(x_tnf, self.w_hf, self.b_h)
        u_t = self.u_hh.t()
        h_nh = x_ntf.new_zeros(x_ntf.shape[0], len(self.b_h))
        states = []
        for t, drive_nh in enumerate(drive_tnh.unbind(0)):
            new_nh = self.activation(torch.addmm(drive_nh, h_nh, u_t))
            h_nh = new_nh if running_tn1 is None else torch.where(running_tn1[t], new_nh, h_nh)
            states.append(h_nh)
        return states


class Embedding(nn.Module):
    """A row of learnt numbers for each piece of a text; drawn from U(-0.05, 0.05), Keras' default."""

    def __init__(self, pieces: int, features: int, random: torch.Generator) -> None:
        super().__init__()
        self.features = features
        self.rows_pf = nn.Parameter(torch.empty(pieces, features).uniform_(-0.05, 0.05, generator=random))

    def forward(self, ids_nt: Tensor) -> Tensor:
        """Series (n, t, f) of texts, int (n, t)."""
        return embedding(ids_nt, self.rows_pf)


class Rows(nn.Module):
    """Series (n, t, f) as they are; grey pictures (n, 1, t, f) as the series of their rows."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        """Series (n, t, f)."""
        return x.squeeze(1) if x.dim() == 4 else x


Entrance = Embedding | Rows


class Classic(nn.Module):
    """The source article's network: one simple cell of 32 units and a dense layer.

    2,282 parameters for 28 features and ten classes.
    """

    def __init__(self, enter: Entrance, cell: SimpleCell, classes: int, random: torch.Generator) -> None:
        super().__init__()
        self.enter = enter
        self.cell = cell
        self.output = nn.Linear(cell.hidden_size, classes)
        glorot_(self, random)

    def forward(self, x: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """Logits (n, k): the output at each series' last step. x: what its entrance takes."""
        logits_nk: Tensor = self.output(self.cell(self.enter(x), lengths_n)[-1])
        return logits_nk

    def outputs(self, x: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """y_t = V h_t + c at every step, (n, t, k); past a series' end its last one is repeated."""
        y_ntk: Tensor = self.output(torch.stack(self.cell(self.enter(x), lengths_n), dim=1))
        return y_ntk


def _running(time: int, lengths_n: Tensor) -> Tensor:
    """Bool (t, n, 1): whether a series has not ended yet at a step."""
    steps_t = torch.arange(time, device=lengths_n.device)
    return (steps_t[:, None] < lengths_n)[:, :, None]
