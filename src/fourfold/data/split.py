"""Which examples train, which choose, which judge: held-out splits where the data bring none.

A split is a function of the examples' content and the seed: neither the order of files nor
the machine matters. Equal examples, and all examples of a group, fall on the same side.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import DataError, UsageError, nearest
from ..runtime import generator
from ..settings import DataSettings
from .content import digests
from .dataset import Content, Examples
from .formats.text_files import SPLITS
from .mapped import Mapped
from .timeline import cut_by_time, periods

ORDER = ("train", "validation", "test")


@dataclass(frozen=True)
class Group:
    """Examples that stay together: their places, their commonest class, and when their turn comes."""

    places: tuple[int, ...]
    label: int
    turn: bytes


def fields(settings: DataSettings) -> tuple[str, ...]:
    """The columns, or names in a pattern, that a split goes by."""
    named = (settings.group, settings.split, settings.test_on and settings.test_on.partition("=")[0])
    return tuple(dict.fromkeys(name for name in named if name))


def split(content: Content, settings: DataSettings) -> tuple[dict[str, Examples], dict[str, list[int]]]:
    """The splits "train", "validation" and "test", the last two where they are or are asked for.

    What the data bring stays as it is; then what a column tells. A missing test split is cut
    from the rest of train first (its share, or one fold), then a missing validation split,
    each class by class.

    Returns: the splits, and for each one that was cut the places of its examples in the
    train that the data brought. Raises: DataError if a split is empty, or if the data bring
    one that is to be cut.
    """
    if content.ordered:
        return _by_time(content, settings)
    parts = dict(content.splits)
    whole = parts["train"]
    cut = _told(whole, settings)
    for option, asked in (("--fold", settings.fold), ("--split", settings.split), ("--test-on", settings.test_on)):
        if asked and "test" in parts and (option == "--fold" or "test" in cut):
            raise DataError(f"{option}: the data bring a test split of their own; leave one of the two away")
    rest = _without(torch.arange(len(whole)), [place for chosen in cut.values() for place in chosen], len(whole))
    for name, share in _shares(settings):
        if name in parts or name in cut or not (share or (settings.fold and name == "test")):
            continue
        left = whole.select(rest) if cut else whole
        if settings.group is None and isinstance(left.x, Mapped) and left.digests is None:
            chosen = by_place(left, settings, name, share)
        else:
            queue = groups(left, settings.group, settings.seed, name)
            chosen = fold(queue, settings.fold) if settings.fold and name == "test" else hold_out(queue, share)
        if chosen:
            cut[name] = rest[torch.tensor(chosen)].tolist()
            rest = _without(rest, cut[name], len(whole))
    parts |= {name: whole.select(torch.tensor(places)) for name, places in cut.items()}
    if cut:
        parts["train"] = whole.select(rest)
    for name, part in parts.items():
        if not len(part):
            raise DataError(f"the {name} split is empty; give more data or a smaller --validation or --test")
    parts["train"] = thinned(parts["train"], settings)
    return {name: parts[name] for name in ORDER if name in parts}, cut


def thinned(train: Examples, settings: DataSettings) -> Examples:
    """The share of train that is asked for, of each class one group at least; a smaller share is part of a larger."""
    if settings.share == 1:
        return train
    queues = groups(train, settings.group, settings.seed, "share")
    chosen = {*hold_out(queues, settings.share), *(place for queue in queues.values() for place in queue[0].places)}
    return train.select(torch.tensor(sorted(chosen)))


def normal_alone(
    parts: dict[str, Examples], cut: dict[str, list[int]], classes: tuple[str, ...] | None, normal: Sequence[str]
) -> tuple[dict[str, Examples], dict[str, list[int]]]:
    """Splits and cut places as `split` gives them, train and validation with the examples of `normal` classes alone.

    These lose their labels, which say nothing any more; the test keeps all. Raises: UsageError for
    a class that there is not, DataError if a split has none of them.
    """
    for name in normal:
        if classes is None:
            raise UsageError(f"--normal {name}: these data have no classes; leave it out, and all of train is normal")
        if name not in classes:
            raise UsageError(f"--normal {name}: no such class; {nearest(name, classes)}")
    wanted = torch.tensor([place for place, name in enumerate(classes or ()) if name in normal])
    parts, cut = dict(parts), dict(cut)
    for name in [name for name in ("train", "validation") if name in parts]:
        y = parts[name].y
        assert y is not None
        kept = torch.isin(y, wanted).nonzero().squeeze(1)
        if not len(kept):
            raise DataError(f"the {name} split has no example of {', '.join(normal)}; give more data")
        parts[name] = replace(parts[name].select(kept), y=None)
        if name in cut:
            cut[name] = [cut[name][place] for place in kept.tolist()]
    return parts, cut


def _by_time(content: Content, settings: DataSettings) -> tuple[dict[str, Examples], dict[str, list[int]]]:
    """The splits of one course of time, and the steps of each that was cut: the past trains, the future judges.

    Those of a text are told by their names, not by numbers.
    """
    if settings.share < 1:
        raise UsageError("--share takes some examples of each class, and this is one course of time; leave it out")
    if settings.fold or fields(settings):
        raise DataError("--fold, --group, --split, --test-on: one series or text is cut by time; leave them out")
    shares = [0.0 if name in content.splits else share for name, share in _shares(settings)]
    if content.kind == "text":
        every = {**content.splits, **cut_text(content.splits["train"], shares[1], shares[0])}
        return {name: every[name] for name in ORDER if name in every}, {}
    cut = cut_by_time(content.splits["train"], shares[1], shares[0])
    steps = periods(content.splits["train"].x.shape[1], shares[1], shares[0])
    every = {**content.splits, **cut}
    return {name: every[name] for name in ORDER if name in every}, {
        name: list(steps[name]) for name in cut if name != "train"
    }


def cut_text(examples: Examples, validation_share: float, test_share: float) -> dict[str, Examples]:
    """The splits of one long text, each a text: its beginning trains, what follows chooses, its end judges."""
    assert examples.texts is not None
    [name], [text] = examples.names, examples.texts
    return {
        split: replace(
            examples,
            names=[f"{name}, characters {period.start + 1:,} to {period.stop:,}"],
            texts=[text[period.start : period.stop]],
            digests=None,
        )
        for split, period in periods(len(text), validation_share, test_share).items()
    }


def _shares(settings: DataSettings) -> tuple[tuple[str, float], ...]:
    return ("test", settings.test), ("validation", settings.validation)


def _told(whole: Examples, settings: DataSettings) -> dict[str, list[int]]:
    """The places of the examples that a column puts into test or validation."""
    cut: dict[str, list[int]] = {}
    if settings.split:
        for place, value in enumerate(whole.fields[settings.split]):
            named = SPLITS.get(value.lower())
            if named is None:
                raise DataError(f"{whole.names[place]}: {value!r} is no split; valid: {', '.join(SPLITS)}")
            cut.setdefault(named, []).append(place)
        cut.pop("train", None)
    if settings.test_on:
        name, _, values = settings.test_on.partition("=")
        wanted = {value.strip() for value in values.split(",")}
        for value in sorted(wanted - set(whole.fields[name])):
            raise DataError(f"--test-on: no example has {name} {value!r}; {nearest(value, set(whole.fields[name]))}")
        cut["test"] = [place for place, value in enumerate(whole.fields[name]) if value in wanted]
    return cut


def _without(places: torch.Tensor, taken: list[int], size: int) -> torch.Tensor:
    """The places, of `size`, that are not taken."""
    free = torch.ones(size, dtype=torch.bool)
    free[taken] = False
    return places[free[places]]


def groups(examples: Examples, by: str | None, seed: int, name: str) -> dict[int, list[Group]]:
    """The groups of each class, in the order in which their turn comes for a split.

    Examples without a group form one with those that are equal to them. A group belongs
    to the class that most of its examples have (without classes, all to one).
    """
    members: dict[bytes, list[int]] = {}
    for place, key in enumerate(_keys(examples, by)):
        members.setdefault(key, []).append(place)
    labels = _classes(examples).tolist()
    salt = repr((seed, name)).encode()
    queues: dict[int, list[Group]] = {}
    for key, places in members.items():
        alone = len(places) == 1  # most are, and counting takes its time
        label = labels[places[0]] if alone else Counter(labels[place] for place in places).most_common(1)[0][0]
        turn = hashlib.blake2b(key, key=salt[:64], digest_size=16).digest()
        queues.setdefault(label, []).append(Group(tuple(places), label, turn))
    return {label: sorted(queue, key=lambda group: group.turn) for label, queue in sorted(queues.items())}


def hold_out(queues: dict[int, list[Group]], share: float) -> list[int]:
    """Places, ascending, of groups that make up `share` of every class as nearly as groups allow.

    Each class keeps at least one group.
    """
    chosen: list[int] = []
    for queue in queues.values():
        wanted = round(share * sum(len(group.places) for group in queue))
        for group in queue[:-1]:
            if len(group.places) <= wanted:
                chosen += group.places
                wanted -= len(group.places)
    return sorted(chosen)


def fold(queues: dict[int, list[Group]], which: str) -> list[int]:
    """Places, ascending, of fold `which`, such as "3/10": every tenth group of each class from the third on.

    The folds of one number share nothing and together are everything.
    """
    number, total = (int(part) for part in which.split("/"))
    start = 0
    chosen: list[int] = []
    for queue in queues.values():  # each class goes on where the one before stopped, so that folds are of one size
        chosen += [place for i, group in enumerate(queue, start) if i % total == number - 1 for place in group.places]
        start += len(queue)
    return sorted(chosen)


def by_place(examples: Examples, settings: DataSettings, name: str, share: float) -> list[int]:
    """Places, ascending, of a share (or a fold) of every class, by the examples' places alone.

    For arrays in a file, too large to be read before training: the one case in which their
    order matters, and equal examples may come apart.
    """
    turn = torch.randperm(len(examples), generator=generator(settings.seed, "split", name))
    y = _classes(examples)
    by_class = turn[y[turn].argsort(stable=True)]
    chosen = []
    for queue in torch.split(by_class, torch.bincount(y).tolist()):
        if settings.fold and name == "test":
            number, total = (int(part) for part in settings.fold.split("/"))
            chosen.append(queue[number - 1 :: total])
        else:
            chosen.append(queue[: min(round(share * len(queue)), len(queue) - 1)])
    places: list[int] = torch.cat(chosen).sort().values.tolist()
    return places


def _classes(examples: Examples) -> torch.Tensor:
    """The class of each example, int64 (n,); one for all where none is told, but numbers, tags, steps or nothing."""
    y = examples.y
    classed = y is not None and y.dim() == 1 and not y.is_floating_point()
    return y if y is not None and classed else torch.zeros(len(examples), dtype=torch.int64)


def _keys(examples: Examples, by: str | None) -> Sequence[bytes]:
    """What makes examples one group: a field's value, or else their content."""
    if by is not None:
        return [group.encode() for group in examples.fields[by]]
    return list(digests(examples))
