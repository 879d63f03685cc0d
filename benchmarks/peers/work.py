"""What a worker is asked and what it answers: a JSON document each way, on standard input and output.

Needs NumPy and nothing else, so that it runs in every peer's environment.
"""

import ctypes
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from statistics import median
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

LEARNING_RATE = 1e-3
EPSILON = 1e-7  # of Adam: Keras' default, Fourfold's too
CALLS = (1, 256)  # examples that a network is asked about at once
LEAST_SECONDS, LEAST_CALLS = 0.5, 5  # over which a call is timed


class UnavailableError(Exception):
    """This peer does not do what is asked, which its message tells."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker is to do.

    task: "train" and tell each epoch's seconds; "predict", after as little training as goes; "process", a training
    of which only the whole process is timed, from outside. data: an .npz of x_train, y_train, x_test and y_test.
    precision: "fp32" or "bf16", the latter mixed as the library does it. tuned: with freed memory kept and, in
    torch, channels last; otherwise as the library comes.
    """

    network: str
    task: str
    data: str
    batch_size: int
    epochs: int
    seed: int
    precision: str = "fp32"
    tuned: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker found.

    loss: the mean of the last epoch's batches (a GAN's: the discriminator's). accuracy: on the test split, of
    classifiers. seconds: of each epoch. steps: in an epoch. calls: ms to answer so many examples at once.
    """

    versions: dict[str, str] = field(default_factory=dict)
    parameters: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    seconds: list[float] = field(default_factory=list)
    steps: int = 0
    calls: dict[str, float] = field(default_factory=dict)
    unavailable: str = ""


class Split(NamedTuple):
    """x: uint8 pictures (n, height, width[, 3]) or float32 series (n, time, features). y: int64 (n,)."""

    x: Array
    y: Array


class Clock:
    """The seconds of each epoch; `start` and `stop` take whatever a library's callback is given."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.began = 0.0

    def start(self, *_: Any) -> None:
        """An epoch begins."""
        self.began = time.perf_counter()

    def stop(self, *_: Any) -> None:
        """An epoch has ended."""
        self.seconds.append(time.perf_counter() - self.began)


def serve(run: Callable[[Job], Answer]) -> None:
    """Answer the job on standard input. What libraries print goes to standard error."""
    job = Job(**json.load(sys.stdin))
    output, sys.stdout = sys.stdout, sys.stderr
    if job.tuned:
        keep_freed_memory()
    try:
        answer = run(job)
    except UnavailableError as reason:
        answer = Answer(unavailable=str(reason))
    json.dump(asdict(answer), output)


def keep_freed_memory() -> None:
    """The allocator setting that Fourfold makes for itself: see `fourfold.runtime.keep_freed_memory`."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        raise UnavailableError("no mallopt: this C library is not glibc")
    m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, -1)


def read(job: Job) -> tuple[Split, Split]:
    """The training and the test split."""
    with np.load(job.data) as arrays:
        train, test = (Split(arrays[f"x_{name}"], arrays[f"y_{name}"]) for name in ("train", "test"))
    return train, test


def floats(x: Array) -> Array:
    """Pictures in [0, 1], series as they are, float32."""
    return x.astype("float32") / np.float32(255) if x.dtype == np.uint8 else x


def accuracy(scores: Array, y: Array) -> float:
    """The share of examples whose greatest score, of (n, classes), is that of their class."""
    return float((scores.argmax(1) == y).mean())


def calls(answer: Callable[[Array], object], x: Array) -> dict[str, float]:
    """ms of `answer(some of x)`, as it lies in the file, for each size in `CALLS`: the median of many calls."""
    return {str(size): _milliseconds(answer, np.resize(x, (size, *x.shape[1:]))) for size in CALLS}


def _milliseconds(answer: Callable[[Array], object], x: Array) -> float:
    answer(x)
    answer(x)  # compiled and warm
    times: list[float] = []
    while len(times) < LEAST_CALLS or sum(times) < LEAST_SECONDS:
        started = time.perf_counter()
        answer(x)
        times.append(time.perf_counter() - started)
    return 1000 * median(times)


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python and of what computes here."""
    return {"python": ".".join(map(str, sys.version_info[:3])), **{name: version(name) for name in packages}}
