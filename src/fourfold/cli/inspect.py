"""`fourfold inspect`: what data hold, and what is wrong with them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, UsageError
from ..settings import DataSettings
from .arguments import DataPlace
from .console import Console, Output
from .write import require_suffix

if TYPE_CHECKING:
    from ..data.audit import Audit
    from ..data.dataset import Dataset

ROWS, STEPS = 8, 7  # of a preview


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Tell what data hold and what is wrong with them; ends with 3 if a finding is fatal."""

    data: DataPlace
    settings: DataSettings = field(default_factory=DataSettings)
    html: str | None = None
    """A page to write as well, with the pictures or lines of the worst examples (.html)."""
    augment: str | None = None
    """Augmentations of pictures to show, as `train` takes them: 'default', or names parted by commas."""
    preview: str = "augmented.png"
    """Where --augment shows them: in each row a training example, as it is and as seven steps would see it."""
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print the audit, write its page, and end with 3 if a finding is fatal."""
        page = require_suffix(self.html, {".html": "a page"}, "--html") if self.html else None
        preview = require_suffix(self.preview, {".png": "a grid"}, "--preview") if self.augment else None
        from .. import data
        from ..data.audit import audit, in_memory, unfilled
        from ..report.progress import Progress

        # What is missing is to be told here, where training refuses it.
        strict = self.settings.impute == "none"
        reading = self.settings.model_copy(update={"impute": "median"}) if strict else self.settings
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
    from ..report.inspection import counts, figures

    console.table(("figure", "value"), [("source", found.source), *figures(found)])
    console.table(*counts(found))
    if not found.findings:
        console.say("nothing is wrong that this audit looks for")
        return
    rows = [(finding.severity, finding.name, finding.count, finding.what, finding.mend) for finding in found.findings]
    console.table(("severity", "finding", "count", "what", "mend"), rows)
    examples = [(finding.name, example) for finding in found.findings for example in finding.examples]
    if examples:
        console.table(("finding", "example"), examples)
