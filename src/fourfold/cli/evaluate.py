"""`fourfold evaluate`: how good a model is, how sure that is, and what plain means would do."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from .arguments import Computing, ModelPlace
from .console import Console, Output


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Judge a model on test data, with intervals, beside what plain means reach on the same examples."""

    model: ModelPlace
    data: Positional[Annotated[str | None, arg(metavar="[DATA]")]] = None
    """Its test split is judged, or all of it if it has none; the model's own data if not given."""
    out: str | None = None
    """Folder for evaluation.json and its pictures; `evaluation` in the run's folder if not given."""
    features: Annotated[str | None, arg(metavar="MODEL")] = None
    """A classifier of such pictures, by which generated ones are described; a small one is trained if not given."""
    views: bool = False
    """Judge by several views of each example as well (cnn); told apart from the other figures."""
    seed: int = 0
    """Decides what is generated to be judged."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print the figures and those of each class, and write them down with pictures."""
        from ..api import load

        model = load(self.model, self.device)
        extractor = load(self.features, self.device) if self.features else None
        from ..engine.evaluate import scalars
        from ..judge import judge
        from ..report.evaluation import table, write

        judgement = judge(model, self.data, extractor, self.seed)
        figures = judgement.figures
        if self.views:
            figures["views"] = scalars(model.evaluate(self.data, views=True))
        folder = self._folder(model.run)
        if folder:
            write(judgement, folder)
            console.say(f"{folder}: written")
        if console.json:
            console.result(figures)
            return
        console.table(*table(figures))
        if "classes" in figures:
            rows = [(name, *each.values()) for name, each in figures["classes"].items()]
            console.table(("class", "precision", "recall", "F1", "count"), rows)
        for several, noun in (("tags", "tag"), ("targets", "number")):
            if several in figures:
                columns = [noun, *next(iter(figures[several].values()))]
                console.table(columns, [(name, *each.values()) for name, each in figures[several].items()])
        if "balance" in figures:
            shares = [(name, *each.values()) for name, each in figures["balance"].items()]
            console.table(("class", "share of the generated", "of the real"), shares)
        if self.views:
            console.table(("by several views", "value"), list(figures["views"].items()))
        for remark in figures["remarks"]:
            console.say(f"note: {remark}")

    def _folder(self, run: Path | None) -> Path | None:
        """Where to write: None for a model without a run. Other data than its own have a folder of their own."""
        if self.out or run is None:
            return Path(self.out) if self.out else None
        name = "evaluation" if self.data is None else f"evaluation-{Path(self.data).name}"
        return run / re.sub(r"[^\w.-]+", "-", name)
