"""A judgement of trained models: its figures agree with each other, and what is weak is said in words."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fourfold as ff
from fourfold.data.dataset import Dataset, Request
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read
from fourfold.judge import Plain, judge
from fourfold.judge.classes import Classified
from fourfold.judge.codes import Restored
from fourfold.judge.features import fitting_features, random_features
from fourfold.judge.samples import Sampled
from fourfold.metrics.calibration import fit_temperature
from fourfold.metrics.classification import logarithms
from fourfold.runtime import start

RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn": ("cnn", {"epochs": 2, "preset": "classic", "threads": 1}),
    "autoencoder": ("autoencoder", {"epochs": 2, "preset": "classic", "threads": 1}),
    "gan": ("gan", {"epochs": 1, "preset": "dcgan", "width": 4, "batch_size": 64, "threads": 1}),
}


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """400 real digits with their labels."""
    train = read(sample_path("mnist"), Request()).splits["train"]
    assert train.y is not None
    return train.loaded[:400, 0].numpy(), train.y[:400].numpy()


@pytest.fixture(scope="module")
def models(arrays: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ff.Model]:
    """A model of each kind, trained for a moment on the same digits."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: ff.train(family, arrays, out=folder / name, quiet=True, **settings)
        for name, (family, settings) in RECIPES.items()
    }


@pytest.fixture(scope="module")
def classified(models: dict[str, ff.Model]) -> Classified:
    judgement = judge(models["cnn"])
    assert isinstance(judgement, Classified)
    return judgement


@pytest.fixture(scope="module")
def sampled(models: dict[str, ff.Model]) -> Sampled:
    judgement = judge(models["gan"])
    assert isinstance(judgement, Sampled)
    return judgement


def test_the_models_own_figures_are_among_them(models: dict[str, ff.Model]) -> None:
    for model in models.values():
        own = model.evaluate()
        assert judge(model).figures.items() >= own.items()


def test_every_judgement_is_plain_json(models: dict[str, ff.Model]) -> None:
    for model in models.values():
        figures = judge(model).figures
        assert json.loads(json.dumps(figures, allow_nan=False))["split"] == "test"


def test_intervals_hold_their_figures_and_differences_are_differences(classified: Classified) -> None:
    figures = classified.figures
    for name in ("accuracy", "balanced_accuracy", "log_loss"):
        low, high = figures["intervals"][name]
        assert low < figures[name] < high
        difference = figures["differences"][name]
        assert difference["value"] == pytest.approx(figures[name] - figures["baselines"]["linear"][name])
        assert difference["interval"][0] <= difference["value"] <= difference["interval"][1]


def test_the_majority_names_trains_commonest_class(models: dict[str, ff.Model], classified: Classified) -> None:
    dataset, y = models["cnn"].own_data(), classified.examples.y
    assert dataset.train.y is not None
    assert y is not None
    commonest = int(torch.bincount(dataset.train.y).argmax())
    majority = classified.figures["baselines"]["majority"]
    assert majority["accuracy"] == pytest.approx(float((y == commonest).double().mean()))
    assert majority["balanced_accuracy"] == pytest.approx(0.1)


def test_the_temperature_is_fitted_on_validation(models: dict[str, ff.Model], classified: Classified) -> None:
    held = models["cnn"].own_data().validation
    assert held is not None
    assert held.y is not None
    expected = fit_temperature(logarithms(models["cnn"].probabilities(held, tempered=False)), held.y)
    calibration = classified.figures["calibration"]
    assert (calibration["temperature"], calibration["fitted_on"]) == (pytest.approx(expected, rel=1e-3), len(held))
    assert calibration["tempered"]["error"] != calibration["error"]


def test_a_model_that_logistic_regression_beats_is_told_so(arrays: Any, tmp_path: Path) -> None:
    lazy = ff.train(
        "cnn", arrays, out=tmp_path / "lazy", quiet=True, epochs=1, learning_rate=1e-6, preset="classic", threads=1
    )
    assert any("logistic regression on pixels is right more often" in told for told in judge(lazy).figures["remarks"])


def test_few_examples_are_told_to_say_little(models: dict[str, ff.Model], arrays: Any) -> None:
    x, y = arrays
    few = judge(models["cnn"], (x[:40], y[:40])).figures
    low, high = few["intervals"]["accuracy"]
    assert high - low > 0.1
    assert any(told.startswith("40 examples tell the accuracy only to within") for told in few["remarks"])


def test_without_the_training_data_there_is_no_baseline_and_it_says_why(
    models: dict[str, ff.Model], arrays: Any
) -> None:
    for name, data in (("cnn", arrays), ("autoencoder", arrays[0]), ("gan", arrays[0])):
        run = models[name].run
        assert run is not None
        figures = judge(ff.load(run), data).figures
        assert not figures.get("baselines")
        assert "no baseline, since its training data are not at hand" in figures["remarks"][-1]


def test_an_autoencoder_that_loses_to_principal_components_is_told_so(models: dict[str, ff.Model]) -> None:
    judgement = judge(models["autoencoder"])
    assert isinstance(judgement, Restored)
    figures = judgement.figures
    assert figures["baselines"]["principal"]["mse"] < figures["mse"] < figures["intervals"]["mse"][1]
    assert figures["baselines"]["principal"]["components"] == 32
    assert figures["differences"]["mse"]["interval"][0] > 0
    assert any("it loses to 32 principal components" in told for told in figures["remarks"])
    assert {rows.shape[1:] for rows in judgement.rows.values()} == {(1, 28, 28)}


def test_real_digits_are_nearer_to_real_ones_than_made_ones_are(sampled: Sampled) -> None:
    figures = sampled.figures
    assert figures["compared"] == figures["count"] == 80
    for distance in ("frechet", "kernel"):
        assert figures["floor"][distance] < figures["distances"][distance]
    assert figures["floor"]["recall"] > figures["distances"]["recall"]
    assert sum(shares["generated"] for shares in figures["balance"].values()) == pytest.approx(1)
    assert any(told.startswith("classes are made unevenly") for told in figures["remarks"])


def test_a_generator_that_copies_is_found_out(models: dict[str, ff.Model], monkeypatch: pytest.MonkeyPatch) -> None:
    gan = models["gan"]
    train = gan.own_data().train.loaded[:80].float() / 255
    monkeypatch.setattr(gan, "generate", lambda *_: train.numpy())
    figures = judge(gan).figures
    assert figures["nearest"]["generated"] == pytest.approx(0, abs=1e-3)
    assert any("it may copy" in told for told in figures["remarks"])
    for name in ("precision", "recall"):
        assert figures["distances"][name] == pytest.approx(figures["floor"][name], abs=0.15)


def test_features_are_the_same_for_the_same_data(models: dict[str, ff.Model], sampled: Sampled) -> None:
    gan = models["gan"]
    assert judge(gan).figures == sampled.figures
    assert sampled.figures["features"]["sha256"] == fitting_features(gan.own_data(), gan.runtime).sha256


def test_a_given_classifier_gives_the_features(models: dict[str, ff.Model]) -> None:
    figures = judge(models["gan"], features=models["cnn"]).figures
    assert figures["features"]["size"] == 64
    assert figures["features"]["accuracy"] == models["cnn"].metrics["test"]["accuracy"]
    with pytest.raises(ff.UsageError, match="does not tell classes of pictures"):
        judge(models["gan"], features=models["autoencoder"])
    with pytest.raises(ff.UsageError, match="leave it out"):
        judge(models["cnn"], features=models["cnn"])


def test_a_classifier_of_other_pictures_is_refused(models: dict[str, ff.Model], arrays: Any, tmp_path: Path) -> None:
    small = ff.train(
        "cnn", (arrays[0][:, ::2, ::2], arrays[1]), out=tmp_path / "small", quiet=True, epochs=1, threads=1
    )
    with pytest.raises(ff.DataError, match="takes 1 × 14 × 14 pictures, and these are 1 × 28 × 28"):
        judge(models["gan"], features=small)


def test_without_labels_the_features_are_of_a_random_network(digits: Dataset) -> None:
    runtime = start("cpu")
    bare = replace(digits, schema=digits.schema.model_copy(update={"classes": None}))
    features = fitting_features(bare, runtime)
    assert features.name == "a random convolutional network, seed 0"
    assert features.sha256 == random_features(1, runtime).sha256
    assert features.classify is None
    described = features.describe(digits.train.loaded.float() / 255)
    assert described.shape == (400, 256)
    assert bool((described.std(0) > 0).all())


def test_few_pictures_have_no_distances(models: dict[str, ff.Model], arrays: Any) -> None:
    figures = judge(models["gan"], arrays[0][:12]).figures
    assert "distances" not in figures
    assert figures["remarks"] == ["12 real pictures are too few for distances, which need 20; judge on more"]


def test_a_detector_keeps_its_own_figures(arrays: Any, tmp_path: Path) -> None:
    detector = ff.train(
        "autoencoder",
        arrays,
        out=tmp_path / "d",
        quiet=True,
        epochs=1,
        task="detect",
        normal="1",
        false_alarms=0.3,
        threads=1,
    )
    judgement = judge(detector)
    assert isinstance(judgement, Plain)
    assert judgement.figures.items() >= detector.evaluate().items()
