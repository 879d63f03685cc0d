"""The temperature of a classifier's probabilities: fitted on validation, kept with the model, used when it predicts."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fourfold as ff
from fourfold.data.dataset import Examples, Request
from fourfold.data.feed import feed, in_order
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read
from fourfold.engine.evaluate import BATCH_SIZE, asking
from fourfold.judge import judge
from fourfold.metrics.calibration import FEWEST
from fourfold.metrics.classification import logarithms, losses
from fourfold.runtime import one_thread

SETTINGS: dict[str, Any] = {"preset": "classic", "epochs": 4, "threads": 1, "quiet": True}


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread: small networks' threads would wait for each other."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """400 real digits with their labels."""
    train = read(sample_path("mnist"), Request()).splits["train"]
    assert train.y is not None
    return train.loaded[:400, 0].numpy(), train.y[:400].numpy()


@pytest.fixture(scope="module")
def model(arrays: Any, tmp_path_factory: pytest.TempPathFactory) -> ff.Model:
    return ff.train("cnn", arrays, out=tmp_path_factory.mktemp("runs") / "cnn", **SETTINGS)


@pytest.fixture
def folder(model: ff.Model, tmp_path: Path) -> Path:
    """A copy of the model's folder, whose description may be changed."""
    assert model.run is not None
    return Path(shutil.copytree(model.run / "model", tmp_path / "model"))


def described(folder: Path, **changes: Any) -> dict[str, Any]:
    """The description of a model after changes; what is changed to None is taken out."""
    path = folder / "model.json"
    told: dict[str, Any] = json.loads(path.read_text())
    changed = {**told, "seal": "", **changes} if changes else told
    kept = {name: value for name, value in changed.items() if value is not None}
    if changes:
        path.write_text(json.dumps(kept))
    return kept


def logits(model: ff.Model, examples: Examples) -> Tensor:
    """What the network itself says."""
    with asking(model.networks):
        batches = in_order(feed(examples, model.schema, torch.device("cpu")), BATCH_SIZE)
        return torch.cat([model.networks["classifier"](batch.x, batch.lengths) for batch in batches]).double()


def mean_loss(model: ff.Model, held: Examples, temperature: float) -> float:
    assert held.y is not None
    return float(losses(torch.log_softmax(logits(model, held) / temperature, dim=1), held.y).mean())


def test_predictions_are_the_tempered_softmax_of_the_logits(model: ff.Model, arrays: Any) -> None:
    assert model.temperature != 1
    said = logits(model, model.read(arrays[0]))
    predicted = np.asarray(model.predict(arrays[0]))
    np.testing.assert_allclose(predicted, torch.softmax(said / model.temperature, dim=1), rtol=1e-4, atol=1e-7)
    assert (predicted.argmax(1) == said.argmax(1).numpy()).all()
    assert not np.allclose(predicted, torch.softmax(said, dim=1), atol=1e-3)


def test_validation_is_told_better_than_without_it_and_than_by_others_nearby(model: ff.Model) -> None:
    held = model.own_data().validation
    assert held is not None
    best = mean_loss(model, held, model.temperature)
    assert best < mean_loss(model, held, 1.0)
    assert all(best < mean_loss(model, held, model.temperature * near) for near in (0.95, 1.05))


def test_the_saved_model_answers_as_the_trained_one_and_its_card_tells(
    model: ff.Model, folder: Path, arrays: Any
) -> None:
    loaded = ff.load(folder)
    assert loaded.temperature == model.temperature
    np.testing.assert_array_equal(loaded.predict(arrays[0]), model.predict(arrays[0]))
    np.testing.assert_array_equal(ff.load(loaded.save(folder / "again")).predict(arrays[0]), model.predict(arrays[0]))
    assert f"softmax(logits / {model.temperature:.4g})" in (folder / "README.md").read_text()


def test_the_same_seed_finds_the_same_temperature(model: ff.Model, arrays: Any, tmp_path: Path) -> None:
    assert ff.train("cnn", arrays, out=tmp_path / "again", **SETTINGS).temperature == model.temperature


def test_a_model_from_before_temperatures_loads_and_leaves_probabilities_alone(
    folder: Path, model: ff.Model, arrays: Any
) -> None:
    assert "temperature" not in described(folder, temperature=None)
    old = ff.load(folder)
    assert old.temperature == 1
    untempered = model.probabilities(model.read(arrays[0]), tempered=False).numpy()
    np.testing.assert_array_equal(old.predict(arrays[0]), untempered)


@pytest.mark.parametrize("wrong", [0, -1, 1e9, float("nan"), float("inf"), "hot"])
def test_a_temperature_that_nothing_asks_for_is_refused(folder: Path, wrong: Any) -> None:
    described(folder, temperature=wrong)
    with pytest.raises(ff.ModelError, match="temperature"):
        ff.load(folder)


def test_too_few_validation_examples_and_none_leave_it_at_one(arrays: Any, tmp_path: Path) -> None:
    x, y = arrays
    quick = {**SETTINGS, "epochs": 1}
    few = ff.train("cnn", (x, y), out=tmp_path / "few", **quick, validation=0.05)
    assert few.origin.examples["validation"] < FEWEST
    assert few.temperature == 1
    assert any("validation examples are too few" in told for told in judge(few).figures["remarks"])
    none = ff.train("cnn", (x, y), out=tmp_path / "none", **quick, validation=0)
    assert none.temperature == 1
    assert "softmax" not in (tmp_path / "none" / "model" / "README.md").read_text()


def test_evaluate_tells_figures_before_and_with_the_models_own_temperature(model: ff.Model) -> None:
    dataset = model.own_data()
    assert dataset.test is not None
    figures = judge(model).figures
    assert figures["log_loss"] == pytest.approx(mean_loss(model, dataset.test, 1.0), rel=1e-5)
    calibration = figures["calibration"]
    assert calibration["temperature"] == model.temperature
    assert calibration["tempered"]["log_loss"] == pytest.approx(
        mean_loss(model, dataset.test, model.temperature), rel=1e-5
    )


def test_a_network_that_learns_no_classes_has_none(arrays: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"preset": "classic", "epochs": 1, "threads": 1, "quiet": True}
    assert ff.train("autoencoder", arrays, out=tmp_path / "coder", **settings).temperature == 1


def test_several_views_are_tempered_as_well(model: ff.Model, arrays: Any) -> None:
    examples = model.read(arrays[0][:50])
    before = logarithms(model.probabilities(examples, views=True, tempered=False))
    expected = torch.softmax(before / model.temperature, dim=1)
    np.testing.assert_allclose(model.predict(arrays[0][:50], views=True), expected, rtol=1e-4, atol=1e-7)
