"""`fourfold encode`: short codes."""

from dataclasses import dataclass, field

from .arguments import Computing, DataPlace, ModelPlace
from .console import Console, Output
from .write import TABLES, require_suffix, write_frame


@dataclass(frozen=True, kw_only=True)
class Encode:
    """Write an autoencoder's codes of data."""

    model: ModelPlace
    data: DataPlace
    out: str = "codes.npy"
    """The codes alone as .npy (n, latent), or with the inputs' names as .csv or .parquet."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Write the codes, and say where."""
        path = require_suffix(self.out, {".npy": "an array", **TABLES})
        import numpy as np
        import polars as pl

        from ..api import load

        table = load(self.model, self.device).encode(self.data)
        assert isinstance(table, pl.DataFrame)
        if path.suffix.lower() == ".npy":
            np.save(path, table.drop("input").to_numpy(), allow_pickle=False)
        else:
            write_frame(table, path)
        document = {"out": str(path), "count": len(table), "latent_size": table.width - 1}
        console.result(document, f"{path}: {len(table)} codes of {table.width - 1} numbers")
