"""The recurrent networks.

Shapes: n batch, t time, f features, h hidden units, g gates, k classes.
"""

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from ..blocks import glorot_
from .recurrence import Activation, gru, lstm, simple

Cell: TypeAlias = "SimpleCell | GruCell | LstmCell"


class SimpleCell(nn.Module):
    """h_t = activation(W x_t + U h_{t-1} + b), from h_0 = 0.

    W is drawn Glorot-uniform, U orthogonal, b zero: Keras' defaults.
    """

    def __init__(self, features: int, hidden_size: int, activation: Activation, random: torch.Generator) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.activation: Activation = activation
        self.w_hf, self.u_hh, self.b_h = _weights(1, features, hidden_size, random)

    def forward(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """The hidden states after each time step, (n, t, h); past a series' own end they stay as they were."""
        return simple(x_ntf, (self.w_hf, self.u_hh, self.b_h), self.activation, lengths_n)

    def last(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """Each series' own last state alone, (n, h)."""
        return simple(x_ntf, (self.w_hf, self.u_hh, self.b_h), self.activation, lengths_n, every=False)


class GruCell(nn.Module):
    """Gated recurrent unit, as torch's and Keras' are by default; see `recurrence.gru`. Drawn as a simple cell is.

    g: the reset, the update and the candidate, h of each. b adds to the products with x, c to those with the state.
    """

    def __init__(self, features: int, hidden_size: int, random: torch.Generator) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.w_gf, self.u_gh, self.b_g = _weights(3, features, hidden_size, random)
        self.c_g = nn.Parameter(torch.zeros(3 * hidden_size))

    def forward(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """The hidden states after each time step, (n, t, h); past a series' own end they stay as they were."""
        return gru(x_ntf, (self.w_gf, self.u_gh, self.b_g, self.c_g), lengths_n)

    def last(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """Each series' own last state alone, (n, h)."""
        return gru(x_ntf, (self.w_gf, self.u_gh, self.b_g, self.c_g), lengths_n, every=False)


class LstmCell(nn.Module):
    """Long short-term memory; see `recurrence.lstm`. Drawn as a simple cell is, but the forget gate's bias is 1.

    g: the input and forget gates, the candidate and the output gate, h of each. The bias has new cells remember
    (Gers et al., 2000; Keras' default).
    """

    def __init__(self, features: int, hidden_size: int, random: torch.Generator) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.w_gf, self.u_gh, self.b_g = _weights(4, features, hidden_size, random)
        nn.init.ones_(self.b_g[hidden_size : 2 * hidden_size])

    def forward(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """The hidden states after each time step, (n, t, h); past a series' own end they stay as they were."""
        return lstm(x_ntf, (self.w_gf, self.u_gh, self.b_g), lengths_n)

    def last(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """Each series' own last state alone, (n, h)."""
        return lstm(x_ntf, (self.w_gf, self.u_gh, self.b_g), lengths_n, every=False)


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

    def __init__(self, enter: Entrance, cell: Cell, classes: int, random: torch.Generator) -> None:
        super().__init__()
        self.enter = enter
        self.cell = cell
        self.output = nn.Linear(cell.hidden_size, classes)
        glorot_(self, random)

    def forward(self, x: Tensor, lengths_n: Tensor | None = None, random: torch.Generator | None = None) -> Tensor:
        """Logits (n, k): the output at each series' last step. x: what its entrance takes. random: not used."""
        logits_nk: Tensor = self.output(self.cell.last(self.enter(x), lengths_n))
        return logits_nk

    def outputs(self, x: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """y_t = V h_t + c at every step, (n, t, k); past a series' end its last one is repeated."""
        y_ntk: Tensor = self.output(self.cell(self.enter(x), lengths_n))
        return y_ntk


def _weights(
    gates: int, features: int, hidden_size: int, random: torch.Generator
) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
    """W, Glorot-uniform, and U, orthogonal, each over all gates at once as in Keras, and a bias of zeros."""
    w_gf = nn.init.xavier_uniform_(torch.empty(gates * hidden_size, features), generator=random)
    u_gh = nn.init.orthogonal_(torch.empty(gates * hidden_size, hidden_size), generator=random)
    return nn.Parameter(w_gf), nn.Parameter(u_gh), nn.Parameter(torch.zeros(gates * hidden_size))
