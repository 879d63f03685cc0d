"""`fourfold evaluate`: how good a model is."""

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import Positional, arg

from .arguments import Computing, ModelPlace
from .console import Console, Output


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Judge a model on test data."""

    model: ModelPlace
    data: Positional[Annotated[str | None, arg(metavar="[DATA]")]] = None
    """Its test split is judged, or all of it if it has none; the model's own data if not given."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print the figures, and those of each class."""
        from ..api import load

        metrics = load(self.model, self.device).evaluate(self.data)
        if console.json:
            console.result(metrics)
            return
        single = [
            (name.replace("_", " "), value) for name, value in metrics.items() if not isinstance(value, dict | list)
        ]
        console.table(("figure", "value"), single)
        if "classes" in metrics:
            rows = [(name, *figures.values()) for name, figures in metrics["classes"].items()]
            console.table(("class", "precision", "recall", "count"), rows)
