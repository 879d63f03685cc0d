"""A real disk that fills up: training ends with 6 and the mend, or goes on, and nothing that was saved is lost."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fourfold.cli import main
from fourfold.data.dataset import Request
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read
from fourfold.engine.checkpoint import newest
from fourfold.engine.loop import Trainer
from fourfold.run import Run

from .engine.training import left

# A warning that a checkpoint was not written is what is asked for here.
pytestmark = pytest.mark.filterwarnings("default:.*training goes on:UserWarning")

# A checkpoint of it is of 0.8 MB; three steps an epoch.
FLAGS = [
    "--preset",
    "classic",
    "--epochs",
    "3",
    "--batch-size",
    "20",
    "--checkpoint-every",
    "2steps",
    "--device",
    "cpu",
    "--quiet",
]
SIZE, SPARE = 8 << 20, 64 << 10  # bytes of the disk, and what is left for lines where checkpoints find no room


@pytest.fixture(scope="module")
def swift() -> Iterator[None]:
    """Threads that wait for each other take longer than these trainings; so do plots."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fourfold.api.draw", lambda *_: None)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """80 real digits."""
    train = read(sample_path("mnist"), Request()).splits["train"]
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, x=train.loaded[:80, 0].numpy())
    return str(path)


@pytest.fixture(scope="module")
def undisturbed(swift: None, data: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", "autoencoder", data, "--out", str(run), *FLAGS]) == 0
    return result(run)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in the memory, in a name space that is gone with the process that holds it."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here, so no file system of one's own can be had")
    (tmp_path / "disk").mkdir()
    mount = f"mount -t tmpfs -o size={SIZE} tmpfs '{tmp_path}/disk' && echo mounted && exec cat"
    with subprocess.Popen(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no file system of one's own can be had here: {holder.stderr.read().strip()}")
        yield Path(f"/proc/{holder.pid}/root{tmp_path}/disk")
        holder.stdin.close()


def result(run: Path) -> dict[str, Any]:
    """All that a training leaves: the last checkpoint, which is whole, the history, the model's weights."""
    return {**left(run), "model": (run / "model" / "weights.safetensors").read_bytes()}


def fill(disk: Path, spare: int = 0) -> None:
    """Leave so many bytes free."""
    room = os.statvfs(disk)
    with (disk / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - spare)


def at_step(patch: pytest.MonkeyPatch, acts: dict[int, Callable[[], object]]) -> None:
    """Have something happen after some steps, once what was begun to be written is written."""
    take_step = Trainer.take_step

    def step(trainer: Trainer, batch: Any) -> None:
        take_step(trainer, batch)
        if trainer.course.step in acts and trainer.keeper:
            trainer.keeper.wait()
            acts[trainer.course.step]()

    patch.setattr(Trainer, "take_step", step)


def test_the_disk_is_one(disk: Path) -> None:
    fill(disk)
    with pytest.raises(OSError, match="No space left"):
        (disk / "more").write_bytes(bytes(SPARE))


@pytest.mark.parametrize("looks", [True, False], ids=["before writing", "while writing"])
@pytest.mark.parametrize("spare", [SPARE, 0], ids=["room for lines", "room for nothing"])
def test_a_training_whose_disk_is_full_ends_with_6_and_goes_on_when_there_is_room(
    disk: Path,
    data: str,
    undisturbed: dict[str, Any],
    spare: int,
    looks: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = disk / "run"
    with monkeypatch.context() as patch:
        at_step(patch, {5: lambda: fill(disk, spare)})
        if not looks:  # as if another process had taken the room a moment later
            patch.setattr("fourfold.engine.checkpoint.shutil.disk_usage", lambda _: SimpleNamespace(free=SIZE))
        assert main(["train", "autoencoder", data, "--out", str(run), *FLAGS]) == 6
    told = capsys.readouterr().err
    assert str(run) in told
    assert "make room" in told
    assert not spare or f"fourfold resume {run} goes on" in told
    assert [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")] == []
    warnings: list[str] = []
    found = newest(run / "checkpoints", warnings.append)
    assert found is not None
    assert 0 < found.manifest.point.step < 5
    assert warnings == []
    (disk / "ballast").unlink()
    assert main(["resume", str(run), "--quiet"]) == 0
    assert result(run) == undisturbed


def test_a_training_goes_on_where_the_disk_is_full_for_a_while(
    disk: Path, data: str, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = disk / "run"
    at_step(monkeypatch, {3: lambda: fill(disk, SPARE), 5: (disk / "ballast").unlink})
    assert main(["train", "autoencoder", data, "--out", str(run), *FLAGS]) == 0
    assert "warning: " in (log := (run / "log.txt").read_text())
    assert "make room; training goes on, what was saved before is as it was" in log
    assert result(run) == undisturbed


def test_a_model_that_finds_no_room_costs_nothing_but_the_time_to_judge(
    disk: Path,
    data: str,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = disk / "run"
    keep_model = Run.keep_model

    def late(run: Run, *arguments: Any) -> None:
        fill(disk, SPARE)
        keep_model(run, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "keep_model", late)
        assert main(["train", "autoencoder", data, "--out", str(run), *FLAGS]) == 6
    assert f"{run}/model" in (told := capsys.readouterr().err)
    assert "make room" in told
    assert not (run / "model").exists()
    (disk / "ballast").unlink()
    assert main(["resume", str(run), "--quiet"]) == 0
    assert result(run) == undisturbed
