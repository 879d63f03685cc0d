"""A batch that does not fit into memory is computed in parts, with the same result, or refused with what fits."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fourfold.data.dataset import Batch, Dataset
from fourfold.engine import memory
from fourfold.engine.loop import Trainer, largest
from fourfold.engine.step import Stepper
from fourfold.errors import OutOfMemoryError
from fourfold.families import create, settings_of
from fourfold.families.contract import Losses, Networks, Phase
from fourfold.runtime import generator, start

from .training import FAMILIES, begun, left, train

pytestmark = pytest.mark.usefixtures("swift")

# A process that may take only so much address space beyond what it has when it begins to train.
SCRIPT = """
import resource, sys, torch
import matplotlib.backends.backend_agg, matplotlib.figure  # what is loaded later needs room as well
torch.set_num_threads(1)
from fourfold.cli import main
from fourfold.engine import memory
plain = memory.fit_batch
def limited(*arguments):
    if sys.argv[2] == "tried":
        memory.free_memory = lambda _: None
    size = memory._field(memory.Path("/proc/self/status"), "VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (size + (int(sys.argv[1]) << 20), resource.RLIM_INFINITY))
    plain(*arguments)
import fourfold.engine.loop as loop
loop.fit_batch = limited
sys.exit(main(sys.argv[3:]))
"""


def trainer(few: Dataset, family: str, **settings: Any) -> Trainer:
    chosen = settings_of(family).resolve(**{**FAMILIES[family], "batch_size": 9, **settings})
    return Trainer(create(few.schema, chosen), few, start("cpu"))


def gradients(one: Trainer, batch: Batch) -> tuple[list[Tensor], float]:
    stepper = one.course.stepper
    phase, trained = stepper.phases[0]
    losses = stepper.differentiate(phase, trained, batch, 0, generator(0))
    found = [parameter.grad for parameter in trained]
    stepper.optimizers[phase.name].clear()
    return [gradient for gradient in found if gradient is not None], float(losses.total)


def limited(tmp_path: Path, megabytes: int, way: str, *words: str) -> tuple[int, str]:
    """The command line in a process that may take so much. Returns: exit code, what it told."""
    command = [sys.executable, "-c", SCRIPT, str(megabytes), way, *words, "--out", str(tmp_path / "run")]
    # glibc reserves 64 MiB of addresses for every thread that allocates, however little it takes.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return ran.returncode, ran.stderr


@pytest.mark.parametrize("family", ["cnn", "rnn", "autoencoder"])
@pytest.mark.parametrize("size", [1, 4, 5])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(few: Dataset, family: str, size: int) -> None:
    one = trainer(few, family)
    batch = one.train.gather(torch.arange(9))
    expected, loss = gradients(one, batch)
    one.course.stepper.at_once = size
    found, same = gradients(one, batch)
    assert same == pytest.approx(loss, rel=1e-6)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_a_training_in_parts_ends_where_the_whole_one_does(few: Dataset, tmp_path: Path) -> None:
    ends = []
    for size in (9, 4):
        one = trainer(few, "autoencoder", epochs=2)
        one.course.stepper.at_once = size
        ends.append(one.fit().networks["encoder"].state_dict())
        assert one.course.stepper.at_once == size
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-3, atol=1e-5)


def test_a_batch_beyond_the_free_memory_is_halved_until_it_fits(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    one = trainer(few, "cnn")
    stepper, batch = one.course.stepper, one.train.gather(torch.arange(9))
    needed = memory.held(stepper, batch.first(2)) / 2 * memory.BEYOND
    monkeypatch.setattr(memory, "free_memory", lambda _: int(needed * 3.5 / memory.ROOM))
    notes: list[str] = []
    memory.fit_batch(stepper, batch, notes.append)
    assert stepper.at_once == 3
    assert notes == ["a batch of 9 does not fit into memory: it is computed 3 at a time, with the same result"]


def test_a_try_that_fails_halves_as_well_and_none_that_fits_is_refused(
    few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(few, "cnn")
    stepper, batch = one.course.stepper, one.train.gather(torch.arange(9))
    monkeypatch.setattr(memory, "free_memory", lambda _: None)
    plain = stepper.loss
    room = 2

    def loss(phase: Any, part: Batch, step: int, random: torch.Generator) -> Any:
        if len(part) > room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return plain(phase, part, step, random)

    monkeypatch.setattr(stepper, "loss", loss)
    memory.fit_batch(stepper, batch, lambda _: None)
    assert stepper.at_once == 1  # of the two that fitted: other work needs room as well
    room = 0
    monkeypatch.setattr(memory, "held", lambda *_: 0)
    with pytest.raises(OutOfMemoryError, match=r"one example of shape \(1, 28, 28\) does not fit"):
        memory.fit_batch(stepper, batch, lambda _: None)


@pytest.mark.parametrize("family", ["cnn", "gan"])
def test_memory_that_runs_out_later_halves_what_is_computed_at_once(
    few: Dataset, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a training, in whichever phase, after a part of the gradients has been summed."""
    one = trainer(few, family, epochs=2)
    stepper = one.course.stepper
    stepper.at_once = 5
    plain, failures = stepper.loss, []

    def loss(phase: Phase, part: Batch, step: int, random: torch.Generator) -> Losses:
        last = phase is stepper.phases[-1][0]
        if step == 2 and last and len(part) == 4:
            failures.append(len(part))
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return plain(phase, part, step, random)

    monkeypatch.setattr(stepper, "loss", loss)
    ended = one.fit()
    assert failures == [4]
    assert stepper.at_once == 3
    notes = [note for note in one.history.notes if "a batch of 9 does not fit into memory" in note["note"]]
    assert [note["step"] for note in notes] == [2]
    if family == "cnn":  # a gan's norms see its parts
        whole = trainer(few, family, epochs=2).fit()
        for name, value in whole.networks["classifier"].state_dict().items():
            torch.testing.assert_close(ended.networks["classifier"].state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_looking_for_room_changes_nothing(few: Dataset) -> None:
    one = trainer(few, "gan")
    stepper = one.course.stepper
    before = {name: value.clone() for net in one.course.networks.values() for name, value in net.state_dict().items()}
    memory.held(stepper, one.train.gather(torch.arange(4)))
    assert memory.fits(stepper, one.train.gather(torch.arange(9)))
    after = {name: value for net in one.course.networks.values() for name, value in net.state_dict().items()}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for _, trained in stepper.phases for parameter in trained)


def test_norms_are_warned_of(few: Dataset) -> None:
    one = trainer(few, "cnn")
    assert "norms" not in memory.smaller(one.course.stepper, 9)
    one.course.stepper.networks["classifier"].add_module("norm", nn.BatchNorm2d(3))
    one.course.stepper.at_once = 4
    assert "its norms, which see 4 examples; --batch-size 4 is what fits" in memory.smaller(one.course.stepper, 9)


def test_what_is_kept_for_the_backward_pass_is_counted() -> None:
    network = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2))

    def loss(networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
        return Losses(networks["one"](batch.x).square().mean(), {})

    stepper = Stepper({"one": network}, [Phase("learn", ("one",), loss)], settings_of("cnn").resolve("classic"), 1)
    batch = Batch(torch.rand(10, 8), None, None, torch.arange(10))
    assert memory.held(stepper, batch) == 10 * (8 + 4 + 2) * 4  # the input, tanh's output, what is squared


def test_the_longest_series_are_tried(few: Dataset) -> None:
    ragged = few.train.select(torch.arange(6))
    object.__setattr__(ragged, "lengths", torch.tensor([3, 9, 1, 7, 8, 2]))
    assert sorted(largest(ragged, 3).tolist()) == [1, 3, 4]
    assert largest(few.train, 4).tolist() == [0, 1, 2, 3]


def test_a_training_in_parts_goes_on_in_the_same_parts(few: Dataset, tmp_path: Path) -> None:
    """Sums in another order have other last bits, so the size of the parts belongs to the state."""

    def start_in_parts(folder: Path, epochs: int) -> None:
        folder.mkdir(exist_ok=True)
        one, history, keeper = begun(few, "cnn", folder, every="1steps", epochs=epochs, ema=0.0)
        if one.course.step == 0:
            one.course.stepper.at_once = 2
        one.fit(history, (), keeper)

    start_in_parts(tmp_path / "whole", 2)
    start_in_parts(tmp_path / "parts", 1)
    start_in_parts(tmp_path / "parts", 2)
    assert left(tmp_path / "parts")["weights.safetensors"] == left(tmp_path / "whole")["weights.safetensors"]
    train(few, "cnn", tmp_path / "plain", ema=0.0)
    assert left(tmp_path / "plain")["weights.safetensors"] != left(tmp_path / "whole")["weights.safetensors"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process' memory as Linux does")
@pytest.mark.parametrize("way", ["estimated", "tried"])
def test_a_process_with_little_memory_trains_in_parts(tmp_path: Path, way: str) -> None:
    words = ("train", "cnn", "mnist", "--preset", "classic", "--epochs", "1", "--batch-size", "4000", "--device", "cpu")
    code, said = limited(tmp_path, 600, way, *words)
    assert code == 0, said
    assert "a batch of 4000 does not fit into memory: it is computed " in said
    assert "does not fit into memory" in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process' memory as Linux does")
def test_a_process_with_next_to_no_memory_ends_with_5(tmp_path: Path) -> None:
    words = ("train", "cnn", "mnist", "--epochs", "1", "--device", "cpu")
    code, said = limited(tmp_path, 0, "estimated", *words)
    assert code == 5, said
    assert "out of memory" in said
    assert "Traceback" not in said
