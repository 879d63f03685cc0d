"""`fourfold reconstruct`: what an autoencoder gives back."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .arguments import Computing, InputPlaces, ModelPlace
from .console import Console, Output
from .write import TABLES, require_suffix, write_frame, write_pictures

if TYPE_CHECKING:
    import numpy as np

PICTURES = {".png": "a grid, each input above its reconstruction", ".npy": "an array"}
COLUMNS, ROWS = 16, 4  # of the grid


@dataclass(frozen=True, kw_only=True)
class Reconstruct:
    """Encode inputs, decode them again, and tell the error of each."""

    model: ModelPlace
    inputs: InputPlaces
    out: str | None = None
    """Where to write: .png or .npy for pictures, .csv or .parquet for tables."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print the errors, and write the reconstructions."""
        from ..api import load
        from ..data.schema import as_floats

        model = load(self.model, self.device)
        pictures = model.schema.kind == "image"
        path = require_suffix(self.out, PICTURES if pictures else TABLES) if self.out else None
        examples = model.read(self.inputs)
        restored, errors = model.reconstruct_examples(examples)
        if path and pictures:
            grid = path.suffix.lower() == ".png"
            write_pictures(pairs(as_floats(examples.loaded).numpy(), restored) if grid else restored, path, COLUMNS)
        elif path:
            write_frame(model.reconstruction_table(examples, restored, errors), path)
        if path:
            console.say(f"{path}: written")
        rows = [{"input": name, "error": error} for name, error in zip(examples.names, errors.tolist(), strict=True)]
        if console.json:
            console.result({"out": str(path) if path else None, "mean_error": float(errors.mean()), "inputs": rows})
        else:
            console.table(("input", "error"), [tuple(row.values()) for row in rows])


def pairs(x: "np.ndarray[Any, Any]", restored: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Pictures in the order of a grid in which each row of inputs stands above its reconstructions."""
    import numpy as np

    blank = np.ones_like(x[:1])
    rows = []
    for start in range(0, min(len(x), COLUMNS * ROWS), COLUMNS):
        for source in (x, restored):
            row = source[start : start + COLUMNS]
            rows.append(np.concatenate([row, np.repeat(blank, COLUMNS - len(row), axis=0)]))
    return np.concatenate(rows)
