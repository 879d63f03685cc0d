"""Checkpoints: a training that was stopped anywhere goes on to the same bits, and damage is seen."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fourfold.data.dataset import Dataset
from fourfold.engine import checkpoint, history, loop, tensorfile
from fourfold.engine.best import Best
from fourfold.engine.checkpoint import Checkpoint, newest, verified
from fourfold.engine.course import Course
from fourfold.engine.history import History
from fourfold.engine.keeper import Keeper, interval
from fourfold.engine.loop import Trainer
from fourfold.engine.state import Point, State
from fourfold.engine.terms import Terms, terms
from fourfold.errors import DivergedError, ResumeError, Stopped, StorageError
from fourfold.families import create, settings_of
from fourfold.runtime import start

# Between them: every optimizer, an average, a schedule, clipping, augmentation, best weights, two phases.
FAMILIES: dict[str, dict[str, Any]] = {
    "cnn": {"ema": 0.9, "augment": "default"},
    "rnn": {"optimizer": "sgd", "schedule": "cosine", "warmup": 0.2, "clip": 1.0},
    "autoencoder": {"optimizer": "adamw", "weight_decay": 0.01, "patience": 2},
    "gan": {"width": 2, "latent_size": 4},
}
STEPS, EPOCHS = 4, 2
LAST = ("step-00000008", "step-00000008-epoch-2")


@pytest.fixture(scope="module", autouse=True)
def swift() -> Iterator[None]:
    """Threads that wait for each other, and for a disk, take longer than these trainings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    """32 digits to train on, 20 to choose by."""
    assert digits.validation is not None
    parts = digits.train.select(torch.arange(32)), digits.validation.select(torch.arange(20))
    return replace(digits, train=parts[0], validation=parts[1], fingerprint="few")


class Patient(Keeper):
    """Waits for each checkpoint, so that a test knows which there are."""

    def save(self, state: State) -> None:
        super().save(state)
        self.wait()


def unheard(message: str) -> None:
    raise AssertionError(message)


def begun(
    few: Dataset, family: str, folder: Path, every: str = "1steps", **settings: Any
) -> tuple[Trainer, History, Keeper]:
    """A training in a folder, at its beginning or where the newest checkpoint is."""
    asked = {**FAMILIES[family], "epochs": EPOCHS, "batch_size": 9, **settings}
    chosen = settings_of(family).resolve(**asked)
    trainer = Trainer(create(few.schema, chosen), few, start("cpu"))
    found = newest(folder / "checkpoints", unheard)
    if found:
        trainer.course.restore(found.load(trainer.course.largest))
    course = trainer.course
    records = History.resume(folder / "history.jsonl", course.closed, course.step)
    last = found.manifest.point if found else None
    return trainer, records, Patient(folder, every, terms(chosen, few, trainer.runtime), unheard, last)


def train(few: Dataset, family: str, folder: Path, **settings: Any) -> None:
    folder.mkdir(exist_ok=True)
    trainer, records, keeper = begun(few, family, folder, **settings)
    trainer.fit(records, (), keeper)


def left(folder: Path) -> dict[str, Any]:
    """All that a training has left, by digests; without the seconds that it took."""
    last = newest(folder / "checkpoints", unheard)
    assert last is not None
    lines = (folder / "history.jsonl").read_text().splitlines()
    return {
        **{name: file.sha256 for name, file in last.manifest.files.items()},
        "point": last.manifest.point.model_dump(exclude={"seconds"}),
        "history": [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines],
    }


class Killed(BaseException):
    """What no code of ours catches."""


@pytest.fixture(scope="module")
def undisturbed(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    for family in FAMILIES:
        train(few, family, folder / family)
    return {family: left(folder / family) for family in FAMILIES}


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


# What is in the files


@pytest.fixture
def kept(few: Dataset, tmp_path: Path) -> Path:
    """The checkpoints of a training that has ended."""
    train(few, "gan", tmp_path)
    return tmp_path / "checkpoints"


def test_the_files_are_what_the_library_reads(kept: Path) -> None:
    for name in ("weights.safetensors", "state.safetensors"):
        path = kept / LAST[1] / name
        ours, theirs = tensorfile.read(path), load_file(path)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_tensors_of_every_type_and_layout_come_back(tmp_path: Path) -> None:
    tensors = {str(dtype): torch.ones(3, dtype=dtype) for dtype in tensorfile.TYPES}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.empty(0, 3), "turned": torch.arange(6).reshape(2, 3).t()}
    tensors["last"] = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    (tmp_path / "file").write_bytes(b"".join(tensorfile.pieces(tensors)))
    for found in (tensorfile.read(tmp_path / "file"), load_file(tmp_path / "file")):
        assert found.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)


def test_more_tensors_than_can_be_read_are_not_written() -> None:
    many = {str(place): torch.zeros(1) for place in range(tensorfile.MOST_TENSORS + 1)}
    with pytest.raises(ValueError, match="10001 tensors"):
        next(tensorfile.pieces(many))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a header of 0 bytes in a file of 0"),
        (b"\xff" * 8, "a header of 18446744073709551615 bytes"),
        ((2 << 20).to_bytes(8, "little") + b" " * (3 << 20), "a header of 2097152 bytes"),
        ((2).to_bytes(8, "little") + b"17", "not a safetensors file"),
        ((3).to_bytes(8, "little") + b'{"a', "Unterminated"),
    ],
)
def test_a_bad_header_is_refused_before_the_library_sees_it(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        tensorfile.read(tmp_path / "file")


def test_every_byte_of_a_manifest_counts(kept: Path) -> None:
    path = kept / LAST[1] / "manifest.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(ValueError):  # noqa: PT011  whichever: it is seen
            verified(path.parent)


def test_every_bit_of_the_tensors_counts(kept: Path) -> None:
    for name in ("weights.safetensors", "state.safetensors"):
        path = kept / LAST[1] / name
        whole = path.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 50)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
            with pytest.raises(ValueError, match=f"{name} has another SHA-256"):
                verified(path.parent)
        path.write_bytes(whole[:-1])
        with pytest.raises(ValueError, match=f"{name} is not of the size"):
            verified(path.parent)
        path.write_bytes(whole)
    verified(kept / LAST[1])


@pytest.mark.parametrize("lost", ["weights.safetensors", "state.safetensors", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_passed_over(kept: Path, lost: str) -> None:
    (kept / LAST[1] / lost).unlink()
    told: list[str] = []
    found = newest(kept, told.append)
    assert found is not None
    assert found.folder.name == LAST[0]
    assert len(told) == 1
    assert f"{kept / LAST[1]}: damaged" in told[0]
    shutil.rmtree(kept / LAST[0] / lost, ignore_errors=True)
    (kept / LAST[0] / lost).write_text("{}")
    with pytest.raises(ResumeError, match=r"checkpoints: no checkpoint is whole; put one back"):
        newest(kept, told.append)


def test_a_damaged_future_is_written_over_and_removed(few: Dataset, tmp_path: Path) -> None:
    train(few, "autoencoder", tmp_path, epochs=1)
    shutil.copytree(tmp_path / "checkpoints" / "step-00000004-epoch-1", tmp_path / "checkpoints" / "step-00000005")
    (tmp_path / "checkpoints" / "step-00000005" / "manifest.json").write_text("{}")
    shutil.copytree(tmp_path / "checkpoints" / "step-00000005", tmp_path / "checkpoints" / "step-00009999")
    told: list[str] = []
    found = newest(tmp_path / "checkpoints", told.append)
    assert found is not None
    assert len(told) == 2
    trainer = begun_from(few, found, tmp_path)
    trainer.fit(None, (), Patient(tmp_path, "1steps", found.manifest.terms, unheard, found.manifest.point))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [*LAST]


def begun_from(few: Dataset, found: Checkpoint, folder: Path) -> Trainer:
    chosen = settings_of("autoencoder").resolve(**FAMILIES["autoencoder"], epochs=EPOCHS, batch_size=9)
    trainer = Trainer(create(few.schema, chosen), few, start("cpu"))
    trainer.course.restore(found.load(trainer.course.largest))
    return trainer


def test_a_checkpoint_of_another_network_is_refused(few: Dataset, kept: Path) -> None:
    found = newest(kept, unheard)
    assert found is not None
    other = settings_of("gan").resolve(width=3, latent_size=4, batch_size=9)
    course = Trainer(create(few.schema, other), few, start("cpu")).course
    with pytest.raises(ResumeError, match=r"of another network: .* there and .* here"):
        course.restore(found.load(course.largest))
    with pytest.raises(ResumeError, match="bytes where this training needs at most 5"):
        found.load(5)
    many = settings_of("gan").resolve(width=2, latent_size=4, batch_size=2)
    course = Trainer(create(few.schema, many), few, start("cpu")).course
    with pytest.raises(ResumeError, match="step 8 of the checkpoint is not step 0 after 2 epochs of 16 steps"):
        course.restore(found.load(course.largest))


def test_a_history_that_is_shorter_than_the_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    written = History(path)
    for epoch in (1, 2, 3):
        written.append({"epoch": epoch, "step": epoch * 10})
    written.note("the data changed", 30)
    with path.open("a") as file:
        file.write('{"epoch": 4, "st')  # torn
    found = History.resume(path, 2, 25)
    assert [record["epoch"] for record in found] == [1, 2]
    assert found.notes == []
    assert path.read_text().count("\n") == 2
    with pytest.raises(ResumeError, match=r"history.jsonl: holds 2 epochs where the checkpoint has 3"):
        History.resume(path, 3, 30)
    path.write_text("[]\n")
    with pytest.raises(ResumeError, match=r"cannot be read \(line 1 is no record\)"):
        History.resume(path, 0, 0)


# When, and what if it fails

POINT = Point(step=1, closed=0, position=1, seconds=0, best_epoch=0, best_value=None, examples=0, sums={})
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


def test_what_has_diverged_is_not_kept(few: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        train(few, "cnn", tmp_path, optimizer="sgd", learning_rate=1e30, ema=0.0)
    found = newest(tmp_path / "checkpoints", unheard)
    assert found is None or all(torch.isfinite(torch.tensor(list(found.manifest.point.sums.values()))))


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

    def struck(*arguments: Any) -> Any:
        if next(calls) == 2:
            os.kill(os.getpid(), number)
            assert where != "evaluation", "evaluation would have been waited for"
        return plain(*arguments)

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
