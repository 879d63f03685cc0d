"""The recurrent family's task to write: exact losses and gradients, a state that is carried, chances that are kept."""

import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fourfold as ff
from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.data.vocabulary import PADDING, UNKNOWN
from fourfold.engine.loop import Trainer
from fourfold.errors import DataError, Stopped, UsageError
from fourfold.families import create
from fourfold.families.contract import Writer
from fourfold.families.rnn.settings import RnnSettings
from fourfold.families.rnn.writing import IGNORED, LanguageModel, Writing, chosen, parted, plain, writing
from fourfold.runtime import generator, one_thread

SCHEMA = Schema(kind="text", shape=(), lengths=(2, 9), vocabulary='{"kind": "characters", "characters": " abcd"}')
SIZE = 7  # of that vocabulary
SMALL: dict[str, Any] = {"hidden_size": 5, "embedding_size": 4, "dropout": 0.0}
CELLS = [{"cell": "simple", "activation": "tanh"}, {"cell": "simple"}, {"cell": "gru"}, {"cell": "lstm"}]


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    with one_thread():
        yield


def made(**values: Any) -> tuple[Writing, LanguageModel]:
    """A family and its network, with weights far from where they start."""
    family = create(SCHEMA, RnnSettings.resolve("write", **{**SMALL, **values}))
    assert isinstance(family, Writing)
    network = family.build(generator(0))["writer"]
    assert isinstance(network, LanguageModel)
    with torch.no_grad():
        for weights in network.parameters():
            weights.normal_(std=0.4, generator=generator(1))
    return family, network


def passages(lengths: tuple[int, ...] = (10, 4, 2, 7)) -> Batch:
    """Pieces at random, of the given numbers, the one to begin with among them."""
    x = torch.randint(2, SIZE, (len(lengths), max(lengths)), generator=generator(2), dtype=torch.int32)
    for row, length in zip(x, lengths, strict=True):
        row[length:] = PADDING
    return Batch(x, torch.tensor(lengths), None, torch.arange(len(x)))


# The loss and the figures


@pytest.mark.parametrize("values", [*CELLS, {"layers": 2}], ids=str)
def test_the_loss_and_the_figures_are_those_of_a_plain_loop(values: dict[str, Any]) -> None:
    family, network = made(**values)
    batch, nats, right = passages(), [], 0
    for row, length in zip(batch.x, (10, 4, 2, 7), strict=True):
        state = network.begin(1)
        for t in range(length - 1):
            with torch.inference_mode():
                logits, state = network.step(row[t : t + 1], state)
            nats.append(-float(logits[0].double().log_softmax(0)[row[t + 1]]))
            right += int(logits[0].argmax() == row[t + 1])
    mean = sum(nats) / len(nats)
    assert float(writing({"writer": network}, batch).total.detach()) == pytest.approx(mean, rel=1e-5)
    with torch.inference_mode():
        found = family.evaluate({"writer": network}, batch.parts(3))
    assert found["loss"] == pytest.approx(mean, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(mean), rel=1e-5)
    assert found["bits_per_character"] == pytest.approx(mean / math.log(2), rel=1e-5)  # no end of a text among them
    assert found["accuracy"] == right / len(nats)
    assert found["count"] == 4


def test_padding_more_changes_nothing() -> None:
    _, network = made()
    batch = passages()
    longer = Batch(nn.functional.pad(batch.x, (0, 30)), batch.lengths, None, batch.index)
    assert torch.equal(writing({"writer": network}, batch).total, writing({"writer": network}, longer).total)


def test_the_end_of_a_text_costs_bits_and_is_no_character() -> None:
    family, network = made()
    ended = Batch(torch.tensor([[PADDING, 3, 4, PADDING]], dtype=torch.int32), torch.tensor([4]), None, torch.arange(1))
    with torch.inference_mode():
        found = family.evaluate({"writer": network}, [ended])
    assert found["bits_per_character"] == pytest.approx(3 * found["loss"] / math.log(2) / 2)


def test_counting_is_the_formula() -> None:
    train = torch.tensor([[0, 3], [3, 4], [4, 3], [3, 4], [4, 0], [3, 5]])
    pairs = torch.tensor([[3, 4], [3, 6], [6, 3]])
    found = plain(train, pairs, SIZE)
    unigram = {4: (2 + 1) / 13, 6: 1 / 13, 3: (2 + 1) / 13}
    assert found["unigram"].exp().tolist() == pytest.approx([1 / unigram[4], 1 / unigram[6], 1 / unigram[3]])
    bigram = [(2 + 2 * unigram[4]) / 5, 2 * unigram[6] / 5, unigram[3]]  # two pieces have come after 3, none after 6
    assert (-found["bigram"]).exp().tolist() == pytest.approx(bigram)
    every = torch.stack((torch.full((SIZE,), 3), torch.arange(SIZE)), dim=1)
    for losses in plain(train, every, SIZE).values():
        assert float((-losses).exp().sum()) == pytest.approx(1)


def test_rivals_have_the_figures_of_the_network() -> None:
    family, network = made()
    assert isinstance(family, Writer)
    with torch.inference_mode():
        own = family.evaluate({"writer": network}, [passages()])
    rivals = family.rivals([passages((9, 8))], iter([passages()]))
    assert rivals.keys() == {"unigram", "bigram"}
    assert all(own.keys() > each.keys() == {"loss", "perplexity", "bits_per_character"} for each in rivals.values())


@pytest.mark.parametrize("values", CELLS, ids=str)
def test_cutting_changes_gradients_and_neither_loss_nor_names(values: dict[str, Any]) -> None:
    whole, cut = made(**values)[1], made(truncate=3, **values)[1]
    assert whole.state_dict().keys() == cut.state_dict().keys()
    losses = [writing({"writer": network}, passages()).total for network in (whole, cut)]
    assert torch.equal(losses[0], losses[1])
    [ours], [theirs] = [
        torch.autograd.grad(loss, [network.enter.rows_pf]) for network, loss in zip((whole, cut), losses, strict=True)
    ]
    assert not torch.equal(ours, theirs)


# Texts


@pytest.mark.parametrize("values", [*CELLS, {"layers": 3, "cell": "lstm"}, {"truncate": 2}], ids=str)
def test_a_state_carried_step_by_step_is_that_of_the_whole_pass(values: dict[str, Any]) -> None:
    _, network = made(**values)
    ids = passages((9, 9)).x
    with torch.inference_mode():
        whole, state = network(ids), network.begin(2)
        for t in range(9):
            logits, state = network.step(ids[:, t], state)
            torch.testing.assert_close(logits, whole[:, t], rtol=1e-4, atol=1e-5)


def test_one_candidate_is_the_likeliest_whatever_the_chance() -> None:
    logits = torch.randn(50, SIZE, generator=generator(8))
    known = logits.index_fill(1, torch.tensor([UNKNOWN]), -torch.inf)
    for chance in (0.0, 0.5, 1 - 1e-16):
        least = torch.full((50,), chance, dtype=torch.float64)
        assert torch.equal(chosen(logits, least, 5.0, 1), known.argmax(1))
        assert torch.equal(chosen(logits, least, 1e-9, 0), known.argmax(1))


def test_choices_are_the_likeliest_ones_as_often_as_their_shares_say() -> None:
    logits, count = torch.tensor([0.3, 9.0, -1.0, 1.2, 0.0, -0.2, 0.9]), 20_000
    chance = torch.rand(count, generator=generator(9), dtype=torch.float64)
    for temperature, top_k in ((1.0, 0), (0.5, 0), (2.0, 3)):
        ids = chosen(logits.expand(count, -1), chance, temperature, top_k)
        known = logits.index_fill(0, torch.tensor([UNKNOWN]), -torch.inf)
        known = known.where(known >= known.sort().values[-top_k], -torch.inf) if top_k else known
        share = (known.double() / temperature).softmax(0)
        seen, expected = torch.bincount(ids, minlength=SIZE), count * share
        assert bool((seen[expected == 0] == 0).all())
        chi = ((seen - expected).square() / expected)[expected > 0].sum()
        assert float(chi) < 22.5  # of five degrees of freedom at most: once in 2,500 draws by chance


def test_a_text_begins_with_its_prompt_and_ends_where_the_network_says() -> None:
    family, network = made(cell="lstm")
    chance = torch.rand(40, 30, generator=generator(10), dtype=torch.float64)
    with torch.inference_mode():
        texts = family.write({"writer": network}, "ab d", chance, 1.0, 0)
        assert texts == family.write({"writer": network}, "ab d", chance, 1.0, 0)
        assert texts[:3] == family.write({"writer": network}, "ab d", chance[:3], 1.0, 0)
        longer = family.write({"writer": network}, "ab d", torch.cat((chance, chance), dim=1), 1.0, 0)
    assert all(text.startswith("ab d") and len(text) <= 34 for text in texts)
    assert len(set(texts)) > 30
    assert len({len(text) for text in texts}) > 5  # some have come to their end
    assert all(more.startswith(text) for more, text in zip(longer, texts, strict=True))


def test_an_unknown_character_of_a_prompt_is_named() -> None:
    family, network = made()
    with torch.inference_mode(), pytest.raises(UsageError, match=r"no text of train has 'Z' 'é'; leave that out"):
        family.write({"writer": network}, "a éZ", torch.zeros(1, 1, dtype=torch.float64), 1.0, 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bidirectional": True}, "--bidirectional: a network that writes"),
        ({"members": 2}, "--members"),
        ({"step_dropout": 0.1}, "--step-dropout"),
        ({"augment": "default"}, "--augment"),
        ({"cell": "none"}, "--cell none: .* take gru or lstm"),
    ],
)
def test_what_a_writer_has_not_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create(SCHEMA, RnnSettings.resolve("write", **values))


def test_other_data_are_refused() -> None:
    series = Schema(kind="series", shape=(2,), lengths=(5, 5), mean=(0.0, 0.0), std=(1.0, 1.0))
    with pytest.raises(DataError, match="--task write takes texts, and this is series data"):
        create(series, RnnSettings.resolve("write"))


def test_the_task_brings_its_preset() -> None:
    assert RnnSettings.resolve(task="write") == RnnSettings.resolve("write")
    assert RnnSettings.resolve("auto", task="write").suited(ff.settings.Facts(kind="text", examples=9)).cell == "gru"


# Whole trainings


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "book.txt"
    path.write_text("abcd " * 400)
    return path


TINY: dict[str, Any] = {"hidden_size": 16, "embedding_size": 8, "longest": 25, "batch_size": 8, "quiet": True}


def test_what_repeats_is_learnt_and_gone_on_with(book: Path, tmp_path: Path) -> None:
    model = ff.train("rnn", book, task="write", epochs=25, truncate=10, out=tmp_path / "run", **TINY)
    assert model.metrics["test"]["perplexity"] < 1.5
    assert model.metrics["test"]["accuracy"] > 0.9
    assert model.write("abcd ab", top_k=1, length=8) == ["abcd abcd abcd "]
    assert ff.load(tmp_path / "run").write("abcd ab", top_k=1, length=8) == ["abcd abcd abcd "]
    texts = model.write(count=3, length=20, temperature=2.0, seed=5)
    assert texts == model.write(count=3, length=20, temperature=2.0, seed=5) != model.write(count=3, length=20, seed=6)
    for asked in ({"count": 0}, {"length": 0}, {"temperature": 0}, {"temperature": math.inf}, {"top_k": -1}):
        with pytest.raises(UsageError):
            model.write("a", **asked)


def test_resumed_after_any_step_is_as_uninterrupted(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**TINY, "task": "write", "epochs": 2, "dropout": 0.2, "truncate": 7, "checkpoint_every": "2steps"}
    whole = ff.train("rnn", book, out=tmp_path / "whole", **settings)
    take_step = Trainer.take_step
    for step in (1, 7, 8, 11):  # eight steps an epoch
        with monkeypatch.context() as patch:

            def struck(trainer: Trainer, batch: Any, step: int = step) -> None:
                take_step(trainer, batch)
                if trainer.course.step == step:
                    trainer.stop.signal = signal.SIGTERM

            patch.setattr(Trainer, "take_step", struck)
            with pytest.raises(Stopped):
                ff.train("rnn", book, out=tmp_path / str(step), **settings)
        resumed = ff.resume(tmp_path / str(step), quiet=True)
        assert all(torch.equal(whole.weights[name], tensor) for name, tensor in resumed.weights.items())
        assert resumed.metrics == whole.metrics


def test_targets_past_the_end_are_left_out() -> None:
    read, lengths, targets = parted(passages((3, 2)))
    assert (read.shape, lengths.tolist(), targets[1].tolist()[1:]) == ((2, 2), [2, 1], [IGNORED])
