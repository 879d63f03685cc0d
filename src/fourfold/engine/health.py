"""Whether a training is still worth going on with: gradients that explode, a side that has won, samples alike.

Numbers that are not finite are the step's to find; here is what finite ones tell.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..errors import DivergedError, ResumeError
from ..families.contract import Phase
from .state import Tensors

EXPLODED = 100.0  # times the usual norm of a gradient
ROW = 3  # exploded gradients in a row that are told; as many again end the training
BLOCK = 50  # steps that tell the usual norm of those that follow
SATURATED = 0.99  # a score that leaves the other side nothing to learn from
LONG = 200  # steps
ALIKE = 0.2  # of the diversity of the data; docs/log.md tells what collapses come to


class Tell(Protocol):
    """Is told what happened at a step, or was seen after it at the end of an epoch."""

    def __call__(self, text: str, step: int, epoch: int | None = None) -> None:
        """Take it down."""
        ...


class Health:
    """Looks at the figures of every step, in their order, whenever they are read.

    What it finds is told once. `tensors` and `restore` carry over what it has seen, so that a
    training which went on finds the same.
    """

    def __init__(self, phases: Sequence[Phase], clipped: bool, tell: Tell) -> None:
        named = len(phases) > 1
        self.tracks = {f"{phase.name}_gradient_norm" if named else "gradient_norm": Track() for phase in phases}
        self.scores = {score: Run() for phase in phases for score in phase.saturates}
        self.clipped = clipped
        self.tell = tell
        self.diverse = self.collapsed = False

    def watch(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """Take in the figures of steps from `step` on, counted from 0.

        Raises: DivergedError if gradients have exploded for good.
        """
        for name, track in self.tracks.items():
            for place, norm in enumerate(values[name]):
                self._judge_norm(name, track, step + place, norm)
        for name, run in self.scores.items():
            for place, score in enumerate(values.get(name, ())):
                if run.count(score > SATURATED) == LONG:
                    told = f"{name} was above {SATURATED:g} for {LONG} steps"
                    self.tell(f"{told}: its network has won, and the others learn no more", step + place)

    def samples(self, epoch: int, step: int, diversity: float, late: bool) -> None:
        """Take in how different samples are from each other at the end of an epoch, as a share of the data's.

        In the beginning all are alike: only those that were not, or that still are when it is `late`, have collapsed.
        """
        self.diverse = self.diverse or diversity >= ALIKE
        before, self.collapsed = self.collapsed, diversity < ALIKE and (self.diverse or late)
        if self.collapsed and not before:
            told = f"the samples are nearly alike: their diversity is {diversity:.0%} of the data's (collapse)"
            self.tell(f"{told}; the last epoch before it is kept", step, epoch)

    def _judge_norm(self, name: str, track: "Track", step: int, norm: float) -> None:
        row = track.take(norm)
        words = f"{name.replace('_', ' ')} {norm:.3g} is more than {EXPLODED:g} times the usual one, {track.usual:.3g}"
        if row == ROW:
            self.tell(f"{words}, for {ROW} steps: gradients explode", step)
        elif row == 2 * ROW and not self.clipped:
            raise DivergedError(f"step {step}: {words}, for {row} steps: gradients have exploded; try --clip 1")

    def tensors(self) -> Tensors:
        """What it has seen, as tensors."""
        seen = {name: track.state() for name, track in self.tracks.items()}
        seen |= {name: [float(run.length)] for name, run in self.scores.items()}
        seen["samples"] = [float(self.diverse), float(self.collapsed)]
        return {name: torch.tensor(values, dtype=torch.float64) for name, values in seen.items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` told. Raises: ResumeError if it was of other phases."""
        if odd := sorted({*self.tracks, *self.scores, "samples"} ^ saved.keys()):
            raise ResumeError(f"the checkpoint is of another network: {odd[0]} was watched on one side only")
        for name, track in self.tracks.items():
            track.resume(saved[name].tolist())
        for name, run in self.scores.items():
            run.length = int(saved[name])
        self.diverse, self.collapsed = map(bool, saved["samples"].tolist())


class Run:
    """For how many steps in a row something has been so."""

    length = 0

    def count(self, so: bool) -> int:
        """Take in a step. Returns: the length of the run that it is in."""
        self.length = self.length + 1 if so else 0
        return self.length


class Track:
    """The gradients of one phase: what is usual, and for how many steps in a row they are far beyond it.

    Usual is the median of the block of steps before, or the largest of the first block where that is more: when
    all is learnt, or the other side of a GAN leads at first, gradients vanish, and an ordinary one is no explosion.
    """

    def __init__(self) -> None:
        self.first = self.usual = 0.0  # 0: not known yet
        self.row = Run()
        self.block: list[float] = []

    def take(self, norm: float) -> int:
        """Take in a step's norm. Returns: for how many steps in a row it has been exploded."""
        exploded = self.usual > 0 and norm > EXPLODED * self.usual
        if not exploded:
            self.block.append(norm)
        if len(self.block) == BLOCK:
            self.first = self.first or max(self.block)
            self.usual = max(self.first, statistics.median(self.block))
            self.block.clear()
        return self.row.count(exploded)

    def state(self) -> list[float]:
        """What `resume` needs."""
        return [self.first, self.usual, float(self.row.length), *self.block]

    def resume(self, state: Sequence[float]) -> None:
        """Go on from a `state`."""
        self.first, self.usual, length, *self.block = state
        self.row.length = int(length)


def diversity(samples: Tensor, examples: Tensor) -> float:
    """How different samples are from each other, as a share of how different as many examples are.

    Both (n, …), n > 1; the mean Euclidean distance of each to the nearest other one: copies of a
    few pictures are far apart on average, but not from their nearest. 1 if the examples are equal.
    """
    spread, usual = (nearest(some.flatten(1).float()) for some in (samples, examples))
    return spread / usual if usual > 0 else 1.0


def nearest(x: Tensor) -> float:
    """The mean distance of each row of x, (n, d), to the nearest other one."""
    return float(torch.cdist(x, x).fill_diagonal_(torch.inf).amin(dim=1).mean())
