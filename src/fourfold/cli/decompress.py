"""`fourfold decompress`: what a file of codes holds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from .arguments import Computing, ModelPlace
from .console import Console, Output
from .write import TABLES, require_suffix, write_frame, write_pictures

PICTURES = {".npy": "an array", ".png": "a grid"}
LARGEST = 1 << 31  # bytes of a file


@dataclass(frozen=True, kw_only=True)
class Decompress:
    """Decode a file that `fourfold compress` made, by the same model."""

    model: ModelPlace
    file: Positional[Annotated[str, arg(metavar="FILE")]]
    out: str | None = None
    """Where to write: .npy or .png for pictures, .csv or .parquet for tables; FILE with .npy or .csv if not given."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Write what comes back, and say where."""
        from ..answers import decoded_table
        from ..api import load
        from ..compress import decompress
        from ..errors import DataError

        model = load(self.model, self.device)
        pictures = model.schema.kind == "image"
        default = str(Path(self.file).with_suffix(".npy" if pictures else ".csv"))
        path = require_suffix(self.out or default, PICTURES if pictures else TABLES)
        try:
            with Path(self.file).open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise DataError(f"{self.file}: cannot be read ({error.strerror or error})") from None
        if len(content) > LARGEST:
            raise DataError(f"{self.file}: more than {LARGEST:,} bytes; compress the data in parts")
        restored = decompress(model, content, self.file)
        if pictures:
            write_pictures(restored, path)
        else:
            write_frame(decoded_table(model.schema, restored), path)
        document = {"out": str(path), "shape": list(restored.shape)}
        console.result(document, f"{path}: {len(restored):,} examples")
