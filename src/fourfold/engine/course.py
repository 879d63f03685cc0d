"""How far a training has come: all of it that changes from step to step."""

import time

from torch import nn

from ..errors import ResumeError
from .best import Best
from .blame import first_bad
from .ema import Average
from .health import Health
from .history import Means, Values
from .state import Point, State, copied, fill, prefixed, tensors_of, under
from .step import NotFiniteError, Stepper
from .tensorfile import LARGEST_HEADER


class Course:
    """The networks with everything that learning has gathered beside them, and where in the epochs it stands.

    steps: how many an epoch has. What is not here is a function of the seed and the place, so
    `state` is all that another process needs to go on to the same bits.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        average: Average | None,
        stepper: Stepper,
        best: Best,
        health: Health,
        steps: int,
    ) -> None:
        self.networks = networks
        self.average = average
        self.stepper = stepper
        self.best = best
        self.health = health
        self.steps = steps
        self.closed = 0  # epochs that have ended
        self.position = 0  # steps of the open one that are done
        self.means = Means(watch=self.seen)  # over these
        self.before = 0.0  # seconds of earlier processes
        self.began = time.monotonic()

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self.closed * self.steps + self.position

    @property
    def judged(self) -> dict[str, nn.Module]:
        """The networks that are judged and kept: the average if there is one."""
        return self.average.networks if self.average else self.networks

    @property
    def seconds(self) -> float:
        """How long it has taken so far, that before a stop included."""
        return self.before + time.monotonic() - self.began

    @property
    def largest(self) -> int:
        """More bytes than a state of it can have: the networks, two moments, an average, the best, and headers."""
        return 8 * sum(tensor.nbytes for tensor in tensors_of(self.networks).values()) + 2 * LARGEST_HEADER

    def open_epoch(self, closed: int) -> None:
        """Stand at the beginning of the epoch that follows `closed` ones."""
        self.closed, self.position, self.means = closed, 0, Means(watch=self.seen)

    def seen(self, values: Values) -> None:
        """The figures of the last steps, once they are read. Raises: NotFiniteError, DivergedError."""
        step = self.step - max(map(len, values.values()))
        if (bad := first_bad(values)) is not None:
            raise NotFiniteError(step + bad)
        self.health.watch(step, values)

    def state(self) -> State:
        """A copy of it, which later steps leave alone."""
        self.means.read()
        point = Point(
            step=self.step,
            closed=self.closed,
            position=self.position,
            seconds=self.seconds,
            best_epoch=self.best.epoch,
            best_value=self.best.value,
            examples=self.means.count,
            sums=self.means.sums,
            at_once=self.stepper.at_once,
        )
        rest = prefixed("optimizer", self.stepper.tensors()) | prefixed("health", self.health.tensors())
        if self.average:
            rest |= prefixed("average", tensors_of(self.average.networks))
        best = prefixed("best", self.best.tensors())  # copies already, which nothing writes into
        return State(point, copied(tensors_of(self.networks)), copied(rest) | best)

    def restore(self, state: State) -> None:
        """Go on from a state. Raises: ResumeError if it is not one of this training."""
        point = state.point
        if point.position > self.steps or point.step != point.closed * self.steps + point.position:
            raise ResumeError(
                f"step {point.step} of the checkpoint is not step {point.position} after {point.closed} epochs "
                f"of {self.steps} steps"
            )
        self._take(state)
        self.closed, self.position = point.closed, point.position
        self.means = Means(dict(point.sums), point.examples, self.seen)

    def adopt(self, state: State) -> None:
        """Go on from a state of another set of examples: from the beginning of its open epoch.

        Raises: ResumeError if it is not of these networks.
        """
        self._take(state)
        self.open_epoch(state.point.closed)

    def _take(self, state: State) -> None:
        point = state.point
        fill(tensors_of(self.networks), state.weights)
        self.stepper.restore(under("optimizer", state.rest))
        self.stepper.at_once = point.at_once
        self.health.restore(under("health", state.rest))
        if self.average:
            fill(tensors_of(self.average.networks), under("average", state.rest))
        self.best.resume(point.best_epoch, point.best_value, under("best", state.rest), self.judged)
        self.before = point.seconds
