"""`fourfold predict`: the classes, tags or numbers of new inputs, or what follows them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .arguments import Computing, InputPlaces, ModelPlace
from .console import Console, Output
from .detect import flat
from .write import TABLES, require_suffix, write_frame

if TYPE_CHECKING:
    import polars as pl

    from ..model import Model


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Name the classes or tags of inputs, with probabilities, or tell their numbers, or what follows them."""

    model: ModelPlace
    inputs: InputPlaces = ()
    out: str | None = None
    """Write every probability to this .csv or .parquet file."""
    views: bool = False
    """Take the mean over several views of each input (cnn): slower, often a little surer."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print what is likeliest of each input, or what follows it or, without any, the model's own data."""
        path = require_suffix(self.out, TABLES) if self.out else None
        import polars as pl

        from ..api import load
        from ..families.contract import Forecaster

        model = load(self.model, self.device)
        ahead = isinstance(model.family, Forecaster)
        table = self._forecast(model, console) if ahead else model.predict(self.inputs, self.views)
        assert isinstance(table, pl.DataFrame)
        if path:
            write_frame(flat(table) if path.suffix.lower() == ".csv" else table, path)
            console.say(f"{path}: {len(table)} rows")
        if not path or console.json:
            console.frame(table, _shown(table.columns))

    def _forecast(self, model: "Model", console: Console) -> "pl.DataFrame":
        """The steps ahead, drawn into the run's plots if the model has a run."""
        from ..report.forecast import draw

        forecasts = model.forecast(self.inputs or None)
        if model.run:
            path = model.run / "plots" / "forecast.png"
            draw(forecasts, model.schema, path)
            console.say(f"{path}: written")
        return forecasts.frame(model.schema)


def _shown(columns: list[str]) -> list[str]:
    """The columns of a table of answers that people see: without all but the best probabilities."""
    for several in (["input", "verdict", "score"], ["input", "class", "probability"], ["input", "tags"]):
        if set(several) <= set(columns):
            return several
    return columns
