"""`fourfold resume`: the same bits wherever a run was stopped and moved to, and refusals that name what differs."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fourfold as ff
from fourfold.api import resume
from fourfold.cli import main
from fourfold.data.dataset import Request
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read
from fourfold.engine.loop import Trainer
from fourfold.errors import ResumeError, Stopped

from .engine.training import FAMILIES, left

FEW: dict[str, Any] = {
    "preset": "classic",
    "epochs": 3,
    "batch_size": 20,
    "checkpoint_every": "2steps",
    "quiet": True,
}  # 3 steps an epoch


@pytest.fixture(scope="module", autouse=True)
def swift() -> Iterator[None]:
    """Threads that wait for each other take longer than these trainings; so do plots."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fourfold.api.draw", lambda *_: None)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """80 real digits."""
    train = read(sample_path("mnist"), Request()).splits["train"]
    assert train.y is not None
    return train.loaded[:80, 0].numpy(), train.y[:80].numpy()


@pytest.fixture
def digits(arrays: Any, tmp_path: Path) -> Path:
    path = tmp_path / "digits.npz"
    np.savez(path, x=arrays[0], y=arrays[1])
    return path


def stopped(
    monkeypatch: pytest.MonkeyPatch, step: int, data: Any, out: Path, family: str = "cnn", **settings: Any
) -> Path:
    """A run that a signal has ended after `step` steps."""
    take_step = Trainer.take_step

    def struck(trainer: Trainer, batch: Any) -> None:
        take_step(trainer, batch)
        if trainer.course.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "take_step", struck)
        with pytest.raises(Stopped, match="terminated after step"):
            ff.train(family, data, out=out, **{**FEW, **settings})
    return out


def result(run: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """The model's weights, and the history without its seconds."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    plain = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    return (run / "model" / "weights.safetensors").read_bytes(), plain


def reset(run: Path, name: str, value: str) -> None:
    """Change a line of a run's settings.yaml."""
    path = run / "settings.yaml"
    lines = [f"{name}: {value}" if line.startswith(f"{name}:") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))


# The same bits


def test_a_run_that_was_moved_goes_on_to_the_same_bits(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ff.train("cnn", digits, out=tmp_path / "whole", **FEW)
    run = stopped(monkeypatch, 5, digits, tmp_path / "run")
    shutil.copytree(run, tmp_path / "copy")
    run.rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    digits.rename(tmp_path / "elsewhere" / "digits.npz")
    with pytest.raises(ff.DataError, match=r"digits.npz: no such file"):
        resume(tmp_path / "moved", quiet=True)
    for name in ("moved", "copy"):
        model = resume(tmp_path / name, tmp_path / "elsewhere" / "digits.npz", quiet=True)
        assert model.run == tmp_path / name
        assert result(tmp_path / name) == result(tmp_path / "whole")
    assert model.origin.epochs == 3
    assert model.origin.data == str(tmp_path / "elsewhere" / "digits.npz")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_stopped_at_any_step_of_an_epoch_goes_on_to_the_same_bits(
    digits: Path, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the midst of the second epoch and at its boundary."""
    settings = {**FEW, **FAMILIES[family]}
    ff.train(family, digits, out=tmp_path / "whole", **settings)
    for step in (4, 5, 6):
        run = stopped(monkeypatch, step, digits, tmp_path / str(step), family, **settings)
        resume(run, quiet=True)
        assert (result(run), left(run)) == (result(tmp_path / "whole"), left(tmp_path / "whole"))


def test_a_run_and_its_model_are_as_open_as_the_umask_says(digits: Path, tmp_path: Path) -> None:
    """Also a model that has replaced another, and what was moved."""
    before = os.umask(0o027)
    try:
        ff.train("autoencoder", digits, out=tmp_path / "run", **{**FEW, "epochs": 1})
        (tmp_path / "run").rename(tmp_path / "moved")
        resume(tmp_path / "moved", epochs=2, quiet=True)
    finally:
        os.umask(before)
    for path in (tmp_path / "moved").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path


def test_a_run_without_a_checkpoint_begins_anew(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ff.train("cnn", digits, out=tmp_path / "whole", **FEW)
    run = stopped(monkeypatch, 5, digits, tmp_path / "run", checkpoint_every="off")
    assert not (run / "checkpoints").exists()
    resume(run, quiet=True)
    assert result(run) == result(tmp_path / "whole")


def test_a_run_that_has_ended_is_loaded(digits: Path, tmp_path: Path) -> None:
    model = ff.train("cnn", digits, out=tmp_path / "run", **FEW)
    before = result(tmp_path / "run")
    assert resume(tmp_path / "run", quiet=True).metrics == model.metrics
    assert result(tmp_path / "run") == before


def test_more_epochs_are_what_they_would_have_been_at_once(digits: Path, tmp_path: Path) -> None:
    ff.train("cnn", digits, out=tmp_path / "whole", **FEW)
    ff.train("cnn", digits, out=tmp_path / "run", **{**FEW, "epochs": 1})
    model = resume(tmp_path / "run", epochs=3, quiet=True)
    assert result(tmp_path / "run") == result(tmp_path / "whole")
    assert (model.origin.epochs, model.settings.epochs) == (3, 3)
    assert sorted(path.name for path in (tmp_path / "run").glob("*model*")) == ["model"]


def test_arrays_are_given_again(arrays: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ff.train("autoencoder", arrays, out=tmp_path / "whole", **FEW)
    run = stopped(monkeypatch, 4, arrays, tmp_path / "run", "autoencoder")
    with pytest.raises(ff.UsageError, match=r"trained on arrays; give them again"):
        resume(run, quiet=True)
    resume(run, arrays, quiet=True)
    assert result(run) == result(tmp_path / "whole")


def test_threads_are_those_of_the_checkpoint(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stopped(monkeypatch, 5, digits, tmp_path / "run")
    torch.set_num_threads(2)
    resume(run, quiet=True)  # a warning would be an error here
    assert torch.get_num_threads() == 1


# What differs


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", "30", "batch_size is 30 and was 20: that would be another training"),
        ("learning_rate", "0.5", "learning_rate is 0.5 and was 0.001"),
        ("seed", "1", "seed is 1 and was 0"),
        ("family", "rnn", "settings.yaml: unknown setting"),
        ("epochs", "2", "epochs is 2 and was 3: they can only be extended"),
        ("epochs", "none", "settings.yaml: epochs = 'none'"),
        ("family", "none", "settings.yaml: no family 'none'"),
        ("data", "[", "settings.yaml: cannot be read"),
    ],
)
def test_other_settings_are_refused_by_name(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    run = stopped(monkeypatch, 4, digits, tmp_path / "run")
    reset(run, name, value)
    with pytest.raises(ResumeError, match=message.replace("[", r"\[")):
        resume(run, quiet=True)


@pytest.mark.parametrize(("setting", "value"), [("schedule", "linear"), ("schedule", "cosine"), ("warmup", 0.5)])
def test_more_epochs_are_refused_where_the_learning_rate_depends_on_them(
    digits: Path, tmp_path: Path, setting: str, value: Any
) -> None:
    ff.train("cnn", digits, out=tmp_path / "run", **{**FEW, setting: value})
    before = result(tmp_path / "run")
    with pytest.raises(ResumeError, match=rf"{setting} = '?{value}'? .*; train anew with --epochs 5"):
        resume(tmp_path / "run", epochs=5, quiet=True)
    assert result(tmp_path / "run") == before


def test_what_changes_no_result_may_change(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ff.train("cnn", digits, out=tmp_path / "whole", **FEW)
    run = stopped(monkeypatch, 4, digits, tmp_path / "run")
    reset(run, "checkpoint_every", "1h")
    reset(run, "allow", "duplicates")
    resume(run, quiet=True)
    assert result(run) == result(tmp_path / "whole")


def test_another_machine_is_told(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stopped(monkeypatch, 4, digits, tmp_path / "run")
    monkeypatch.setattr("fourfold.engine.terms._processor", lambda: "abacus")
    with pytest.warns(UserWarning, match="processor was .* and is abacus; the result may differ in its last bits"):
        resume(run, quiet=True)
    assert "is abacus" in (run / "log.txt").read_text()


def test_data_that_changed_are_refused_or_recorded(
    arrays: Any, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stopped(monkeypatch, 4, digits, tmp_path / "run")
    x, y = arrays
    np.savez(digits, x=x[:70], y=y[:70])
    with pytest.raises(ResumeError, match=r"digits.npz: changed since the training began; .* --allow-data-change"):
        resume(run, quiet=True)
    model = resume(run, allow_data_change=True, quiet=True)
    assert f"the data changed after step 3: SHA-256 {model.origin.fingerprint}" in (run / "model/README.md").read_text()
    lines = result(run)[1]
    assert [line.get("epoch", line.get("step")) for line in lines] == [1, 3, 2, 3]
    assert "the data changed" in lines[1]["note"]
    assert json.loads((run / "splits.json").read_text())["fingerprint"] == model.origin.fingerprint


def test_data_with_other_classes_are_refused_whatever_is_allowed(
    arrays: Any, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stopped(monkeypatch, 4, digits, tmp_path / "run")
    np.savez(digits, x=arrays[0], y=arrays[1] % 5)
    with pytest.raises(ResumeError, match="another classes than the run began with"):
        resume(run, allow_data_change=True, quiet=True)


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ff.train("cnn", digits, out=tmp_path / "whole", **FEW)
    run = stopped(monkeypatch, 5, digits, tmp_path / "run")
    last = run / "checkpoints" / "step-00000005" / "state.safetensors"
    content = bytearray(last.read_bytes())
    content[-1] ^= 1
    last.write_bytes(content)
    with pytest.warns(UserWarning, match=r"step-00000005: damaged \(state.safetensors has another SHA-256"):
        resume(run, quiet=True)
    assert result(run) == result(tmp_path / "whole")


# The command line


def test_the_command_line_stops_and_goes_on(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take_step = Trainer.take_step
    words = ["train", "cnn", str(digits), "--preset", "classic", "--epochs", "3", "--batch-size", "20", "--out"]
    assert main([*words, str(tmp_path / "whole"), "--quiet"]) == 0
    run = tmp_path / "run"
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with monkeypatch.context() as patch:

            def struck(trainer: Trainer, batch: Any, number: int = number) -> None:
                take_step(trainer, batch)
                os.kill(os.getpid(), number)

            patch.setattr(Trainer, "take_step", struck)
            shown = ["resume", str(run)] if run.exists() else [*words, str(run)]
            assert main(shown) == code
            assert f"saved; fourfold resume {run} goes on" in capsys.readouterr().err
    assert main(["resume", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 3
    assert result(run) == result(tmp_path / "whole")
    assert main(["resume", str(run), "--epochs", "2"]) == 7
    assert "epochs is 2 and was 3" in capsys.readouterr().err
    assert main(["resume", str(tmp_path)]) == 2
    assert "no run, it has no settings.yaml" in capsys.readouterr().err


def test_an_interval_that_is_none_is_refused() -> None:
    for every in ("5", "0s", "5 min", "steps", "off5"):
        with pytest.raises(ff.UsageError, match="it is written 500steps, 30s, 5min, 2h or off"):
            ff.train("cnn", "mnist", checkpoint_every=every)
