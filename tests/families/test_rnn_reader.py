"""Networks that read in several ways: directions, layers, branches and members, and what padding does to them."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, pad

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.data.vocabulary import fit_vocabulary
from fourfold.errors import UsageError
from fourfold.families.rnn.family import Rnn
from fourfold.families.rnn.networks import Classic
from fourfold.families.rnn.objective import classification
from fourfold.families.rnn.reader import Members, Recurrent, reverse
from fourfold.families.rnn.settings import RnnSettings
from fourfold.runtime import generator
from fourfold.settings import Reading

SERIES = Schema(kind="series", shape=(4,), lengths=(1, 9), classes=("a", "b", "c"))
LENGTHS = torch.tensor([9, 1, 5, 3, 9, 2])
SMALL = {"hidden_size": 5, "filters": 3, "embedding_size": 4}
WAYS: list[dict[str, Any]] = [
    {"cell": "gru", "bidirectional": True, "layers": 2, "pooling": "mean,max,last,attention"},
    {"cell": "lstm", "convolution": "fcn", "pooling": "mean", "center": True},
    {"cell": "none", "convolution": "inception", "pooling": "mean,max"},
    {"cell": "none", "convolution": "words", "pooling": "max"},
    {"cell": "none", "pooling": "mean"},
    {"cell": "simple", "bidirectional": True, "members": 3},
]


def family(schema: Schema = SERIES, **values: Any) -> Rnn:
    return Rnn(schema, RnnSettings(**{**SMALL, **values}))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("filling", [0.0, float("inf")])
def test_padding_more_changes_no_loss_no_gradient_and_no_answer(way: dict[str, Any], filling: float) -> None:
    made = family(**way)
    networks, (phase,) = made.build(generator(0, "weights")), made.phases()
    x, y = torch.randn(6, 9, 4, generator=generator(1)), torch.tensor([0, 1, 2, 0, 1, 2])
    found = []
    for more in (0, 7):
        padded = pad(x, (0, 0, 0, more))
        padded[torch.arange(9 + more) >= LENGTHS[:, None]] = filling
        networks["classifier"].train().zero_grad()
        total = phase.loss(networks, Batch(padded, LENGTHS, y, torch.arange(6)), generator(0)).total
        total.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad.clone() for p in networks["classifier"].parameters() if p.grad is not None]
        found.append([total.detach(), *gradients])
    networks["classifier"].eval()
    alone = [networks["classifier"](one[None, :n]) for one, n in zip(x, LENGTHS.tolist(), strict=True)]
    torch.testing.assert_close(networks["classifier"](padded, LENGTHS), torch.cat(alone), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)
    assert all(gradient.isfinite().all() for gradient in found[0])


def test_a_ragged_batch_is_reversed_within_its_lengths() -> None:
    x = torch.arange(12.0).view(2, 6, 1)
    assert reverse(x, torch.tensor([6, 3]))[:, :, 0].tolist() == [[5, 4, 3, 2, 1, 0], [8, 7, 6, 9, 10, 11]]
    assert torch.equal(reverse(x, None), x.flip(1))


def test_two_directions_and_two_layers_are_torchs() -> None:
    own = Recurrent(4, RnnSettings(cell="lstm", hidden_size=5, layers=2, bidirectional=True), generator(0))
    theirs = nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True)
    cells = [cell for pair in zip(own.there, own.back, strict=True) for cell in pair]
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.zero_()  # they have two biases, of which ours is the first
        for cell, (w, u, b, _) in zip(cells, theirs.all_weights, strict=True):
            for mine, other in zip(cell.parameters(), (w, u, b), strict=True):
                other.copy_(mine)
    x = torch.randn(6, 9, 4)
    packed = nn.utils.rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    within = torch.arange(9) < LENGTHS[:, None]
    torch.testing.assert_close(own(x, LENGTHS, None)[within], expected[within])


def test_members_average_their_probabilities_and_learn_one_by_one() -> None:
    made = family(members=3, label_smoothing=0.1)
    networks, (phase,) = made.build(generator(0, "weights")), made.phases()
    batch = Batch(torch.randn(6, 9, 4), LENGTHS, torch.tensor([0, 1, 2, 0, 1, 2]), torch.arange(6))
    members = networks["classifier"]
    assert isinstance(members, Members)
    each = [member(batch.x, LENGTHS) for member in members.members]
    assert not torch.equal(each[0], each[1])
    mean = torch.stack([logits.softmax(dim=1) for logits in each]).mean(dim=0)
    torch.testing.assert_close(made.predict(networks, batch), mean)
    assert batch.y is not None
    losses = [cross_entropy(logits, batch.y, label_smoothing=0.1) for logits in each]
    torch.testing.assert_close(phase.loss(networks, batch, generator(0)).total, sum(losses) / 3)


def test_smoothing_gives_a_share_of_the_label_to_all_classes() -> None:
    made = family()
    networks = made.build(generator(0))
    batch = Batch(torch.randn(2, 9, 4), None, torch.tensor([2, 0]), torch.arange(2))
    p = made.predict(networks, batch).tolist()
    truth = [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]
    expected = (
        -sum(t * math.log(q) for t_k, q_k in zip(truth, p, strict=True) for t, q in zip(t_k, q_k, strict=True)) / 2
    )
    found = classification(networks, batch, generator(0), smoothing=0.3).total
    assert float(found.detach()) == pytest.approx(expected, abs=1e-5)


def test_dropout_is_the_steps_and_not_the_judges() -> None:
    made = family(cell="gru", layers=2, dropout=0.5, pooling="mean")
    networks, (phase,) = made.build(generator(0)), made.phases()
    batch = Batch(torch.randn(6, 9, 4), LENGTHS, torch.tensor([0, 1, 2, 0, 1, 2]), torch.arange(6))
    losses = [phase.loss(networks, batch, generator(seed)).total.item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(made.predict(networks, batch), made.predict(networks, batch))


def test_steps_are_hidden_whole() -> None:
    made = family(cell="none", pooling="max", step_dropout=0.5)
    network = made.build(generator(0))["classifier"]
    x = torch.zeros(300, 2, 4)
    x[:, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    logits = network(x, None, generator(0))
    answers = {tuple(row) for row in logits.round(decimals=4).tolist()}
    shown, hidden = network(2 * x[:1]), network(0 * x[:1])  # what is shown is scaled up by as much as is hidden
    assert answers == {tuple(row) for row in torch.cat((shown, hidden)).round(decimals=4).tolist()}


def test_a_bag_of_pieces_does_not_know_their_order() -> None:
    vocabulary = fit_vocabulary(["one two three four"], Reading(vocabulary="characters"))
    schema = Schema(kind="text", shape=(), lengths=(1, 9), classes=("a", "b"), vocabulary=vocabulary)
    ids = torch.tensor([[3, 4, 5, 3, 4], [2, 7, 3, 0, 0]], dtype=torch.int32)
    other, lengths = ids.masked_fill(torch.arange(5) >= torch.tensor([[5], [3]]), 8), torch.tensor([5, 3])
    for cell in ("none", "gru"):
        network = family(schema, cell=cell, pooling="mean").build(generator(0))["classifier"]
        assert torch.equal(network(ids, lengths), network(other, lengths))
        turned = network(ids[:1].flip(1))
        assert torch.allclose(turned, network(ids[:1])) == (cell == "none")


@pytest.mark.parametrize("kind", ["simple", "gru", "lstm"])
def test_a_cell_alone_is_the_articles_network(kind: str) -> None:
    network = family(cell=kind, hidden_size=32).build(generator(0))["classifier"]
    gates = {"simple": 32 * (4 + 32 + 1), "gru": 96 * (4 + 32 + 2), "lstm": 128 * (4 + 32 + 1)}
    assert isinstance(network, Classic)
    assert sum(p.numel() for p in network.parameters()) == gates[kind] + 33 * 3


@pytest.mark.parametrize("pooling", ["", "mean,mean", "median", "mean, max"])
def test_a_pooling_that_is_none_is_refused(pooling: str) -> None:
    with pytest.raises(UsageError, match="mean, max, last, attention are expected"):
        RnnSettings(pooling=pooling)


def test_the_classic_preset_is_the_articles_network() -> None:
    rows = Schema(kind="image", shape=(1, 28, 28), classes=tuple("0123456789"))
    network = Rnn(rows, RnnSettings.resolve("classic")).build(generator(0))["classifier"]
    assert isinstance(network, Classic)
    assert sum(p.numel() for p in network.parameters()) == 2_282


def test_presets_have_the_sizes_they_are_measured_with() -> None:
    sizes = {}
    for preset in ("classic", "series", "sound"):
        made = Rnn(SERIES, RnnSettings.resolve(preset))
        sizes[preset] = sum(p.numel() for p in made.build(generator(0))["classifier"].parameters())
    fcn = 4 * 64 * 7 + 64 * 128 * 5 + 128 * 64 * 3 + 2 * (64 + 128 + 64)
    gru = 2 * 192 * (4 + 64 + 2)
    assert sizes == {
        "classic": 32 * (4 + 32 + 1) + 33 * 3,
        "series": 3 * (fcn + 65 * 3),
        "sound": gru + fcn + (2 * (128 + 64) + 1) * 3,
    }
