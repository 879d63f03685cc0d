"""The training loop: epochs of steps, a judgement after each, the best one kept."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from ..data.augment import Augmentation, asked
from ..data.dataset import Batch, Dataset, Examples
from ..data.feed import feed
from ..data.order import batches
from ..data.unlabelled import companions
from ..errors import DivergedError, Stopped, StorageError
from ..families.contract import Family, Sampler
from ..runtime import Runtime, generator
from .best import Best
from .blame import Failure, suspects
from .course import Course
from .ema import Average
from .evaluate import evaluate, generate, scalars
from .health import Health, diversity
from .history import History, Record
from .keeper import Keeper
from .memory import fit_batch, smaller
from .placement import place
from .state import tensors_of
from .step import NotFiniteError, Stepper
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

    begin: what is done to the networks before anything else, such as a warm start.
    course: how far it has come; with `course.restore` it goes on where another process ended.
    """

    def __init__(
        self,
        family: Family,
        dataset: Dataset,
        runtime: Runtime,
        begin: Callable[[dict[str, nn.Module]], object] = lambda networks: None,
    ) -> None:
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
        networks = family.build(generator(settings.seed, "weights"))
        begin(networks)
        networks = place(family, networks, runtime)
        if settings.compile == "on":
            for network in networks.values():
                network.compile()
        average = Average(networks, settings.ema) if settings.ema else None
        self.steps = math.ceil(len(self.train) / settings.batch_size)  # an epoch
        self.augmentation = Augmentation(asked(settings.augment, dataset.schema), dataset.schema)
        self.companions = companions(dataset, settings, runtime.device)
        phases = family.phases()
        stepper = Stepper(networks, phases, settings, self.steps * settings.epochs)
        health = Health(phases, settings.clip > 0, self.note)
        best = Best(family.monitor, perishable=isinstance(family, Sampler))
        self.course = Course(networks, average, stepper, best, health, self.steps)
        self.names = dataset.train.names
        self.largest = largest(dataset.train, settings.batch_size)

    def fit(
        self, history: History | None = None, watchers: Sequence[Watcher] = (), keeper: Keeper | None = None
    ) -> Outcome:
        """Train to the end, or until validation has not improved for `patience` epochs.

        history: where the epochs are written down. keeper: writes the checkpoints.
        Raises: DivergedError if a loss or a gradient is no longer a number or gradients explode,
        OutOfMemoryError if not one example fits, StorageError if the history or two checkpoints
        in a row cannot be written, Stopped if a signal asks for it.
        """
        self.history, self.watchers, self.keeper = history or self.history, watchers, keeper
        course = self.course
        course.began = time.monotonic()
        heaviest = self.beside(self.train.gather(self.largest), course.step)
        fit_batch(course.stepper, heaviest, partial(self.note, step=course.step))
        for watcher in self.watchers:
            watcher.begin(self.settings.epochs, self.steps, len(self.train))
        with self.stop.listening(), self.keeping():
            while not self.ended:
                try:
                    self.run_epoch(course.closed + 1)
                    self.close_epoch(course.closed + 1)
                except NotFiniteError as error:
                    raise self.diverged(error.step) from None
        return self.outcome()

    def outcome(self) -> Outcome:
        """The best epoch so far; after it nothing can be trained any more."""
        course = self.course
        course.best.restore(course.judged)
        kept = {name: network.eval().requires_grad_(False) for name, network in course.judged.items()}
        return Outcome(kept, course.best.epoch, course.closed, course.seconds)

    @property
    def worth_keeping(self) -> bool:
        """Whether an epoch has been closed and what `outcome` would give has finite weights only."""
        best, judged = self.course.best, tensors_of(self.course.judged)
        return best.epoch > 0 and all(bool(one.isfinite().all()) for one in (best.tensors() or judged).values())

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
            if time.monotonic() - seen > REFRESH:
                seen = time.monotonic()
                self.course.means.read()
                if live:
                    self.show(epoch)

    def take_step(self, plain: Batch) -> None:
        """One step on one batch."""
        course, seed = self.course, self.settings.seed
        step = course.step
        random = generator(seed, "step", step, device=self.runtime.device)
        batch = self.beside(self.augmentation.apply(plain, seed, step), step)
        at_once = course.stepper.at_once
        course.means.add(course.stepper(batch, step, random), len(batch))
        if course.stepper.at_once < at_once:
            self.note(smaller(course.stepper, len(batch)), step=step)
        if course.average:
            course.average.update(step)
        course.position += 1

    def beside(self, batch: Batch, step: int) -> Batch:
        """The batch with the unlabelled examples of its step, if any are learnt from."""
        return self.companions.join(batch, step) if self.companions else batch

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
        if isinstance(self.family, Sampler):
            record["diversity"] = self.preview(self.family, epoch)
        course.best.offer(epoch, record, course.judged, spoilt=course.health.collapsed)
        self.history.append(record)
        course.open_epoch(closed=epoch)
        for watcher in self.watchers:
            watcher.epoch(record)
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

    def preview(self, sampler: Sampler, epoch: int) -> float:
        """Show what the generator makes of the latents that it is shown every time. Returns: their diversity."""
        random = generator(self.settings.seed, "preview", device=self.runtime.device)
        pictures = generate(sampler, self.course.judged, sampler.latents(PREVIEWS, random))
        for watcher in self.watchers:
            watcher.preview(epoch, pictures)
        few = self.train.gather(torch.arange(min(PREVIEWS, len(self.train))))
        share = diversity(pictures, few.x.cpu())
        self.course.health.samples(epoch, self.course.step, share, late=2 * epoch > self.settings.epochs)
        return share

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
                f"epoch {self.course.closed + 1}: {', '.join(wrong)} is no longer a finite number; {self.mend}"
            )

    def diverged(self, step: int) -> DivergedError:
        """What to say of a step whose loss or gradient is not a finite number; its examples are noted."""
        epoch, position = step // self.steps + 1, step % self.steps
        pieces = batches(len(self.train), self.settings.seed, epoch, self.settings.batch_size)
        places = next(islice(pieces, position, None)).tolist()
        found = suspects(self.course.stepper, self.train, self.augmentation, self.names, places, step)
        failure = Failure(epoch, step, found)
        for watcher in self.watchers:
            watcher.failed(failure)
        return DivergedError(f"{failure}; {self.mend}")

    @property
    def mend(self) -> str:
        """What helps a training that diverges."""
        slower = f"try --learning-rate {self.settings.learning_rate / 10:g}"
        return slower if self.settings.clip else f"{slower} or --clip 1"

    def note(self, text: str, step: int, epoch: int | None = None) -> None:
        """Write down what happened to the training itself, and tell it."""
        self.history.note(text, step, epoch)
        for watcher in self.watchers:
            watcher.note(text)


def largest(examples: Examples, size: int) -> Tensor:
    """The places of the batch that needs the most memory: the longest examples. int64 (size,) or fewer."""
    if examples.lengths is None:
        return torch.arange(min(size, len(examples)))
    return examples.lengths.argsort(descending=True)[:size]
