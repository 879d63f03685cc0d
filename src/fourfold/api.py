"""Fourfold from Python: `train`, `resume` and `load`."""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import data, families, model, modelfile
from .data import Arrays
from .data.audit import brief
from .data.audit.duplicates import require_apart
from .data.audit.findings import require_classes
from .data.dataset import Dataset
from .data.feed import feed, in_order
from .data.schema import Schema
from .data.unlabelled import accompanied, marked
from .engine.checkpoint import Checkpoint, Tell, newest
from .engine.evaluate import BATCH_SIZE, asking, evaluate
from .engine.history import History
from .engine.keeper import Keeper
from .engine.loop import Outcome, Trainer
from .engine.terms import differences, machine_of, require_same, terms, versions
from .engine.watcher import Watcher
from .errors import DivergedError, ModelError, ResumeError, UsageError
from .families.contract import Detector, Family, Networks
from .families.warmstart import freeze, tensors, warm_start
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


def resume(
    run: str | Path,
    data: str | Path | Arrays | None = None,
    *,
    epochs: int | None = None,
    allow_data_change: bool = False,
    quiet: bool = False,
) -> Model:
    """Go on with a training that was stopped, in its run's folder, to the same bits as if it had not been.

    data: where they are now, if they have moved; arrays are given again. epochs: more than
    were asked for, where the learning rate does not depend on them. allow_data_change: go on
    although the data are no longer those of the checkpoint; history and card will tell.

    Returns: the model, as `train` does; that of a run which has ended already is loaded.
    Raises: ResumeError, telling what differs, if it would not be the same training; else as `train`.
    """
    with Progress(quiet) as progress:
        return go_on(run, data, epochs, allow_data_change, [progress])


def fit(
    settings: Settings, source: str | Path | Arrays, out: str | Path | None = None, watchers: Sequence[Watcher] = ()
) -> Model:
    """Train under ready settings, with others looking on: what `train` and the command line share.

    Nothing is written before the data are read and all that training needs is made. Raises: as `train`.
    """
    keep_freed_memory()
    with _within_memory(settings):
        runtime = start(settings.device, settings.threads)
        settings, dataset = _open(source, settings, watchers)
    with _within_memory(settings):
        begin = partial(_begin, settings, dataset.schema, watchers)
        trainer = Trainer(_family(dataset, settings), dataset, runtime, begin)
        with Run.create(out, settings, dataset) as run:
            run.log(f"on {runtime.name}, {torch.get_num_threads()} threads")
            keeper = Keeper(run.folder, settings.checkpoint_every, terms(settings, dataset, runtime), teller(run))
            return _complete(run, trainer, dataset, History(run.history), keeper, watchers)


def go_on(
    folder: str | Path,
    source: str | Path | Arrays | None = None,
    epochs: int | None = None,
    allow_data_change: bool = False,
    watchers: Sequence[Watcher] = (),
) -> Model:
    """What `resume` and the command line share."""
    with Run.open(Path(folder).expanduser()) as run:
        settings, place = run.described()
        if epochs is not None:
            settings = type(settings)(**{**settings.model_dump(), "epochs": epochs})
        if run.model.exists() and (ended := load(run.folder)).settings.epochs == settings.epochs:
            return ended
        checkpoint = newest(run.checkpoints, teller(run))
        if checkpoint:
            require_same(settings, checkpoint.manifest.terms)
        if source is None and place == "arrays":
            raise UsageError(f"{run.folder}: trained on arrays; give them again: fourfold.resume(run, (x, y))")
        with _within_memory(settings):
            return _go_on(run, settings, place if source is None else source, checkpoint, allow_data_change, watchers)


def _go_on(
    run: Run,
    settings: Settings,
    source: str | Path | Arrays,
    checkpoint: Checkpoint | None,
    allow_data_change: bool,
    watchers: Sequence[Watcher],
) -> Model:
    keep_freed_memory()
    tell, then = teller(run), checkpoint.manifest.terms if checkpoint else None
    runtime = start(*machine_of(settings, then))
    settings, dataset = _open(source, settings, watchers)
    now = terms(settings, dataset, runtime)
    changed = marked(dataset) != (then.fingerprint if then else run.fingerprint())
    if changed and not allow_data_change:
        raise ResumeError(
            f"{dataset.source}{' or what is named unlabelled' if dataset.unlabelled else ''}: changed since the "
            "training began; put the data back, or go on with what is there now by --allow-data-change"
        )
    if changed:
        run.require_alike(dataset.schema)
    for difference in differences(now, then) if then else ():
        tell(f"{difference}; the result may differ in its last bits")
    begin = partial(_begin, settings, dataset.schema, watchers)
    trainer = Trainer(_family(dataset, settings), dataset, runtime, begin)
    course = trainer.course
    if checkpoint:
        (course.adopt if changed else course.restore)(checkpoint.load(course.largest))
    history = History.resume(run.history, course.closed, course.step)
    run.describe(settings, dataset)
    run.log(f"goes on after step {course.step}, in epoch {course.closed + 1}")
    if changed:
        history.note(f"the data changed after step {course.step}: SHA-256 {marked(dataset)}", course.step)
    last = checkpoint.manifest.point if checkpoint else None
    keeper = Keeper(run.folder, settings.checkpoint_every, now, tell, last)
    return _complete(run, trainer, dataset, history, keeper, watchers)


def _complete(
    run: Run, trainer: Trainer, dataset: Dataset, history: History, keeper: Keeper, watchers: Sequence[Watcher]
) -> Model:
    """Train to the end, judge and save: the part that is the same for a run that begins and one that goes on."""
    findings = brief(dataset)
    for watcher in (run, *watchers):
        watcher.audited(findings)
    try:
        outcome = trainer.fit(history, [run, *watchers], keeper)
    except DivergedError as error:
        if not trainer.worth_keeping:
            raise
        outcome = trainer.outcome()
        history.note(f"training ended here: {error}", trainer.course.step)
        _keep(run, trainer, dataset, outcome, history)
        raise DivergedError(f"{error}; the model of epoch {outcome.epoch} is kept in {run.model}") from None
    return _keep(run, trainer, dataset, outcome, history)


def _keep(run: Run, trainer: Trainer, dataset: Dataset, outcome: Outcome, history: History) -> Model:
    """Judge what a training leaves, and put it into the run's folder."""
    family, runtime = trainer.family, trainer.runtime
    if isinstance(family, Detector):
        _settle(family, outcome.networks, dataset, runtime)
    splits = {
        name: evaluate(family, outcome.networks, feed(part, dataset.schema, runtime.device))
        for name, part in dataset.splits.items()
        if name != "train"
    }
    where = origin(dataset, outcome, runtime, history)
    trained = Model(family, outcome.networks, splits, where, runtime, dataset, run.folder)
    trained.calibrate(dataset.validation)
    draw(history.records, run.plots / "history.png")
    run.keep_model(trained.save)
    return trained


def _open(source: str | Path | Arrays, settings: Settings, watchers: Sequence[Watcher]) -> tuple[Settings, Dataset]:
    """The data, if one may train on them, and the settings that suit them where they leave the preset open."""

    def reading(what: str, done: int, total: int) -> None:
        for watcher in watchers:
            watcher.reading(what, done, total)

    content = data.content_of(source, settings, reading)
    settings = settings.suited(content.facts(settings.share))
    dataset = data.prepare(content, source, settings)
    require_classes(dataset)
    if settings.allow != "duplicates":
        require_apart(dataset)
    return accompanied(settings, dataset, reading)


def _family(dataset: Dataset, settings: Settings) -> Family:
    """The family for these data. Raises: DataError if it cannot use them, or needs more of them."""
    family = families.create(dataset.schema, settings)
    if isinstance(family, Detector):
        family.require(len(dataset.validation or ()))
    return family


def _begin(settings: Settings, schema: Schema, watchers: Sequence[Watcher], networks: Networks) -> None:
    """Put what the settings name into the place of random weights. Raises: ModelError, UsageError."""
    if settings.init_from is None:
        if settings.freeze:
            raise UsageError("--freeze keeps what --init-from MODEL brings; name the model")
        return
    place = Path(settings.init_from).expanduser()
    description, weights = modelfile.read(place / "model" if (place / "model").is_dir() else place)
    copied = warm_start(networks, weights, same_classes=description.example.names == schema.names)
    several = len(dict(tensors(networks)))
    for watcher in watchers:
        watcher.reading(f"{len(copied)} of {several} tensors begin as those of {settings.init_from}", 0, 0)
    if settings.freeze:
        freeze(networks, copied)


def _settle(family: Detector, networks: dict[str, nn.Module], dataset: Dataset, runtime: Runtime) -> None:
    """Have a detector draw its line between normal and not."""
    assert dataset.validation is not None
    train, held_out = (feed(part, dataset.schema, runtime.device) for part in (dataset.train, dataset.validation))
    with asking(networks):
        family.settle(networks, in_order(train, BATCH_SIZE), in_order(held_out, BATCH_SIZE))


def _within_memory(settings: Settings) -> AbstractContextManager[None]:
    smaller = max(settings.batch_size // 2, 1)
    return within_memory(f"batches of {settings.batch_size} may be too large, try --batch-size {smaller}")


def teller(run: Run) -> Tell:
    """Warns, and writes the warning into the run's log."""

    def tell(message: str) -> None:
        run.log(f"warning: {message}")
        warnings.warn(message, stacklevel=2)

    return tell


def origin(dataset: Dataset, outcome: Outcome, runtime: Runtime, history: History) -> Origin:
    """Where a model comes from."""
    beside = {} if dataset.unlabelled is None else {"unlabelled": len(dataset.unlabelled)}
    return Origin(
        data=dataset.source,
        fingerprint=dataset.fingerprint,
        examples={name: len(part) for name, part in dataset.splits.items()} | beside,
        epochs=outcome.epochs,
        epoch=outcome.epoch,
        seconds=outcome.seconds,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        device=runtime.name,
        versions=versions(),
        notes=tuple(note["note"] for note in history.notes),
    )
