"""When checkpoints are written, and by whom: a thread of their own, so that training goes on."""

import re
import shlex
import time
from pathlib import Path
from threading import Thread

from ..errors import StorageError
from ..storage import sync
from .checkpoint import Tell, name_of, prune, write
from .state import Point, State
from .terms import Terms

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
SHARE = 50  # an epoch's end is a checkpoint if no more than this part of the time goes into that…
APART = 10.0  # …and so many seconds have passed: epochs of a tenth of a second are soon trained again
FAILURES = 2  # in a row that end a training


class Keeper:
    """Writes the checkpoints of one run, one at a time.

    every: as in the settings. tell: is told of what went wrong. last: the point that has a
    checkpoint already.

    An attempt that fails is told and given up; the next one starts from nothing. Two in a row
    end the training.
    """

    def __init__(self, run: Path, every: str, terms: Terms, tell: Tell, last: Point | None = None) -> None:
        self.run = run
        self.folder = run / "checkpoints"
        self.steps, self.seconds = interval(every)
        self.off = every == "off"
        self.terms = terms
        self.tell = tell
        self.last = name_of(last) if last else None
        self.tried = last.step if last else 0  # the step
        self.failures = 0
        self.cost = 0.0  # seconds that the last one took
        self._began = time.monotonic()
        self._thread: Thread | None = None
        self._error: Exception | None = None
        self._remains: OSError | None = None  # what kept old checkpoints from being removed

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after so many steps. Raises: StorageError; see `wait`."""
        if self.off or self._busy():
            return False
        if self.steps:
            return step // self.steps > self.tried // self.steps
        return time.monotonic() - self._began >= self.seconds

    def due_after_epoch(self) -> bool:
        """Whether one is to be written because an epoch has ended, which costs nearly nothing.

        Raises: StorageError; see `wait`.
        """
        past = time.monotonic() - self._began
        return not self.off and not self._busy() and past >= max(SHARE * self.cost, APART)

    def save(self, state: State) -> None:
        """Begin to write a state, unless it is kept already. Raises: StorageError; see `wait`."""
        self.wait()
        name = name_of(state.point)
        if self.off or name == self.last:
            return
        self.last, self.tried = name, state.point.step
        self._began = time.monotonic()
        self._thread = Thread(target=self._write, args=(state,), name="checkpoint", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no room for a thread: then training waits
            self._write(state)

    def wait(self) -> None:
        """Until what is being written is on the disk. Raises: StorageError if this was the second failure in a row."""
        if self._thread is None:
            return
        if self._thread.ident is not None:
            self._thread.join()
        self._thread = None
        error, self._error = self._error, None
        if self._remains:
            self.tell(f"{self._remains.filename or self.folder}: cannot be removed ({self._remains.strerror})")
            self._remains = None
        if error is None:
            self.failures = 0
            return
        self.failures += 1
        self.last = None
        if self.failures == FAILURES:
            raise StorageError(
                f"{error}; {FAILURES} checkpoints in a row could not be written, so training ends here: "
                f"{self.mend} goes on from the last one that could"
            ) from error
        self.tell(f"{error}; training goes on, what was saved before is as it was")

    @property
    def mend(self) -> str:
        """The command that goes on with the run."""
        return f"fourfold resume {shlex.quote(str(self.run))}"

    @property
    def saved(self) -> bool:
        """Whether the last attempt went well."""
        return self.last is not None

    def _busy(self) -> bool:
        """Whether one is being written; what came of the one before is looked at."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()
        return self._thread is not None

    def _write(self, state: State) -> None:
        started = time.monotonic()
        try:
            history = self.run / "history.jsonl"
            if history.exists():  # its lines are counted in the state, so they are on the disk before it
                sync(history)
            write(self.folder, state, self.terms)
            try:
                prune(self.folder, name_of(state.point))
            except OSError as error:
                self._remains = error
        except Exception as error:  # a fault of ours as well must not pass unseen in a thread
            self._error = error
        self.cost = time.monotonic() - started


def interval(every: str) -> tuple[int, float]:
    """What `checkpoint_every` asks for: so many steps, else so many seconds.

    >>> interval("500steps"), interval("5min")
    ((500, 0.0), (0, 300.0))
    """
    number, unit = re.fullmatch(r"(\d*)(\w+)", every).groups()  # type: ignore[union-attr]
    return (int(number), 0.0) if unit.startswith("step") else (0, float(number or 0) * UNITS.get(unit, 0.0))
