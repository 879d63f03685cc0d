"""When checkpoints are written, and what happens if they cannot be."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
import torch

from fourfold.data.dataset import Dataset
from fourfold.engine import checkpoint
from fourfold.engine.checkpoint import newest
from fourfold.engine.keeper import Keeper, interval
from fourfold.engine.state import Point, State
from fourfold.engine.terms import Terms
from fourfold.errors import DivergedError, StorageError

from .training import Patient, train, unheard

pytestmark = pytest.mark.usefixtures("swift")


POINT = Point(step=1, closed=0, position=1, seconds=0, best_epoch=0, best_value=None, examples=0, sums={}, at_once=1)
TERMS = Terms(family="cnn", settings={}, fingerprint="", machine={})


def state(step: int) -> State:
    point = POINT.model_copy(update={"step": step, "position": step})
    return State(point, {"a.b": torch.zeros(100)}, {})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = 0.0

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    return move


def test_by_steps(tmp_path: Path) -> None:
    keeper = Patient(tmp_path, "5steps", TERMS, unheard)
    due = []
    for step in range(1, 17):
        if keeper.due(step):
            due.append(step)
            keeper.save(state(step))
    assert due == [5, 10, 15]


def test_by_time_and_at_an_epochs_end_if_that_is_cheap(tmp_path: Path, clock: Callable[[float], None]) -> None:
    keeper = Patient(tmp_path, "5min", TERMS, unheard)
    assert not keeper.due(1)
    clock(301)
    assert keeper.due(2)
    keeper.save(state(2))
    assert not keeper.due(3)
    keeper.cost = 2.0
    clock(99)
    assert not keeper.due_after_epoch()
    clock(2)
    assert keeper.due_after_epoch()
    assert not keeper.due(4)
    keeper.cost = 0.0
    keeper.save(state(3))
    keeper.cost = 0.0
    assert not keeper.due_after_epoch()  # however cheap
    clock(11)
    assert keeper.due_after_epoch()


def test_off_is_never(tmp_path: Path, clock: Callable[[float], None]) -> None:
    keeper = Keeper(tmp_path, "off", TERMS, unheard)
    clock(1e9)
    assert not keeper.due(10**6)
    assert not keeper.due_after_epoch()
    keeper.save(state(1))
    keeper.wait()
    assert list(tmp_path.iterdir()) == []
    assert [interval(text) for text in ("1step", "30s", "2h")] == [(1, 0.0), (0, 30.0), (0, 7200.0)]


def test_one_failure_is_told_and_two_in_a_row_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    keeper = Patient(tmp_path, "1steps", TERMS, told.append)
    Patient.save(Patient(tmp_path, "1steps", TERMS, unheard), state(1))
    fsync = os.fsync

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    for step, disk in ((2, broken), (3, fsync), (4, broken)):
        monkeypatch.setattr(os, "fsync", disk)
        keeper.save(state(step))
        assert keeper.saved == (disk is fsync)
    assert len(told) == 2
    assert "step-00000002: cannot be written (Input/output error); training goes on" in told[0]
    with pytest.raises(StorageError, match=r"Input/output.*2 checkpoints in a row .* fourfold resume .* goes on"):
        keeper.save(state(5))
    found = newest(tmp_path / "checkpoints", unheard)
    assert found is not None
    assert found.manifest.point.step == 3


def test_a_disk_without_room_for_two_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=799))
    with pytest.raises(StorageError, match=r"step-00000001: 800 bytes .* 799 are free; make room"):
        checkpoint.write(tmp_path / "checkpoints", state(1), TERMS)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk makes it wait for nothing but the one before it, which is written out with the state of its time."""
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.05)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    keeper = Keeper(tmp_path, "1steps", TERMS, unheard)
    keeper.save(state(1))
    assert not keeper.due(2)  # it is being written
    keeper.wait()
    assert keeper.due(2)


def test_without_room_for_a_thread_training_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    keeper = Keeper(tmp_path, "1steps", TERMS, unheard)
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", start)
        keeper.save(state(1))
    found = newest(tmp_path / "checkpoints", unheard)
    assert found is not None
    assert found.manifest.point.step == 1
    keeper.wait()
    keeper.save(state(2))
    keeper.wait()
    assert keeper.saved


def test_what_has_diverged_is_not_kept(few: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        train(few, "cnn", tmp_path, optimizer="sgd", learning_rate=1e30, ema=0.0)
    found = newest(tmp_path / "checkpoints", unheard)
    assert found is None or all(torch.isfinite(torch.tensor(list(found.manifest.point.sums.values()))))
