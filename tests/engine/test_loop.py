"""The training loop: equal to a loop written by hand, repeatable, and it keeps the best."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fourfold.data.dataset import Dataset
from fourfold.data.finding import Finding
from fourfold.data.order import order
from fourfold.engine.blame import Failure
from fourfold.engine.history import History, Record
from fourfold.engine.loop import Outcome, Trainer
from fourfold.errors import DivergedError, UsageError
from fourfold.families import create, settings_of
from fourfold.runtime import generator, start

SMALL = {
    "cnn": {"preset": "classic", "epochs": 2, "batch_size": 64},
    "rnn": {"preset": "classic", "epochs": 2, "batch_size": 64},
    "autoencoder": {"preset": "classic", "epochs": 2, "batch_size": 64},
    "gan": {"preset": "dcgan", "epochs": 1, "batch_size": 100, "width": 4},
}


def trainer(dataset: Dataset, family: str, **settings: Any) -> Trainer:
    made = create(dataset.schema, settings_of(family).resolve(**{**SMALL[family], **settings}))
    return Trainer(made, dataset, start("cpu"))


def weights(outcome: Outcome) -> dict[str, Tensor]:
    return {f"{n}.{k}": t for n, network in outcome.networks.items() for k, t in network.state_dict().items()}


def equal(a: Outcome, b: Outcome) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a).values(), weights(b).values(), strict=True))


class Onlooker:
    """Writes down all that a watcher is told."""

    def __init__(self, live: bool = False) -> None:
        self.live = live
        self.told: list[tuple[Any, ...]] = []

    def reading(self, what: str, done: int, total: int) -> None:
        self.told.append(("reading", what, done, total))

    def audited(self, findings: Sequence[Finding]) -> None:
        self.told.append(("audited", findings))

    def begin(self, epochs: int, steps: int, examples: int) -> None:
        self.told.append(("begin", epochs, steps, examples))

    def progress(self, epoch: int, step: int, means: dict[str, float]) -> None:
        self.told.append(("progress", epoch, step, means))

    def epoch(self, record: Record) -> None:
        self.told.append(("epoch", record["epoch"]))

    def preview(self, epoch: int, pictures: Tensor) -> None:
        self.told.append(("preview", epoch, pictures))

    def note(self, text: str) -> None:
        self.told.append(("note", text))

    def failed(self, failure: Failure) -> None:
        self.told.append(("failed", failure))


def test_training_is_what_a_plain_loop_does(digits: Dataset) -> None:
    """The same network, order and optimizer in ten lines of PyTorch end with the same weights."""
    ours = trainer(digits, "cnn", validation=0.0)
    theirs = create(digits.schema, ours.settings).build(generator(0, "weights"))["classifier"]
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3, eps=1e-7)
    x, y = digits.train.loaded.float() / 255, digits.train.y
    assert y is not None
    ours.validation = None  # so that the last epoch is kept
    outcome = ours.fit()
    for epoch in (1, 2):
        for index in torch.split(order(400, 0, epoch), 64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(theirs(x[index]), y[index]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(outcome.networks["classifier"].state_dict()[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", SMALL)
def test_the_seed_decides_everything(digits: Dataset, family: str) -> None:
    torch.manual_seed(1)
    first = trainer(digits, family).fit()
    torch.manual_seed(2)
    torch.rand(100)  # what others draw from the global generator is nothing to us
    assert equal(first, trainer(digits, family).fit())
    assert not equal(first, trainer(digits, family, seed=1).fit())


def test_looking_on_changes_nothing(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.engine.loop.REFRESH", 0.0)
    onlooker = Onlooker(live=True)
    seen, unseen = trainer(digits, "gan"), trainer(digits, "gan")
    assert equal(seen.fit(watchers=[onlooker]), unseen.fit())
    records = [[{**record, "seconds": 0} for record in one.history] for one in (seen, unseen)]
    assert records[0] == records[1]
    kinds = [event[0] for event in onlooker.told if event[0] != "note"]  # after so few steps all samples are alike
    assert kinds == ["begin", *["progress"] * 4, "preview", "epoch"]
    assert [event[2].shape for event in onlooker.told if event[0] == "preview"] == [(64, 1, 28, 28)]


def test_a_preview_shows_the_same_latents_every_time(digits: Dataset) -> None:
    onlooker = Onlooker()
    still = trainer(digits, "gan", epochs=2, learning_rate=1e-30)
    still.fit(watchers=[onlooker])
    first, second = (event[2] for event in onlooker.told if event[0] == "preview")
    torch.testing.assert_close(first, second, atol=0.05, rtol=0)  # only the norms' moments moved


def test_the_history_is_one_record_an_epoch(digits: Dataset, tmp_path: Path) -> None:
    one = trainer(digits, "cnn")
    one.fit(History(tmp_path / "history.jsonl"))
    records = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]
    assert [record["step"] for record in records] == [7, 14]
    assert {"loss", "validation_loss", "validation_accuracy", "seconds"} <= records[0].keys()
    assert History.read(tmp_path / "history.jsonl").records == records == one.history.records


def test_the_loss_written_down_is_the_mean_over_examples(digits: Dataset) -> None:
    """With no learning the mean over uneven batches (6 of 64 and one of 16) is that over the split."""
    one = trainer(digits, "autoencoder", epochs=1, learning_rate=1e-30)
    one.fit()
    x = digits.train.loaded.float() / 255
    outputs = one.course.networks["decoder"](one.course.networks["encoder"](x))
    expected = nn.functional.binary_cross_entropy_with_logits(outputs, x).item()
    assert one.history.records[0]["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Makes validation say what a test needs it to say, epoch by epoch."""

    def script(values: list[float]) -> None:
        told = iter(values)
        monkeypatch.setattr("fourfold.engine.loop.evaluate", lambda *_: {"accuracy": next(told)})

    return script


def test_the_best_epoch_is_kept(digits: Dataset, judged: Callable[[list[float]], None]) -> None:
    judged([0.5, 0.9, 0.9, 0.7])
    long = trainer(digits, "cnn", epochs=4).fit()
    judged([0.5, 0.9])
    short = trainer(digits, "cnn", epochs=2).fit()
    assert (long.epoch, long.epochs) == (2, 4)
    assert equal(long, short)


def test_patience_ends_it_early(digits: Dataset, judged: Callable[[list[float]], None]) -> None:
    judged([0.5, 0.6, 0.6, 0.5, 0.9])
    outcome = trainer(digits, "cnn", epochs=5, patience=2).fit()
    assert (outcome.epoch, outcome.epochs) == (2, 4)


def test_without_validation_the_last_epoch_is_kept(digits: Dataset) -> None:
    outcome = trainer(replace(digits, validation=None), "cnn").fit()
    assert outcome.epoch == outcome.epochs == 2


def test_the_average_is_what_is_judged_and_kept(digits: Dataset) -> None:
    one = trainer(digits, "gan", ema=0.9)
    outcome = one.fit()
    assert one.course.average is not None
    assert all(outcome.networks[name] is network for name, network in one.course.average.networks.items())
    assert not equal(outcome, trainer(digits, "gan", ema=0.0).fit())


@pytest.mark.parametrize("family", ["cnn", "gan"])
def test_a_loss_that_is_no_number_stops_the_training(digits: Dataset, family: str) -> None:
    with pytest.raises(DivergedError, match=r"epoch \d.*--learning-rate"):
        trainer(digits, family, learning_rate=1e30, optimizer="sgd", epochs=3).fit()


def test_networks_come_out_ready_to_be_asked(digits: Dataset) -> None:
    for network in trainer(digits, "gan").fit().networks.values():
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("family", ["cnn", "rnn", "autoencoder"])
def test_augmentation_is_part_of_what_the_seed_decides(digits: Dataset, family: str) -> None:
    plain = trainer(digits, family).fit()
    varied, again = (trainer(digits, family, augment="default,cutout").fit() for _ in range(2))
    assert equal(varied, again)
    assert not equal(varied, plain)


def test_mixed_labels_reach_the_loss(digits: Dataset) -> None:
    mixed = trainer(digits, "cnn", augment="mixup,cutmix")
    mixed.fit()
    assert mixed.history.records[0]["loss"] > 0


def test_an_augmentation_that_does_not_suit_is_refused_before_anything_is_made(digits: Dataset) -> None:
    with pytest.raises(UsageError, match="augment = 'rotat': unknown; did you mean 'rotate'"):
        trainer(digits, "cnn", augment="rotat")
    with pytest.raises(UsageError, match="a gan would learn to make pictures"):
        trainer(digits, "gan", augment="default")
