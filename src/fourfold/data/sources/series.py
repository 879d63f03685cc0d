"""Time series in the .ts format of the UCR and UEA archives, packed (.ts.gz) or not.

    # a comment
    @problemName vowels
    @classLabel true 1 2
    @data
    1.5,2.5:0.5,0.25:1                  channels parted by ':', their values by ',', the label last

NAME_TRAIN, NAME_TEST and NAME_VALIDATION are one data set. Within a row all channels are
equally long; rows may differ unless the header says @equalLength true or a @seriesLength.
A value that is missing is written ? or NaN. Tags, and labels that the header names, may be
written in capitals or not, as the archives' own readers take them.
Format: https://www.aeon-toolkit.org/en/stable/api_reference/file_specifications/ts.html
"""

import re
from dataclasses import dataclass, replace

import numpy as np

from ...errors import DataError
from ..dataset import Content, Examples, Request
from ..formats.places import Place, entries
from ..formats.text_files import read_text
from ..schema import Aim
from ..targets import answers, known_names
from ..timeline import fill, filled_finding, stack
from . import check_kind

ORDER = ("train", "validation", "test")
NAME = re.compile(r"(?P<name>.+?)(?:_(?P<split>TRAIN|TEST|VALIDATION))?\.ts(\.gz)?")


@dataclass(frozen=True)
class _Header:
    """What comes before the data. None: the file does not say.

    first: the first line of data, from 0. equal: whether all series have the same steps; steps: how many these are.
    """

    first: int = 0
    labelled: bool | None = None
    classes: tuple[str, ...] = ()
    channels: int | None = None
    equal: bool | None = None
    steps: int | None = None


@dataclass(frozen=True)
class _Rows:
    """The data of one file: each row's values (time, channels), label, name and number of values that were filled."""

    values: list[np.ndarray]
    labels: list[str] | None
    names: list[str]
    filled: list[int]
    classes: tuple[str, ...]


def matches(path: Place, request: Request) -> bool:
    """Whether this is a .ts file, or a folder with one."""
    files = entries(path) if path.is_dir() else [path]
    return any(NAME.fullmatch(file.name) for file in files)


def read(path: Place, request: Request) -> Content:
    """The series at `path`: a data set's folder, its _TRAIN file or any other file.

    To train, a _TRAIN file brings those beside it; under a schema it stands alone.

    Rows shorter than the longest are padded with zeros and lengths are given, in every
    split, unless all rows of all splits are equally long.
    Raises: DataError naming file and line: a value that is no number, or missing without
    --impute, channels or lengths that do not agree, an empty series, an unknown label, time stamps.
    """
    check_kind(path, "series", request)
    schema = request.schema
    found = {"train": path} if schema and not path.is_dir() else _files(path)  # a model is asked about this file alone
    files = {split: _read_file(file, request) for split, file in found.items()}
    train = files["train"]
    channels = schema.shape[0] if schema else train.values[0].shape[1]
    for rows in files.values():
        if rows.values[0].shape[1] != channels:
            raise DataError(f"{rows.names[0]}: {rows.values[0].shape[1]} channels where {channels} are expected")
    named = train.classes and request.aim == "classes" and not schema
    classes = train.classes if named else known_names(train.labels, request)
    lengths = {len(values) for rows in files.values() for values in rows.values}
    ragged = len(lengths) > 1
    splits = {split: _examples(rows, classes, ragged, request.aim) for split, rows in files.items()}
    filled = {name: count for rows in files.values() for name, count in zip(rows.names, rows.filled, strict=True)}
    spots = [f"{name}: {count}" for name, count in filled.items() if count]
    return Content("series", splits, classes, remarks=filled_finding(sum(filled.values()), spots))


def _files(path: Place) -> dict[str, Place]:
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


def _data_sets(folder: Place) -> dict[str, dict[str, Place]]:
    """The .ts files in a folder by data set and split; unpacked ones before packed ones."""
    found: dict[str, dict[str, Place]] = {}
    for file in entries(folder):  # sorted, so NAME.ts comes before NAME.ts.gz
        if match := NAME.fullmatch(file.name):
            found.setdefault(match["name"], {}).setdefault((match["split"] or "").lower(), file)
    return found


def _read_file(path: Place, request: Request) -> _Rows:
    lines = read_text(path).split("\n")
    header = _read_header(path, lines, request.aim)
    spelt = {label.lower(): label for label in header.classes} | {label: label for label in header.classes}
    found = _Rows([], [], [], [], header.classes)
    labels: list[str] = []
    for number, line in enumerate(lines[header.first :], header.first + 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}, row {number}"
        fields = line.split(":")
        if header.labelled is None:
            header = replace(header, labelled=_last_is_label(len(fields), header.channels, where))
        if header.labelled:
            label = fields.pop().strip()
            labels.append(spelt.get(label, spelt.get(label.lower(), label)))
            if spelt and labels[-1] not in spelt:
                raise DataError(f"{where}: unknown label {label!r}; the header names {', '.join(header.classes)}")
        values, missing = _parse(fields, where, request.reading.impute != "none")
        header = _checked(header, values, where)
        found.values.append(values)
        found.names.append(where)
        found.filled.append(missing)
    if not found.values:
        raise DataError(f"{path}: no series after '@data'")
    return replace(found, labels=labels if header.labelled else None)


def _checked(header: _Header, values: np.ndarray, where: str) -> _Header:
    """The header with what the first row tells. Raises: DataError if a row is not as the header has it."""
    steps, channels = values.shape
    header = replace(header, channels=header.channels or channels)
    if channels != header.channels:
        raise DataError(f"{where}: {channels} channels where {header.channels} are expected; is the label missing?")
    if header.equal is False or (header.equal is None and header.steps is None):
        return header
    header = replace(header, steps=header.steps or steps)
    if steps != header.steps:
        raise DataError(
            f"{where}: {steps} steps where {header.steps} are expected; is the row complete? "
            "Series that differ in length have the header line '@equalLength false'"
        )
    return header


def _read_header(path: Place, lines: list[str], aim: Aim) -> _Header:
    header = _Header()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        tag, *values = line.split()
        said = values[0].lower() if values else ""
        where = f"{path}, row {number}"
        match tag.lower():
            case "@data":
                return replace(header, first=number)
            case "@timestamps" if said == "true":
                raise DataError(f"{where}: series with time stamps cannot be read; sample them evenly")
            case "@targetlabel" if said == "true" and aim != "numbers":
                raise DataError(f"{where}: series with numeric targets; learn these with --task regress (rnn)")
            case "@targetlabel" if header.labelled is None:
                header = replace(header, labelled=said == "true")
            case "@univariate" if said == "true":
                header = replace(header, channels=1)
            case "@dimension" | "@dimensions":
                header = replace(header, channels=_count(said, f"{where}: {tag} needs a number of channels"))
            case "@equallength":
                header = replace(header, equal=said == "true")
            case "@serieslength":
                header = replace(header, steps=_count(said, f"{where}: {tag} needs a number of steps"))
            case "@classlabel":
                header = replace(header, labelled=said == "true", classes=tuple(values[1:]))
            case other if not other.startswith("@"):
                raise DataError(f"{where}: {line[:20]!r} before '@data'; header lines begin with '@'")
    raise DataError(f"{path}: no line '@data'; is this a .ts file?")


def _count(said: str, what: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", said):
        raise DataError(f"{what}, not {said!r}")
    return int(said)


def _last_is_label(fields: int, channels: int | None, where: str) -> bool:
    """Whether rows of so many fields end in a label, if the header leaves it open."""
    if channels is None:
        raise DataError(f"{where}: the header must tell '@classLabel false', or '@classLabel true' and the labels")
    return fields == channels + 1


def _parse(fields: list[str], where: str, impute: bool) -> tuple[np.ndarray, int]:
    """A row's values, float32 (time, channels), and how many were missing and are filled."""
    lengths = [field.count(",") + 1 for field in fields]
    if not fields or "" in map(str.strip, fields):
        raise DataError(f"{where}: a series of zero length")
    if len(set(lengths)) > 1:
        raise DataError(f"{where}: its channels differ in length ({min(lengths)} to {max(lengths)} values)")
    text = ",".join(fields)
    try:
        with np.errstate(over="ignore"):
            values = np.array(text.replace("?", "nan").split(","), dtype=np.float32)
    except ValueError:
        raise DataError(f"{where}: {_odd(text.split(','))!r} is no number; correct it or remove the row") from None
    if np.isinf(values).any():
        odd = text.split(",")[int(np.isinf(values).argmax())].strip()
        raise DataError(f"{where}: {odd!r} is not finite in 32 bits; correct it or remove the row")
    values = values.reshape(len(fields), -1).T
    missing = int(np.isnan(values).sum())
    if missing and not impute:
        raise DataError(f"{where}: {missing} missing values; fill them, remove the row, or let --impute fill them")
    if missing:
        fill(values, None, where)
    return values, missing


def _odd(cells: list[str]) -> str:
    """The first cell that is no number."""
    for cell in cells:
        try:
            float(cell)
        except ValueError:
            if cell.strip() != "?":
                return cell.strip()
    return ""


def _examples(rows: _Rows, classes: tuple[str, ...] | None, ragged: bool, aim: Aim) -> Examples:
    x, lengths = stack(rows.values, rows.names, ragged)
    return Examples(x, rows.names, answers(rows.labels, classes, rows.names, aim), lengths)
