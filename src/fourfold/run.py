"""A run: the folder of one training, from its settings to its model."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import count
from pathlib import Path

from torch import Tensor

from .data.dataset import Dataset
from .data.finding import Finding
from .data.formats.pictures import write_grid
from .engine.history import Record
from .errors import StorageError, UsageError
from .settings import Settings
from .storage import append_line, as_json, write_file


class Run:
    """A run's folder. It looks on while a network trains and writes down what it sees.

    settings.yaml  schema.json  splits.json  audit.json  history.jsonl  log.txt  samples/  plots/  model/
    """

    live = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, out: str | Path | None, settings: Settings, dataset: Dataset) -> "Run":
        """A new folder: `out`, or the next free runs/FAMILY-DATA-N.

        Raises: UsageError if `out` holds something already, StorageError if it cannot be written.
        """
        import yaml  # 20 ms that no other command needs

        try:
            run = cls(_claim(Path(out)) if out else _next_free(settings.family, dataset.source))
        except OSError as error:
            raise StorageError(f"{error.filename}: cannot be made ({error.strerror})") from error
        values = {"family": settings.family, "data": dataset.source, **settings.model_dump(mode="json")}
        write_file(run.folder / "settings.yaml", yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        write_file(run.folder / "schema.json", as_json(dataset.schema.model_dump(mode="json")))
        write_file(run.folder / "splits.json", json.dumps({"fingerprint": dataset.fingerprint, **dataset.held_out}))
        run.log(f"{settings.family} ({settings.preset}) on {dataset.source}")
        return run

    @property
    def history(self) -> Path:
        """The records of the epochs, a line of JSON each."""
        return self.folder / "history.jsonl"

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
        folder.mkdir(exist_ok=True)
        write_grid(folder / f"epoch-{epoch:04d}.png", pictures.numpy())


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
