"""Detecting and compressing on the command line, from data to files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from fourfold.cli import main
from fourfold.data.dataset import Request
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read
from fourfold.runtime import one_thread


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread: small networks' threads would wait for each other."""
    with one_thread():
        yield


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command line in an empty folder. Returns: its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real digits of two classes, 150 each and 40 each for the test."""
    train = read(sample_path("mnist"), Request()).splits["train"]
    assert train.y is not None
    x, y = train.loaded[:, 0].numpy(), train.y.numpy()
    first = {part: [np.flatnonzero(y == k)[places] for k in (0, 1)] for part, places in PARTS.items()}
    index = {part: np.concatenate(each) for part, each in first.items()}
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    arrays: dict[str, Any] = {
        f"{name}_{part}": values[index[part]] for part in PARTS for name, values in (("x", x), ("y", y))
    }
    np.savez(path, **arrays)
    return path


PARTS = {"train": slice(150), "test": slice(150, 190)}


@pytest.fixture(scope="module")
def detector(digits: Path) -> Path:
    """A detector of what is no one."""
    folder = digits.parent / "detector"
    words = ["--task", "detect", "--normal", "1", "--validation", "0.2", "--epochs", "20", "--latent-size", "8"]
    assert main(["train", "autoencoder", str(digits), *words, "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def coder(digits: Path) -> Path:
    folder = digits.parent / "coder"
    words = ["--preset", "conv", "--width", "4", "--epochs", "1"]
    assert main(["train", "autoencoder", str(digits), *words, "--out", str(folder), "--quiet"]) == 0
    return folder


def test_only_what_is_normal_trains_and_the_test_keeps_all(detector: Path) -> None:
    described = json.loads((detector / "model" / "model.json").read_text())
    assert described["origin"]["examples"] == {"train": 120, "validation": 30, "test": 80}
    assert described["settings"]["preset"] == "detect"
    figures = described["metrics"]["test"]
    assert figures["auroc"] > 0.95
    assert figures["abnormal"] == 0.5
    assert figures["threshold"]["held_out"] == 30
    assert len(json.loads((detector / "splits.json").read_text())["validation"]) == 30
    assert "tells what is not normal" in (detector / "model" / "README.md").read_text()


def test_the_threshold_travels_with_the_model(run: Any, detector: Path, digits: Path) -> None:
    described = json.loads((detector / "model" / "model.json").read_text())["metrics"]["test"]
    code, out, _ = run("evaluate", detector / "model", digits, "--json")
    assert code == 0
    told = json.loads(out)
    figures = told.get("figures", told)
    assert figures["auroc"] == described["auroc"]
    assert figures["threshold"]["value"] == described["threshold"]["value"]


@pytest.mark.parametrize("command", ["detect", "predict"])
def test_verdicts_scores_and_maps(run: Any, detector: Path, digits: Path, tmp_path: Path, command: str) -> None:
    with np.load(digits) as arrays:
        for i in range(3):
            Image.fromarray(arrays["x_test"][i]).save(tmp_path / f"{i}.png")
    heat = ["--heat", "heat.png"] if command == "detect" else []
    code, out, _ = run(command, detector, "0.png", "1.png", "2.png", "--json", "--out", "v.csv", *heat)
    assert code == 0
    rows = json.loads(out)
    assert [row["input"] for row in rows] == ["0.png", "1.png", "2.png"]
    assert {row["verdict"] for row in rows} == {"abnormal"}  # these are zeros
    assert pl.read_csv("v.csv")["verdict"].to_list() == ["abnormal"] * 3
    if heat:
        with Image.open("heat.png") as grid:
            assert grid.mode == "RGB"
        assert run("detect", detector, "0.png", "--heat", "heat.npy")[0] == 0
        assert np.load("heat.npy").shape == (1, 1, 28, 28)


def test_what_cannot_be_detected(run: Any, detector: Path, coder: Path, digits: Path) -> None:
    for words, told in (
        (["detect", coder, digits], "cannot detect; autoencoder (--task detect) can"),
        (["reconstruct", detector, digits], "cannot reconstruct"),
        (["train", "autoencoder", digits, "--task", "detect", "--normal", "2"], "--normal 2: no such class"),
        (["train", "autoencoder", digits, "--task", "detect", "--false-alarms", "0.001"], "which takes 999"),
    ):
        code, _, err = run(*words)
        assert code in (2, 3)
        assert told in err
    assert not list(Path().glob("runs/*"))


def test_shares_of_columns_and_of_steps(run: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = [f"{n},{t},{random.normal():.3f},{random.normal():.3f}" for n in range(60) for t in range(4 + n % 3)]
    (tmp_path / "walks.csv").write_text("\n".join(["id,time,a,b", *lines]))
    words = ["--id", "id", "--time", "time", "--task", "detect", "--epochs", "2", "--validation", "0.5", "--out", "r"]
    assert run("train", "autoencoder", "walks.csv", "--kind", "series", *words, "--quiet")[0] == 0
    code, out, _ = run("detect", "r", "walks.csv", "--json", "--out", "v.csv")
    assert code == 0
    row = json.loads(out)[2]
    assert row["share(a)"] + row["share(b)"] == pytest.approx(1, abs=1e-5)
    assert len(row["steps"]) == 6
    assert sum(row["steps"]) == pytest.approx(1, abs=1e-5)
    assert len(pl.read_csv("v.csv")["steps"][2].split()) == 6
    assert "--heat is for pictures" in run("detect", "r", "walks.csv", "--heat", "h.png")[2]


def test_there_and_back(run: Any, coder: Path, digits: Path, tmp_path: Path) -> None:
    code, out, _ = run("compress", coder, digits, "--out", "d.ffz", "--bits", "6", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["bytes"] == (tmp_path / "d.ffz").stat().st_size
    assert told["original_bytes"] == 380 * 784
    assert told["principal"]["fitted_on"] == "train"
    assert run("decompress", coder, "d.ffz")[0] == 0
    with np.load(digits) as arrays:
        x = np.concatenate([arrays["x_train"], arrays["x_test"]]) / 255
    assert ((np.load("d.npy")[:, 0] - x) ** 2).mean() == pytest.approx(told["mse"], rel=1e-3)
    assert "no file of codes" in run("decompress", coder, digits)[2]
    assert ".ffz" in run("compress", coder, digits, "--out", "d.zip")[2]


def test_a_sweep_shows_error_against_size(run: Any, tmp_path: Path) -> None:
    words = ["latent-sweep", "cancer", "--sizes", "8,2", "--epochs", "15", "--out", "s", "--json", "--quiet"]
    code, out, _ = run(*words)
    assert code == 0
    rows = json.loads(out)["sizes"]
    assert [row["size"] for row in rows] == [2, 8]
    assert rows[0]["mse"] > rows[1]["mse"]
    assert rows[0]["principal"] > rows[1]["principal"]
    with Image.open(tmp_path / "s" / "sweep.png") as plot:
        assert plot.width > 600
    assert "exists already" in run(*words)[1]
    assert "whole numbers" in run("latent-sweep", "cancer", "--sizes", "2,x")[2]
