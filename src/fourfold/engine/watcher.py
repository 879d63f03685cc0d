"""Those who look on while a network trains."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..data.finding import Finding
from .blame import Failure
from .history import Record


class Watcher(Protocol):
    """Who looks on while a network trains: a run folder, a terminal."""

    live: bool  # whether `progress` is wanted at all

    def reading(self, what: str, done: int, total: int) -> None:
        """Data are read: so much is done of so much (0: unknown)."""
        ...

    def audited(self, findings: Sequence[Finding]) -> None:
        """What is wrong with the data, as far as a glance tells."""
        ...

    def begin(self, epochs: int, steps: int, examples: int) -> None:
        """Training starts: so many epochs of so many steps over so many examples."""
        ...

    def progress(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Within an epoch (counted from 1), after `step` of its steps."""
        ...

    def epoch(self, record: Record) -> None:
        """An epoch has ended."""
        ...

    def preview(self, epoch: int, pictures: Tensor) -> None:
        """What a generator makes of the same latents as ever, (n, channels, height, width) in [0, 1]."""
        ...

    def note(self, text: str) -> None:
        """Something happened to the training itself that is worth a warning."""
        ...

    def failed(self, failure: Failure) -> None:
        """A loss or a gradient is not a finite number, so training ends here."""
        ...
