"""`fourfold detect`: what is not normal among new inputs."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .arguments import Computing, InputPlaces, ModelPlace
from .console import Console, Output
from .write import TABLES, require_suffix, write_frame, write_pictures

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from ..answers import Verdicts

MAPS = {".png": "a grid, each input above its map", ".npy": "an array (n, 1, height, width)"}
COLUMNS, ROWS = 16, 4  # of the grid


@dataclass(frozen=True, kw_only=True)
class Detect:
    """Score how far inputs are from normal, and tell which are beyond the threshold."""

    model: ModelPlace
    inputs: InputPlaces
    out: str | None = None
    """Write every score, verdict and share to this .csv or .parquet file."""
    heat: str | None = None
    """Write where pictures are abnormal: .png shows the most abnormal ones, .npy holds all maps."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print verdict and score of each input, the most abnormal first."""
        path = require_suffix(self.out, TABLES) if self.out else None
        heat = require_suffix(self.heat, MAPS, "--heat") if self.heat else None
        from ..api import load
        from ..errors import UsageError

        model = load(self.model, self.device)
        examples = model.read(self.inputs)
        verdicts = model.verdicts(examples)
        table = verdicts.frame(model.schema)
        if heat and model.schema.kind != "image":
            raise UsageError("--heat is for pictures; the shares of columns, channels and steps are in --out")
        if heat and heat.suffix.lower() == ".npy":
            write_pictures(verdicts.heat(), heat)
        elif heat:
            from ..data.schema import as_floats

            write_pictures(hottest(as_floats(examples.loaded).numpy(), verdicts), heat, COLUMNS)
        if path:
            write_frame(flat(table) if path.suffix.lower() == ".csv" else table, path)
        for written in filter(None, (path, heat)):
            console.say(f"{written}: written")
        console.say(f"{int(verdicts.abnormal.sum())} of {len(table)} above the threshold {verdicts.threshold:.4g}")
        console.frame(table if console.json else table.sort("score", descending=True), ("input", "verdict", "score"))


def flat(table: "pl.DataFrame") -> "pl.DataFrame":
    """The table with the shares of steps as text, since CSV has no lists."""
    import polars as pl

    return table.with_columns(pl.col(pl.List).cast(pl.List(pl.String)).list.join(" "))


def hottest(x: "np.ndarray", verdicts: "Verdicts") -> "np.ndarray":
    """Colour pictures of a grid: rows of the most abnormal inputs, each above the same with its map in red."""
    import numpy as np

    first = np.argsort(-verdicts.scores, kind="stable")[: COLUMNS * ROWS]
    colour = np.broadcast_to(x[first], (len(first), 3, *x.shape[2:]))
    maps = np.stack([verdicts.shares[i] / verdicts.shares[i].max() for i in first])[:, None]
    red = np.array([0.9, 0.1, 0.1], dtype=np.float32).reshape(1, 3, 1, 1)
    overlaid = colour * (1 - 0.7 * maps) + red * 0.7 * maps
    blank = np.ones_like(colour[:1])
    rows = []
    for start in range(0, len(first), COLUMNS):
        for source in (colour, overlaid):
            row = source[start : start + COLUMNS]
            rows.append(np.concatenate([row, np.repeat(blank, COLUMNS - len(row), axis=0)]))
    return np.concatenate(rows).astype(np.float32)
