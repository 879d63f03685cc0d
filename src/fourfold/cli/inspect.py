"""`fourfold inspect`: what data hold, and what is wrong with them."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

import tyro

from ..errors import DataError, UsageError, nearest
from ..families import FAMILIES
from ..settings import DataSettings, Settings
from .arguments import DataPlace
from .console import Console, Output
from .write import require_suffix

if TYPE_CHECKING:
    from ..data.audit import Audit
    from ..data.dataset import Dataset

ROWS, STEPS = 8, 7  # of a preview
# Of each task a family that has it; all read data for it alike.
TASKS: Mapping[str, type[Settings]] = {
    task: family for family in reversed(FAMILIES.values()) for task in get_args(family.model_fields["task"].annotation)
}


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Tell what data hold and what is wrong with them; ends with 3 if a finding is fatal."""

    data: DataPlace
    settings: DataSettings = field(default_factory=DataSettings)
    task: str | None = None
    """What the data are to be read for, as `train` takes it: regress, tag, forecast, write, detect, …"""
    horizon: int | None = None
    """Steps that are forecast (--task forecast)."""
    context: int | None = None
    """Steps of history that a forecast is made from (--task forecast)."""
    season: int | None = None
    """Steps in a season (--task forecast)."""
    normal: str | None = None
    """Classes that count as normal, parted by commas (--task detect)."""
    html: str | None = None
    """A page to write as well, with the pictures or lines of the worst examples (.html)."""
    augment: str | None = None
    """Augmentations of pictures to show, as `train` takes them: 'default', or names parted by commas."""
    preview: str = "augmented.png"
    """Where --augment shows them: in each row a training example, as it is and as seven steps would see it."""
    output: Output = field(default_factory=Output)

    @classmethod
    def usual(cls, arguments: Sequence[str]) -> Self:
        """What stands where no flag does: what `train` would have for the task that `arguments` name."""
        early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        early.add_argument("--task")
        task = early.parse_known_args(arguments)[0].task
        if task is None:
            return cls(data=tyro.MISSING)
        known = _family(task).resolve(task=task)
        values = {name: getattr(known, name) for name in DataSettings.model_fields}
        return cls(data=tyro.MISSING, settings=DataSettings(**values))

    def __call__(self, console: Console) -> None:
        """Print the audit, write its page, and end with 3 if a finding is fatal."""
        page = require_suffix(self.html, {".html": "a page"}, "--html") if self.html else None
        preview = require_suffix(self.preview, {".png": "a grid"}, "--preview") if self.augment else None
        settings = self._reading()
        from .. import data
        from ..data.audit import audit, in_memory, unfilled
        from ..report.progress import Progress

        # What is missing is to be told here, where training refuses it.
        strict = settings.impute == "none"
        reading = settings.model_copy(update={"impute": "median"}) if strict else settings
        with Progress(console.quiet) as progress:
            dataset = in_memory(data.open(self.data, reading, progress.reading))
        if self.augment and preview:
            _preview(dataset, self.augment, self.settings.seed, preview)
            console.say(f"{preview}: written")
        found = unfilled(audit(dataset)) if strict else audit(dataset)
        if console.json:
            console.result(found.as_dict())
        else:
            _show(found, console)
        if page:
            from ..report.inspection import write_page

            write_page(found, dataset, page)
            console.say(f"{page}: written")
        if found.fatal:
            raise SystemExit(DataError.exit_code)

    def _reading(self) -> DataSettings:
        """How the data are read for the task. Raises: UsageError for a flag of another task."""
        asked = {"horizon": self.horizon, "context": self.context, "season": self.season, "normal": self.normal}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        for name in given:
            belongs = "detect" if name == "normal" else "forecast"
            if self.task != belongs:
                raise UsageError(f"--{name} is for --task {belongs}; leave it out, or name that task")
        if self.task is None:
            return self.settings
        return _family(self.task).resolve(task=self.task, **self.settings.model_dump(), **given)


def _family(task: str) -> type[Settings]:
    """Settings that have a task. Raises: UsageError if no family does."""
    if task not in TASKS:
        raise UsageError(f"no task {task!r}; {nearest(task, TASKS)}")
    return TASKS[task]


def _preview(dataset: "Dataset", augment: str, seed: int, path: Path) -> None:
    """Write examples from all over the training split, each beside what some steps make of it."""
    import torch

    from ..data.augment import Augmentation, asked
    from ..data.feed import feed
    from ..data.formats.pictures import write_grid

    if dataset.schema.kind != "image":
        raise UsageError("--augment: a preview is drawn of pictures, and these data hold none; leave it out")
    augmentation = Augmentation(asked(augment, dataset.schema), dataset.schema)
    places = torch.linspace(0, len(dataset.train) - 1, min(ROWS, len(dataset.train))).long()
    batch = feed(dataset.train, dataset.schema, torch.device("cpu")).gather(places)
    columns = [batch.x, *(augmentation.apply(batch, seed, step).x for step in range(STEPS))]
    write_grid(path, torch.stack(columns, dim=1).flatten(0, 1).numpy(), columns=len(columns))


def _show(found: "Audit", console: Console) -> None:
    from ..report.inspection import counts, figures, numbers

    console.table(("figure", "value"), [("source", found.source), *figures(found)])
    console.table(*counts(found))
    if found.numbers:
        console.table(*numbers(found))
    if not found.findings:
        console.say("nothing is wrong that this audit looks for")
        return
    rows = [(finding.severity, finding.name, finding.count, finding.what, finding.mend) for finding in found.findings]
    console.table(("severity", "finding", "count", "what", "mend"), rows)
    examples = [(finding.name, example) for finding in found.findings for example in finding.examples]
    if examples:
        console.table(("finding", "example"), examples)
