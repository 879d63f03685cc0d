"""A run: the folder of one training, from its settings to its model."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from torch import Tensor

from .data.dataset import Dataset
from .data.finding import Finding
from .data.formats.pictures import write_grid
from .data.schema import Schema
from .data.unlabelled import marked
from .engine.blame import Failure
from .engine.history import Record
from .errors import ResumeError, StorageError, UsageError
from .families import settings_of
from .settings import Settings
from .storage import append_line, as_json, lock, remove_folder, sweep, sync, unwritten, write_file

SETTINGS, SCHEMA, SPLITS, LOCK = "settings.yaml", "schema.json", "splits.json", ".lock"
FAILURE = "diverged.json"


class Run:
    """A run's folder. It looks on while a network trains and writes down what it sees.

    settings.yaml  schema.json  splits.json  audit.json  history.jsonl  log.txt
    checkpoints/  samples/  plots/  model/

    One process at a time holds it: from `create` or `open` to the end of the `with` block.
    """

    live = False

    def __init__(self, folder: Path, held: IO[str]) -> None:
        self.folder = folder
        self._held = held

    @classmethod
    def create(cls, out: str | Path | None, settings: Settings, dataset: Dataset) -> Self:
        """A new folder: `out`, or the next free runs/FAMILY-DATA-N.

        Raises: UsageError if `out` holds something already, StorageError if it cannot be written.
        """
        try:
            folder = _claim(Path(out)) if out else _next_free(settings.family, dataset.source)
        except OSError as error:
            raise StorageError(f"{error.filename}: cannot be made ({error.strerror})") from error
        run = cls(folder, lock(folder / LOCK))
        with ExitStack() as undone:
            undone.push(run)
            run.describe(settings, dataset)
            run.log(f"{settings.family} ({settings.preset}) on {dataset.source}")
            undone.pop_all()
        return run

    @classmethod
    def open(cls, folder: Path) -> Self:
        """A folder whose training was begun; what a killed process left half done is removed.

        Raises: UsageError if it is no run's, StorageError, telling who holds it, if a training goes on there.
        """
        if not (folder / SETTINGS).is_file():
            raise UsageError(f"{folder}: no run, it has no {SETTINGS}; a run is a folder that `fourfold train` made")
        run = cls(folder, lock(folder / LOCK))
        sweep(folder, "model*")
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def describe(self, settings: Settings, dataset: Dataset) -> None:
        """Write down what is trained, on what; the settings last, since they make the folder a run's."""
        import yaml  # 20 ms that no other command needs

        values = {"family": settings.family, "data": dataset.source, **settings.model_dump(mode="json")}
        write_file(self.folder / SCHEMA, as_json(dataset.schema.model_dump(mode="json")))
        write_file(self.folder / SPLITS, json.dumps({"fingerprint": marked(dataset), **dataset.held_out}))
        write_file(self.folder / SETTINGS, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))

    def described(self) -> tuple[Settings, str]:
        """The settings, and where the data were. Raises: ResumeError, naming the file, if it is damaged."""
        import yaml

        path = self.folder / SETTINGS
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            family, source = values.pop("family"), values.pop("data")
            return settings_of(family)(**values), str(source)
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
            raise ResumeError(f"{path}: cannot be read ({error}); put back the file of the run") from error
        except UsageError as error:
            raise ResumeError(f"{path}: {error}") from error

    def fingerprint(self) -> str:
        """That of the data which the training began with. Raises: ResumeError if its file is damaged."""
        path = self.folder / SPLITS
        try:
            return str(json.loads(path.read_bytes())["fingerprint"])
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise ResumeError(f"{path}: cannot be read ({error}); put back the file of the run") from error

    def require_alike(self, schema: Schema) -> None:
        """Raises: ResumeError if data that changed make other examples than the run's; only figures may differ."""
        path = self.folder / SCHEMA
        try:
            known = Schema.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ResumeError(f"{path}: cannot be read ({error}); put back the file of the run") from error
        for name in ("kind", "shape", "classes", "tags", "targets", "columns", "levels", "vocabulary"):
            if getattr(known, name) != getattr(schema, name):
                raise ResumeError(f"{path}: the data have another {name} than the run began with; train anew")

    def keep_model(self, save: Callable[[Path], object]) -> None:
        """Put the model that `save` writes in the place of an older one: the last act of a training."""
        ready = self.folder / "model-new"
        shutil.rmtree(ready, ignore_errors=True)
        save(ready)
        try:
            if self.model.exists():
                remove_folder(self.model)
            ready.replace(self.model)
            sync(self.folder)
        except OSError as error:
            raise unwritten(self.model, error) from error

    @property
    def history(self) -> Path:
        """The records of the epochs, a line of JSON each."""
        return self.folder / "history.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def model(self) -> Path:
        """The folder of the trained model."""
        return self.folder / "model"

    @property
    def plots(self) -> Path:
        """The folder of the plots."""
        return self.folder / "plots"

    def log(self, line: str) -> None:
        """Add a line, with the time, to log.txt."""
        stamp = datetime.now().astimezone().isoformat(timespec="seconds")
        append_line(self.folder / "log.txt", f"{stamp} {line}")

    def reading(self, what: str, done: int, total: int) -> None:
        """Nothing: a run begins when its data are read."""

    def audited(self, findings: Sequence[Finding]) -> None:
        """Write down what is wrong with the data."""
        write_file(self.folder / "audit.json", as_json([asdict(finding) for finding in findings]))
        for finding in findings:
            self.log(f"{finding.severity}: {finding.count} {finding.what}")

    def begin(self, epochs: int, steps: int, examples: int) -> None:
        """Log what is ahead."""
        self.log(f"{epochs} epochs of {steps} steps over {examples} examples")

    def progress(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Nothing: a run keeps whole epochs only."""

    def epoch(self, record: Record) -> None:
        """Log the epoch."""
        self.log(" ".join(f"{name}={value:g}" for name, value in record.items()))

    def preview(self, epoch: int, pictures: Tensor) -> None:
        """Save what the generator makes, as a grid."""
        folder = self.folder / "samples"
        try:
            folder.mkdir(exist_ok=True)
            write_grid(folder / f"epoch-{epoch:04d}.png", pictures.numpy())
        except OSError as error:
            raise unwritten(folder, error) from error

    def note(self, text: str) -> None:
        """Log what happened to the training."""
        self.log(f"warning: {text}")

    def failed(self, failure: Failure) -> None:
        """Write down which examples the step had that went wrong."""
        write_file(self.folder / FAILURE, as_json(asdict(failure)))
        self.log(f"{failure}; its examples are in {FAILURE}")


def _claim(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder}: exists already; remove it or choose another place")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _next_free(family: str, source: str) -> Path:
    """A new folder in runs/; two processes at once get two."""
    name = re.sub(r"[^\w-]+", "-", f"{family}-{Path(source).stem}")
    for number in count(1):
        folder = Path("runs") / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")
