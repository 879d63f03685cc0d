"""The linear model of a text's pieces and pairs, and how it learns beside a network that reads."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.data.vocabulary import fit_vocabulary
from fourfold.errors import UsageError
from fourfold.families.rnn import wide
from fourfold.families.rnn.family import Rnn
from fourfold.families.rnn.reader import Members, Reader
from fourfold.families.rnn.settings import RnnSettings
from fourfold.families.rnn.wide import Wide
from fourfold.runtime import generator
from fourfold.settings import Reading

PIECES, CLASSES = 12, 3
TEXTS = torch.tensor([[3, 4, 5, 3, 4], [2, 7, 3, 0, 0], [9, 0, 0, 0, 0], [6, 6, 6, 6, 0]], dtype=torch.int32)
LENGTHS = torch.tensor([5, 3, 1, 4])
SCHEMA = Schema(
    kind="text",
    shape=(),
    lengths=(1, 5),
    classes=("a", "b", "c"),
    vocabulary=fit_vocabulary(["abcdefghij"], Reading(vocabulary="characters")),
)
SMALL = {"cell": "gru", "hidden_size": 5, "embedding_size": 4, "pooling": "mean", "wide": True}


@pytest.fixture(autouse=True)
def _few_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "BUCKETS", 1 << 10)


def drawn() -> Wide:
    model = Wide(PIECES, CLASSES)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, generator=generator(0))
    return model


def family(**values: Any) -> Rnn:
    return Rnn(SCHEMA, RnnSettings(**{**SMALL, **values}))


def reader(made: Rnn) -> tuple[Reader, Wide]:
    network = made.build(generator(0))["classifier"]
    assert isinstance(network, Reader)
    assert network.wide is not None
    torch.nn.init.normal_(network.wide.rows_bk, generator=generator(1))
    return network, network.wide


def summed(model: Wide, ids: list[int]) -> np.ndarray:
    """The scores of one text with loops: the rows of its different pieces and of its different pairs."""
    first, second = wide.FACTORS
    places = set(ids)
    for one, other in pairwise(ids):
        mixed = one * first + other * second
        places.add(PIECES + (mixed ^ mixed >> 15) % model.buckets)
    rows: np.ndarray = model.rows_bk.detach().numpy()[sorted(places)].sum(axis=0)
    scores: np.ndarray = rows + model.bias_k.detach().numpy()
    return scores


def test_scores_are_the_sum_of_the_rows_of_different_pieces_and_pairs() -> None:
    model = drawn()
    expected = [summed(model, row[:n]) for row, n in zip(TEXTS.tolist(), LENGTHS.tolist(), strict=True)]
    np.testing.assert_allclose(model(TEXTS, LENGTHS).detach().numpy(), np.stack(expected), atol=1e-5)


def test_padding_changes_no_score_and_no_gradient() -> None:
    model, found = drawn(), []
    other = TEXTS.masked_fill(torch.arange(5) >= LENGTHS[:, None], 8)
    for ids in (TEXTS, pad(TEXTS, (0, 6)), other):
        model.zero_grad()
        scores: Tensor = model(ids, LENGTHS)
        scores.square().sum().backward()  # type: ignore[no-untyped-call]
        assert model.rows_bk.grad is not None
        found.append((scores.detach(), model.rows_bk.grad.clone()))
    alone = torch.cat([model(row[None, :n]) for row, n in zip(TEXTS, LENGTHS.tolist(), strict=True)])
    torch.testing.assert_close(found[0][0], alone.detach())
    for each in found[1:]:
        torch.testing.assert_close(each, found[0])


def test_only_the_rows_of_what_a_text_has_learn() -> None:
    model = Wide(PIECES, CLASSES)
    assert torch.equal(model(TEXTS, LENGTHS), torch.zeros(4, CLASSES))
    model(TEXTS[:1], LENGTHS[:1]).sum().backward()
    assert model.rows_bk.grad is not None
    assert set(model.rows_bk.grad.sum(1).nonzero().flatten().tolist()) >= {3, 4, 5}
    assert int(model.rows_bk.grad.count_nonzero()) == 6 * CLASSES  # three pieces, and the pairs 34, 45 and 53


def test_pairs_know_their_order_and_large_pieces_stay_within_the_rows() -> None:
    model = drawn()
    assert not torch.allclose(model(torch.tensor([[3, 4]])), model(torch.tensor([[4, 3]])))
    largest = Wide(200_000, 2)
    places = largest.places(torch.tensor([[199_999, 199_999, 0, 199_999]]), None)
    assert 0 <= int(places.min()) <= int(places.max()) < len(largest.rows_bk)


def test_many_classes_get_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "NUMBERS", 1000)
    assert [Wide(PIECES, classes).buckets for classes in (1, 10, 5000)] == [1000, 100, 1]


def test_dropout_hides_features_and_scales_up_the_rest() -> None:
    model = drawn()
    shown: Tensor = model(TEXTS.expand(4, 5).repeat(2000, 1), LENGTHS.repeat(2000), 0.5, generator(0))
    assert not torch.allclose(shown[:4], shown[4:8])
    torch.testing.assert_close(shown.view(2000, 4, CLASSES).mean(0), model(TEXTS, LENGTHS), atol=0.25, rtol=0)


def test_asked_the_two_are_averaged() -> None:
    network, linear = reader(family())
    expected = (network.read(TEXTS, LENGTHS, None) + linear(TEXTS, LENGTHS)) / 2
    torch.testing.assert_close(network(TEXTS, LENGTHS), expected)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_training_step_shows_each_text_to_one_of_the_two(count: int) -> None:
    network, linear = reader(family())
    ids, lengths = TEXTS[:count], LENGTHS[:count]
    one, other = network.read(ids, lengths, None), linear(ids, lengths)
    seen = set()
    for seed in range(20):
        told = network(ids, lengths, generator(seed))
        ours = torch.isclose(told, one, atol=1e-5).all(1)
        assert torch.equal(torch.isclose(told, other, atol=1e-5).all(1), ~ours)
        assert int(ours.sum()) == (count + 1) // 2
        seen.add(tuple(ours.tolist()))
    assert len(seen) == [1, 2, 3, 6][count - 1]  # every way to choose half of them


def test_both_learn_and_members_keep_their_order() -> None:
    made = family(members=2)
    networks, (phase,) = made.build(generator(0)), made.phases()
    members = networks["classifier"]
    assert isinstance(members, Members)
    batch = Batch(TEXTS, LENGTHS, torch.tensor([0, 1, 2, 0]), torch.arange(4))
    phase.loss(networks, batch, generator(0)).total.backward()  # type: ignore[no-untyped-call]
    for member in members.members:
        assert isinstance(member, Reader)
        assert member.wide is not None
        assert all(p.grad is not None and bool(p.grad.any()) for p in member.parameters())
    turned = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(members(TEXTS[turned], LENGTHS[turned]), members(TEXTS, LENGTHS)[turned])


def test_without_texts_it_is_refused() -> None:
    series = Schema(kind="series", shape=(4,), lengths=(1, 9), classes=("a", "b"))
    with pytest.raises(UsageError, match="--wide"):
        Rnn(series, RnnSettings(wide=True)).build(generator(0))


def test_it_is_part_of_the_preset_of_texts_and_makes_a_cell_alone_a_reader() -> None:
    assert RnnSettings.resolve("text").wide
    assert not RnnSettings(cell="gru", wide=True).only_a_cell
