"""Which examples train, which choose, which judge: held-out splits where the data bring none.

A split is a function of the examples' content and the seed: neither the order of files nor
the machine matters. Equal examples, and all examples of a group, fall on the same side.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import DataError
from ..settings import Settings
from .content import digests
from .dataset import Content, Examples

ORDER = ("train", "validation", "test")


@dataclass(frozen=True)
class Group:
    """Examples that stay together: their places, their commonest class, and when their turn comes."""

    places: tuple[int, ...]
    label: int
    turn: bytes


def split(content: Content, settings: Settings) -> tuple[dict[str, Examples], dict[str, list[int]]]:
    """The splits "train", "validation" and "test", the last two where they are or are asked for.

    What the data bring stays as it is. A missing test split is cut from train first (its
    share, or one fold), then a missing validation split from the rest, each class by class.

    Returns: the splits, and for each one that was cut the places of its examples in the
    train that the data brought. Raises: DataError if a split is empty, or if folds are
    asked for and the data bring a test split.
    """
    parts = dict(content.splits)
    whole = parts["train"]
    rest = torch.arange(len(whole))
    cut: dict[str, list[int]] = {}
    if settings.fold and "test" in parts:
        raise DataError("--fold: the data bring a test split of their own; leave one of the two away")
    for name, share in (("test", settings.test), ("validation", settings.validation)):
        if name in parts:
            continue
        queue = groups(whole.select(rest), settings.seed, name)
        chosen = fold(queue, settings.fold) if settings.fold and name == "test" else hold_out(queue, share)
        if chosen:
            outside = rest[torch.tensor(chosen)]
            parts[name], cut[name] = whole.select(outside), outside.tolist()
            rest = rest[~torch.isin(rest, outside)]
    if cut:
        parts["train"] = whole.select(rest)
    for name, part in parts.items():
        if not len(part):
            raise DataError(f"the {name} split is empty; give more data or a smaller --validation or --test")
    return {name: parts[name] for name in ORDER if name in parts}, cut


def groups(examples: Examples, seed: int, name: str) -> dict[int, list[Group]]:
    """The groups of each class, in the order in which their turn comes for a split.

    Examples without a group form one with those that are equal to them. A group belongs
    to the class that most of its examples have (without labels, all to one).
    """
    members: dict[bytes, list[int]] = {}
    for place, key in enumerate(_keys(examples)):
        members.setdefault(key, []).append(place)
    labels = [0] * len(examples) if examples.y is None else examples.y.tolist()
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


def _keys(examples: Examples) -> Sequence[bytes]:
    """What makes examples one group: its name, or else their content."""
    if examples.groups is not None:
        return [group.encode() for group in examples.groups]
    return list(digests(examples))
