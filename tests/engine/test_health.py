"""A training that goes wrong is stopped before harm is done, or tells of it; what was good is kept."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fourfold import api
from fourfold.data.dataset import Batch, Dataset
from fourfold.engine.best import Best
from fourfold.engine.health import BLOCK, LONG, ROW, Health, diversity
from fourfold.engine.history import History
from fourfold.engine.loop import Trainer
from fourfold.engine.step import NotFiniteError
from fourfold.errors import DivergedError, ResumeError
from fourfold.families import create, settings_of
from fourfold.families.cnn import objective
from fourfold.families.cnn.family import Cnn
from fourfold.families.contract import Losses, Networks, Phase
from fourfold.families.gan.networks import DcganGenerator
from fourfold.run import Run
from fourfold.runtime import start

from .training import FAMILIES, begun

PHASE = Phase("classify", ("classifier",), objective.classification)
GAME = (Phase("discriminator", (), objective.classification, saturates=("real_score",)), Phase("generator", (), max))

pytestmark = pytest.mark.usefixtures("swift")


def trainer(few: Dataset, family: str = "cnn", **settings: Any) -> Trainer:
    chosen = settings_of(family).resolve(**{**FAMILIES[family], "epochs": 3, "batch_size": 8, **settings})
    return Trainer(create(few.schema, chosen), few, start("cpu"))


def weights(one: Trainer) -> list[Tensor]:
    return [p.detach().clone() for network in one.course.networks.values() for p in network.parameters()]


def spoil(monkeypatch: pytest.MonkeyPatch, example: int, from_step: int) -> None:
    """Have one example's loss be NaN once so many steps have been taken."""
    seen = 0
    plain = Cnn.phases

    def phases(family: Cnn) -> tuple[Phase, ...]:
        (phase,) = plain(family)

        def loss(networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
            nonlocal seen
            losses = phase.loss(networks, batch, random)
            seen += 1
            if seen <= from_step or example not in batch.index.tolist():
                return losses
            return Losses(losses.total * torch.nan, losses.logged)

        return (Phase(phase.name, phase.trains, loss),)

    monkeypatch.setattr(Cnn, "phases", phases)


def told(phases: tuple[Phase, ...] = (PHASE,), clipped: bool = False) -> tuple[Health, list[tuple[str, int]]]:
    notes: list[tuple[str, int]] = []
    return Health(phases, clipped, lambda text, step, epoch=None: notes.append((text, step))), notes


@pytest.mark.parametrize("waits", [True, False])
def test_a_step_that_is_not_finite_is_not_applied(few: Dataset, monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    """Neither where the host looks at every step nor where only the device knows (then no later step is either)."""
    undisturbed = trainer(few)
    before: dict[int, list[Tensor]] = {}
    plain = Trainer.take_step

    def noted(one: Trainer, batch: Batch) -> None:
        before[one.course.step] = weights(one)
        plain(one, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "take_step", noted)
        undisturbed.fit()
    spoil(monkeypatch, example=11, from_step=5)
    spoilt = trainer(few)
    if not waits:
        spoilt.course.stepper.stuck = torch.zeros(())
    with pytest.raises(DivergedError, match=r"epoch 2, step (\d+): .* so it is for .* alone") as stopped:
        spoilt.fit()
    step = int(str(stopped.value).split("step ")[1].split(":")[0])
    assert step >= 4
    assert all(torch.equal(a, b) for a, b in zip(weights(spoilt), before[step], strict=True))


def test_the_examples_of_a_step_gone_wrong_are_named_and_the_last_good_model_kept(
    few: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spoil(monkeypatch, example=11, from_step=5)
    monkeypatch.setattr(api, "_open", lambda _, settings, *__: (settings, few))
    chosen = settings_of("cnn").resolve("classic", epochs=3, batch_size=8)
    with pytest.raises(DivergedError, match=r"the model of epoch 1 is kept in .*run/model"):
        api.fit(chosen, "mnist", tmp_path / "run")
    noted = json.loads((tmp_path / "run" / "diverged.json").read_text())
    assert noted["epoch"] == 2
    assert len(noted["examples"]) == 8
    assert [example["place"] for example in noted["examples"] if example["alone"]] == [11]
    assert [example["name"] for example in noted["examples"] if example["alone"]] == [few.train.names[11]]
    kept = api.load(tmp_path / "run")
    assert kept.origin.epoch == 1
    assert "not a finite number" in kept.origin.notes[-1]
    assert "## What happened on the way" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_a_training_that_diverges_before_its_first_judgement_leaves_no_model(few: Dataset, tmp_path: Path) -> None:
    one = trainer(few, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"the weights have gone too far; try --learning-rate 1e\+29 or --clip 1"):
        one.fit()
    assert not one.worth_keeping


def test_exploding_gradients_are_told_and_then_end_the_training() -> None:
    health, notes = told()
    usual = [1.0, 2.0, 3.0] * BLOCK
    health.watch(0, {"gradient_norm": usual})
    exploding = [350.0] * (2 * ROW)
    with pytest.raises(DivergedError, match=f"for {2 * ROW} steps.*--clip 1"):
        health.watch(len(usual), {"gradient_norm": exploding})
    ((text, step),) = notes
    assert "350 is more than 100 times the usual one, 3," in text
    assert step == len(usual) + ROW - 1


def test_two_exploded_gradients_or_clipped_ones_end_nothing() -> None:
    health, notes = told()
    health.watch(0, {"gradient_norm": [1.0] * BLOCK + [500.0, 500.0, 1.0] * 20})
    assert notes == []
    clipped, clipped_notes = told(clipped=True)
    clipped.watch(0, {"gradient_norm": [1.0] * BLOCK + [500.0] * 50})
    assert len(clipped_notes) == 1


def test_gradients_that_had_vanished_may_come_back() -> None:
    """All is learnt, gradients are nearly zero, and then an example comes that is not."""
    health, notes = told()
    health.watch(0, {"gradient_norm": [1.0] * BLOCK + [1e-7] * (3 * BLOCK) + [5.0] * 20})
    assert notes == []


def test_what_a_training_began_with_is_no_explosion() -> None:
    """At first a GAN's generator loses, within a few steps, and its gradient nearly vanishes until it catches up."""
    health, notes = told()
    beginning = [3.0 * 0.7**step for step in range(20)] + [1e-3] * 130
    health.watch(0, {"gradient_norm": beginning + [7.0] * 500})
    assert notes == []


def test_a_score_that_stays_at_one_is_told_once() -> None:
    health, notes = told(GAME)
    steady = {"discriminator_gradient_norm": [1.0], "generator_gradient_norm": [1.0]}
    for step in range(3 * LONG):
        health.watch(step, {**steady, "real_score": [0.5 if step == 100 else 0.999]})
    ((text, step),) = notes
    assert text.startswith("real_score was above 0.99")
    assert step == 100 + LONG


@pytest.mark.parametrize("cut", [1, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 2, 2 * BLOCK])
def test_what_health_finds_does_not_depend_on_when_it_looks_nor_on_a_stop(cut: int) -> None:
    norms = [float(1 + place % 7) for place in range(BLOCK)] + [900.0] * (ROW + 1) + [1.0] * BLOCK
    scores = [0.999] * (LONG + 20)
    values = {
        "discriminator_gradient_norm": norms * 2 + [1.0] * (len(scores) - 2 * len(norms)),
        "generator_gradient_norm": [1.0] * len(scores),
        "real_score": scores,
    }
    whole, expected = told(GAME)
    whole.watch(0, values)
    first, notes = told(GAME)
    first.watch(0, {name: figures[:cut] for name, figures in values.items()})
    second, more = told(GAME)
    second.restore(first.tensors())
    second.watch(cut, {name: figures[cut:] for name, figures in values.items()})
    assert notes + more == expected
    assert expected
    assert {name: tensor.tolist() for name, tensor in second.tensors().items()} == {
        name: tensor.tolist() for name, tensor in whole.tensors().items()
    }


def test_health_of_other_phases_is_not_taken_over() -> None:
    other, _ = told(GAME)
    with pytest.raises(ResumeError, match="was watched on one side only"):
        told()[0].restore(other.tensors())


def test_diversity_is_the_mean_distance_to_the_nearest() -> None:
    samples, examples = torch.rand(5, 1, 3, 3), torch.rand(6, 1, 3, 3)

    def spread(some: Tensor) -> float:
        everyone = range(len(some))
        nearest = [min(float((some[a] - some[b]).norm()) for b in everyone if b != a) for a in everyone]
        return sum(nearest) / len(nearest)

    assert diversity(samples, examples) == pytest.approx(spread(samples) / spread(examples), rel=1e-3)
    assert diversity(samples[:1].expand(5, -1, -1, -1), examples) < 0.01
    assert diversity(samples, examples[:1].expand(6, -1, -1, -1)) > 1 - 1e-6


@pytest.mark.parametrize("modes", [1, 2, 4, 16])
def test_copies_of_a_few_examples_are_alike(few: Dataset, modes: int) -> None:
    digits = few.train.loaded.float() / 255
    copies = digits[torch.arange(32) % modes] + 0.02 * torch.randn(32, 1, 28, 28)
    assert diversity(copies, digits) < 0.2
    assert diversity(digits[:16], digits[16:]) > 0.5


def test_a_collapse_is_told_and_the_epoch_before_it_kept(
    few: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(api, "_open", lambda _, settings, *__: (settings, few))
    plain = Trainer.close_epoch

    def collapsing(one: Trainer, epoch: int) -> None:
        generator = one.course.networks["generator"]
        assert isinstance(generator, DcganGenerator)
        with torch.no_grad():
            for parameter in generator.parameters():
                parameter.mul_(50 if epoch == 1 else 0)  # the few narrow layers of this one hardly tell latents apart
        plain(one, epoch)

    monkeypatch.setattr(Trainer, "close_epoch", collapsing)
    chosen = settings_of("gan").resolve("dcgan", epochs=3, batch_size=8, width=2, latent_size=4, ema=0.0)
    model = api.fit(chosen, "mnist", tmp_path / "run")
    assert model.origin.epoch == 1
    assert [note for note in model.origin.notes if "nearly alike" in note and "collapse" in note]
    history = History.read(tmp_path / "run" / "history.jsonl")
    assert history.records[1]["diversity"] < 0.2 < history.records[0]["diversity"]
    assert history.notes[0]["step"] == history.records[1]["step"]
    assert "collapse" in (tmp_path / "run" / "log.txt").read_text()
    assert "collapse" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_samples_that_are_alike_in_the_beginning_have_not_collapsed() -> None:
    health, notes = told(GAME)
    health.samples(1, 10, 0.01, late=False)
    assert not health.collapsed
    health.samples(2, 20, 0.01, late=True)
    assert health.collapsed
    health.samples(3, 30, 0.5, late=True)
    assert not health.collapsed
    assert [step for _, step in notes] == [20]


def test_a_spoilt_epoch_is_the_best_only_if_there_is_no_other() -> None:
    best = Best(None, perishable=True)
    layer = torch.nn.Linear(1, 1)
    best.offer(1, {}, {"one": layer}, spoilt=True)
    assert best.epoch == 1
    best.offer(2, {}, {"one": layer})
    best.offer(3, {}, {"one": layer}, spoilt=True)
    assert best.epoch == 2


def test_a_norm_that_is_not_finite_stops_a_step_whose_loss_is(few: Dataset, tmp_path: Path) -> None:
    """sqrt at 0 has a loss of 0 and a gradient of infinity."""

    def loss(networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
        first = next(networks["classifier"].parameters())
        return Losses((first * 0).square().sum().sqrt(), {})

    one, _, _ = begun(few, "cnn", tmp_path)
    stepper = one.course.stepper
    stepper.phases = [(Phase("classify", ("classifier",), loss), stepper.phases[0][1])]
    before = weights(one)
    with pytest.raises(NotFiniteError):
        stepper(one.train.gather(torch.arange(4)), 0, torch.Generator())
    assert all(torch.equal(a, b) for a, b in zip(weights(one), before, strict=True))


def test_a_run_keeps_what_went_wrong_where_a_user_looks(tmp_path: Path, few: Dataset) -> None:
    with Run.create(tmp_path / "run", settings_of("cnn").resolve("classic"), few) as run:
        run.note("gradients explode")
    assert "warning: gradients explode" in (tmp_path / "run" / "log.txt").read_text()
