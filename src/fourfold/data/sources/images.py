"""Picture files: class folders, split folders, a flat folder or a single file.

photos/cat/1.png            labelled by the folder's name
photos/train/cat/1.png      the same, with splits: train, val | valid | validation, test
photos/1.png                unlabelled; also below train, val and test
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import DataError
from ..dataset import Content, Examples, Request
from ..pictures import SUFFIXES, decode_all
from . import SPLITS, check_kind, classify, entries, known_classes


@dataclass(frozen=True)
class _Files:
    """The picture files of a split, and each one's class if folders tell it."""

    paths: list[Path]
    labels: list[str] | None = None


def matches(path: Path) -> bool:
    """Whether this is a picture file, or a folder with one somewhere below it."""
    return any(_pictures(path)) if path.is_dir() else path.suffix.lower() in SUFFIXES


def read(path: Path, request: Request) -> Content:
    """The pictures at `path`, all of one size, in the order of their paths.

    Every file with a picture's suffix counts; other files and hidden folders do not. If
    one picture is in colour, all become colour.
    Raises: DataError naming files that cannot be read, sizes that differ, classes that
    train (or the request's schema) lacks, or folders without pictures.
    """
    check_kind(path, "image", request)
    folders = _splits(path) if path.is_dir() else {}
    found = {split: _find(folder) for split, folder in folders.items()} or {"train": _Files([path])}
    schema = request.schema
    classes = known_classes(found["train"].labels, request)
    names = {split: [str(file) for file in files.paths] for split, files in found.items()}
    y = {split: classify(files.labels, classes, names[split]) for split, files in found.items()}
    paths = [file for files in found.values() for file in files.paths]
    x = decode_all(paths, schema.size, schema.shape) if schema else decode_all(paths, request.size)
    starts = np.cumsum([len(files.paths) for files in found.values()])[:-1]
    parts = zip(found, np.split(x, starts), strict=True)
    splits = {split: Examples(torch.from_numpy(part), names[split], y[split]) for split, part in parts}
    return Content("image", splits, classes)


def _splits(path: Path) -> dict[str, Path]:
    """The folder of each split; `path` itself as train if it has no split folders.

    A folder named train among folders of other names is a class: trains, not training.
    """
    folders = [folder for folder in _folders(path) if any(_pictures(folder))]
    named = [folder for folder in folders if folder.name.lower() in SPLITS]
    others = [folder for folder in folders if folder not in named]
    if not named or (others and [folder.name.lower() for folder in named] == ["train"]):
        return {"train": path}
    if others:
        raise DataError(f"{others[0]}: stands beside {named[0]}; keep either splits or classes at this level")
    splits: dict[str, Path] = {}
    for folder in named:
        split = SPLITS[folder.name.lower()]
        if split in splits:
            raise DataError(f"{folder}: a second {split} split beside {splits[split]}; keep one of them")
        splits[split] = folder
    if "train" not in splits:
        raise DataError(f"{path}: {named[0].name} without train; add a folder named train")
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


def _find(folder: Path) -> _Files:
    """The pictures of one split: those in class folders, or else those that lie in it loose."""
    loose = [file for file in entries(folder) if file.suffix.lower() in SUFFIXES and not file.is_dir()]
    groups = {child: sorted(_pictures(child)) for child in _folders(folder)}
    if loose and any(groups.values()):
        raise DataError(f"{loose[0]}: a picture beside class folders; move it into one of them")
    if loose:
        return _Files(loose)
    if not any(groups.values()):
        raise DataError(f"{folder}: no pictures here; they end in {', '.join(sorted(SUFFIXES))}")
    for child, files in groups.items():
        if not files:
            raise DataError(f"{child}: a class folder without pictures; fill or remove it")
    labels = [child.name for child, files in groups.items() for _ in files]
    return _Files([file for files in groups.values() for file in files], labels)


def _folders(path: Path) -> list[Path]:
    return [child for child in entries(path) if child.is_dir() and not child.name.startswith(".")]


def _pictures(folder: Path) -> Iterator[Path]:
    """Every picture file below a folder, by its name alone, in no order."""
    for parent, children, files in os.walk(folder):
        children[:] = [child for child in children if not child.startswith(".")]
        yield from (Path(parent, file) for file in files if Path(file).suffix.lower() in SUFFIXES)
