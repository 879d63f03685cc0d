"""Data sets of the Hugging Face hub, and folders that its `datasets` library wrote, as tables.

    hf:OWNER/NAME, hf:OWNER/NAME/CONFIG     from the hub, or from that library's cache
    hf:FOLDER                               as Dataset.save_to_disk or DatasetDict.save_to_disk writes it

Each split becomes a frame, as a table's file does. Pictures and sounds become cells that name
files of an archive in memory, and are read as the files that any table names. No script runs:
the library gave them up in version 4, and a folder is never opened as anything but saved data.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl

from ...errors import DataError
from ..dataset import Request
from ..finding import FEW, Finding
from ..formats.frames import FILES, Frame
from ..formats.places import Archive, Zipped
from ..formats.text_files import SPLITS
from ..progress import untold

PREFIX = "hf:"
NAME = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(/(?P<config>[^/]+))?")  # a bare one may be a format of the library
SPLIT = re.compile(r"\w[\w.-]*")
NAMES = {**SPLITS, "dev": "validation"}
SUFFIX = {"Image": ".png", "Audio": ".wav"}  # by the library's type; what is in a file tells its format
ISO = {pl.Date: "%Y-%m-%d", pl.Datetime: "%Y-%m-%dT%H:%M:%S%.f", pl.Time: "%H:%M:%S%.f"}


@dataclass(frozen=True)
class _Split:
    """A split's columns as the library has them."""

    table: Any  # pyarrow.Table
    features: Mapping[str, Any]

    def of_type(self, *types: str) -> list[str]:
        """The columns of these types of the library."""
        return [name for name, feature in self.features.items() if type(feature).__name__ in types]


def matches(data: str | Path) -> bool:
    """Whether this names a data set of the hub, or a folder of its library."""
    return str(data).startswith(PREFIX)


def load_all(name: str, request: Request) -> dict[str, Frame]:
    """The table of each split.

    What neither is text, numbers, classes, pictures or sounds is left out, and told of.
    Raises: DataError if it cannot be had, or has no split to train on.
    """
    library = _library()
    with _quiet(library, request), _failures(name):
        loaded = _open(library, name)
        chosen, remarks = _choose(name, loaded)
        splits = {split: _arrow(loaded[given]) for split, given in chosen.items()}
        return _frames(name, splits, remarks, request)


def _library() -> ModuleType:
    try:
        datasets = import_module("datasets")
    except ImportError:
        raise DataError('data sets of the hub need one more library: pip install "fourfold[hub]"') from None
    if int(datasets.__version__.split(".")[0]) < 4:  # those run the scripts that a data set brings
        raise DataError(f'datasets {datasets.__version__} is too old to be safe: pip install "fourfold[hub]"')
    return datasets


@contextmanager
def _quiet(library: ModuleType, request: Request) -> Iterator[None]:
    """Without the library's progress bars, if nobody wants to see progress."""
    hidden = library.utils.are_progress_bars_disabled()
    if request.progress is untold:
        library.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            library.enable_progress_bars()


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """Tell whatever the library trips over as one error."""
    try:
        yield
    except DataError:
        raise
    except ConnectionError as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        mend = "unset HF_HUB_OFFLINE, or name" if offline else "try again with a connection, or name"
        what = f"not in this machine's cache, and the hub cannot be reached ({_first_line(error)})"
        raise DataError(f"{name}: {what}; {mend} a folder that save_to_disk wrote") from None
    except Exception as error:  # it reads JSON, YAML, Arrow and the network, and each has errors of its own
        raise DataError(f"{name}: cannot be opened ({type(error).__name__}: {_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


# Opening


def _open(library: ModuleType, name: str) -> Mapping[str, Any]:
    """The library's data set of each split, by the names that the splits have there."""
    given = name.removeprefix(PREFIX)
    path = Path(given).expanduser()
    if path.exists():
        return _open_folder(library, name, path)
    match = NAME.fullmatch(given)
    if match is None or given.startswith("."):
        raise DataError(f"{name}: no such folder, and no name such as hf:ylecun/mnist, with its owner")
    loaded: Mapping[str, Any] = library.load_dataset(match["id"], match["config"])
    return loaded


def _open_folder(library: ModuleType, name: str, path: Path) -> dict[str, Any]:
    if (path / "state.json").is_file():
        return {"train": library.Dataset.load_from_disk(str(path.resolve()))}
    if not (path / "dataset_dict.json").is_file():
        raise DataError(f"{name}: no folder that save_to_disk wrote; files of other kinds are named without hf:")
    names = json.loads((path / "dataset_dict.json").read_bytes())["splits"]
    if not all(isinstance(each, str) and SPLIT.fullmatch(each) for each in names):
        raise DataError(f"{name}: its dataset_dict.json names splits that are no plain words; do not trust it")
    return {each: library.Dataset.load_from_disk(str((path / each).resolve())) for each in names}


def _choose(name: str, loaded: Mapping[str, Any]) -> tuple[dict[str, str], tuple[Finding, ...]]:
    """The name that each split has in the data, and what is to be told of those that are none."""
    chosen: dict[str, str] = {}
    others: list[str] = []
    for given in loaded:
        split = NAMES.get(given.lower())
        if split is None:
            others.append(given)
        elif split in chosen:
            raise DataError(f"{name}: a second {split} split, {given}, beside {chosen[split]}; save one of them")
        else:
            chosen[split] = given
    if "train" not in chosen:
        raise DataError(f"{name}: holds {', '.join(loaded) or 'no split'}, but no train; give one this name")
    what, mend = "splits that are neither train, validation nor test and are left out", "name them so to use them"
    told = (Finding("note", "splits", what, len(others), tuple(others[:FEW]), mend),) if others else ()
    return {split: chosen[split] for split in ("train", "validation", "test") if split in chosen}, told


def _arrow(dataset: Any) -> _Split:
    table = dataset.with_format("arrow")[:]
    table.validate(full=True)  # an Arrow file may point anywhere, and is mapped as it is
    return _Split(table, dataset.features)


# Columns


def _frames(
    name: str, splits: Mapping[str, _Split], remarks: tuple[Finding, ...], request: Request
) -> dict[str, Frame]:
    column = _file_column(name, splits["train"], request)
    files = {split: _Files(name, split, each, column) for split, each in splits.items()} if column else {}
    sizes = {file: size for each in files.values() for file, size in each.sizes.items()}
    archive = Archive(Path(name), sizes, lambda file: files[file.split("/")[0]].read(file))
    frames: dict[str, Frame] = {}
    for split, each in splits.items():
        cells = _cells(each) | ({column: files[split].names()} if column else {})
        unlabelled = [one for one in each.of_type("ClassLabel") if split != "train" and (cells[one] == "").all()]
        if unlabelled and not request.schema:
            remarks += (_unlabelled(split),)
            continue
        kept = {one: cells[one] for one in each.features if one in cells and one not in unlabelled}
        frames[split] = Frame(Zipped(archive, split), range(1, len(each.table) + 1), kept)
    lost = [f"{one} ({each})" for one, each in splits["train"].features.items() if one not in frames["train"].cells]
    if lost:
        what, mend = "columns that are neither text nor numbers and are left out", "map them to such to use them"
        remarks += (Finding("note", "columns", what, len(lost), tuple(lost[:FEW]), mend),)
    return frames | {"train": replace(frames["train"], remarks=remarks)}


def _unlabelled(split: str) -> Finding:
    what, mend = "splits without labels, which cannot judge, and are left out", "give them labels to use them"
    return Finding("note", "unlabelled", what, 1, (split,), mend)


def _cells(split: _Split) -> dict[str, pl.Series]:
    """The columns of text (without nulls), of numbers and of classes, by their names."""
    cells: dict[str, pl.Series] = {}
    for name in split.of_type("Value", "ClassLabel"):
        column = pl.Series(name, pl.from_arrow(split.table.column(name)))
        names = getattr(split.features[name], "names", None)
        if names:
            column = pl.Series(name, [names[each] if each in range(len(names)) else "" for each in column], pl.String)
        kind = column.dtype.base_type()
        if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
            column = column.dt.convert_time_zone("UTC")
        if column.dtype.is_numeric():
            cells[name] = column.cast(pl.Float64) if kind == pl.Decimal else column
        elif kind in ISO:
            cells[name] = column.dt.strftime(ISO[kind]).fill_null("")
        elif kind in (pl.String, pl.Boolean):
            cells[name] = column.cast(pl.String).fill_null("").str.strip_chars()
    return cells


# Pictures and sounds


def _file_column(name: str, train: _Split, request: Request) -> str | None:
    """The column of pictures or sounds that the examples are, if they are such."""
    columns = train.of_type(*SUFFIX)
    asked = request.reading.path
    if asked in columns:
        return asked
    if not columns or asked or request.kind not in ("auto", *FILES) or request.reading.text:
        return None
    if len(columns) > 1:
        raise DataError(f"{name}: which of {', '.join(columns)} are the examples? Name it with --path")
    return columns[0]


class _Files:
    """A column's pictures or sounds as files; they are named by their rows.

    Raises: DataError if a row tells only where its file is.
    """

    def __init__(self, name: str, split: str, data: _Split, column: str) -> None:
        compute = import_module("pyarrow.compute")
        self._values = data.table.column(column)
        content, path = (compute.struct_field(self._values, part) for part in ("bytes", "path"))
        loose = compute.and_(compute.is_null(content), compute.is_valid(path)).index(True).as_py()
        if loose >= 0:
            mend = "save it with save_to_disk, which takes them in, and name that folder"
            raise DataError(f"{name}/{split}, row {loose + 1}, column {column!r}: a file of its own; {mend}")
        suffix = SUFFIX[type(data.features[column]).__name__]
        sizes = compute.binary_length(content).to_pylist()
        self._names = [f"{split}/{row}{suffix}" if size else "" for row, size in enumerate(sizes, 1)]
        self._rows = {file: row for row, file in enumerate(self._names) if file}
        self.sizes = {file: sizes[row] for file, row in self._rows.items()}  # bytes, by the name in the archive

    def names(self) -> pl.Series:
        """Each row's file, relative to the frame; "" where there is none."""
        return pl.Series(self._names, dtype=pl.String)

    def read(self, name: str) -> bytes:
        """All of a file."""
        content: bytes = self._values[self._rows[name]].as_py()["bytes"]
        return content
