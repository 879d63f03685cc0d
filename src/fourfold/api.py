"""Fourfold from Python: `train` and `load`."""

import importlib.metadata
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from . import __version__, data, families, model
from .data import Arrays
from .data.audit import brief
from .data.audit.duplicates import require_apart
from .data.audit.findings import require_classes
from .data.dataset import Dataset
from .data.feed import feed
from .engine.evaluate import evaluate
from .engine.history import History
from .engine.loop import Outcome, Trainer, Watcher
from .errors import ModelError
from .model import Model
from .modelfile import DESCRIPTION, Origin
from .report.curves import draw
from .report.progress import Progress
from .run import Run
from .runtime import Runtime, keep_freed_memory, start, within_memory
from .settings import Settings


def train(
    family: str,
    data: str | Path | Arrays,
    *,
    preset: str | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Model:
    """Train a network on data: `train("cnn", "photos/", epochs=20)`.

    family: "cnn", "rnn", "autoencoder" or "gan". data: a path, a sample's name, or arrays
    (x, or x and y). preset: a recipe, the family's default if None. out: the run's folder,
    runs/FAMILY-DATA-N if None. quiet: show no progress on standard error. settings: any
    field of the family's settings.

    Returns: the model; `model.run` is the folder of its run. Raises: UsageError, DataError,
    DivergedError, OutOfMemoryError, StorageError, each telling what to mend.
    """
    chosen = families.settings_of(family).resolve(preset, **settings)
    with Progress(quiet) as progress:
        return fit(chosen, data, out, [progress])


def load(folder: str | Path, device: str = "auto") -> Model:
    """The model in a model's folder or in a run's.

    device: "auto", "cpu" or "cuda", whatever it was trained on. Raises: ModelError,
    naming the file and what is wrong, if there is none or it is damaged.
    """
    path = Path(folder).expanduser()
    if (path / DESCRIPTION).exists() or not (path / "settings.yaml").exists():
        return model.load(path, device)
    if not (path / "model").exists():
        raise ModelError(f"{path}: a run without a model, its training did not end; see {path / 'log.txt'}")
    loaded = model.load(path / "model", device)
    loaded.run = path
    return loaded


def fit(
    settings: Settings, source: str | Path | Arrays, out: str | Path | None = None, watchers: Sequence[Watcher] = ()
) -> Model:
    """Train under ready settings, with others looking on: what `train` and the command line share.

    Nothing is written before the data are read and all that training needs is made. Raises: as `train`.
    """
    smaller = max(settings.batch_size // 2, 1)
    with within_memory(f"batches of {settings.batch_size} may be too large, try --batch-size {smaller}"):
        return _fit(settings, source, out, watchers)


def _fit(settings: Settings, source: str | Path | Arrays, out: str | Path | None, watchers: Sequence[Watcher]) -> Model:
    keep_freed_memory()
    runtime = start(settings.device, settings.threads)

    def reading(what: str, done: int, total: int) -> None:
        for watcher in watchers:
            watcher.reading(what, done, total)

    dataset = data.open(source, settings, reading)
    require_classes(dataset)
    if settings.allow != "duplicates":
        require_apart(dataset)
    family = families.create(dataset.schema, settings)
    trainer = Trainer(family, dataset, runtime)
    run = Run.create(out, settings, dataset)
    findings = brief(dataset)
    for watcher in (run, *watchers):
        watcher.audited(findings)
    outcome = trainer.fit(History(run.history), [run, *watchers])
    splits = {
        name: evaluate(family, outcome.networks, feed(part, dataset.schema, runtime.device))
        for name, part in dataset.splits.items()
        if name != "train"
    }
    trained = Model(family, outcome.networks, splits, origin(dataset, outcome, runtime), runtime, dataset, run.folder)
    trained.save(run.model)
    draw(trainer.history.records, run.plots / "history.png")
    return trained


def origin(dataset: Dataset, outcome: Outcome, runtime: Runtime) -> Origin:
    """Where a model comes from."""
    libraries = ("torch", "numpy")
    return Origin(
        data=dataset.source,
        fingerprint=dataset.fingerprint,
        examples={name: len(part) for name, part in dataset.splits.items()},
        epochs=outcome.epochs,
        epoch=outcome.epoch,
        seconds=outcome.seconds,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        device=runtime.name,
        versions={"fourfold": __version__, **{name: importlib.metadata.version(name) for name in libraries}},
    )
