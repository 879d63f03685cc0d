"""`fourfold generate`: new pictures."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from .arguments import Computing, ModelPlace
from .console import Console, Output
from .write import require_suffix, write_pictures

FORMATS = {".png": "one grid", ".npy": "an array"}


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Make new pictures with a gan."""

    model: ModelPlace
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
    """How many."""
    seed: int = 0
    """The same seed makes the same pictures."""
    out: str = "generated.png"
    """A grid as .png, or an array (n, channels, height, width) as .npy."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Write the pictures, and say where."""
        path = require_suffix(self.out, FORMATS)
        from ..api import load

        pictures = load(self.model, self.device).generate(self.count, self.seed)
        write_pictures(pictures, path)
        console.result({"out": str(path), "shape": list(pictures.shape)}, f"{path}: {self.count} pictures")
