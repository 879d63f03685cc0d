"""The watcher with which Fourfold's epochs are timed."""

from typing import Any

from fourfold.engine.watcher import Watcher

from .work import Clock


class Watch(Watcher):
    """Starts and stops a clock; an epoch is all that lies between two ends, keeping and previews included.

    Whatever else a watcher is told does nothing here.
    """

    live = False

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def begin(self, epochs: int, steps: int, examples: int) -> None:
        """The first epoch begins."""
        self.clock.start()

    def epoch(self, record: dict[str, Any]) -> None:
        """One ends and the next begins."""
        self.clock.stop()
        self.clock.start()
