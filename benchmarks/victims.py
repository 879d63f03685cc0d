"""Trainings in processes of their own, to be killed and set going again: what `torture.py` disturbs.

Each is the command line on a few real digits. What it has left is compared by SHA-256.
"""

import gc
import gzip
import hashlib
import importlib
import json
import mmap
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fourfold.api
from fourfold.cli import main, train
from fourfold.data.samples import sample_path
from fourfold.engine import loop
from fourfold.engine.checkpoint import newest
from fourfold.engine.keeper import Keeper
from fourfold.run import Run

COMMON = ("--device", "cpu", "--quiet")
LONG = ("--checkpoint-every", "2steps", "--epochs", "3", "--batch-size", "10")
SHORT = ("--checkpoint-every", "1steps", "--epochs", "1", "--batch-size", "30")  # every kind of write, once or twice
# Between them: every optimizer, an average, a schedule, clipping, augmentation, best weights, two phases.
FAMILIES = {
    "cnn": ("--preset", "classic", "--ema", "0.9", "--augment", "default"),
    "rnn": ("--preset", "classic", "--optimizer", "sgd", "--schedule", "cosine", "--clip", "1"),
    "autoencoder": ("--preset", "classic", "--optimizer", "adamw", "--weight-decay", "0.01", "--patience", "2"),
    "gan": ("--preset", "dcgan", "--width", "2", "--latent-size", "4"),
}
PATIENCE = 300.0  # seconds after which a training hangs

# What a training is at, told by itself in memory that outlives it. A checkpoint is written beside the rest.
STARTING, TRAINING, EVALUATING, ENDING = range(4)
ACTS = ("starting", "training", "evaluating", "saving the model")


@dataclass
class Victim:
    """One training in a folder, killed and set going again by processes of its own."""

    family: str
    data: Path
    folder: Path
    length: tuple[str, ...] = LONG
    page: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 2))

    def words(self) -> list[str]:
        """The command that begins it, or goes on with it."""
        if (self.folder / "settings.yaml").exists():
            return ["resume", str(self.folder), "--quiet"]
        shutil.rmtree(self.folder, ignore_errors=True)
        options = (*COMMON, *self.length, *FAMILIES[self.family])
        return ["train", self.family, str(self.data), "--out", str(self.folder), *options]

    def begin(self, before: Callable[[], None] = lambda: None) -> int:
        """Fork a process that runs the command after `before`. Returns: its number."""
        words = self.words()
        self.page[:] = bytes(2)
        process = os.fork()
        if process == 0:
            silence = os.open(f"{self.folder}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            tell_acts(self.page)
            before()
            os._exit(main(words))
        return process

    def end(self, before: Callable[[], None] = lambda: None) -> int:
        """Run the command to its end. Returns: the exit code, that of a signal negative."""
        return wait(self.begin(before), PATIENCE)

    def remove(self) -> None:
        """Remove what it has left."""
        shutil.rmtree(self.folder)
        Path(f"{self.folder}.err").unlink()

    @property
    def act(self) -> str:
        """What it was at when it died; writing a checkpoint, if it was, whatever went on beside that."""
        return "writing" if self.page[1] else ACTS[self.page[0]]

    @property
    def told(self) -> str:
        """What the last process said."""
        return Path(f"{self.folder}.err").read_text(encoding="utf-8").strip()

    def outcome(self) -> dict[str, str]:
        """The digests of what it has left. Raises: AssertionError if any checkpoint was found damaged."""
        damaged: list[str] = []
        last = newest(self.folder / "checkpoints", damaged.append)
        damaged += [line for line in (self.folder / "log.txt").read_text().splitlines() if "damaged" in line]
        assert last is not None
        assert not damaged, damaged
        records = [json.loads(line) for line in (self.folder / "history.jsonl").read_text().splitlines()]
        plain = [{name: value for name, value in record.items() if name != "seconds"} for record in records]
        return {
            **{name: file.sha256 for name, file in last.manifest.files.items()},
            "model": hashlib.sha256((self.folder / "model" / "weights.safetensors").read_bytes()).hexdigest(),
            "history": json.dumps(plain),
            "point": last.manifest.point.model_dump_json(exclude={"seconds"}),
        }


def wait(process: int, seconds: float, ready: Callable[[], bool] = lambda: True) -> int:
    """The exit code of a process, that of a signal negative. After so many seconds it is killed once it is `ready`."""
    began = time.monotonic()
    late = 0.0
    while late < PATIENCE and not (late >= seconds and ready()):
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
        late = time.monotonic() - began
    os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def tell_acts(page: mmap.mmap) -> None:
    """Have this process note what it is at, in `page`: its main thread first, then whether a checkpoint is written."""

    def noted(owner: Any, name: str, place: int, act: int) -> None:
        plain = getattr(owner, name)

        def noting(*arguments: Any, **named: Any) -> Any:
            before, page[place] = page[place], act
            try:
                return plain(*arguments, **named)
            finally:
                page[place] = before

        setattr(owner, name, noting)

    noted(loop.Trainer, "fit", 0, TRAINING)
    noted(loop, "evaluate", 0, EVALUATING)
    noted(fourfold.api, "evaluate", 0, EVALUATING)
    noted(Run, "keep_model", 0, ENDING)
    noted(Keeper, "_write", 1, 1)


def sample(path: Path) -> Path:
    """Sixty real digits to train on, of which some choose the epoch, and twenty to judge by, as .npz."""
    folder = sample_path("mnist")
    x = np.frombuffer(gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    x = x.reshape(-1, 28, 28)
    np.savez(path, x_train=x[:60], y_train=y[:60], x_test=x[60:80], y_test=y[60:80])
    return path


def prepare() -> None:
    """Load here what every training would load for itself, which takes much longer than to train."""
    os.environ["FOURFOLD_CACHE"] = "off"
    for module in ("torch._dynamo", *(f"fourfold.families.{name}.family" for name in FAMILIES)):
        importlib.import_module(module)
    for family in FAMILIES:
        train.parse_family(train.Train, "train", [family, "data", *COMMON, *LONG])
    setattr(fourfold.api, "draw", lambda *_: None)  # noqa: B010  the plot, too, and it changes nothing
    torch.set_num_threads(1)  # a process that has run a parallel kernel must not fork
    gc.freeze()  # a collection in a child would copy every page that it looks at
