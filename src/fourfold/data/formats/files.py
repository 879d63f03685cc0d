"""Which files hold examples, and what folders, names or a table tell of each.

photos/cat/1.png                    labelled by the folder's name
photos/train/cat/1.png              the same, with splits: train, val | valid | validation, test
photos/1.png                        unlabelled; also below train, val and test
sounds/3_anna_0.wav                 labelled by the name, under --pattern {label}_{speaker}_{index}.wav
list.csv                            a column of paths, relative to the table, and columns that tell the rest
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ...errors import DataError, nearest
from ..dataset import Request
from ..finding import FEW, Finding
from .frames import CLASSES, Frame, paths_column
from .places import Place, entries, walk
from .text_files import SPLITS
from .text_files import listing as problems

MOST_LEFT_OUT = 0.01  # of the files
LABEL = "label"  # the name in a pattern that is the class, if --target names no other


@dataclass(frozen=True)
class Listing:
    """The files of a split, in the order of their paths (or of a table's rows), and what is told of each.

    fields: the columns or names of a pattern that the request asks for.
    """

    files: list[Place]
    labels: list[str] | None = None
    fields: dict[str, list[str]] = field(default_factory=dict)

    def select(self, places: Sequence[int]) -> "Listing":
        """The files at some places, in that order."""
        return Listing(
            files=[self.files[place] for place in places],
            labels=None if self.labels is None else [self.labels[place] for place in places],
            fields={name: [values[place] for place in places] for name, values in self.fields.items()},
        )


def any_below(path: Place, suffixes: Set[str]) -> bool:
    """Whether this is a file with one of the suffixes, or a folder with one somewhere below it."""
    files = walk(path) if path.is_dir() else iter([path])
    return any(_is_one(file, suffixes) for file in files)


def find(path: Place, suffixes: Set[str], request: Request) -> dict[str, Listing]:
    """The files of every split below a folder, or the one file that `path` is.

    Every file with one of the suffixes (in lower case, with their dot) counts; other files
    and hidden folders do not.
    Raises: DataError if splits and classes are mixed up, or a name is not as the pattern has it.
    """
    folders = _splits(path, suffixes) if path.is_dir() else {}
    found = {split: _find(folder, suffixes) for split, folder in folders.items()} or {"train": Listing([path])}
    if request.reading.pattern:
        return {split: _told_by_names(listing, request) for split, listing in found.items()}
    return found


def listed(frame: Frame, suffixes: Set[str], request: Request) -> Listing:
    """The files that a table's rows name, with the classes and fields that stand beside them.

    Paths are relative to the table; `..` and absolute ones do not lead out of an archive.
    Raises: DataError naming the row if a path is missing.
    """
    column = request.reading.path or paths_column(frame, suffixes)
    if column is None:
        raise DataError(f"{frame.path}: no column of file names; name it with --path")
    paths = frame.text(column)
    empty = frame.missing(column)
    if empty.any():
        raise DataError(f"{frame.where(int(empty.arg_max() or 0))}: no path in column {column!r}")
    target = request.reading.target or _plain_target(frame, column, request)
    labels = frame.labels(target) if target is not None and (target in frame.columns or not request.schema) else None
    return Listing(
        files=[frame.path.parent / path for path in paths],
        labels=labels,
        fields={name: frame.text(name).to_list() for name in request.fields},
    )


def keep_readable(listing: Listing, reasons: Mapping[int, str], request: Request) -> tuple[Listing, Finding | None]:
    """What is left of a listing without the files (by their places) that cannot be read, and what to tell of it.

    Raises: DataError, naming the first ones, if more than one in a hundred cannot be read,
    or any at all that a model is asked about.
    """
    if not reasons:
        return listing, None
    told = [f"{listing.files[place]}: {reason}" for place, reason in sorted(reasons.items())]
    if request.schema or len(reasons) > MOST_LEFT_OUT * len(listing.files):
        if len(listing.files) == 1:
            raise DataError(f"{told[0]}; remove or replace it")
        what = f"{len(reasons):,} of {len(listing.files):,} files cannot be used"
        raise DataError(f"{what}: {problems(told)}; remove or replace them")
    kept = [place for place in range(len(listing.files)) if place not in reasons]
    finding = Finding(
        "warning",
        "unreadable",
        "files that cannot be read and are left out",
        len(told),
        tuple(told[:FEW]),
        "replace them",
    )
    return listing.select(kept), finding


def _plain_target(frame: Frame, column: str, request: Request) -> str | None:
    """The column beside the path and the fields, if there is just one, or one named as classes are."""
    others = [name for name in frame.columns if name not in (column, *request.fields)]
    named = [name for name in others if name.lower() in CLASSES]
    if len(named) == 1:
        return named[0]
    if len(others) > 1:
        raise DataError(f"{frame.path}: which of {', '.join(others)} is the class? Name it with --target")
    return others[0] if others else None


def _told_by_names(listing: Listing, request: Request) -> Listing:
    """Classes and fields by the pattern, which the end of a path has to match."""
    pattern = request.reading.pattern or ""
    names = re.findall(r"\{(\w+)\}", pattern)
    target = request.reading.target or LABEL
    for wanted in (*request.fields, *([request.reading.target] if request.reading.target else [])):
        if wanted not in names:
            raise DataError(f"--pattern {pattern}: has no {{{wanted}}}; {nearest(wanted, names)}")
    expression = re.compile("".join(_expression(part) for part in re.split(r"(\{\w+\})", pattern)))
    told: list[dict[str, str]] = []
    for file in listing.files:
        tail = "/".join(PurePosixPath(str(file)).parts[-1 - pattern.count("/") :])
        match = expression.fullmatch(tail)
        if match is None and request.schema:
            return Listing(listing.files)  # what a model is asked about need not tell its class
        if match is None:
            raise DataError(f"{file}: its name is not as --pattern {pattern} has it; rename or remove it")
        told.append(match.groupdict())
    return Listing(
        files=listing.files,
        labels=[each[target] for each in told] if target in names else listing.labels,
        fields={name: [each[name] for each in told] for name in request.fields},
    )


def _expression(part: str) -> str:
    """A part of a pattern as a regular expression: a name takes as little as it can, and no slash."""
    return f"(?P<{part[1:-1]}>[^/]+?)" if re.fullmatch(r"\{\w+\}", part) else re.escape(part)


def _splits(path: Place, suffixes: Set[str]) -> dict[str, Place]:
    """The folder of each split; `path` itself as train if it has no split folders.

    A folder named train among folders of other names is a class: trains, not training.
    """
    folders = [folder for folder in _folders(path) if any_below(folder, suffixes)]
    named = [folder for folder in folders if folder.name.lower() in SPLITS]
    others = [folder for folder in folders if folder not in named]
    if not named or (others and [folder.name.lower() for folder in named] == ["train"]):
        return {"train": path}
    if others:
        raise DataError(f"{others[0]}: stands beside {named[0]}; keep either splits or classes at this level")
    splits: dict[str, Place] = {}
    for folder in named:
        split = SPLITS[folder.name.lower()]
        if split in splits:
            raise DataError(f"{folder}: a second {split} split beside {splits[split]}; keep one of them")
        splits[split] = folder
    if "train" not in splits:
        raise DataError(f"{path}: {named[0].name} without train; add a folder named train")
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


def _find(folder: Place, suffixes: Set[str]) -> Listing:
    """The files of one split: those in class folders, or else those that lie in it loose."""
    loose = [file for file in entries(folder) if _is_one(file, suffixes) and not file.is_dir()]
    groups = {child: sorted(_matching(child, suffixes)) for child in _folders(folder)}
    if loose and any(groups.values()):
        raise DataError(f"{loose[0]}: a file beside class folders; move it into one of them")
    if loose:
        return Listing(loose)
    if not any(groups.values()):
        raise DataError(f"{folder}: nothing to read here; names end in {', '.join(sorted(suffixes))}")
    for child, files in groups.items():
        if not files:
            raise DataError(f"{child}: a class folder with nothing to read in it; fill or remove it")
    labels = [child.name for child, files in groups.items() for _ in files]
    return Listing([file for files in groups.values() for file in files], labels)


def _matching(folder: Place, suffixes: Set[str]) -> list[Place]:
    return [file for file in walk(folder) if _is_one(file, suffixes)]


def _is_one(file: Place, suffixes: Set[str]) -> bool:
    """Whether a file counts, by its name; hidden ones are left by systems (._1.png), not by people."""
    return file.suffix.lower() in suffixes and not file.name.startswith(".")


def _folders(path: Place) -> list[Place]:
    return [child for child in entries(path) if child.is_dir() and not child.name.startswith(".")]
