"""How long a step takes, part by part, and how long it would take otherwise: always by doing it."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engine.loop import Trainer
from ..runtime import out_of_memory
from .machine import wait
from .meter import Meter, observed, take_step

SECONDS, LEAST, ROUNDS = 1.0, 3, 2  # of the measurement by parts; steps of it; times that each other way has its turn
TURN = 0.2  # seconds of a turn
LONGEST = 2.0  # seconds of a step, beyond which no other way is tried
LARGEST = 4096  # examples of a batch
HOPELESS = 2  # times as slow as the first way: no second turn


@dataclass(frozen=True)
class Way:
    """One way to take steps: examples a step, threads, precision of the products."""

    batch_size: int
    threads: int
    precision: str = "float32"


@dataclass(frozen=True)
class Trial:
    """What a way took: milliseconds a step, microseconds an example."""

    way: Way
    milliseconds: float

    @property
    def microseconds(self) -> float:
        """An example."""
        return 1000 * self.milliseconds / self.way.batch_size


def by_part(trainer: Trainer, way: Way) -> dict[str, float]:
    """Milliseconds of each part of a step: the mean of the fastest quarter of the steps of about a second.

    What others do on the machine disturbs some steps; these are among the rest.
    """
    steps = _steps(trainer, way, SECONDS, LEAST)
    steps.sort(key=lambda parts: sum(parts.values()))
    kept = steps[: (len(steps) + 3) // 4]
    return {part: 1000 * sum(parts.get(part, 0.0) for parts in kept) / len(kept) for part in kept[0]}


def trials(trainer: Trainer, first: Way, cores: int, seconds: float) -> list[Trial]:
    """The first way and others, in turns; the fastest step of each. seconds: that a step takes the first way.

    A way for which there is too little memory is left out.
    """
    ways = [first, *(way for way in others(first, cores, len(trainer.train)) if _bearable(way, first, seconds))]
    best = {way: Trial(way, math.inf) for way in ways}
    for turn in range(ROUNDS):
        for way in ways:
            if turn == 0 or best[way].microseconds < HOPELESS * best[first].microseconds:
                best[way] = min(best[way], Trial(way, 1000 * _fastest(trainer, way)), key=lambda one: one.milliseconds)
    return [trial for trial in best.values() if trial.milliseconds < math.inf]


def _fastest(trainer: Trainer, way: Way) -> float:
    """The seconds of the fastest step of a turn; infinite if there is too little memory for one."""
    try:
        return min(sum(parts.values()) for parts in _steps(trainer, way, TURN, 1))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return math.inf


def others(first: Way, cores: int, examples: int) -> list[Way]:
    """Larger batches, other numbers of threads, and products in bfloat16: one change at a time."""
    sizes = [size for size in (2 * first.batch_size, 4 * first.batch_size) if size <= min(LARGEST, examples)]
    counts = sorted({1, cores} - {first.threads})
    return [
        *(Way(size, first.threads) for size in sizes),
        *(Way(first.batch_size, count) for count in counts),
        Way(first.batch_size, first.threads, "bfloat16"),
    ]


def _bearable(way: Way, first: Way, seconds: float) -> bool:
    return seconds * way.batch_size / first.batch_size < LONGEST


def _steps(trainer: Trainer, way: Way, seconds: float, least: int) -> list[dict[str, float]]:
    """The seconds of each part of some steps, the first one left out: it finds caches cold."""
    device, found = trainer.runtime.device, list[dict[str, float]]()

    def read() -> float:
        wait(device)
        return time.perf_counter()

    meter = Meter(read)
    with _threads(way.threads), _whole(trainer, way), observed(trainer, meter, getattr(torch, way.precision)):
        began = time.perf_counter()
        for batch in trainer.train.batches(_places(len(trainer.train), way.batch_size)):
            take_step(trainer, batch, meter)
            found.append(meter.parts)
            meter.parts = {}
            if len(found) > least and time.perf_counter() - began > seconds:
                break
    return found[1:]


def _places(count: int, size: int) -> Iterator[Tensor]:
    """Batches of examples drawn at random, without an end."""
    random = torch.Generator().manual_seed(0)
    while True:
        yield torch.randint(0, count, (size,), generator=random)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _whole(trainer: Trainer, way: Way) -> Iterator[None]:
    """While this lasts, batches of this size are computed at once."""
    stepper = trainer.course.stepper
    before, stepper.at_once = stepper.at_once, way.batch_size
    try:
        yield
    finally:
        stepper.at_once = before
