"""Checkpoints as files: what is in them comes back, and damage is seen."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fourfold.data.dataset import Dataset
from fourfold.engine import tensorfile
from fourfold.engine.checkpoint import Checkpoint, newest, verified
from fourfold.engine.history import History
from fourfold.engine.loop import Trainer
from fourfold.errors import ResumeError
from fourfold.families import create, settings_of
from fourfold.runtime import start

from .training import EPOCHS, FAMILIES, LAST, Patient, train, unheard

pytestmark = pytest.mark.usefixtures("swift")


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
    other = settings_of("gan").resolve("dcgan", width=3, latent_size=4, batch_size=9)
    course = Trainer(create(few.schema, other), few, start("cpu")).course
    with pytest.raises(ResumeError, match=r"of another network: .* there and .* here"):
        course.restore(found.load(course.largest))
    with pytest.raises(ResumeError, match="bytes where this training needs at most 5"):
        found.load(5)
    many = settings_of("gan").resolve("dcgan", width=2, latent_size=4, batch_size=2)
    course = Trainer(create(few.schema, many), few, start("cpu")).course
    with pytest.raises(ResumeError, match="step 8 of the checkpoint is not step 0 after 2 epochs of 16 steps"):
        course.restore(found.load(course.largest))


@pytest.mark.parametrize(("records", "step", "kept"), [(1, 10, 3), (1, 19, 4), (1, 20, 5), (2, 20, 7), (2, 21, 8)])
def test_a_history_is_cut_back_to_what_had_happened(tmp_path: Path, records: int, step: int, kept: int) -> None:
    """An epoch's last step has two checkpoints, before it is judged and after: what its judgement showed is between."""
    path = tmp_path / "history.jsonl"
    written = History(path)
    written.note("gradients explode", 3)
    written.note("samples are alike", 10, epoch=1)
    written.append({"epoch": 1, "step": 10})
    written.note("a score is one", 18)
    written.note("gradients explode", 19)
    written.note("samples are alike", 20, epoch=2)
    written.append({"epoch": 2, "step": 20})
    written.note("the data changed", 20)
    lines = path.read_text().splitlines()
    History.resume(path, records, step)
    assert path.read_text().splitlines() == lines[:kept]


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
