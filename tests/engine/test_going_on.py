"""A training that was stopped anywhere, by a signal or a death, goes on to the same bits."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fourfold.data.dataset import Dataset
from fourfold.engine import history, loop
from fourfold.engine.best import Best
from fourfold.engine.checkpoint import newest
from fourfold.engine.course import Course
from fourfold.engine.loop import Trainer
from fourfold.errors import Stopped

from .training import EPOCHS, FAMILIES, LAST, STEPS, Killed, left, train, unheard

pytestmark = pytest.mark.usefixtures("swift")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_killed_at_any_step_goes_on_to_the_same_bits(
    few: Dataset, tmp_path: Path, undisturbed: dict[str, Any], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the midst of every step of all epochs, with checkpoints after every step or every third."""
    assert undisturbed[family]["point"]["step"] == STEPS * EPOCHS
    take_step = Trainer.take_step
    for dies in range(STEPS * EPOCHS):
        folder = tmp_path / str(dies)

        def dying(trainer: Trainer, batch: Any, dies: int = dies) -> None:
            take_step(trainer, batch)
            if trainer.course.step == dies + 1:
                raise Killed

        monkeypatch.setattr(Trainer, "take_step", dying)
        with pytest.raises(Killed):
            train(few, family, folder, every=("1steps", "3steps")[dies % 2])
        monkeypatch.setattr(Trainer, "take_step", take_step)
        train(few, family, folder, every="3steps")
        assert left(folder) == undisturbed[family], f"killed in step {dies}"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("where", ["evaluate", "offer", "append", "open_epoch"])
def test_a_training_killed_at_an_epochs_end_goes_on_to_the_same_bits(
    few: Dataset, tmp_path: Path, undisturbed: dict[str, Any], family: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside evaluation, before and after the record is written."""
    owner, name = {
        "evaluate": (loop, "evaluate"),
        "offer": (Best, "offer"),
        "append": (history, "append_line"),
        "open_epoch": (Course, "open_epoch"),
    }[where]
    plain = getattr(owner, name)
    for epoch in range(1, EPOCHS + 1):
        calls = iter(range(1, 100))

        def dying(*arguments: Any, calls: Iterator[int] = calls, epoch: int = epoch, **named: Any) -> Any:
            if next(calls) == epoch:
                raise Killed
            return plain(*arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, dying)
            with pytest.raises(Killed):
                train(few, family, tmp_path / str(epoch))
        train(few, family, tmp_path / str(epoch))
        assert left(tmp_path / str(epoch)) == undisturbed[family]


def test_checkpoints_change_nothing(few: Dataset, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    train(few, "gan", tmp_path / "rare", every="2h")
    assert left(tmp_path / "rare") == undisturbed["gan"]
    train(few, "gan", tmp_path / "none", every="off")
    assert not (tmp_path / "none" / "checkpoints").exists()


def test_a_longer_training_is_what_it_would_have_been_at_once(
    few: Dataset, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    train(few, "autoencoder", tmp_path / "a", epochs=1)
    train(few, "autoencoder", tmp_path / "a")
    assert left(tmp_path / "a") == undisturbed["autoencoder"]


def test_two_checkpoints_are_kept_and_the_names_tell_where(few: Dataset, tmp_path: Path) -> None:
    train(few, "cnn", tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [*LAST]


# Signals


@pytest.mark.parametrize(
    ("number", "word", "code"), [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)]
)
@pytest.mark.parametrize("where", ["step", "evaluation", "epoch"])
def test_a_signal_finishes_the_step_and_saves(
    few: Dataset,
    tmp_path: Path,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    word: str,
    code: int,
    where: str,
) -> None:
    owner, name = {
        "step": (Trainer, "take_step"),
        "evaluation": (loop, "evaluate"),
        "epoch": (Best, "offer"),
    }[where]
    plain = getattr(owner, name)
    before = signal.getsignal(number)
    calls = iter(range(1, 100))

    def struck(*arguments: Any, **named: Any) -> Any:
        if next(calls) == 2:
            os.kill(os.getpid(), number)
            assert where != "evaluation", "evaluation would have been waited for"
        return plain(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, struck)
        with pytest.raises(Stopped) as stopped:
            train(few, "cnn", tmp_path, every="2h")
    step = {"step": 2, "evaluation": 8, "epoch": 8}[where]
    assert str(stopped.value) == f"{word} after step {step} of 8, saved; fourfold resume {tmp_path} goes on"
    assert stopped.value.exit_code == code
    assert signal.getsignal(number) == before
    train(few, "cnn", tmp_path)
    assert left(tmp_path) == undisturbed["cnn"]


def test_a_second_signal_stops_at_once(few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_step = Trainer.take_step

    def struck(trainer: Trainer, batch: Any) -> None:
        take_step(trainer, batch)
        if trainer.course.step == 6:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
            raise AssertionError("not stopped")

    monkeypatch.setattr(Trainer, "take_step", struck)
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(few, "cnn", tmp_path)
    assert not isinstance(stopped.value, Stopped)
    found = newest(tmp_path / "checkpoints", unheard)
    assert found is not None
    assert found.manifest.point.step == 5
