"""The recurrent network against the article's formulas, and what padding does to it: nothing."""

import math
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import pad

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.engine.step import accumulate
from fourfold.errors import DataError
from fourfold.families.rnn.family import Rnn
from fourfold.families.rnn.networks import Cell, Classic, GruCell, LstmCell, Rows, SimpleCell
from fourfold.families.rnn.objective import classification
from fourfold.families.rnn.settings import RnnSettings

from .reference import recurrence, relu

Activation = Literal["relu", "tanh"]
FUNCTIONS = {"relu": relu, "tanh": math.tanh}


def classic(features: int, classes: int, hidden: int = 32, activation: Activation = "relu", seed: int = 0) -> Any:
    random = torch.Generator().manual_seed(seed)
    return Classic(Rows(features), SimpleCell(features, hidden, activation, random), classes, random)


def cells(features: int, hidden: int) -> dict[str, Cell]:
    random = torch.Generator().manual_seed(0)
    return {
        "simple": SimpleCell(features, hidden, "tanh", random),
        "gru": GruCell(features, hidden, random),
        "lstm": LstmCell(features, hidden, random),
    }


def test_parameters() -> None:
    assert sum(p.numel() for p in classic(28, 10).parameters()) == 2_282


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(1, 4),
    st.sampled_from(["relu", "tanh"]),
)
def test_states_and_outputs_are_the_articles(
    seed: int, lengths: list[int], features: int, activation: Activation
) -> None:
    network = classic(features, 3, 5, activation, seed)
    with torch.no_grad():
        for parameter in network.parameters():  # biases too, which start at zero
            parameter.uniform_(-0.7, 0.7, generator=torch.Generator().manual_seed(seed))
    x = torch.randn(len(lengths), max(lengths), features, generator=torch.Generator().manual_seed(seed + 1))
    lengths_n = torch.tensor(lengths)
    cell, output = network.cell, network.output
    for i, length in enumerate(lengths):
        states, outputs = recurrence(
            x[i, :length].tolist(),
            *(cell.w_hf.tolist(), cell.u_hh.tolist(), cell.b_h.tolist()),
            *(output.weight.tolist(), output.bias.tolist()),
            FUNCTIONS[activation],
        )
        h_nth = cell(x, lengths_n)
        torch.testing.assert_close(h_nth[i, :length], torch.tensor(states), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            network.outputs(x, lengths_n)[i, :length], torch.tensor(outputs), rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(network(x, lengths_n)[i], torch.tensor(outputs[-1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("filling", [0.0, 7.0, 1e30, float("inf")])
def test_padding_more_changes_nothing(activation: Activation, filling: float) -> None:
    network = classic(4, 3, 8, activation)
    x, lengths, y = torch.randn(6, 9, 4), torch.tensor([9, 1, 5, 3, 9, 2]), torch.tensor([0, 1, 2, 0, 1, 2])
    found = []
    for more in (0, 1, 40):
        padded = pad(x, (0, 0, 0, more))
        padded[torch.arange(9 + more) >= lengths[:, None]] = filling
        network.zero_grad()
        losses = classification({"classifier": network}, Batch(padded, lengths, y, torch.arange(6)), torch.Generator())
        accumulate(losses, 1.0, list(network.parameters()))
        gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        found.append([losses.total.detach(), network(padded, lengths).detach(), *gradients])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])
    alone = torch.cat([network(one[None, :length]) for one, length in zip(x, lengths.tolist(), strict=True)])
    torch.testing.assert_close(found[0][1], alone.detach())


@pytest.mark.parametrize("kind", ["simple", "gru", "lstm"])
def test_states_and_gradients_are_those_of_torchs_own_cells(kind: str) -> None:
    cell = cells(3, 20)[kind]
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.uniform_(-0.4, 0.4)
    theirs: Any = {"simple": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](3, 20, batch_first=True)
    own: list[torch.Tensor] = list(cell.parameters())
    own += [torch.zeros_like(own[2])] * (4 - len(own))  # torch has two biases everywhere
    with torch.no_grad():
        for parameter, value in zip(theirs.parameters(), own, strict=True):
            parameter.copy_(value)
    x, x_too = (torch.randn(4, 11, 3, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2))
    states, states_too = cell(x), theirs(x_too)[0]
    torch.testing.assert_close(states, states_too)
    states.square().sum().backward()
    states_too.square().sum().backward()
    torch.testing.assert_close(x.grad, x_too.grad)
    for parameter, other in zip(cell.parameters(), theirs.parameters(), strict=False):
        torch.testing.assert_close(parameter.grad, other.grad)


@pytest.mark.parametrize(("kind", "parameters"), [("simple", 8 * 12), ("gru", 3 * 8 * 13), ("lstm", 4 * 8 * 12)])
def test_initial_weights_are_kerass(kind: str, parameters: int) -> None:
    cell = cells(3, 8)[kind]
    assert sum(p.numel() for p in cell.parameters()) == parameters
    w, u, *biases = (p.detach() for p in cell.parameters())
    most = math.sqrt(6 / (len(w) + 3))
    assert 0.8 * most < w.abs().max() <= most
    torch.testing.assert_close(u.t() @ u, torch.eye(8), atol=1e-5, rtol=0)
    expected = torch.zeros(len(torch.cat(biases)))
    expected[8 : 16 if kind == "lstm" else 8] = 1  # the forget gate's
    assert torch.equal(torch.cat(biases), expected)


@pytest.mark.parametrize("kind", ["simple", "gru", "lstm"])
def test_the_last_state_is_each_series_own_last(kind: str) -> None:
    cell, x, lengths = cells(3, 8)[kind], torch.randn(4, 6, 3), torch.tensor([6, 1, 4, 2])
    states = cell(x, lengths)
    assert torch.equal(cell.last(x, lengths), states[torch.arange(4), lengths - 1])
    assert torch.equal(cell.last(x, lengths), states[:, -1])


def test_a_grey_picture_is_the_series_of_its_rows() -> None:
    network = classic(28, 10)
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(network(x), network(x[:, 0]))
    schema = Schema(kind="image", shape=(1, 20, 28), classes=("a", "b"))
    built = Rnn(schema, RnnSettings()).build(torch.Generator())["classifier"]
    assert built(torch.rand(2, 1, 20, 28)).shape == (2, 2)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (Schema(kind="table", shape=(3,), classes=("a", "b")), "this is a table; use autoencoder"),
        (Schema(kind="image", shape=(3, 28, 28), classes=("a", "b")), "in colour; use cnn"),
        (Schema(kind="series", shape=(3,), lengths=(5, 5), classes=("a",)), "one class only"),
    ],
)
def test_what_it_cannot_use_is_refused_with_the_mend(schema: Schema, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Rnn(schema, RnnSettings())
