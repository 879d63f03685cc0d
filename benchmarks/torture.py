"""Trainings that are killed and go on, beside one that is not: the same bits or a failure.

    python benchmarks/torture.py --kills 1000                  # SIGKILL at random times, so many a family
    python benchmarks/torture.py --sites --families gan        # a death at every call that changes the disk
    python benchmarks/torture.py --faults --families gan       # ENOSPC, EIO, EACCES or a short write there

Every training is a process of its own that runs the command line on a few real digits. Compared
by SHA-256 are the last checkpoint (weights, buffers, optimizers, average, best weights), the
model's weights, and the history without its seconds. Prints one JSON document; exits with 1 if
any training came out otherwise or could not go on.
"""

import argparse
import errno
import gzip
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fourfold.api
from fourfold.cli import main
from fourfold.data.samples import sample_path

COMMON = ("--checkpoint-every", "2steps", "--epochs", "3", "--batch-size", "10", "--device", "cpu", "--quiet")
FAMILIES = {
    "cnn": ("--ema", "0.9", "--augment", "default"),
    "rnn": ("--optimizer", "sgd", "--schedule", "cosine", "--clip", "1"),
    "autoencoder": ("--optimizer", "adamw", "--weight-decay", "0.01", "--patience", "2"),
    "gan": ("--width", "2", "--latent-size", "4"),
}
CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "rmdir")  # of `os`
FAULTS = (errno.ENOSPC, errno.EIO, errno.EACCES, None)  # None: a write that takes a part
PATIENCE = 300.0  # seconds after which a training hangs


@dataclass
class Tally:
    """What came of the trainings of one family in one way of torture."""

    family: str
    way: str
    trainings: int = 0
    deaths: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Victim:
    """One training in a folder, killed and set going again by processes of its own."""

    family: str
    data: Path
    folder: Path

    def words(self) -> list[str]:
        """The command that begins it, or goes on with it."""
        if (self.folder / "settings.yaml").exists():
            return ["resume", str(self.folder), "--quiet"]
        shutil.rmtree(self.folder, ignore_errors=True)
        return ["train", self.family, str(self.data), "--out", str(self.folder), *COMMON, *FAMILIES[self.family]]

    def begin(self, before: Callable[[], None] = lambda: None) -> int:
        """Fork a process that runs the command after `before`. Returns: its number."""
        words = self.words()
        process = os.fork()
        if process == 0:
            silence = os.open(f"{self.folder}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            before()
            os._exit(main(words))
        return process

    def end(self, before: Callable[[], None] = lambda: None) -> int:
        """Run the command to its end. Returns: the exit code, that of a signal negative."""
        return wait(self.begin(before), PATIENCE)

    def outcome(self) -> dict[str, str]:
        """The digests of what it has left."""
        last = sorted((self.folder / "checkpoints").glob("step-*"))[-1]
        records = [json.loads(line) for line in (self.folder / "history.jsonl").read_text().splitlines()]
        plain = [{name: value for name, value in record.items() if name != "seconds"} for record in records]
        manifest = json.loads((last / "manifest.json").read_text())
        point = {name: value for name, value in manifest["point"].items() if name != "seconds"}
        return {
            **{name: digest((last / name).read_bytes()) for name in ("weights.safetensors", "state.safetensors")},
            "model": digest((self.folder / "model" / "weights.safetensors").read_bytes()),
            "history": digest(json.dumps(plain).encode()),
            "point": json.dumps(point),
        }


def wait(process: int, seconds: float) -> int:
    """The exit code of a process, that of a signal negative. One that takes longer than that is killed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def digest(content: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(content).hexdigest()


def at_random(dice: random.Random, seconds: float, victim: Victim) -> int:
    """Kill it once to three times, at random times. Returns: how often it was alive to be killed."""
    deaths = 0
    for _ in range(dice.randint(1, 3)):
        deaths += wait(victim.begin(), dice.uniform(0, seconds)) == -signal.SIGKILL
    return deaths


def hooked(act: Callable[[str, int, object], Any]) -> None:
    """Have `act` called, with its name, number and path, before every call that may change the disk; see `CALLS`."""
    seen = 0

    def hook(name: str, plain: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        answer = act(name, seen, arguments[0])
        if answer == "short" and len(arguments[1]) > 1:
            arguments = (arguments[0], arguments[1][: len(arguments[1]) // 2])
        return plain(*arguments, **named)

    for name in CALLS:
        setattr(os, name, partial(hook, name, getattr(os, name)))


def die(site: int, name: str, number: int, path: object) -> None:
    """Die at one site, as a process does that is killed there."""
    if number == site:
        os.kill(os.getpid(), signal.SIGKILL)


def fail(site: int, fault: int | None, name: str, number: int, path: object) -> str | None:
    """Fail at one site, as a disk does."""
    if number != site or (fault is None and name != "write"):
        return None
    if fault is None:
        return "short"
    raise OSError(fault, os.strerror(fault), path if isinstance(path, str | Path) else None)


def count_sites(victim: Victim, notes: Path) -> int:
    """How many calls that change the disk the whole training makes."""
    counted = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    write = os.write
    assert victim.end(lambda: hooked(lambda name, number, path: write(counted, b"."))) == 0
    os.close(counted)
    return notes.stat().st_size


def torture(family: str, way: str, rounds: Sequence[Callable[[Victim], int]], place: Path, data: Path) -> Tally:
    """Train without disturbance once, then as `rounds` disturb it, each time to the end; compare."""
    tally = Tally(family, way)
    started = time.monotonic()
    undisturbed = Victim(family, data, place / f"{family}-undisturbed")
    assert undisturbed.end() == 0, Path(f"{undisturbed.folder}.err").read_text()
    expected = undisturbed.outcome()
    for number, disturb in enumerate(rounds):
        victim = Victim(family, data, place / f"{family}-{way}-{number}")
        deaths = disturb(victim)
        tally.deaths += deaths
        tally.trainings += 1
        # A training that outlives a fault may lack the checkpoint that met it, and nothing else.
        compared = ("model", "history") if way == "faults" and not deaths else tuple(expected)
        if (code := victim.end()) != 0:
            told = Path(f"{victim.folder}.err").read_text().strip()
            tally.wrong.append(f"{victim.folder.name}: exit code {code}: {told}")
        elif odd := [name for name, found in victim.outcome().items() if name in compared and found != expected[name]]:
            tally.wrong.append(f"{victim.folder.name}: other {', '.join(odd)}")
        else:
            shutil.rmtree(victim.folder)
    tally.seconds = round(time.monotonic() - started, 1)
    return tally


def died(site: int, victim: Victim) -> int:
    """A training that dies at a site."""
    return victim.end(lambda: hooked(partial(die, site))) == -signal.SIGKILL


def failed(site: int, fault: int | None, victim: Victim) -> int:
    """A training that meets a fault at a site: it outlives that, or ends with 6 and the file's name."""
    code = victim.end(lambda: hooked(partial(fail, site, fault)))
    told = Path(f"{victim.folder}.err").read_text()
    assert code == 0 or (code == 6 and str(victim.folder) in told), f"{victim.folder.name}: exit code {code}: {told}"
    return int(code == 6)


def ways(family: str, asked: argparse.Namespace, place: Path, data: Path) -> Iterator[Tally]:
    """Torture one family in every way that is asked for."""
    dice = random.Random(f"{asked.seed} {family}")
    if asked.kills:
        started = time.monotonic()
        Victim(family, data, place / f"{family}-timed").end()
        seconds = 1.1 * (time.monotonic() - started)
        yield torture(family, "random", [partial(at_random, dice, seconds)] * asked.kills, place, data)
    if asked.sites or asked.faults:
        sites = count_sites(Victim(family, data, place / f"{family}-counted"), place / "sites")
        chosen = range(1 + dice.randrange(asked.stride), sites + 1, asked.stride)
        if asked.sites:
            yield torture(family, "sites", [partial(died, site) for site in chosen], place, data)
        if asked.faults:
            kinds = len(FAULTS) if asked.stride == 1 else 1
            faults = [partial(failed, site, fault) for site in chosen for fault in dice.sample(FAULTS, kinds)]
            yield torture(family, "faults", faults, place, data)


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
    for module in ("torch._dynamo", *(f"fourfold.families.{name}.family" for name in FAMILIES)):
        importlib.import_module(module)
    setattr(fourfold.api, "draw", lambda *_: None)  # noqa: B010  the plot, too, and it changes nothing
    torch.set_num_threads(1)  # a process that has run a parallel kernel must not fork


def run() -> int:
    """The command. Returns: its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--kills", type=int, default=0, help="trainings a family that are killed at random times")
    parser.add_argument("--sites", action="store_true", help="die at every call that changes the disk")
    parser.add_argument("--faults", action="store_true", help="fail at every such call")
    parser.add_argument("--stride", type=int, default=1, help="of the sites every so manieth only, with one fault each")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    prepare()
    os.environ["FOURFOLD_CACHE"] = "off"
    tallies = []
    with tempfile.TemporaryDirectory(prefix="fourfold-torture-") as folder:
        place = Path(folder)
        data = sample(place / "digits.npz")
        for family in asked.families:
            tallies += list(ways(family, asked, place, data))
    print(json.dumps([asdict(tally) for tally in tallies], indent=2))
    return 1 if any(tally.wrong for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(run())
