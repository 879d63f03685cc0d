"""Unlabelled pictures on the command line: trained with, stopped and gone on, told about, refused."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fourfold as ff
from fourfold.api import resume
from fourfold.cli import main
from fourfold.data.dataset import Dataset
from fourfold.engine.loop import Trainer
from fourfold.errors import ResumeError, Stopped
from fourfold.runtime import one_thread

STEPS = 6
SMALL: dict[str, Any] = {
    "preset": "small",
    "width": 4,
    "epochs": 2,
    "batch_size": 12,
    "unlabelled_ratio": 2,
    "confidence": 0.12,
    "checkpoint_every": "1steps",
    "threads": 1,
    "quiet": True,
}  # 3 steps an epoch


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("fourfold.api.draw", lambda *_: None)
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def places(digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 50 labelled digits and 64 others, of which four are in the labelled ones' test split."""
    assert digits.test is not None
    assert digits.train.y is not None
    assert digits.test.y is not None
    x, y = digits.train.loaded[:, 0].numpy(), digits.train.y.numpy()
    held = digits.test.loaded[:20, 0].numpy()
    np.savez(tmp_path / "labelled.npz", x_train=x[:36], y_train=y[:36], x_test=held, y_test=digits.test.y[:20].numpy())
    np.savez(tmp_path / "more.npz", x=np.concatenate([x[100:160], held[:4]]), y=np.arange(64) % 10)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(out: Path, **settings: Any) -> ff.Model:
    return ff.train(
        "cnn", "labelled.npz", out=out, **{**SMALL, "validation": 0.0, "unlabelled": "more.npz", **settings}
    )


def result(run: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """The model's weights, and the history without its seconds."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    plain = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    return (run / "model" / "weights.safetensors").read_bytes(), plain


def stopped(out: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that a signal has ended after `step` steps."""
    take_step = Trainer.take_step

    def struck(trainer: Trainer, batch: Any) -> None:
        take_step(trainer, batch)
        if trainer.course.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "take_step", struck)
        with pytest.raises(Stopped):
            train(out)
    return out


def test_a_run_stopped_anywhere_goes_on_to_the_same_bits_from_elsewhere(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of the unlabelled examples is kept whole."""
    train(places / "whole")
    assert "confident" in result(places / "whole")[1][0]
    (places / "elsewhere").mkdir()
    for step in range(1, STEPS):
        run = stopped(places / str(step), step, monkeypatch)
        with monkeypatch.context() as patch:
            patch.chdir(places / "elsewhere")
            resume(run, quiet=True)
        assert result(run) == result(places / "whole"), f"stopped after step {step}"


def test_shuffled_labels_of_the_unlabelled_change_no_bit(places: Path) -> None:
    train(places / "first")
    held = np.load("more.npz")
    np.savez("more.npz", x=held["x"], y=held["y"][::-1])
    train(places / "second")
    assert result(places / "first") == result(places / "second")


def test_other_unlabelled_examples_are_refused_and_moved_ones_are_not(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(places / "whole")
    run = stopped(places / "run", 4, monkeypatch)
    more = np.load("more.npz")["x"]
    Path("more.npz").rename("moved.npz")
    with pytest.raises(ff.DataError, match=r"--unlabelled: .*more\.npz: no such file"):
        resume(run, quiet=True)
    np.savez("more.npz", x=more[1:])
    with pytest.raises(ResumeError, match=r"labelled\.npz or what is named unlabelled: changed since the training"):
        resume(run, quiet=True)
    lines = (run / "settings.yaml").read_text().replace("more.npz", "moved.npz")
    (run / "settings.yaml").write_text(lines)
    resume(run, quiet=True)
    assert result(run) == result(places / "whole")


def test_the_run_tells_how_many_there_are_and_who_is_left_out(places: Path) -> None:
    model = train(places / "run")
    assert model.origin.examples == {"train": 36, "test": 20, "unlabelled": 60}
    assert "60 unlabelled" in (places / "run" / "model" / "README.md").read_text()
    findings = json.loads((places / "run" / "audit.json").read_text())
    [told] = [finding for finding in findings if finding["name"] == "unlabelled"]
    assert (told["count"], told["severity"]) == (4, "note")
    assert "4 unlabelled examples that are left out" in (places / "run" / "log.txt").read_text()
    model.evaluate()  # by the labelled ones' test split, for which the others are not needed
    Path("more.npz").unlink()
    assert ff.load(places / "run").evaluate()["accuracy"] == model.metrics["test"]["accuracy"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--unlabelled", "nowhere"], 3, "--unlabelled: nowhere: no such file or folder"),
        (["--unlabelled", "more.npz", "--task", "tag"], 2, "leave it out, or --task"),
        (["--unlabelled", "more.npz", "--confidence", "95"], 2, "confidence = 95"),
        (["--unlabelled", "more.npz", "--unlabelled-ratio", "0"], 2, "unlabelled_ratio = 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    places: Path, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "cnn", "labelled.npz", "--preset", "small", "--out", "run", *words]) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (places / "run").exists()


def test_the_command_line_trains_with_them(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--preset", "small", "--width", "4", "--epochs", "1", "--threads", "1", "--out", "run"]
    assert main(["train", "cnn", "labelled.npz", "--unlabelled", "more.npz", *words, "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "run"
    settings = (places / "run" / "settings.yaml").read_text()
    assert f"unlabelled: {places / 'more.npz'}" in settings
    assert "label_smoothing: 0.0" in settings
