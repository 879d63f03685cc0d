"""Time series in the .ts format of the UCR and UEA archives, packed (.ts.gz) or not.

    # a comment
    @problemName vowels
    @classLabel true 1 2
    @data
    1.5,2.5:0.5,0.25:1                  channels parted by ':', their values by ',', the label last

NAME_TRAIN, NAME_TEST and NAME_VALIDATION are one data set. Within a row all channels are
equally long; rows may differ.
Format: https://www.aeon-toolkit.org/en/stable/api_reference/file_specifications/ts.html
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import DataError
from ..dataset import Content, Examples, Request
from . import check_kind, classify, entries, known_classes, read_text

ORDER = ("train", "validation", "test")
NAME = re.compile(r"(?P<name>.+?)(?:_(?P<split>TRAIN|TEST|VALIDATION))?\.ts(\.gz)?")


@dataclass(frozen=True)
class _Header:
    """What comes before the data. None: the file does not say."""

    first: int  # the first line of data, from 0
    labelled: bool | None
    classes: tuple[str, ...]
    channels: int | None


@dataclass(frozen=True)
class _Rows:
    """The data of one file: each row's values (channels, time), its label and its name."""

    values: list[np.ndarray]
    labels: list[str] | None
    names: list[str]
    classes: tuple[str, ...]


def matches(path: Path) -> bool:
    """Whether this is a .ts file, or a folder with one."""
    files = entries(path) if path.is_dir() else [path]
    return any(NAME.fullmatch(file.name) for file in files)


def read(path: Path, request: Request) -> Content:
    """The series at `path`: a data set's folder, its _TRAIN file or any other file.

    To train, a _TRAIN file brings those beside it; under a schema it stands alone.

    Rows shorter than the longest are padded with zeros and lengths are given, in every
    split, unless all rows of all splits are equally long.
    Raises: DataError naming file and line: a value that is missing or no number, channels
    that do not agree, an empty series, an unknown label, time stamps.
    """
    check_kind(path, "series", request)
    schema = request.schema
    found = {"train": path} if schema and path.is_file() else _files(path)  # a model is asked about this file alone
    files = {split: _read_file(file) for split, file in found.items()}
    train = files["train"]
    channels = schema.shape[0] if schema else len(train.values[0])
    for rows in files.values():
        if len(rows.values[0]) != channels:
            raise DataError(f"{rows.names[0]}: {len(rows.values[0])} channels where {channels} are expected")
    classes = train.classes if train.classes and not schema else known_classes(train.labels, request)
    lengths = {values.shape[1] for rows in files.values() for values in rows.values}
    splits = {split: _examples(rows, classes, ragged=len(lengths) > 1) for split, rows in files.items()}
    return Content("series", splits, classes)


def _files(path: Path) -> dict[str, Path]:
    """The file of each split."""
    if not path.is_dir():
        match = NAME.fullmatch(path.name)
        if match is None or match["split"] != "TRAIN":
            return {"train": path}
        found = _data_sets(path.parent).get(match["name"], {}) | {"train": path}
        return {split: found[split] for split in ORDER if split in found}
    data_sets = _data_sets(path)
    if len(data_sets) != 1:
        raise DataError(f"{path}: holds {len(data_sets)} data sets ({', '.join(data_sets)}); name one's _TRAIN file")
    [(name, found)] = data_sets.items()
    if len(found) == 1:
        return {"train": next(iter(found.values()))}
    if "train" not in found or "" in found:
        raise DataError(f"{path}: {name}.ts comes in parts, so {name}_TRAIN.ts must be one of them, and no {name}.ts")
    return {split: found[split] for split in ORDER if split in found}


def _data_sets(folder: Path) -> dict[str, dict[str, Path]]:
    """The .ts files in a folder by data set and split; unpacked ones before packed ones."""
    found: dict[str, dict[str, Path]] = {}
    for file in entries(folder):  # sorted, so NAME.ts comes before NAME.ts.gz
        if match := NAME.fullmatch(file.name):
            found.setdefault(match["name"], {}).setdefault((match["split"] or "").lower(), file)
    return found


def _read_file(path: Path) -> _Rows:
    lines = read_text(path).split("\n")
    header = _read_header(path, lines)
    labelled, channels = header.labelled, header.channels
    values: list[np.ndarray] = []
    labels: list[str] = []
    names: list[str] = []
    for number, line in enumerate(lines[header.first :], header.first + 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}, row {number}"
        fields = line.split(":")
        if labelled is None:
            labelled = _last_is_label(len(fields), channels, where)
        if labelled:
            label = fields.pop().strip()
            if header.classes and label not in header.classes:
                raise DataError(f"{where}: unknown label {label!r}; the header names {', '.join(header.classes)}")
            labels.append(label)
        channels = len(fields) if channels is None else channels
        if len(fields) != channels:
            raise DataError(f"{where}: {len(fields)} channels where {channels} are expected; is the label missing?")
        values.append(_parse(fields, where))
        names.append(where)
    if not values:
        raise DataError(f"{path}: no series after '@data'")
    return _Rows(values, labels if labelled else None, names, header.classes)


def _read_header(path: Path, lines: list[str]) -> _Header:
    labelled: bool | None = None
    channels: int | None = None
    classes: tuple[str, ...] = ()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        tag, *values = line.split()
        said = values[0].lower() if values else ""
        match tag.lower():
            case "@data":
                return _Header(number, labelled, classes, channels)
            case "@timestamps" if said == "true":
                raise DataError(f"{path}, row {number}: series with time stamps cannot be read; sample them evenly")
            case "@targetlabel" if said == "true":
                raise DataError(f"{path}, row {number}: series with numeric targets cannot be read; give classes")
            case "@univariate" if said == "true":
                channels = 1
            case "@dimension" | "@dimensions":
                if not re.fullmatch(r"[1-9]\d{0,5}", said):
                    raise DataError(f"{path}, row {number}: {tag} needs a number of channels, not {said!r}")
                channels = int(said)
            case "@classlabel":
                labelled, classes = said == "true", tuple(values[1:])
            case other if not other.startswith("@"):
                raise DataError(f"{path}, row {number}: {line[:20]!r} before '@data'; header lines begin with '@'")
    raise DataError(f"{path}: no line '@data'; is this a .ts file?")


def _last_is_label(fields: int, channels: int | None, where: str) -> bool:
    """Whether rows of so many fields end in a label, if the header leaves it open."""
    if channels is None:
        raise DataError(f"{where}: the header must tell '@classLabel false', or '@classLabel true' and the labels")
    return fields == channels + 1


def _parse(fields: list[str], where: str) -> np.ndarray:
    """A row's values, float32 (channels, time)."""
    lengths = [field.count(",") + 1 for field in fields]
    if not all(fields) or "" in map(str.strip, fields):
        raise DataError(f"{where}: a series of zero length")
    if len(set(lengths)) > 1:
        raise DataError(f"{where}: its channels differ in length ({min(lengths)} to {max(lengths)} values)")
    cells = ",".join(fields).split(",")
    try:
        with np.errstate(over="ignore"):
            values = np.array(cells, dtype=np.float32)
    except ValueError:
        raise DataError(f"{where}: {_odd(cells)!r} is no number; fill missing values or remove the row") from None
    if not np.isfinite(values).all():
        odd = cells[int(np.isfinite(values).argmin())].strip()
        raise DataError(f"{where}: {odd!r} is not finite in 32 bits; fill missing values or remove the row")
    return values.reshape(len(fields), -1)


def _odd(cells: list[str]) -> str:
    """The first cell that is no number."""
    for cell in cells:
        try:
            float(cell)
        except ValueError:
            return cell.strip()
    return ""


def _examples(rows: _Rows, classes: tuple[str, ...] | None, ragged: bool) -> Examples:
    lengths = [values.shape[1] for values in rows.values]
    x_ntc = np.zeros((len(lengths), max(lengths), len(rows.values[0])), dtype=np.float32)
    for row, values in enumerate(rows.values):
        x_ntc[row, : values.shape[1]] = values.T
    return Examples(
        x=torch.from_numpy(x_ntc),
        names=rows.names,
        y=classify(rows.labels, classes, rows.names),
        lengths=torch.tensor(lengths) if ragged else None,
    )
