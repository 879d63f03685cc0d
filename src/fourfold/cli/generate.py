"""`fourfold generate`: new pictures."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..errors import StorageError, UsageError
from .arguments import Computing, ModelPlace
from .console import Console, Output
from .write import require_suffix, write_pictures

if TYPE_CHECKING:
    import numpy as np

FORMATS = {".png": "one grid", ".npy": "an array"}
FILMS = {".gif": "a film that goes round", ".npy": "an array"}
FEWER = 16  # pictures in a film that is not told how many
LAST = 50  # milliseconds that a frame lasts


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Make new pictures with a gan."""

    model: ModelPlace
    count: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """How many; 64, or 16 in a film, if not given."""
    seed: int = 0
    """The same seed makes the same pictures."""
    label: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """The class of all of them, if the gan learnt classes (--conditional); else classes take turns."""
    truncation: float = 1.0
    """Below 1: more usual pictures, and less different ones."""
    film: Annotated[int, tyro.conf.arg(metavar="FRAMES")] = 0
    """Frames of a film in which each picture turns into others and back into itself."""
    out: str | None = None
    """A grid as .png, a film of grids as .gif, or an array ([frames,] n, channels, height, width) as .npy;
    generated.png or generated.gif if not given."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Write the pictures, and say where."""
        path = self._path()
        count = self.count if self.count is not None else FEWER if self.film else 64
        from ..api import load

        model = load(self.model, self.device)
        pictures = model.generate(count, self.seed, self.label, self.truncation, self.film)
        (write_film if path.suffix.lower() == ".gif" else write_pictures)(pictures, path)
        told = f"{count} pictures" + (f" in {self.film} frames" if self.film else "")
        console.result({"out": str(path), "shape": list(pictures.shape)}, f"{path}: {told}")

    def _path(self) -> Path:
        if self.film < 0:
            raise UsageError(f"--film {self.film}: a film has 1 frame or more, such as --film 60")
        if self.film:
            return require_suffix(self.out or "generated.gif", FILMS)
        if self.out and self.out.lower().endswith(".gif"):
            raise UsageError(
                f"--out {self.out}: a film, which takes --film 60 or so; without it .png and .npy can be written"
            )
        return require_suffix(self.out or "generated.png", FORMATS)


def write_film(pictures: "np.ndarray[Any, Any]", path: Path) -> None:
    """Write pictures (frames, n, channels, height, width) in [0, 1] as a film of grids that goes round.

    Raises: StorageError if the file cannot be written.
    """
    from PIL import Image

    from ..data.formats.pictures import SEEN, tile

    zoom = max(1, SEEN // max(pictures.shape[3:]))
    grids = [tile(frame.repeat(zoom, axis=2).repeat(zoom, axis=3)) for frame in pictures]
    images = [Image.fromarray(grid[:, :, 0] if grid.shape[2] == 1 else grid) for grid in grids]
    try:
        images[0].save(path, format="GIF", save_all=True, append_images=images[1:], duration=LAST, loop=0)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from None
