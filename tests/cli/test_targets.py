"""Numbers and tags on the command line: from a table of pictures or series to answers, figures and pictures."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import fourfold as ff
from fourfold.cli import main
from fourfold.judge import judge
from fourfold.judge.numbers import Estimated
from fourfold.runtime import one_thread

QUICK = ["--quiet", "--threads", "1"]
CNN = ["--preset", "small", "--width", "4", "--epochs", "2"]


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures of two greys, and a table of what they cost and show."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    rows = ["file,price,area,shows,left,right"]
    for i in range(60):
        left, right = random.integers(0, 200, 2)
        pixels = np.repeat([[left] * 6 + [right] * 6], 12, axis=0) + random.integers(0, 50, (12, 12))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        there = {"left": left > 100, "right": right > 100}
        shows = "|".join(name for name, is_there in there.items() if is_there) or "|"
        rows.append(f"{i}.png,{left * 1000},{right / 3:.2f},{shows},{int(there['left'])},{int(there['right'])}")
    (folder / "photos.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def runs(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run a task."""
    place = tmp_path_factory.mktemp("runs")
    for task, target in (("regress", "price,area"), ("tag", "shows")):
        words = ["train", "cnn", str(photos / "photos.csv"), "--task", task, "--target", target]
        assert main([*words, *CNN, *QUICK, "--out", str(place / task)]) == 0
    return {task: place / task for task in ("regress", "tag")}


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command line in an empty folder. Returns: what it said on both streams."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path, code: int = 0) -> tuple[str, str]:
        assert main([str(word) for word in words]) == code
        spoken = capsys.readouterr()
        return spoken.out, spoken.err

    return call


def test_numbers_are_predicted_in_a_column_each(runs: dict[str, Path], photos: Path, said: Any) -> None:
    files = [photos / "0.png", photos / "1.png"]
    out, _ = said("predict", runs["regress"], *files)
    assert out.splitlines()[0].split("\t") == ["input", "price", "area"]
    rows = json.loads(said("predict", runs["regress"], *files, "--json")[0])
    assert [row["input"] for row in rows] == list(map(str, files))
    assert all(isinstance(row["price"], float) for row in rows)
    said("predict", runs["regress"], *files, "--out", "told.csv")
    np.testing.assert_allclose(pl.read_csv("told.csv")["area"], [row["area"] for row in rows], rtol=1e-6)


def test_tags_are_predicted_with_their_probabilities(runs: dict[str, Path], photos: Path, said: Any) -> None:
    out, _ = said("predict", runs["tag"], photos / "0.png")
    assert out.splitlines()[0].split("\t") == ["input", "tags"]
    [row] = json.loads(said("predict", runs["tag"], photos / "0.png", "--json")[0])
    likely = [name for name in ("left", "right") if row[f"p({name})"] >= 0.5]
    assert row["tags"] == "|".join(likely)


def test_numbers_are_judged(runs: dict[str, Path], said: Any) -> None:
    out, err = said("evaluate", runs["regress"])
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[0] == ["figure", "value", "95% interval", "mean of train", "linear"]
    assert ["number", "r2", "mae", "rmse"] in lines
    assert {line[0] for line in lines} >= {"R²", "price", "area"}
    assert "linear model of pixels" in err
    assert {file.name for file in (runs["regress"] / "evaluation").iterdir()} == {"evaluation.json", "predicted.png"}
    figures = json.loads(said("evaluate", runs["regress"], "--json")[0])
    assert figures["targets"].keys() == {"price", "area"}


def test_tags_are_judged(runs: dict[str, Path], photos: Path, said: Any) -> None:
    out, _ = said("evaluate", runs["tag"], photos / "photos.csv")
    lines = [line.split("\t") for line in out.splitlines()]
    assert ["tag", "precision", "recall", "f1", "ap", "accuracy", "count"] in lines
    assert {line[0] for line in lines} >= {"macro average precision", "subset accuracy", "left", "right"}


def test_numbers_stand_beside_plain_means(runs: dict[str, Path]) -> None:
    judgement = judge(ff.load(runs["regress"]))
    assert isinstance(judgement, Estimated)
    figures = judgement.figures
    plain = figures["baselines"]
    assert plain["linear"]["r2"] > 0.95
    assert -0.5 < plain["average"]["r2"] <= 0
    low, high = figures["intervals"]["r2"]
    assert low < figures["r2"] < high
    assert figures["differences"]["r2"]["value"] == pytest.approx(figures["r2"] - plain["linear"]["r2"])
    assert figures["remarks"] == ["a linear model of pixels tells them better: use it, or train otherwise"]


def test_tags_stand_beside_plain_means(runs: dict[str, Path]) -> None:
    figures = judge(ff.load(runs["tag"])).figures
    assert figures["baselines"]["linear"]["macro_ap"] > 0.9 > figures["baselines"]["average"]["macro_ap"]
    low, high = figures["intervals"]["macro_ap"]
    assert low <= figures["macro_ap"] <= high


def test_what_a_model_cannot_is_told(runs: dict[str, Path], photos: Path, said: Any) -> None:
    _, err = said("predict", runs["regress"], photos / "0.png", "--views", code=2)
    assert "cannot take several views; cnn (--task classify) can" in err
    _, err = said("evaluate", runs["tag"], photos / "0.png", code=3)
    assert "0.png: no labels to judge by" in err


def test_the_card_tells_what_a_model_tells(runs: dict[str, Path]) -> None:
    assert "tells numbers of 12×12 grey pictures, 2 numbers." in (runs["regress"] / "model" / "README.md").read_text()
    assert "tells tags of 12×12 grey pictures, 2 tags." in (runs["tag"] / "model" / "README.md").read_text()


def test_a_training_goes_on_to_the_same_bits(runs: dict[str, Path], said: Any, tmp_path: Path) -> None:
    for task, run in runs.items():
        copy = tmp_path / task
        shutil.copytree(run, copy)
        shutil.rmtree(copy / "model")
        assert list((copy / "checkpoints").iterdir())
        said("resume", copy, "--quiet")
        weights = [folder / "model" / "weights.safetensors" for folder in (run, copy)]
        assert weights[0].read_bytes() == weights[1].read_bytes()


def test_series_by_id_tell_a_number(said: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = ["walk,t,x,mean"]
    for walk in range(40):
        x = random.normal(size=random.integers(5, 9)) + random.normal()
        rows += [f"{walk},{t},{each:.4f},{x.mean():.4f}" for t, each in enumerate(x)]
    (tmp_path / "walks.csv").write_text("\n".join(rows))
    words = ["walks.csv", "--id", "walk", "--target", "mean", "--task", "regress", *QUICK]
    out, _ = said("train", "rnn", *words, "--preset", "classic", "--epochs", "40", "--out", "run")
    assert "r2" in out
    figures = json.loads(said("evaluate", "run", "--json")[0])
    assert figures["rmse"] < figures["baselines"]["average"]["rmse"]
    table = json.loads(said("predict", "run", "walks.csv", "--json")[0])
    assert len(table) == 40
    assert table[0].keys() == {"input", "mean"}


def test_a_ts_file_of_numbers_is_learnt(said: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 6))
    lines = [",".join(f"{each:.3f}" for each in row) + f":{row.sum():.3f}" for row in x]
    (tmp_path / "walks.ts").write_text("\n".join(["@univariate true", "@targetlabel true", "@data", *lines]))
    assert "r2" in said("train", "rnn", "walks.ts", "--task", "regress", "--epochs", "1", *QUICK, "--out", "run")[0]
    _, err = said("train", "rnn", "walks.ts", *QUICK, code=3)
    assert "walks.ts, row 2: series with numeric targets; learn these with --task regress" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--target", "area"], 3, "photos.csv: the target 'area' is a quantity"),
        (["--task", "regress"], 3, "photos.csv: --task regress needs --target"),
        (["--task", "regress", "--target", "shows"], 3, "no finite number; correct these cells or remove their rows"),
        (["--task", "tag", "--target", "shows", "--balance"], 2, "--balance weighs classes"),
        (["--task", "tags", "--target", "shows"], 2, "task"),
    ],
    ids=["quantity", "no target", "no number", "balance", "no task"],
)
def test_mistakes_are_told_with_their_mend(photos: Path, said: Any, words: list[str], code: int, message: str) -> None:
    _, err = said("train", "cnn", photos / "photos.csv", *words, *CNN, *QUICK, code=code)
    assert message in err
