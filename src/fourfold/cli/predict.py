"""`fourfold predict`: the classes of new inputs."""

from dataclasses import dataclass, field

from .arguments import Computing, InputPlaces, ModelPlace
from .console import Console, Output
from .detect import flat
from .write import TABLES, require_suffix, write_frame


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Name the classes of inputs, with probabilities."""

    model: ModelPlace
    inputs: InputPlaces
    out: str | None = None
    """Write every probability to this .csv or .parquet file."""
    views: bool = False
    """Take the mean over several views of each input (cnn): slower, often a little surer."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print the likeliest class of each input."""
        path = require_suffix(self.out, TABLES) if self.out else None
        import polars as pl

        from ..api import load

        table = load(self.model, self.device).predict(self.inputs, self.views)
        assert isinstance(table, pl.DataFrame)
        if path:
            write_frame(flat(table) if path.suffix.lower() == ".csv" else table, path)
            console.say(f"{path}: {len(table)} rows")
        if not path or console.json:
            told = ("input", "verdict", "score") if "verdict" in table.columns else ("input", "class", "probability")
            console.frame(table, told)
