"""Results as files, in the format that the file's name asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def require_suffix(out: str, formats: Mapping[str, str], flag: str = "--out") -> Path:
    """The path `out` that `flag` gives, if its suffix is one of `formats` (suffix: meaning).

    Raises: UsageError, naming what can be written.
    """
    path = Path(out)
    if path.suffix.lower() not in formats:
        raise UsageError(
            f"{flag} {out}: {', '.join(f'{suffix} ({what})' for suffix, what in formats.items())} can be written"
        )
    if path.parent != Path() and not path.parent.is_dir():
        raise UsageError(f"{flag} {out}: there is no folder {path.parent}")
    return path


TABLES = {".csv": "text", ".parquet": "binary"}


def write_frame(frame: "pl.DataFrame", path: Path) -> None:
    """Write a table as CSV or Parquet.

    In CSV a text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    if path.suffix.lower() == ".parquet":
        frame.write_parquet(path)
        return
    import polars as pl

    guarded = pl.col(pl.String).str.replace(r"^([=+\-@\t\r])", "'$1")
    frame.with_columns(guarded).write_csv(path)


def write_pictures(pictures: "np.ndarray[Any, Any]", path: Path, columns: int | None = None) -> None:
    """Write pictures (n, channels, height, width) in [0, 1] as an array (.npy) or as one grid (.png)."""
    import numpy as np

    from ..data.formats.pictures import write_grid

    if path.suffix.lower() == ".npy":
        np.save(path, pictures, allow_pickle=False)
    else:
        write_grid(path, pictures, columns)
