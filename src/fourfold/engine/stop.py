"""How a training hears that it is to stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int
SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class AskedError(Exception):
    """Raised in the midst of what may be left undone."""


class Stop:
    """Whether SIGINT or SIGTERM has asked the training to stop.

    The first one is only noted, so that the step is finished and its state saved; the second
    does what it would have done without us.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Handler] = {}
        self._undone = False  # whether nothing is lost by stopping in the midst of it

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear signals within. They can be heard in the main thread only; elsewhere this does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # One that is ignored, as in a shell's background, stays ignored.
        heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._hear) or signal.SIG_DFL for number in heard}
        try:
            yield
        finally:
            self._as_before()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raises: AskedError, within, as soon as a signal comes: for work that changes nothing and may take long."""
        self._undone = True
        try:
            if self.signal:
                raise AskedError
            yield
        finally:
            self._undone = False

    @property
    def word(self) -> str:
        """What happened, for a message."""
        assert self.signal is not None
        return SIGNALS[self.signal]

    @property
    def exit_code(self) -> int:
        """What a shell says of a process that the signal has ended."""
        assert self.signal is not None
        return 128 + self.signal

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._as_before()
        if self._undone:
            raise AskedError

    def _as_before(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
