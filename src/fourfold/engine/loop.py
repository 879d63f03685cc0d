"""The training loop: epochs of steps, a judgement after each, the best one kept."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from ..data.dataset import Dataset, Resident
from ..data.order import batches, order
from ..errors import DivergedError, OutOfMemoryError
from ..families.contract import Family, Sampler
from ..runtime import Runtime, generator
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


@dataclass
class Best:
    """The weights of the best epoch so far."""

    epoch: int = 0
    value: float = math.nan
    weights: dict[str, dict[str, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a training leaves: networks with the kept weights, and which epoch they are of."""

    networks: dict[str, nn.Module]
    epoch: int
    epochs: int
    seconds: float


class Trainer:
    """One training. `fit` is a ladder of small steps, each of which can be read alone."""

    def __init__(
        self,
        family: Family,
        dataset: Dataset,
        runtime: Runtime,
        history: History,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.family = family
        self.settings = settings = family.settings
        self.runtime = runtime
        self.watchers = watchers
        self.history = history
        self.train = Resident(dataset.train, dataset.schema, runtime.device)
        self.validation = (
            Resident(dataset.validation, dataset.schema, runtime.device) if dataset.validation is not None else None
        )
        self.networks = place(family, family.build(generator(settings.seed, "weights")), runtime)
        self.average = Average(self.networks, settings.ema) if settings.ema else None
        self.steps = math.ceil(len(self.train) / settings.batch_size)  # an epoch
        self.stepper = Stepper(self.networks, family.phases(), settings, self.steps * settings.epochs)
        self.best = Best()

    def fit(self) -> Outcome:
        """Train to the end, or until validation has not improved for `patience` epochs.

        Raises: DivergedError if a loss is no longer a number; OutOfMemoryError.
        """
        started = time.monotonic()
        for watcher in self.watchers:
            watcher.begin(self.settings.epochs, self.steps, len(self.train))
        epoch = 0
        try:
            for epoch in range(1, self.settings.epochs + 1):
                self.close_epoch(epoch, self.run_epoch(epoch), time.monotonic() - started)
                if self.settings.patience and epoch - self.best.epoch >= self.settings.patience:
                    break
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"{self.runtime.name}: out of memory in epoch {epoch} with batches of {self.settings.batch_size}; "
                f"try --batch-size {max(self.settings.batch_size // 2, 1)}"
            ) from error
        return Outcome(self.kept(), self.best.epoch, epoch, time.monotonic() - started)

    def run_epoch(self, epoch: int) -> Means:
        """All steps of an epoch. Returns: the means of its losses, still on the device."""
        means = Means()
        seen = time.monotonic()
        first = (epoch - 1) * self.steps
        index = order(len(self.train), self.settings.seed, epoch)
        live = any(watcher.live for watcher in self.watchers)
        for step, piece in enumerate(batches(index, self.settings.batch_size)):
            random = generator(self.settings.seed, "step", first + step, device=self.runtime.device)
            means.add(self.stepper(self.train.gather(piece), first + step, random), len(piece))
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
        self.require_finite(epoch, figures)
        record: Record = {"epoch": epoch, "step": epoch * self.steps, **figures}
        judged = self.average.networks if self.average else self.networks
        if self.validation is not None:
            metrics = scalars(evaluate(self.family, judged, self.validation))
            record |= {f"validation_{name}": value for name, value in metrics.items()}
        record["seconds"] = round(seconds, 3)
        self.keep(epoch, judged, record)
        self.history.append(record)
        for watcher in self.watchers:
            watcher.epoch(record)
        if isinstance(self.family, Sampler):
            self.preview(self.family, epoch, judged)

    def keep(self, epoch: int, networks: dict[str, nn.Module], record: Record) -> None:
        """Copy the weights if this epoch is the best; without a validation metric the last one is."""
        monitor = self.family.monitor
        value = record.get(f"validation_{monitor.metric}") if monitor else None
        if value is not None and monitor is not None and self.best.epoch:
            sign = 1 if monitor.better == "higher" else -1
            if sign * value <= sign * self.best.value:
                return
        weights = {}
        if value is not None and self.settings.epochs > 1:
            weights = {
                name: {key: tensor.clone() for key, tensor in network.state_dict().items()}
                for name, network in networks.items()
            }
        self.best = Best(epoch, math.nan if value is None else value, weights)

    def kept(self) -> dict[str, nn.Module]:
        """The networks with the weights that were kept, for use, no longer for training."""
        networks = self.average.networks if self.average else self.networks
        for name, weights in self.best.weights.items():
            networks[name].load_state_dict(weights)
        return {name: network.eval().requires_grad_(False) for name, network in networks.items()}

    def preview(self, sampler: Sampler, epoch: int, networks: dict[str, nn.Module]) -> None:
        """Show what the generator makes of the latents that it is shown every time."""
        if not self.watchers:
            return
        random = generator(self.settings.seed, "preview", device=self.runtime.device)
        pictures = generate(sampler, networks, sampler.latents(PREVIEWS, random))
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


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out; on a CPU torch has only words for that."""
    words = ("can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
