"""A class for every step: the loss against plain loops, padding that changes nothing, that it learns and is judged."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

import fourfold as ff
from fourfold.data.dataset import UNTOLD, Batch, Examples
from fourfold.data.feed import feed, in_order
from fourfold.data.schema import Schema
from fourfold.engine.evaluate import asking
from fourfold.errors import DataError, UsageError
from fourfold.families import create
from fourfold.families.contract import Classifier, Labeller, Tagger
from fourfold.families.rnn.labelling import Labelling, step_loss
from fourfold.families.rnn.settings import RnnSettings
from fourfold.judge import judge
from fourfold.judge.classes import Classified
from fourfold.judge.steps import three, units
from fourfold.runtime import generator, one_thread
from fourfold.settings import Facts

SERIES: dict[str, Any] = {"kind": "series", "shape": (2,), "lengths": (3, 9), "mean": (0.0, 0.0), "std": (1.0, 1.0)}
STEPS = Schema(**SERIES, classes=("a", "b", "c"), stepwise=True)
LENGTHS = torch.tensor([9, 5, 7, 9, 3, 8])
QUICK: dict[str, Any] = {"quiet": True, "threads": 1, "checkpoint_every": "off"}
BOTH: dict[str, Any] = {"cell": "gru", "hidden_size": 4, "filters": 3, "bidirectional": True}
NETWORKS: dict[str, dict[str, Any]] = {
    "classic": {},
    "both directions": BOTH,
    "all at once": {**BOTH, "layers": 2, "convolution": "fcn", "center": True, "dropout": 0.2, "members": 2},
    "convolution": {"cell": "none", "convolution": "inception", "filters": 2},
    "bare steps": {"cell": "none"},
    "cut gradients": {**BOTH, "truncate": 3},
}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with one_thread():
        yield


def family(**settings: Any) -> Labelling:
    made = create(STEPS, RnnSettings.resolve("classic", task="label", **settings))
    assert isinstance(made, Labelling)
    return made


def answers() -> Tensor:
    """Classes of six series, some steps of which have none."""
    random = generator(2)
    y = torch.randint(0, 3, (6, 9), generator=random)
    y[torch.rand(6, 9, generator=random) < 0.2] = UNTOLD
    return y.masked_fill(torch.arange(9) >= LENGTHS[:, None], UNTOLD)


def some(more: int = 0, rubbish: float = 0.0) -> Batch:
    """Six series of different lengths, padded further by `more` steps of rubbish."""
    x = pad(torch.randn(6, 9, 2, generator=generator(1)), (0, 0, 0, more))
    x[torch.arange(9 + more) >= LENGTHS[:, None]] = rubbish
    return Batch(x, LENGTHS, pad(answers(), (0, more), value=UNTOLD), torch.arange(6))


def test_the_loss_is_a_mean_over_examples_of_the_mean_over_their_labelled_steps() -> None:
    logits, y = torch.randn(6, 9, 3, generator=generator(3)), answers()
    y[4] = UNTOLD  # and counts with nothing
    for smoothing in (0.0, 0.1):
        expected = []
        for row, classes in zip(logits.double().numpy(), y.tolist(), strict=True):
            told = []
            for scores, place in zip(row, classes, strict=True):
                log_p = scores - np.log(np.exp(scores).sum())
                if place != UNTOLD:
                    told.append(-(1 - smoothing) * log_p[place] - smoothing * log_p.mean())
            expected.append(np.mean(told) if told else 0.0)
        assert float(step_loss(logits, y, smoothing)) == pytest.approx(np.mean(expected), rel=1e-6)


def test_a_batch_in_parts_has_the_loss_of_the_whole() -> None:
    made = family(**BOTH)
    networks, batch = made.build(generator(0)), some()
    whole = made.loss(networks, batch, generator(0)).total
    parts = [(part, len(part) / len(batch)) for part in batch.parts(4)]
    assert len(parts) == 2
    torch.testing.assert_close(
        sum(made.loss(networks, part, generator(0)).total * share for part, share in parts), whole
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_what_stands_past_the_end_changes_nothing_be_it_infinite(name: str) -> None:
    made = family(**NETWORKS[name])
    networks, batch, padded = made.build(generator(0)), some(), some(5, float("inf"))
    losses = [made.loss(networks, each, generator(4)).total for each in (batch, padded)]
    if not made.settings.model_dump()["dropout"]:  # whose random numbers are as many as there are steps
        torch.testing.assert_close(*losses)
    assert all(map(torch.isfinite, losses))
    with asking(networks):
        said, more = made.label(networks, batch), made.label(networks, padded)
        torch.testing.assert_close(more[:, :9], said)
        assert bool((more[:, 9:] == 0).all())
        figures = [made.evaluate(networks, [each]) for each in (batch, padded)]
    assert figures[0]["confusion"] == figures[1]["confusion"]
    assert figures[0]["loss"] == pytest.approx(figures[1]["loss"], rel=1e-6)
    torch.testing.assert_close(said.sum(2)[4, :3], torch.ones(3))


def test_the_order_of_a_batch_changes_no_answer() -> None:
    made = family(**NETWORKS["all at once"])
    networks, batch, turn = made.build(generator(0)), some(), torch.tensor([3, 0, 5, 1, 4, 2])
    assert batch.lengths is not None
    with asking(networks):
        turned = replace(batch, x=batch.x[turn], lengths=batch.lengths[turn])
        torch.testing.assert_close(made.label(networks, turned), made.label(networks, batch)[turn])


@pytest.mark.parametrize(("settings", "looks_ahead"), [(BOTH, True), ({**BOTH, "bidirectional": False}, False)])
def test_a_step_hangs_on_later_ones_only_where_series_are_read_from_their_ends(
    settings: dict[str, Any], looks_ahead: bool
) -> None:
    made = family(**settings)
    networks, batch = made.build(generator(0)), some()
    changed = batch.x.clone()
    changed[0, 6:] += 1
    with asking(networks):
        before, after = (made.label(networks, replace(batch, x=x))[0] for x in (batch.x, changed))
    assert torch.equal(before[:6], after[:6]) is not looks_ahead
    assert not torch.equal(before[6:], after[6:])


def test_figures_are_those_of_plain_loops_over_labelled_steps() -> None:
    made = family(**BOTH)
    networks, batch = made.build(generator(0)), some()
    with asking(networks):
        figures = made.evaluate(networks, list(batch.parts(4)))
        said = made.label(networks, batch)
    pairs = [(int(said[i, t].argmax()), int(k)) for i, row in enumerate(answers()) for t, k in enumerate(row) if k >= 0]
    assert figures["count"] == len(pairs)
    assert figures["series"] == 6
    assert figures["accuracy"] == pytest.approx(np.mean([a == b for a, b in pairs]))
    f1s, recalls = [], []
    for k in range(3):
        hits, told, true = (sum(t) for t in zip(*((a == b == k, a == k, b == k) for a, b in pairs), strict=True))
        f1s.append(2 * hits / (told + true))
        recalls.append(hits / true)
    assert figures["macro_f1"] == pytest.approx(np.mean(f1s))
    assert figures["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_what_it_can_do_is_to_label() -> None:
    made = family()
    assert [isinstance(made, kind) for kind in (Labeller, Classifier, Tagger)] == [True, False, False]


def test_what_cannot_be_labelled_is_refused_with_the_mend() -> None:
    settings = RnnSettings.resolve("classic", task="label")
    with pytest.raises(DataError, match=r"a class for every step, and these data tell none; .*--target"):
        create(Schema(**SERIES, classes=("a", "b")), settings)
    with pytest.raises(DataError, match="one class only, 'a'"):
        create(Schema(**SERIES, classes=("a",), stepwise=True), settings)
    with pytest.raises(UsageError, match=r"--augment warp moves steps away"):
        family(augment="warp,jitter")


def test_a_schema_of_an_earlier_model_has_a_class_an_example() -> None:
    told = json.loads(Schema(**SERIES, classes=("a", "b")).model_dump_json())
    del told["stepwise"]
    assert Schema.model_validate(told).aim == "classes"
    assert Schema.model_validate_json(STEPS.model_dump_json()).aim == "labels"


def test_auto_reads_in_both_directions_and_longer_for_few_series() -> None:
    settings = RnnSettings.resolve(task="label")
    few, long = (settings.suited(Facts(kind="series", examples=n, shape=(t, 3))) for n, t in ((20, 50), (1, 10**6)))
    assert (few.preset, few.bidirectional, few.cell, few.task) == ("series", True, "gru", "label")
    assert few.epochs > long.epochs == 20
    assert (
        not RnnSettings.resolve(task="label", bidirectional=False)
        .suited(Facts(kind="series", examples=9))
        .bidirectional
    )


# Learnt and judged


def running_sums(count: int, steps: int = 20) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(count, steps, 2)).astype(np.float32)
    return x, (x[:, :, 0].cumsum(1) > 0).astype(np.int64)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> ff.Model:
    out = tmp_path_factory.mktemp("runs") / "run"
    with one_thread():
        few: dict[str, Any] = {"epochs": 25, "hidden_size": 16, "learning_rate": 1e-2, "validation": 0.1}
        return ff.train("rnn", running_sums(200), task="label", out=out, **few, **QUICK)


def test_the_sign_of_a_running_sum_is_learnt(learnt: ff.Model) -> None:
    judgement = judge(learnt)
    assert isinstance(judgement, Classified)
    figures = judgement.figures
    assert figures["accuracy"] > 0.95
    assert (
        figures["accuracy"] > figures["baselines"]["linear"]["accuracy"] > figures["baselines"]["majority"]["accuracy"]
    )
    assert figures["baselines"]["linear"]["sees"] == "each step's own values"
    assert figures["count"] == 20 * figures["series"]
    low, high = figures["intervals"]["accuracy"]
    assert low < figures["accuracy"] < high
    assert figures["differences"]["accuracy"]["interval"][0] > 0
    assert figures["calibration"]["fitted_on"] == 20 * 16
    assert json.loads(json.dumps(figures))["confusion"] == figures["confusion"]


def test_a_saved_model_says_the_same(learnt: ff.Model, tmp_path: Path) -> None:
    x, _ = running_sums(3)
    loaded = ff.load(learnt.save(tmp_path / "saved"))
    said = learnt.predict(x)
    assert isinstance(said, np.ndarray)
    assert said.shape == (3, 20, 2)
    np.testing.assert_allclose(said.sum(2), 1, rtol=1e-5)
    np.testing.assert_array_equal(loaded.predict(x), said)
    again = learnt.evaluate(running_sums(30))
    assert again["series"] == 30
    assert again["accuracy"] > 0.95


def test_steps_are_drawn_with_their_series_or_a_single_ones_stretches() -> None:
    y = torch.tensor([[0, 1, UNTOLD, 1], [1, 1, UNTOLD, UNTOLD], [UNTOLD, 0, 0, 0]])
    examples = Examples(torch.zeros(3, 4, 2), ["", "", ""], y)
    assert units(examples, STEPS).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    one = Examples(torch.zeros(1, 20, 2), [""], torch.zeros(1, 20, dtype=torch.int64))
    assert torch.bincount(units(one, STEPS)).tolist() == [9, 9, 2]  # train's longest has nine


def test_figures_of_sums_are_those_of_steps() -> None:
    sums = torch.tensor([10.0, 0, 5, 8, 0, 1, 30])  # steps of each class, those that are right, the loss
    torch.testing.assert_close(three(sums, 3), torch.tensor([9 / 15, (0.8 + 0.2) / 2, 2.0]))


def test_batches_carry_the_answers_that_belong_to_them() -> None:
    batch = some()
    part = Examples(batch.x, [""] * 6, batch.y, LENGTHS)
    made = family(**BOTH)
    networks = made.build(generator(0))
    with asking(networks):
        pieces = made.evaluate(networks, in_order(feed(part, STEPS, torch.device("cpu")), 2))
        whole = made.evaluate(networks, [batch])
    assert pieces["confusion"] == whole["confusion"]
