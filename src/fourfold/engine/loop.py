"""The training loop: epochs of steps, a judgement after each, the best one kept."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from ..data.augment import Augmentation, asked
from ..data.dataset import Dataset
from ..data.feed import feed
from ..data.finding import Finding
from ..data.order import batches
from ..errors import DivergedError
from ..families.contract import Family, Sampler
from ..runtime import Runtime, generator
from .best import Best
from .ema import Average
from .evaluate import evaluate, generate, scalars
from .history import History, Means, Record
from .placement import place
from .step import Stepper

REFRESH = 0.25  # seconds between two looks at the running loss, for those who watch
PREVIEWS = 64  # pictures in a preview of what a generator makes


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


@dataclass(frozen=True)
class Outcome:
    """What a training leaves: networks with the kept weights, and which epoch they are of."""

    networks: dict[str, nn.Module]
    epoch: int
    epochs: int
    seconds: float


class Trainer:
    """One training. `fit` is a ladder of small steps, each of which can be read alone."""

    def __init__(self, family: Family, dataset: Dataset, runtime: Runtime) -> None:
        self.family = family
        self.settings = settings = family.settings
        self.runtime = runtime
        self.history = History()
        self.watchers: Sequence[Watcher] = ()
        self.train = feed(dataset.train, dataset.schema, runtime.device)
        held = dataset.validation
        self.validation = None if held is None else feed(held, dataset.schema, runtime.device)
        self.networks = place(family, family.build(generator(settings.seed, "weights")), runtime)
        self.average = Average(self.networks, settings.ema) if settings.ema else None
        self.steps = math.ceil(len(self.train) / settings.batch_size)  # an epoch
        self.augmentation = Augmentation(asked(settings.augment, dataset.schema), dataset.schema)
        self.stepper = Stepper(self.networks, family.phases(), settings, self.steps * settings.epochs)
        self.best = Best(family.monitor)

    def fit(self, history: History | None = None, watchers: Sequence[Watcher] = ()) -> Outcome:
        """Train to the end, or until validation has not improved for `patience` epochs.

        history: where the epochs are written down. Raises: DivergedError if a loss is no longer a number.
        """
        self.history, self.watchers = history or self.history, watchers
        started = time.monotonic()
        for watcher in self.watchers:
            watcher.begin(self.settings.epochs, self.steps, len(self.train))
        epoch = 0
        for epoch in range(1, self.settings.epochs + 1):
            self.close_epoch(epoch, self.run_epoch(epoch), time.monotonic() - started)
            if self.settings.patience and epoch - self.best.epoch >= self.settings.patience:
                break
        self.best.restore(self.judged)
        kept = {name: network.eval().requires_grad_(False) for name, network in self.judged.items()}
        return Outcome(kept, self.best.epoch, epoch, time.monotonic() - started)

    @property
    def judged(self) -> dict[str, nn.Module]:
        """The networks that are judged and kept: the average if there is one."""
        return self.average.networks if self.average else self.networks

    def run_epoch(self, epoch: int) -> Means:
        """All steps of an epoch. Returns: the means of its losses, still on the device."""
        means = Means()
        seen = time.monotonic()
        first = (epoch - 1) * self.steps
        pieces = batches(len(self.train), self.settings.seed, epoch, self.settings.batch_size)
        live = any(watcher.live for watcher in self.watchers)
        for step, plain in enumerate(self.train.batches(pieces)):
            random = generator(self.settings.seed, "step", first + step, device=self.runtime.device)
            batch = self.augmentation.apply(plain, self.settings.seed, first + step)
            means.add(self.stepper(batch, first + step, random), len(batch))
            if self.average:
                self.average.update(first + step)
            if live and time.monotonic() - seen > REFRESH:
                seen = time.monotonic()
                self.show(epoch, step + 1, means)
        return means

    def show(self, epoch: int, step: int, means: Means) -> None:
        """Tell the watchers how the epoch goes."""
        figures = means.read()
        self.require_finite(epoch, figures)
        for watcher in self.watchers:
            if watcher.live:
                watcher.progress(epoch, step, figures)

    def close_epoch(self, epoch: int, means: Means, seconds: float) -> None:
        """Judge the epoch, keep it if it is the best, write it down and show it."""
        figures = means.read()
        if self.validation is not None:
            metrics = scalars(evaluate(self.family, self.judged, self.validation))
            figures |= {f"validation_{name}": value for name, value in metrics.items()}
        self.require_finite(epoch, figures)
        record: Record = {"epoch": epoch, "step": epoch * self.steps, **figures, "seconds": round(seconds, 3)}
        self.best.offer(epoch, record, self.judged)
        self.history.append(record)
        for watcher in self.watchers:
            watcher.epoch(record)
        if self.watchers and isinstance(self.family, Sampler):
            self.preview(self.family, epoch)

    def preview(self, sampler: Sampler, epoch: int) -> None:
        """Show what the generator makes of the latents that it is shown every time."""
        random = generator(self.settings.seed, "preview", device=self.runtime.device)
        pictures = generate(sampler, self.judged, sampler.latents(PREVIEWS, random))
        for watcher in self.watchers:
            watcher.preview(epoch, pictures)

    def require_finite(self, epoch: int, figures: dict[str, float]) -> None:
        """Raises: DivergedError if a figure is not a finite number."""
        wrong = [name for name, value in figures.items() if not math.isfinite(value)]
        if wrong:
            raise DivergedError(
                f"epoch {epoch}: {', '.join(wrong)} is no longer a finite number; "
                f"try --learning-rate {self.settings.learning_rate / 10:g} or --clip 1"
            )
