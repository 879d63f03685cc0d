"""What checkpoints cost: the same training with and without them, in turn.

    python benchmarks/overhead.py                              # about 4 minutes a round
    python benchmarks/overhead.py --rounds 1 --seconds 10      # a trial

Two measures of the classic CNN on real digits. Whole trainings of one length, alternating with
`--checkpoint-every` and with "off": their seconds, plainly, and what noise there is. And one
training in which a second with a checkpoint alternates with one without: the steps that are lost
in it (the copy of the state, and the slowness while a thread writes) are the cost of one
checkpoint, which is then divided by the interval. The second sees what the first cannot.

Prints JSON, then Markdown.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from fourfold import data, families
from fourfold.data.dataset import Dataset
from fourfold.engine.history import History
from fourfold.engine.keeper import Keeper, interval
from fourfold.engine.loop import Trainer
from fourfold.engine.terms import terms, versions
from fourfold.runtime import keep_freed_memory, start
from fourfold.settings import Settings

MOST = 0.02  # of the time, that checkpoints may take


class Timed(Keeper):
    """A keeper that counts what it has begun to write, or in `burst` seconds on and off writes at once."""

    written = 0
    burst = 0.0
    moments: list[float]

    def due(self, step: int) -> bool:
        """As asked for; with a burst, once at the beginning of every second one."""
        now = time.perf_counter()
        self.moments.append(now)
        if not self.burst:
            return super().due(step)
        number = int((now - self.moments[0]) / self.burst)
        return number % 2 == 1 and number > 2 * self.written and not self._busy()

    def due_after_epoch(self) -> bool:
        """As asked for; not with a burst."""
        return not self.burst and super().due_after_epoch()

    def save(self, state: Any) -> None:
        """Count it."""
        self.written += not self.off
        super().save(state)


def train(dataset: Dataset, settings: Settings, every: str, steps: int, burst: float = 0.0) -> Timed:
    """So many steps of one training, in a folder of its own. Returns: its keeper, with the time of each step."""
    runtime = start("cpu", settings.threads)
    with tempfile.TemporaryDirectory(prefix="fourfold-overhead-") as folder:
        keeper = Timed(Path(folder), every, terms(settings, dataset, runtime), print)
        keeper.burst, keeper.moments = burst, []
        trainer = Trainer(families.create(dataset.schema, settings), dataset, runtime)
        epochs = max(1, round(steps / trainer.steps))
        trainer.settings = settings.model_copy(update={"epochs": epochs})
        trainer.validation = None  # that is no part of the question
        trainer.fit(History(Path(folder) / "history.jsonl"), (), keeper)
        return keeper


def whole(dataset: Dataset, settings: Settings, every: str, rounds: int, steps: int) -> dict[str, Any]:
    """Whole trainings in turn: their seconds, and the median of what a round's pair tells."""
    seconds: dict[str, list[float]] = {every: [], "off": []}
    written = 0
    for number in range(rounds):
        for one in (every, "off") if number % 2 == 0 else ("off", every):
            started = time.perf_counter()
            written += train(dataset, settings, one, steps).written
            seconds[one].append(round(time.perf_counter() - started, 3))
    shares = [with_ / without - 1 for with_, without in zip(*seconds.values(), strict=True)]
    return {"seconds": seconds, "checkpoints": written, "shares": shares, "share": median(shares)}


def sharp(dataset: Dataset, settings: Settings, every: str, steps: int, burst: float) -> dict[str, Any]:
    """The seconds of training that one checkpoint costs, and their share of the interval."""
    keeper = train(dataset, settings, every, steps, burst)
    moments = np.array(keeper.moments)
    edges = np.arange(moments[0], moments[-1], burst)
    counts = np.diff(np.interp(edges, moments, np.arange(len(moments))))  # of steps, in fractions
    # Neighbours in time, so that what else the machine does is in both.
    costs = [round(float(1 - counts[i + 1] / counts[i]) * burst, 4) for i in range(0, len(counts) - 1, 2)]
    cost = median(costs)
    return {"costs": costs, "cost": cost, "every": interval(every)[1], "share": cost / interval(every)[1]}


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    plain, fine = found["whole"], found["sharp"]
    every, (ours, off) = found["every"], plain["seconds"].values()
    return "\n".join(
        [
            "| measure | figure |",
            "| --- | --- |",
            f"| training with checkpoints every {every}, s | {median(ours):.2f} ({min(ours):.2f} to {max(ours):.2f}) |",
            f"| the same without, s | {median(off):.2f} ({min(off):.2f} to {max(off):.2f}) |",
            f"| difference, median of {len(ours)} rounds | {plain['share']:+.2%} |",
            f"| one checkpoint, median of {len(fine['costs'])} | {fine['cost'] * 1000:.0f} ms |",
            f"| that of {every} | {fine['share']:.2%} (at most {MOST:.0%} is asked for) |",
        ]
    )


def run() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="mnist", help="pictures to train on")
    parser.add_argument("--every", default="30s", help="between two checkpoints")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=100.0, help="of each training, about")
    parser.add_argument("--burst", type=float, default=1.0, help="seconds with one checkpoint, and seconds without")
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    keep_freed_memory()
    settings = families.settings_of("cnn").resolve("classic", threads=asked.threads, device="cpu")
    dataset = data.open(asked.data, settings)
    known = train(dataset, settings, "off", 1).moments  # an epoch, that tells how fast it goes
    steps = int(asked.seconds * len(known) / (known[-1] - known[0]))
    machine = {
        **versions(),
        "processor": platform.processor(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }
    found = {
        "every": asked.every,
        "steps": steps,
        "machine": machine,
        "whole": whole(dataset, settings, asked.every, asked.rounds, steps),
        "sharp": sharp(dataset, settings, asked.every, steps, asked.burst),
    }
    print(json.dumps(found, indent=2))
    print(table(found))


if __name__ == "__main__":
    run()
