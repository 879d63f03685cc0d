"""`fourfold generate`: new pictures, or new texts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..errors import StorageError, UsageError
from .arguments import Computing, ModelPlace
from .console import Console, Output
from .write import require_suffix, write_pictures

if TYPE_CHECKING:
    import numpy as np

    from ..model import Model

FORMATS = {".png": "one grid", ".npy": "an array"}
FILMS = {".gif": "a film that goes round", ".npy": "an array"}
TEXTS = {".txt": "texts, parted by a line of dashes", ".jsonl": "a line a text"}
DASHES = "\n---\n"
FEWER = 16  # pictures in a film that is not told how many
LAST = 50  # milliseconds that a frame lasts


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Make new pictures with a gan, or go on with a text with an rnn."""

    model: ModelPlace
    count: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """How many; 64 pictures, or 16 in a film, or 1 text, if not given."""
    seed: int = 0
    """The same seed makes the same pictures, or texts."""
    label: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """The class of all of them, if the gan learnt classes (--conditional); else classes take turns."""
    truncation: float = 1.0
    """Below 1: more usual pictures, and less different ones."""
    film: Annotated[int, tyro.conf.arg(metavar="FRAMES")] = 0
    """Frames of a film in which each picture turns into others and back into itself."""
    prompt: str | None = None
    """What a text begins with; nothing, if not given."""
    length: int | None = None
    """Pieces that a text goes on for, at most; 400, if not given."""
    temperature: float | None = None
    """Of a text: below 1 more usual, above 1 bolder; 1, if not given."""
    top_k: int | None = None
    """Choose each piece of a text from the so many likeliest alone; from all, if not given."""
    out: str | None = None
    """A grid as .png, a film of grids as .gif, or an array ([frames,] n, channels, height, width) as .npy;
    generated.png or generated.gif if not given. Texts as .txt or .jsonl; printed if not given."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Write the pictures and say where, or print the texts."""
        from ..api import load
        from ..families.contract import Writer

        if self.out and Path(self.out).suffix.lower() not in TEXTS:
            self._path()  # refuses what cannot be written before a model is read for nothing
        model = load(self.model, self.device)
        (self._texts if isinstance(model.family, Writer) else self._pictures)(model, console)

    def _texts(self, model: "Model", console: Console) -> None:
        self._refuse(("label", "truncation", "film"), "makes texts", "those are for pictures")
        path = require_suffix(self.out, TEXTS) if self.out else None
        given = {name: getattr(self, name) for name in ("count", "length", "temperature", "top_k")}
        asked = {name: value for name, value in given.items() if value is not None}
        texts = model.write(self.prompt or "", seed=self.seed, **asked)
        if path is None:
            console.result({"texts": texts}, DASHES.join(texts))
            return
        from ..storage import write_file

        lines = path.suffix.lower() == ".jsonl"
        write_file(path, "".join(f"{json.dumps({'text': each})}\n" for each in texts) if lines else DASHES.join(texts))
        console.result({"out": str(path), "texts": texts}, f"{path}: {len(texts)} text{'s' if len(texts) > 1 else ''}")

    def _pictures(self, model: "Model", console: Console) -> None:
        self._refuse(("prompt", "length", "temperature", "top_k"), "makes pictures", "those are for texts")
        path = self._path()
        count = self.count if self.count is not None else FEWER if self.film else 64
        pictures = model.generate(count, self.seed, self.label, self.truncation, self.film)
        (write_film if path.suffix.lower() == ".gif" else write_pictures)(pictures, path)
        told = f"{count} pictures" + (f" in {self.film} frames" if self.film else "")
        console.result({"out": str(path), "shape": list(pictures.shape)}, f"{path}: {told}")

    def _refuse(self, names: Sequence[str], makes: str, mend: str) -> None:
        """Raises: UsageError if a flag is given that is not for such a model."""
        plain = {field.name: field.default for field in fields(self)}
        for name in names:
            if getattr(self, name) != plain[name]:
                flag = "class" if name == "label" else name.replace("_", "-")
                raise UsageError(f"--{flag}: {self.model} {makes}, and {mend}; leave it out")

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
