"""The training loop: epochs of steps, a judgement after each, the best one kept."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

from torch import nn

from ..data.augment import Augmentation, asked
from ..data.dataset import Batch, Dataset
from ..data.feed import feed
from ..data.order import batches
from ..errors import DivergedError, Stopped, StorageError
from ..families.contract import Family, Sampler
from ..runtime import Runtime, generator
from .best import Best
from .course import Course
from .ema import Average
from .evaluate import evaluate, generate, scalars
from .history import History, Record
from .keeper import Keeper
from .placement import place
from .step import Stepper
from .stop import AskedError, Stop
from .watcher import Watcher

REFRESH = 0.25  # seconds between two looks at the running loss, for those who watch
PREVIEWS = 64  # pictures in a preview of what a generator makes


@dataclass(frozen=True)
class Outcome:
    """What a training leaves: networks with the kept weights, and which epoch they are of."""

    networks: dict[str, nn.Module]
    epoch: int
    epochs: int
    seconds: float


class Trainer:
    """One training. `fit` is a ladder of small steps, each of which can be read alone.

    course: how far it has come; with `course.restore` it goes on where another process ended.
    """

    def __init__(self, family: Family, dataset: Dataset, runtime: Runtime) -> None:
        self.family = family
        self.settings = settings = family.settings
        self.runtime = runtime
        self.history = History()
        self.watchers: Sequence[Watcher] = ()
        self.keeper: Keeper | None = None
        self.stop = Stop()
        self.train = feed(dataset.train, dataset.schema, runtime.device)
        held = dataset.validation
        self.validation = None if held is None else feed(held, dataset.schema, runtime.device)
        networks = place(family, family.build(generator(settings.seed, "weights")), runtime)
        average = Average(networks, settings.ema) if settings.ema else None
        self.steps = math.ceil(len(self.train) / settings.batch_size)  # an epoch
        self.augmentation = Augmentation(asked(settings.augment, dataset.schema), dataset.schema)
        stepper = Stepper(networks, family.phases(), settings, self.steps * settings.epochs)
        self.course = Course(networks, average, stepper, Best(family.monitor), self.steps)

    def fit(
        self, history: History | None = None, watchers: Sequence[Watcher] = (), keeper: Keeper | None = None
    ) -> Outcome:
        """Train to the end, or until validation has not improved for `patience` epochs.

        history: where the epochs are written down. keeper: writes the checkpoints.
        Raises: DivergedError if a loss is no longer a number, StorageError if the history or
        two checkpoints in a row cannot be written, Stopped if a signal asks for it.
        """
        self.history, self.watchers, self.keeper = history or self.history, watchers, keeper
        course = self.course
        course.began = time.monotonic()
        for watcher in self.watchers:
            watcher.begin(self.settings.epochs, self.steps, len(self.train))
        with self.stop.listening(), self.keeping():
            while not self.ended:
                self.run_epoch(course.closed + 1)
                self.close_epoch(course.closed + 1)
        course.best.restore(course.judged)
        kept = {name: network.eval().requires_grad_(False) for name, network in course.judged.items()}
        return Outcome(kept, course.best.epoch, course.closed, course.seconds)

    @property
    def ended(self) -> bool:
        """Whether all epochs are over, or as many without a better one as patience allows."""
        closed, patience = self.course.closed, self.settings.patience
        return closed >= self.settings.epochs or bool(patience and closed - self.course.best.epoch >= patience)

    def run_epoch(self, epoch: int) -> None:
        """The steps of an epoch that are not done yet."""
        seen = time.monotonic()
        pieces = batches(len(self.train), self.settings.seed, epoch, self.settings.batch_size)
        live = any(watcher.live for watcher in self.watchers)
        for batch in self.train.batches(islice(pieces, self.course.position, None)):
            self.take_step(batch)
            self.keep()
            if live and time.monotonic() - seen > REFRESH:
                seen = time.monotonic()
                self.show(epoch)

    def take_step(self, plain: Batch) -> None:
        """One step on one batch."""
        course, seed = self.course, self.settings.seed
        step = course.step
        random = generator(seed, "step", step, device=self.runtime.device)
        batch = self.augmentation.apply(plain, seed, step)
        course.means.add(course.stepper(batch, step, random), len(batch))
        if course.average:
            course.average.update(step)
        course.position += 1

    def show(self, epoch: int) -> None:
        """Tell the watchers how the epoch goes."""
        figures = self.losses()
        for watcher in self.watchers:
            if watcher.live:
                watcher.progress(epoch, self.course.position, figures)

    def close_epoch(self, epoch: int) -> None:
        """Judge the epoch, keep it if it is the best, write it down and show it."""
        course = self.course
        figures = self.losses() | self.judgement()
        self.require_finite(figures)
        record: Record = {"epoch": epoch, "step": course.step, **figures, "seconds": round(course.seconds, 3)}
        course.best.offer(epoch, record, course.judged)
        self.history.append(record)
        course.open_epoch(closed=epoch)
        for watcher in self.watchers:
            watcher.epoch(record)
        if self.watchers and isinstance(self.family, Sampler):
            self.preview(self.family, epoch)
        self.keep(epoch_ended=True)

    def losses(self) -> dict[str, float]:
        """The means of the open epoch so far. Raises: DivergedError."""
        figures = self.course.means.read()
        self.require_finite(figures)
        return figures

    def judgement(self) -> dict[str, float]:
        """What validation says. That changes nothing and may take long, so a signal ends it at once."""
        if self.validation is None:
            return {}
        try:
            with self.stop.at_once():
                metrics = scalars(evaluate(self.family, self.course.judged, self.validation))
        except AskedError:
            self.keep()
            raise
        return {f"validation_{name}": value for name, value in metrics.items()}

    def preview(self, sampler: Sampler, epoch: int) -> None:
        """Show what the generator makes of the latents that it is shown every time."""
        random = generator(self.settings.seed, "preview", device=self.runtime.device)
        pictures = generate(sampler, self.course.judged, sampler.latents(PREVIEWS, random))
        for watcher in self.watchers:
            watcher.preview(epoch, pictures)

    def keep(self, epoch_ended: bool = False) -> None:
        """Save if it is time to; end here if a signal has asked for it. Raises: Stopped."""
        keeper, asked = self.keeper, self.stop.signal is not None
        if keeper and (asked or keeper.due(self.course.step) or (epoch_ended and keeper.due_after_epoch())):
            self.save(keeper)
        if not asked:
            return
        told = f"{self.stop.word} after step {self.course.step} of {self.steps * self.settings.epochs}"
        if keeper:
            keeper.wait()
            told += f"{', saved' if keeper.saved else ', not saved'}; {keeper.mend} goes on"
        raise Stopped(told, self.stop.exit_code)

    def save(self, keeper: Keeper) -> None:
        """Hand over a copy of the state. Raises: DivergedError if it is not worth keeping."""
        self.losses()
        keeper.save(self.course.state())

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Save at the end as well; after a fault, see to its end what was begun."""
        try:
            yield
            if self.keeper:
                self.save(self.keeper)
                self.keeper.wait()
            self.keep()  # a signal may have come meanwhile
        except Exception:
            if self.keeper:
                with suppress(StorageError):  # the fault itself tells more
                    self.keeper.wait()
            raise

    def require_finite(self, figures: dict[str, float]) -> None:
        """Raises: DivergedError if a figure is not a finite number."""
        wrong = [name for name, value in figures.items() if not math.isfinite(value)]
        if wrong:
            raise DivergedError(
                f"epoch {self.course.closed + 1}: {', '.join(wrong)} is no longer a finite number; "
                f"try --learning-rate {self.settings.learning_rate / 10:g} or --clip 1"
            )
