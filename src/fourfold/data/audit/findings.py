"""What an audit can find on classes, groups, columns and single examples."""

import itertools
from collections.abc import Iterator, Mapping

import torch

from ...errors import DataError
from ..dataset import Dataset, Examples
from ..finding import FEW, Finding, Severity, Spot, natural
from ..schema import THINGS
from .nearness import own

Counts = Mapping[str, int]  # examples by class

SMALL = 10  # a class of fewer training examples is learnt by chance
UNEVEN = 10  # the largest class over the smallest: beyond it a warning


def class_findings(splits: Mapping[str, Counts]) -> Iterator[Finding]:
    """What is wrong with the classes, given the examples of each in every split that has labels."""
    train = splits.get("train", {})
    present = {name: count for name, count in train.items() if count}
    if len(present) == 1:
        what = "only class in train, so nothing tells classes apart"
        yield Finding("warning", "one-class", what, 1, tuple(present), "add another class")
    for split, counts in splits.items():
        missing = [name for name, count in counts.items() if not count]
        if missing:
            what = f"classes without an example in {split}"
            mend = "add examples, or drop the class"
            severity: Severity = "fatal" if split == "train" else "warning"
            yield Finding(severity, "missing-classes", what, len(missing), tuple(missing[:FEW]), mend)
    small = {name: count for name, count in present.items() if count < SMALL}
    if small:
        what, mend = f"classes with fewer than {SMALL} examples in train", "add examples, or join classes"
        yield Finding("warning", "small-classes", what, len(small), _smallest(small), mend)
    largest = max(present.values(), default=0)
    rare = {name: count for name, count in present.items() if largest > UNEVEN * count}
    if rare:
        what = f"classes outnumbered more than {UNEVEN} to 1 by the largest, with {largest:,} examples in train"
        mend = "judge by the recall of each class, not by accuracy; add examples of the rare ones"
        yield Finding("warning", "imbalance", what, len(rare), _smallest(rare), mend)


def _smallest(counts: Counts) -> tuple[str, ...]:
    """The smallest classes, with their counts."""
    return tuple(f"{name}: {count}" for name, count in sorted(counts.items(), key=lambda item: item[::-1])[:FEW])


def require_classes(dataset: Dataset) -> None:
    """Raises: DataError if a class has no example in the training split."""
    train = dataset.train
    if train.y is None or dataset.schema.classes is None:
        return
    present = set(train.y.flatten().tolist())
    missing = [name for place, name in enumerate(dataset.schema.classes) if place not in present]
    if missing:
        raise DataError(f"no example of class {', '.join(missing)} in the training split: add some, or drop the class")


def group_findings(dataset: Dataset) -> Iterator[Finding]:
    """Groups that stand in two splits, where splits are to keep them whole."""
    if dataset.group is None:
        return
    for (first, a), (second, b) in itertools.combinations(dataset.splits.items(), 2):
        shared = sorted(set(a.fields[dataset.group]) & set(b.fields[dataset.group]), key=natural)
        if shared:
            what, mend = f"groups with examples in both {first} and {second}", "keep each group in one split"
            yield Finding("warning", "torn-groups", what, len(shared), tuple(shared[:FEW]), mend)


def constant_findings(dataset: Dataset, constant: torch.Tensor) -> Iterator[Finding]:
    """Columns or channels that never change; `constant` is bool (columns,) or (channels,)."""
    if dataset.schema.kind == "image" or not constant.any():
        return
    columns = dataset.schema.columns
    places = constant.nonzero()[:, 0].tolist()
    names = tuple(columns[place] if columns else f"number {place + 1}" for place in places[:FEW])
    noun = {"table": "columns", "sound": "bands"}.get(dataset.schema.kind, "channels")
    what = f"{noun} that never change in train and so tell nothing"
    yield Finding("note", "constant", what, len(places), names, "leave them out")


def missing_findings(dataset: Dataset) -> Iterator[Finding]:
    """Values of a table that are missing, by column, the emptiest first."""
    columns = dataset.schema.columns
    if columns is None or dataset.schema.kind != "table":
        return
    counts = torch.stack([part.loaded.isnan().sum(0) for part in dataset.splits.values()]).sum(0).tolist()
    found = sorted(((count, name) for name, count in zip(columns, counts, strict=True) if count), reverse=True)
    if found:
        what, mend = "missing values that are filled by train's figures", "find the values, if you can"
        examples = tuple(f"{name}: {count:,}" for count, name in found[:FEW])
        yield Finding("note", "missing", what, sum(counts), examples, mend)


def blank_findings(dataset: Dataset) -> Iterator[Finding]:
    """Pictures of one colour and series that never change."""
    if dataset.schema.kind in ("table", "text"):
        return
    splits = dataset.splits
    places = [Spot(split, index) for split, part in splits.items() for index in _blank(part)]
    if places:
        what = (
            "pictures of a single colour"
            if dataset.schema.kind == "image"
            else f"{THINGS[dataset.schema.kind]} that never change"
        )
        names = {place: splits[place.split].names[place.index] for place in places}
        shown = sorted(places, key=lambda place: natural(names[place]))[:FEW]
        examples, groups = tuple(names[place] for place in shown), tuple((place,) for place in shown)
        yield Finding("warning", "blank", what, len(places), examples, "see whether they are damaged", groups)


def _blank(part: Examples) -> list[int]:
    """Places of examples no channel of which changes, over space or over time."""
    if part.x.dim() == 4:
        x = part.loaded.flatten(2).transpose(1, 2)
    elif part.lengths is None:
        x = part.loaded
    else:  # the first value in place of the padding
        x = torch.where(own(part)[:, :, None], part.loaded, part.loaded[:, :1])
    several = torch.full((len(x),), x.shape[1]) if part.lengths is None else part.lengths
    places: list[int] = ((x.amax(1) == x.amin(1)).all(1) & (several > 1)).nonzero()[:, 0].tolist()
    return places
