"""Numbers and tags learnt: losses and figures against plain loops, units that come back, and that it learns."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fourfold as ff
from fourfold.data.dataset import Batch, Dataset, Examples
from fourfold.data.schema import Schema
from fourfold.errors import DataError, UsageError
from fourfold.families import create
from fourfold.families.cnn.settings import CnnSettings
from fourfold.families.contract import Classifier, Regressor, Tagger
from fourfold.families.rnn.settings import RnnSettings
from fourfold.families.targets import Together
from fourfold.judge.linear import fit_linear
from fourfold.metrics import regression, tagging
from fourfold.metrics.ranking import auprc
from fourfold.runtime import generator, one_thread
from fourfold.settings import Settings

SCALE: dict[str, Any] = {"targets": ("a", "b"), "target_mean": (100.0, -5.0), "target_std": (20.0, 0.5)}
SERIES: dict[str, Any] = {"kind": "series", "shape": (2,), "lengths": (5, 9), "mean": (0.0, 0.0), "std": (1.0, 1.0)}
NUMBERS = torch.tensor([[100.0, -5.0], [140.0, -4.0], [90.0, -7.0], [0.0, 0.0], [100.0, -5.5], [123.0, -5.0]])
PICTURES: dict[str, Any] = {"kind": "image", "shape": (1, 12, 12)}
QUICK: dict[str, Any] = {"quiet": True, "threads": 1, "checkpoint_every": "off"}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with one_thread():
        yield


def families(**answers: Any) -> list[tuple[Any, Tensor, Tensor | None]]:
    """A convolutional and a recurrent family, the latter of several members, each with examples."""
    task = "regress" if "targets" in answers else "tag"
    x = torch.randn(6, 9, 2, generator=generator(1))
    lengths = torch.tensor([9, 5, 7, 9, 6, 8])
    pictures = torch.rand(6, 1, 12, 12, generator=generator(1))
    rnn = RnnSettings.resolve("classic", task=task, hidden_size=4, members=3)
    return [
        (create(Schema(**PICTURES, **answers), CnnSettings.resolve("classic", task=task)), pictures, None),
        (create(Schema(**SERIES, **answers), rnn), x, lengths),
    ]


def members(network: nn.Module) -> list[Any]:
    return list(network.members) if isinstance(network, Together) else [network]


def test_the_loss_of_numbers_is_the_mean_square_in_deviations_of_train() -> None:
    for family, x, lengths in families(**SCALE):
        assert [isinstance(family, kind) for kind in (Regressor, Tagger, Classifier)] == [True, False, False]
        networks = family.build(generator(0))
        total = family.loss(networks, Batch(x, lengths, NUMBERS, torch.arange(6)), generator(2)).total
        expected, each = 0.0, members(networks["regressor"])
        for member in each:
            said = member(x, lengths).tolist()
            for i in range(6):
                for k, (mean, std) in enumerate([(100, 20), (-5, 0.5)]):
                    expected += (said[i][k] - (float(NUMBERS[i, k]) - mean) / std) ** 2 / 12 / len(each)
        assert total.item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_tags_is_the_cross_entropy_of_each_for_itself() -> None:
    y = torch.tensor([[0.0, 0, 1], [1, 1, 1], [0, 0, 0], [1, 0, 0], [0.25, 0, 1], [1, 1, 0]])  # one of them mixed
    for family, x, lengths in families(tags=("a", "b", "c")):
        assert [isinstance(family, kind) for kind in (Regressor, Tagger, Classifier)] == [False, True, False]
        networks = family.build(generator(0))
        total = family.loss(networks, Batch(x, lengths, y, torch.arange(6)), generator(2)).total
        expected, each = 0.0, members(networks["tagger"])
        for member in each:
            said = member(x, lengths).tolist()
            for i in range(6):
                for k in range(3):
                    p, t = 1 / (1 + math.exp(-said[i][k])), float(y[i, k])
                    expected -= (t * math.log(p) + (1 - t) * math.log(1 - p)) / 18 / len(each)
        assert total.item() == pytest.approx(expected, rel=1e-5)


def test_answers_come_in_the_datas_units_and_as_means_over_members() -> None:
    for family, x, lengths in families(**SCALE):
        networks = family.build(generator(0))
        batch = Batch(x, lengths, None, torch.arange(6))
        z = torch.stack([member(x, lengths) for member in members(networks["regressor"])]).mean(0)
        torch.testing.assert_close(
            family.estimate(networks, batch), z * torch.tensor([20, 0.5]) + torch.tensor([100, -5])
        )
    for family, x, lengths in families(tags=("a", "b", "c")):
        networks = family.build(generator(0))
        p = family.tag(networks, Batch(x, lengths, None, torch.arange(6)))
        assert p.shape == (6, 3)
        assert bool(((p > 0) & (p < 1)).all())


# Figures


def test_errors_are_those_of_plain_loops() -> None:
    random = np.random.default_rng(0)
    y = random.normal(size=(30, 3)) * [1, 1000, 0] + [0, 1e6, 4]
    said = y + random.normal(size=(30, 3))
    found = regression.figures(torch.tensor(said), torch.tensor(y), ("a", "b", "c"), y.mean(0).tolist())
    for k, name in enumerate(("a", "b")):
        missed, spread = y[:, k] - said[:, k], y[:, k] - y[:, k].mean()
        own = found["targets"][name]
        assert own["r2"] == pytest.approx(1 - (missed**2).sum() / (spread**2).sum())
        assert own["mae"] == pytest.approx(abs(missed).mean())
        assert own["rmse"] == pytest.approx(math.sqrt((missed**2).mean()))
    assert found["targets"]["c"]["r2"] is None  # it never changes
    assert found["r2"] == pytest.approx((found["targets"]["a"]["r2"] + found["targets"]["b"]["r2"]) / 2)
    assert found["baseline"]["mean"] == pytest.approx(0, abs=1e-9)
    json.dumps(found, allow_nan=False)


def tagged(n: int = 40) -> tuple[Tensor, Tensor]:
    """Probabilities with many ties, and truths of which the last tag never occurs."""
    p = torch.randint(0, 6, (n, 4), generator=generator(0)) / 5
    y = (torch.rand(n, 4, generator=generator(1)) < p * 0.7 + 0.1).double()
    y[:, 3] = 0
    return p.double(), y


def test_figures_of_tags_are_those_of_plain_loops() -> None:
    p, y = tagged()
    found = tagging.figures(p, y, ("a", "b", "c", "d"))
    f1s: list[float] = []
    aps: list[float] = []
    hits, halves = 0, 0.0
    for k, name in enumerate(("a", "b", "c")):
        said, there = p[:, k] >= 0.5, y[:, k] == 1
        hit, half = int((said & there).sum()), (int(said.sum()) + int(there.sum())) / 2
        own = found["tags"][name]
        assert own["precision"] == pytest.approx(hit / int(said.sum()))
        assert own["recall"] == pytest.approx(hit / int(there.sum()))
        assert own["f1"] == pytest.approx(hit / half)
        assert own["ap"] == pytest.approx(auprc(p[:, k], there))
        f1s, aps = [*f1s, own["f1"]], [*aps, own["ap"]]
        hits, halves = hits + hit, halves + half
    right = (p >= 0.5) == (y == 1)
    assert found["tags"]["d"]["recall"] is found["tags"]["d"]["ap"] is None
    assert (found["macro_f1"], found["macro_ap"]) == (pytest.approx(sum(f1s) / 3), pytest.approx(sum(aps) / 3))
    assert found["micro_f1"] == pytest.approx(hits / (halves + int((p[:, 3] >= 0.5).sum()) / 2))
    assert found["accuracy"] == pytest.approx(float(right.double().mean()))
    assert found["subset_accuracy"] == pytest.approx(float(right.all(1).double().mean()))
    assert tagging.figures(p, y * 0, ("a", "b", "c", "d"))["macro_ap"] == 0.0
    json.dumps(found, allow_nan=False)


def test_a_draw_of_examples_has_the_figures_of_those_examples() -> None:
    p, y = tagged()
    index = torch.randint(0, 40, (40,), generator=generator(3))
    for metric in (tagging, regression):
        whole = metric.drawn(p, y)(index)
        alone = metric.drawn(p[index], y[index])(torch.arange(40))
        for name, value in alone.items():
            torch.testing.assert_close(whole[name], value)


# Learning


def pictures(n: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Noise whose halves are of different grey, (n, 12, 12), and these two greys, (n, 2)."""
    random = np.random.default_rng(0)
    grey = random.random((n, 2))
    x = np.repeat(np.repeat(grey[:, None], 6, axis=2), 12, axis=1) * 200 + random.random((n, 12, 12)) * 50
    return x.astype(np.uint8), grey


def courses(n: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Series (n, 8, 2), and the means of their channels, (n, 2)."""
    x = np.random.default_rng(0).normal(size=(n, 8, 2)) + np.random.default_rng(1).normal(size=(n, 1, 2))
    return x.astype(np.float32), x.mean(1)


CNN: dict[str, Any] = {"preset": "classic", "epochs": 15, "batch_size": 16, "learning_rate": 3e-3}
RNN: dict[str, Any] = {"preset": "series", "filters": 8, "members": 1, "epochs": 30, "dropout": 0.0, "ema": 0.9}


def trained(family: str, y: np.ndarray, task: str, out: str = "run", **values: Any) -> ff.Model:
    x, recipe = (pictures()[0], CNN) if family == "cnn" else (courses()[0], RNN)
    return ff.train(family, (x, y), task=task, out=out, **{**QUICK, **recipe, **values})


@pytest.mark.parametrize("family", ["cnn", "rnn"])
def test_a_linear_problem_is_learnt(family: str) -> None:
    grey = (pictures() if family == "cnn" else courses())[1]
    y = grey @ np.array([[3000.0, 1.0], [1000.0, -1.0]]) + [5e4, 0]
    model = trained(family, y, "regress")
    assert model.metrics["test"]["r2"] > 0.95
    told = model.predict(pictures()[0] if family == "cnn" else courses()[0])
    assert isinstance(told, np.ndarray)
    assert (1 - ((told - y) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)).min() > 0.95


@pytest.mark.parametrize("family", ["cnn", "rnn"])
def test_tags_are_learnt(family: str) -> None:
    x, grey = pictures() if family == "cnn" else courses()
    y = (grey > np.median(grey, axis=0)).astype(int)
    model = trained(family, y, "tag", validation=0.0)  # 16 examples are soon put in order, and say little after that
    assert model.metrics["test"]["macro_ap"] > 0.95
    p = model.predict(x)
    assert isinstance(p, np.ndarray)
    assert ((p > 0.5) == y).mean() > 0.9


@pytest.mark.parametrize("family", ["cnn", "rnn"])
def test_units_come_back(family: str) -> None:
    x, grey = pictures() if family == "cnn" else courses()
    first, second = (trained(family, grey[:, 0] * unit, "regress", str(unit), epochs=2) for unit in (1, 1000))
    told, thousandfold = first.predict(x), second.predict(x)
    np.testing.assert_allclose(thousandfold, np.asarray(told) * 1000, rtol=2e-3, atol=1)
    assert first.metrics["test"]["r2"] == pytest.approx(second.metrics["test"]["r2"], abs=1e-3)
    assert first.metrics["test"]["rmse"] * 1000 == pytest.approx(second.metrics["test"]["rmse"], rel=1e-3)


def test_the_order_of_numbers_changes_nothing() -> None:
    turned = {name: values[::-1] for name, values in SCALE.items()}
    for (one, x, lengths), (other, _, _) in zip(families(**SCALE), families(**turned), strict=True):
        networks, mirrored = one.build(generator(0)), other.build(generator(0))
        for network in members(mirrored["regressor"]):
            head = network.head[-1] if hasattr(network, "head") else network.output
            head.weight.data, head.bias.data = head.weight.data.flip(0), head.bias.data.flip(0)
        losses = [
            family.loss(nets, Batch(x, lengths, each, torch.arange(6)), generator(2)).total
            for family, nets, each in ((one, networks, NUMBERS), (other, mirrored, NUMBERS.flip(1)))
        ]
        torch.testing.assert_close(*losses)
        batch = Batch(x, lengths, None, torch.arange(6))
        torch.testing.assert_close(one.estimate(networks, batch).flip(1), other.estimate(mirrored, batch))


# Models


def test_numbers_go_on_from_what_classes_have_taught() -> None:
    x, grey = pictures()
    classes = ff.train("cnn", (x, (grey[:, 0] > 0.5).astype(int)), out="classes", **{**QUICK, **CNN, "epochs": 1})
    model = trained("cnn", grey, "regress", epochs=1, init_from="classes", freeze=True)
    first = "features.0.weight"
    torch.testing.assert_close(model.weights[f"regressor.{first}"], classes.weights[f"classifier.{first}"])


def test_a_model_of_before_still_answers(tmp_path: Path) -> None:
    x, grey = pictures()
    model = ff.train("cnn", (x, (grey[:, 0] > 0.5).astype(int)), out="run", **{**QUICK, **CNN, "epochs": 1})
    path = tmp_path / "run" / "model" / "model.json"
    description = json.loads(path.read_text())
    for name in ("tags", "targets", "target_mean", "target_std"):
        del description["schema"][name]
    path.write_text(json.dumps({**description, "seal": ""}))
    np.testing.assert_array_equal(ff.load("run").predict(x[:5]), model.predict(x[:5]))


@pytest.mark.parametrize(
    ("settings", "schema", "message"),
    [
        (CnnSettings(task="regress"), PICTURES, "--task regress learns numbers.*--target"),
        (CnnSettings(task="tag"), PICTURES, "--task tag learns tags.*--target"),
        (RnnSettings(task="regress"), SERIES, "--task regress learns numbers"),
        (CnnSettings(task="tag", balance=True), {**PICTURES, "tags": ("a",)}, "--balance weighs classes"),
        (RnnSettings(task="tag"), {"kind": "table", "shape": (2,), "tags": ("a",)}, "this is a table"),
    ],
    ids=["numbers", "tags", "series", "balance", "table"],
)
def test_what_cannot_be_learnt_is_refused(settings: Settings, schema: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, UsageError), match=message):
        create(Schema(**schema), settings.resolve("classic", **settings.model_dump(include=settings.model_fields_set)))


def test_numbers_are_not_augmented_unless_asked_for() -> None:
    for kind, preset in ((CnnSettings, "small"), (RnnSettings, "series")):
        assert kind.resolve(preset).augment == kind.resolve(preset, task="tag").augment == "default"
        assert kind.resolve(preset, task="regress").augment == "none"
        assert kind.resolve(preset, task="regress", augment="default").augment == "default"


# Judging


def test_the_linear_baseline_is_ridge_regression() -> None:
    random = np.random.default_rng(0)
    x = torch.tensor(random.normal(size=(120, 3)), dtype=torch.float32)
    y = x @ torch.tensor([[30.0], [-2.0], [0.0]]) + 500
    scale = {"targets": ("y",), "target_mean": (500.0,), "target_std": (30.0,)}
    schema = Schema(kind="table", shape=(3,), mean=(0.0,) * 3, std=(1.0,) * 3, **scale)
    train, held, test = (Examples(x[i : i + 40], ["row"] * 40, y[i : i + 40]) for i in (0, 40, 80))
    linear = fit_linear(Dataset(schema, train, held, test, source="", fingerprint="", held_out={}))
    torch.testing.assert_close(linear.tell(test, schema).float(), y[80:], rtol=1e-3, atol=0.1)
