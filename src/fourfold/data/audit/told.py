"""What is told of examples where that is no class: tags by their counts, numbers by how they are spread."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..dataset import Dataset, Examples
from ..finding import FEW, Finding, Severity
from .findings import SMALL, Counts

BARS = 20  # of a histogram
FAR = 10  # distances between the quartiles: numbers that far from the median are odd ones


@dataclass(frozen=True)
class Spread:
    """How a number is spread over a split, in its own units.

    histogram: how many examples lie in each of BARS even parts of the range that all splits have together.
    """

    low: float
    median: float
    high: float
    mean: float
    deviation: float
    histogram: tuple[int, ...]


def tag_counts(part: Examples, tags: Sequence[str] | None) -> dict[str, int] | None:
    """How many examples have each tag; None where no tags are told."""
    if part.y is None or tags is None:
        return None
    return dict(zip(tags, part.y.sum(0).long().tolist(), strict=True))


def spreads(dataset: Dataset) -> dict[str, dict[str, Spread]]:
    """The spread of each number that is told, by name and split; empty where none is."""
    told = {name: part.y.double() for name, part in dataset.splits.items() if part.y is not None}
    found: dict[str, dict[str, Spread]] = {}
    for place, target in enumerate(dataset.schema.targets or ()):
        every = {name: y[:, place] for name, y in told.items()}
        low, high = min(float(y.min()) for y in every.values()), max(float(y.max()) for y in every.values())
        found[target] = {name: _spread(y, low, high) for name, y in every.items()}
    return found


def _spread(y: Tensor, low: float, high: float) -> Spread:
    share = (y - low) / (high - low) if high > low else torch.zeros_like(y)
    bars = torch.bincount((share * BARS).long().clamp(max=BARS - 1), minlength=BARS)
    deviation, mean = torch.std_mean(y, correction=0)
    return Spread(
        low=float(y.min()),
        median=_quarters(y)[1],
        high=float(y.max()),
        mean=float(mean),
        deviation=float(deviation),
        histogram=tuple(bars.tolist()),
    )


def _quarters(y: Tensor) -> tuple[float, float, float]:
    """The quartiles of numbers (n,), each the one of them that is nearest above."""
    ordered = y.sort().values
    first, second, third = (float(ordered[part * len(y) // 4]) for part in (1, 2, 3))
    return first, second, third


def tag_findings(splits: Mapping[str, Counts]) -> Iterator[Finding]:
    """Tags that nothing can be learnt of or judged by, given the examples with each in every split."""
    for split, counts in splits.items():
        missing = [name for name, count in counts.items() if not count]
        if missing:
            severity: Severity = "fatal" if split == "train" else "warning"
            what, mend = f"tags without an example in {split}", "add examples, or drop the tag"
            yield Finding(severity, "missing-tags", what, len(missing), tuple(missing[:FEW]), mend)
    few = sorted((count, name) for name, count in splits.get("train", {}).items() if 0 < count < SMALL)
    if few:
        what, mend = f"tags with fewer than {SMALL} examples in train", "add examples, or drop the tag"
        shown = tuple(f"{name}: {count}" for count, name in few[:FEW])
        yield Finding("warning", "small-tags", what, len(few), shown, mend)


def number_findings(dataset: Dataset) -> Iterator[Finding]:
    """Numbers that never change, that are far from all others, or that lie where train has none."""
    y = dataset.train.y
    if y is None or not dataset.schema.targets:
        return
    for (place, target), (split, part) in itertools.product(enumerate(dataset.schema.targets), dataset.splits.items()):
        own = y[:, place].double()
        if split == "train":
            yield from _alone(target, own, dataset.train)
        elif part.y is not None:
            beyond = (part.y[:, place] < own.min()) | (part.y[:, place] > own.max())
            what = f"examples of {split} whose {target} lies outside of train's range"
            mend = "judge these apart, or give train such examples: a network does not go on where it saw nothing"
            yield from _named("warning", "outside-range", what, beyond, part, part.y[:, place], mend)


def _alone(target: str, y: Tensor, train: Examples) -> Iterator[Finding]:
    """What is odd about a number of train, (n,)."""
    if y.min() == y.max():
        what, examples = "number that never changes in train, so there is nothing to learn", (f"{target}: {y[0]:g}",)
        yield Finding("warning", "constant-target", what, 1, examples, "see whether it is the right column")
    first, median, third = _quarters(y)
    far = (y - median).abs() > FAR * (third - first)
    if third > first:
        what, mend = f"examples of train whose {target} is far from all others", "see whether they stand for 'missing'"
        yield from _named("warning", "far-numbers", what, far, train, y, mend)


def _named(
    severity: Severity, name: str, what: str, which: Tensor, part: Examples, y: Tensor, mend: str
) -> Iterator[Finding]:
    """A finding on the examples of which `which`, bool (n,), is true, with their numbers (n,), if there are any."""
    places = which.nonzero()[:, 0].tolist()
    if places:
        examples = tuple(f"{part.names[place]}: {y[place]:g}" for place in places[:FEW])
        yield Finding(severity, name, what, len(places), examples, mend)
