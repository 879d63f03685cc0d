"""`fourfold evaluate` as people and scripts use it: the table, the document and the pictures."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold.cli import main
from fourfold.data.dataset import Examples, Request
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read
from fourfold.judge.classes import Classified
from fourfold.metrics.classification import from_confusion
from fourfold.report.evaluation import write
from fourfold.runtime import one_thread

RECIPES = {
    "cnn": "--preset classic --epochs 2",
    "autoencoder": "--preset classic --epochs 1",
    "gan": "--preset dcgan --width 4 --epochs 1",
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 real digits, 200 with a test split of 100."""
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    train = read(sample_path("mnist"), Request()).splits["train"]
    assert train.y is not None
    x, y = train.loaded[:, 0].numpy(), train.y.numpy()
    np.savez(path, x_train=x[:200], y_train=y[:200], x_test=x[200:300], y_test=y[200:300])
    return path


@pytest.fixture(scope="module")
def runs(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each kind."""
    place = tmp_path_factory.mktemp("runs")
    with one_thread():
        for family, flags in RECIPES.items():
            words = ["train", family, str(digits), "--out", str(place / family), "--quiet", "--threads", "1"]
            assert main([*words, *flags.split()]) == 0
    return {family: place / family for family in RECIPES}


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `fourfold evaluate` and gives what it said on both streams."""

    def call(*words: str | Path, code: int = 0) -> tuple[str, str]:
        with one_thread():
            assert main(["evaluate", *map(str, words)]) == code
        spoken = capsys.readouterr()
        return spoken.out, spoken.err

    return call


def test_a_classifier_stands_beside_its_baselines(runs: dict[str, Path], said: Any) -> None:
    out, err = said(runs["cnn"])
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[0] == ["figure", "value", "95% interval", "majority", "linear"]
    rows = {line[0]: line[1:] for line in lines}
    low, high = map(float, rows["accuracy"][1].split(" to "))
    assert low < float(rows["accuracy"][0]) < high
    assert rows["examples"][0] == "100"
    assert {"balanced accuracy", "macro F1", "log loss", "Brier score", "calibration error"} <= rows.keys()
    assert rows["class"] == ["precision", "recall", "F1", "count"]
    assert "100 examples tell the accuracy only to within" in err


def test_the_document_and_the_pictures_lie_in_the_run(runs: dict[str, Path], said: Any) -> None:
    expected = {
        "cnn": {"confusion.png", "reliability.png", "mistakes.png"},
        "autoencoder": {"reconstructions.png"},
        "gan": {"neighbours.png"},
    }
    for family, pictures in expected.items():
        document = json.loads(said(runs[family], "--json")[0])
        folder = runs[family] / "evaluation"
        assert json.loads((folder / "evaluation.json").read_text()) == document
        assert {path.name for path in folder.iterdir()} == pictures | {"evaluation.json"}
        for name in pictures:
            with Image.open(folder / name) as picture:
                assert min(picture.size) > 200
                assert picture.convert("L").getextrema() == (0, 255)


def test_an_autoencoder_stands_beside_principal_components(runs: dict[str, Path], said: Any) -> None:
    out, err = said(runs["autoencoder"])
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}
    assert rows["figure"] == ["value", "95% interval", "principal components", "mean example"]
    assert float(rows["squared error"][2]) < float(rows["squared error"][0])
    assert "it loses to 32 principal components of train" in err
    assert rows["structural similarity"][0] != "-"


def test_generated_pictures_stand_beside_real_ones(runs: dict[str, Path], said: Any) -> None:
    out, _ = said(runs["gan"], "--features", runs["cnn"])
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}
    assert rows["figure"] == ["generated", "real (train against test)"]
    assert float(rows["Fréchet distance"][0]) > float(rows["Fréchet distance"][1])
    assert rows["class"] == ["share of the generated", "of the real"]
    document = json.loads(said(runs["gan"], "--features", runs["cnn"], "--seed", "1", "--json")[0])
    assert document["seed"] == 1
    again = json.loads(said(runs["gan"], "--features", runs["cnn"], "--json")[0])
    assert f"{again['distances']['frechet']:.4f}" == rows["Fréchet distance"][0]
    assert document["distances"]["frechet"] != again["distances"]["frechet"]
    assert len(document["features"]["sha256"]) == 64


def test_other_data_have_a_folder_of_their_own(runs: dict[str, Path], digits: Path, said: Any) -> None:
    own = json.loads(said(runs["cnn"], "--json")[0])
    assert json.loads(said(runs["cnn"], digits, "--json")[0]) == own
    assert (runs["cnn"] / "evaluation-digits.npz" / "evaluation.json").exists()


def test_a_model_without_a_run_writes_only_where_it_is_told(
    runs: dict[str, Path], said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs["cnn"] / "model", "model")
    _, err = said("model")
    assert "written" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert len(list(Path("model").iterdir())) == 3
    _, err = said("model", "--out", "there")
    assert "there: written" in err
    assert (tmp_path / "there" / "confusion.png").exists()
    Path("taken").touch()
    assert "taken: cannot be made" in said("model", "--out", "taken", code=6)[1]


def test_any_name_of_a_class_can_be_drawn(tmp_path: Path) -> None:
    """Formulas, letters that the font lacks, long ones, and more of them than can be named."""
    for names in (["$x^", "猫", "a" * 80, "_\\{"], [f"class {i}" for i in range(60)]):
        k = len(names)
        y = torch.arange(k).repeat(2)
        log_p = torch.log_softmax(torch.randn(2 * k, k, generator=torch.Generator().manual_seed(0)).double(), dim=1)
        table = torch.bincount(y * k + log_p.argmax(1), minlength=k * k).reshape(k, k)
        bins = [{"count": 1, "confidence": 0.5, "accuracy": 0.5}]
        calibration = {"error": 0.0, "reliability": bins, "tempered": None}
        figures = from_confusion(tuple(names), table) | {"calibration": calibration}
        x = torch.rand(2 * k, 3, 20, 30, generator=torch.Generator().manual_seed(1))
        examples = Examples(x=x, names=["file"] * 2 * k, y=y)
        written = write(Classified(figures, examples, log_p), tmp_path / str(k))
        assert [path.name for path in written] == [
            "evaluation.json",
            "confusion.png",
            "reliability.png",
            "mistakes.png",
        ]
