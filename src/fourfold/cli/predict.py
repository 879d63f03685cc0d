"""`fourfold predict`: the classes of new inputs."""

from dataclasses import dataclass, field

from .arguments import Computing, InputPlaces, ModelPlace
from .console import Console, Output
from .write import TABLES, require_suffix, write_frame


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Name the classes of inputs, with probabilities."""

    model: ModelPlace
    inputs: InputPlaces
    out: str | None = None
    """Write every probability to this .csv or .parquet file."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print the likeliest class of each input."""
        path = require_suffix(self.out, TABLES) if self.out else None
        import polars as pl

        from ..api import load

        table = load(self.model, self.device).predict(self.inputs)
        assert isinstance(table, pl.DataFrame)
        if path:
            write_frame(table, path)
            console.say(f"{path}: {len(table)} rows")
        if not path or console.json:
            console.frame(table, ("input", "class", "probability"))
