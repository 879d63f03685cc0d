"""Examples that stand twice in a data set, equal or nearly so, and what that means."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import DataError
from ..content import digests, known
from ..dataset import Dataset, Examples
from ..finding import FEW, Finding, Spot, natural
from ..vocabulary import normalised
from .nearness import Near, Sketch, Whole, nearest, sketches


def equal_findings(dataset: Dataset) -> Iterator[Finding]:
    """Equal examples across splits and within one, and equal examples of different classes."""
    parts = _identified(dataset)
    for a, b in itertools.combinations(parts, 2):
        yield from _across(a, b)
    yield from _conflicts(parts, dataset.schema.classes or ())
    for part in parts:
        yield from _within(part)


def near_findings(dataset: Dataset) -> Iterator[Finding]:
    """Nearly equal examples across splits."""
    parts = _identified(dataset)
    if dataset.schema.kind == "text":
        whole = [part for part in parts if part.examples.texts is not None]  # passages to write from have none
        for a, b in itertools.combinations(whole, 2):
            yield from _alike(a, b)
        return
    sketched = sketches([part.examples for part in parts], dataset.schema)
    if sketched:
        for (a, sketch_a), (b, sketch_b) in itertools.combinations(zip(parts, sketched, strict=True), 2):
            yield from _near(a, b, sketch_a, sketch_b)


def _identified(dataset: Dataset) -> list["_Split"]:
    found = identify(list(dataset.splits.values()))
    return [_Split(name, part, ids) for (name, part), ids in zip(dataset.splits.items(), found, strict=True)]


def require_apart(dataset: Dataset) -> None:
    """Raises: DataError, naming the first ones, if examples of the test split are in train too.

    Examples in a file whose content is not known are not compared.
    """
    if dataset.test is None or not known(dataset.train) or not known(dataset.test):
        return
    pair = {"train": dataset.train, "test": dataset.test}
    train, test = (_Split(*each) for each in zip(pair, pair.values(), identify(list(pair.values())), strict=True))
    for leak in _across(train, test):
        raise DataError(f"{leak.count} {leak.what}, such as {'; '.join(leak.examples)}: {leak.mend}")


def identify(parts: Sequence[Examples]) -> list[Whole]:
    """A number for the content of each example of each part: the same number, the same content.

    A series counts up to its own length. Pictures in bytes equal their shares of 255. The
    numbers depend on the contents alone, not on the order in which they stand.
    """
    mixed = len({part.x.dtype for part in parts}) > 1
    every = np.array([digest for part in parts for digest in digests(part, mixed)], dtype="S16")
    _, ids = np.unique(every, return_inverse=True)
    return np.split(ids, np.cumsum([len(part) for part in parts])[:-1])


@dataclass(frozen=True)
class _Split:
    """A split, and the numbers of its contents."""

    name: str
    examples: Examples
    ids: Whole

    def key(self, index: int) -> tuple[str, str]:
        """What an example is sorted by when it is shown."""
        return natural(self.examples.names[index])

    def first(self, content: int) -> int:
        """The place of a content, by name the first of equal ones."""
        return min(np.flatnonzero(self.ids == content).tolist(), key=self.key)

    def contents(self) -> tuple[Whole, Whole]:
        """The distinct contents, ascending, and a place of each."""
        return np.unique(self.ids, return_index=True)


def _across(a: _Split, b: _Split) -> Iterator[Finding]:
    places = np.flatnonzero(np.isin(b.ids, a.ids)).tolist()
    if not places:
        return
    shown = sorted(places, key=b.key)[:FEW]
    pairs = [(Spot(b.name, place), Spot(a.name, a.first(b.ids[place]))) for place in shown]
    names = [(b.examples.names[left.index], a.examples.names[right.index]) for left, right in pairs]
    leak = (a.name, b.name) == ("train", "test")
    yield Finding(
        severity="fatal" if leak else "warning",
        name="duplicates",
        what=f"examples of {b.name} that are in {a.name} too",
        count=len(places),
        examples=tuple(f"{left} = {right}" for left, right in names),
        mend="remove them from one of the two" + (", or accept them with --allow duplicates" if leak else ""),
        places=tuple(pairs),
    )


def _within(part: _Split) -> Iterator[Finding]:
    contents, counts = np.unique(part.ids, return_counts=True)
    if len(contents) == len(part.ids):
        return
    groups: dict[int, list[int]] = {}
    for place in sorted(np.flatnonzero(np.isin(part.ids, contents[counts > 1])).tolist(), key=part.key):
        groups.setdefault(int(part.ids[place]), []).append(place)
    shown = list(groups.values())[:FEW]
    yield Finding(
        severity="note",
        name="repeats",
        what=f"examples of {part.name} that repeat another one of it",
        count=len(part.ids) - len(contents),
        examples=tuple(_joined([part.examples.names[place] for place in group]) for group in shown),
        mend="each counts as often as it stands there; remove them unless that is meant",
        places=tuple(tuple(Spot(part.name, place) for place in group[:2]) for group in shown),
    )


def _joined(names: Sequence[str]) -> str:
    """The first two of several equal examples, and the number of the others."""
    return " = ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _conflicts(parts: Sequence[_Split], classes: Sequence[str]) -> Iterator[Finding]:
    """Equal examples of different classes; numbers, tags and steps of equal examples may well differ."""
    labelled = [(part, part.examples.y.numpy()) for part in parts if part.examples.y is not None]
    if not labelled or not classes or any(y.ndim > 1 for _, y in labelled):
        return
    both = np.unique(np.concatenate([part.ids * len(classes) + y for part, y in labelled]))
    contents, labels = np.unique(both // len(classes), return_counts=True)
    torn = contents[labels > 1]
    if not len(torn):
        return
    members = [(part, y, place) for part, y in labelled for place in np.flatnonzero(np.isin(part.ids, torn)).tolist()]
    groups: dict[int, dict[str, tuple[str, Spot]]] = {}  # by content and class
    for part, y, place in sorted(members, key=lambda member: member[0].key(member[2])):
        named = part.examples.names[place], Spot(part.name, place)
        groups.setdefault(int(part.ids[place]), {}).setdefault(classes[y[place]], named)
    shown = list(groups.values())[:FEW]
    yield Finding(
        severity="warning",
        name="conflicts",
        what="inputs that stand there with different labels",
        count=len(torn),
        examples=tuple(" = ".join(f"{name} ({label})" for label, (name, _) in group.items()) for group in shown),
        mend="find the right label of each, or remove it",
        places=tuple(tuple(place for _, place in group.values()) for group in shown),
    )


def _alike(a: _Split, b: _Split) -> Iterator[Finding]:
    """Texts that are equal but for case, spacing and ways of writing a character."""
    assert a.examples.texts is not None
    assert b.examples.texts is not None
    places: dict[str, int] = {}
    for place, text in enumerate(a.examples.texts):
        places.setdefault(normalised(text), place)
    equal = set(a.ids.tolist())
    pairs = [
        (place, places[key])
        for place, key in enumerate(map(normalised, b.examples.texts))
        if key in places and b.ids[place] not in equal
    ]
    if pairs:
        shown = sorted(pairs, key=lambda pair: b.key(pair[0]))[:FEW]
        yield Finding(
            severity="warning",
            name="near-duplicates",
            what=f"texts of {b.name} equal to one of {a.name} but for case and spacing",
            count=len(pairs),
            examples=tuple(f"{b.examples.names[j]} ≈ {a.examples.names[i]}" for j, i in shown),
            mend="look at the pairs; what says the same belongs in one split",
            places=tuple((Spot(b.name, j), Spot(a.name, i)) for j, i in shown),
        )


def _near(a: _Split, b: _Split, sketch_a: Sketch, sketch_b: Sketch) -> Iterator[Finding]:
    contents_a, places_a = a.contents()
    contents_b, places_b = b.contents()
    near = nearest(sketch_a, sketch_b, places_a, places_b[~np.isin(contents_b, contents_a)])
    if len(near.first):
        yield _near_finding(a, b, near)
    if near.crowded:
        what = f"examples of {b.name} that resemble too many of {a.name} to be compared with all for near-duplicates"
        yield Finding("note", "crowded", what, near.crowded, (), "nearly equal ones among them may be missing here")


def _near_finding(a: _Split, b: _Split, near: Near) -> Finding:
    triples = zip(near.distance.tolist(), b.ids[near.second].tolist(), a.ids[near.first].tolist(), strict=True)
    found = [(distance, b.first(second), a.first(first)) for distance, second, first in sorted(triples)[:FEW]]
    return Finding(
        severity="warning",
        name="near-duplicates",
        what=f"examples of {b.name} nearly equal to one of {a.name}: "
        f"at most {near.tolerance:.2g} standard deviations apart (root mean square)",
        count=int(np.isin(b.ids, b.ids[near.second]).sum()),
        examples=tuple(f"{b.examples.names[j]} ≈ {a.examples.names[i]} ({distance:.2g})" for distance, j, i in found),
        mend="look at the pairs; what shows the same thing belongs in one split",
        places=tuple((Spot(b.name, j), Spot(a.name, i)) for _, j, i in found),
    )
