"""`fourfold profile`: what a step of training costs, and what would be faster."""

from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from ..errors import DataError, UsageError
from ..families import FAMILIES, settings_of
from .arguments import Computing
from .console import Console, Output

if TYPE_CHECKING:
    from ..data.dataset import Dataset
    from ..profiling import Profile as Found
    from ..settings import Settings

INVENTED = 4096  # examples that stand for data which cannot be opened


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Measure what a step of training costs, part by part, and what would make it faster."""

    subject: Positional[Annotated[str, arg(metavar="MODEL|FAMILY", help="A run's folder, a model's, or a family.")]]
    data: Positional[Annotated[str | None, arg(metavar="[DATA]")]] = None
    """What to train on: for a family always; for a model in place of its own data."""
    preset: str | None = None
    """A family's recipe."""
    batch_size: int | None = None
    """Examples a step."""
    augment: str | None = None
    """As `train` takes it."""
    threads: int = 0
    """CPU threads; 0 chooses as training does."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print the figures, and what follows from them."""
        family = self.subject in FAMILIES
        if family and self.data is None:
            raise UsageError(f"profile {self.subject} DATA: a family needs data to train on, such as the sample mnist")
        if not family and self.preset:
            raise UsageError("--preset is for a family; a model has its own")
        from ..profiling import profile
        from ..runtime import keep_freed_memory, start, within_memory

        keep_freed_memory()
        settings, dataset = self._family(console) if family else self._model(console)
        runtime = start(self.device, self.threads or settings.threads)
        with within_memory(f"batches of {settings.batch_size} may be too large, try a smaller --batch-size"):
            found = profile(dataset, settings, runtime)
        if console.json:
            document = {"family": settings.family, "preset": settings.preset, "data": dataset.source}
            console.result(document | found.as_dict())
        else:
            _show(found, console, f"{settings.family} ({settings.preset}) on {dataset.source}")

    def _changes(self) -> dict[str, Any]:
        asked = {"batch_size": self.batch_size, "augment": self.augment}
        return {name: value for name, value in asked.items() if value is not None}

    def _family(self, console: Console) -> "tuple[Settings, Dataset]":
        """A preset, and the data that it would be trained on."""
        from .. import data
        from ..report.progress import Progress

        assert self.data is not None
        settings = settings_of(self.subject).resolve(self.preset, **self._changes())
        with Progress(console.quiet) as progress:
            content = data.content_of(self.data, settings, progress.reading)
        settings = settings.suited(content.facts(settings.share))
        return settings, data.prepare(content, self.data, settings)

    def _model(self, console: Console) -> "tuple[Settings, Dataset]":
        """How a model was trained, and on what; examples made up at random where that cannot be opened."""
        from .. import data
        from ..api import load
        from ..data.dataset import Dataset, Request
        from ..profiling.invented import invented
        from ..runtime import generator

        model = load(self.subject, self.device)
        settings = type(model.settings)(**{**model.settings.model_dump(), **self._changes()})
        source = self.data or model.origin.data
        try:
            splits = data.read(source, Request(schema=model.schema)).splits
            train = splits.get("train") or data.join(list(splits.values()))
        except DataError as error:
            if self.data:
                raise
            console.say(f"{error}; measured on random examples of the model's schema")
            source = "random examples"
            train = invented(model.schema, max(INVENTED, settings.batch_size), generator(0, "profile"))
        if model.schema.names is not None and train.y is None:
            raise DataError(f"{source}: no labels to train by; leave DATA out to measure on the model's own data")
        return settings, Dataset(model.schema, train, None, None, source, fingerprint="", held_out={})


def _show(found: "Found", console: Console, title: str) -> None:
    way, step = found.way, found.step
    threads = "1 thread" if way.threads == 1 else f"{way.threads} threads"
    others = "" if found.others is None else f", {found.others:.1f} cores used by others"
    console.say(f"{title}: batches of {way.batch_size}, {threads}{others}")
    console.table(("figure", "value"), _figures(found))
    rows = []
    for part in dict.fromkeys([*found.milliseconds, *found.work.flops]):
        spent = found.milliseconds.get(part, 0.0)
        counted = (f"{counts.get(part, 0) / 1e6:,.1f}" for counts in (found.work.flops, found.work.traffic))
        rows.append((part, f"{spent:.3f}", f"{spent / step:.0%}", *counted))
    console.table(("part of a step", "ms", "share", "MFLOP", "MB touched"), rows)
    tried = [(*astuple(trial.way), f"{trial.milliseconds:.3f}", f"{trial.microseconds:.2f}") for trial in found.trials]
    console.table(("batch", "threads", "precision", "ms a step", "µs an example"), tried)
    console.result(None, *found.advice)


def _figures(found: "Found") -> list[tuple[str, str]]:
    limits = found.limits
    products = f"{limits.float32 / 1e9:,.0f} GFLOP/s in float32, {limits.bfloat16 / 1e9:,.0f} in bfloat16"
    return [
        *(("parameters", f"{name} {count:,}") for name, count in found.parameters.items()),
        *((f"memory, {name}", f"{count / 1e6:,.1f} MB") for name, count in found.memory.items()),
        ("a step", f"{found.compute:.0%} of what products reach, {found.bandwidth:.0%} of what memory brings"),
        ("the machine", f"{products}, {limits.bandwidth / 1e9:,.1f} GB/s"),
    ]
