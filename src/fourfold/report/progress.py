"""Training as it goes: a bar with rate and time left on a terminal, plain lines in a pipe."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console as Rich
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text
from torch import Tensor

from ..data.finding import Finding
from ..engine.blame import Failure
from ..engine.history import Record

MANY = 1000  # files that take a while
UNTOLD = ("epoch", "step", "seconds", "gradient_norm")  # figures that are for the history alone


class Rate(ProgressColumn):
    """Examples a second."""

    def __init__(self) -> None:
        super().__init__()
        self.examples_a_step = 1.0

    def render(self, task: Task) -> Text:
        """The column's text."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed * self.examples_a_step:,.0f} examples/s" if speed else "", style="cyan")


class Progress:
    """Looks on while a network trains, and tells it on standard error."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.read: TaskID | None = None
        self.live = sys.stderr.isatty() and not quiet
        self.rate = Rate()
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            self.rate,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Rich(stderr=True),
            transient=True,
            disable=not self.live,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def reading(self, what: str, done: int, total: int) -> None:
        """A bar for data that are read; in a pipe a line, if there is much to read."""
        if self.live and total:
            self.bar.start()
            if self.read is None:
                self.read = self.bar.add_task(f"reading {what}", total=total, figures="")
            self.bar.update(self.read, completed=done)
            if done == total:
                self.bar.remove_task(self.read)
                self.read = None
        elif not self.quiet and done == 0 and (not total or total >= MANY):
            print(f"reading {total:,} {what}" if total else what, file=sys.stderr, flush=True)

    def audited(self, findings: Sequence[Finding]) -> None:
        """A line for each finding that warns."""
        for finding in findings:
            if finding.severity != "note" and not self.quiet:
                self.bar.console.print(
                    f"{finding.severity}: {finding.count:,} {finding.what}; {finding.mend}",
                    highlight=False,
                    markup=False,
                )

    def begin(self, epochs: int, steps: int, examples: int) -> None:
        """Draw the bar."""
        self.epochs, self.steps = epochs, steps
        self.rate.examples_a_step = examples / steps
        if self.live:
            self.bar.start()
            self.task = self.bar.add_task("epoch 1", total=epochs * steps, figures="")

    def progress(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Move the bar."""
        done = (epoch - 1) * self.steps + step
        losses = _line({name: value for name, value in means.items() if name.endswith("loss")})
        self.bar.update(self.task, completed=done, description=f"epoch {epoch}/{self.epochs}", figures=losses)

    def epoch(self, record: Record) -> None:
        """A line for the epoch, above the bar."""
        number = record["epoch"]
        shown = {name: value for name, value in record.items() if not name.endswith(UNTOLD)}
        line = f"epoch {number:>{len(str(self.epochs))}}/{self.epochs}  {_line(shown)}  {record['seconds']:.1f} s"
        if self.live:
            self.bar.console.print(line, highlight=False)
            self.bar.update(self.task, completed=number * self.steps)
        elif not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def preview(self, epoch: int, pictures: Tensor) -> None:
        """Pictures are for the run's folder."""

    def note(self, text: str) -> None:
        """A line that warns."""
        if not self.quiet:
            self.bar.console.print(f"warning: {text}", highlight=False, markup=False)

    def failed(self, failure: Failure) -> None:
        """The error tells it."""


def _line(figures: dict[str, float]) -> str:
    """Figures in a line that a terminal of usual width can show."""
    short = {"validation": "val", "discriminator": "D", "generator": "G"}
    named = {" ".join(short.get(word, word) for word in name.split("_")): value for name, value in figures.items()}
    return "  ".join(f"{name} {value:.4f}" for name, value in named.items())
