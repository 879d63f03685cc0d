"""Unlabelled examples to learn from beside labelled ones: how they are read, whose turn it is, how they are seen.

The examples of a step and what is done to them are functions of the seed and the step, so that a
training which was stopped goes on to the same bits.
"""

import hashlib
from dataclasses import replace
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..runtime import one_thread
from ..settings import Settings
from . import join, read, source_name
from .audit.duplicates import identify
from .augment import views
from .content import identified, known
from .dataset import Batch, Dataset, Examples, Request, Unlabelled
from .feed import feed
from .finding import FEW, Finding
from .fitting import fingerprint
from .order import scatter
from .progress import Progress

S = TypeVar("S", bound=Settings)


@runtime_checkable
class Companionable(Protocol):
    """Settings under which unlabelled examples may be learnt from."""

    @property
    def unlabelled(self) -> str:
        """Where they are: a path or a sample's name; "" if there are none."""
        ...

    @property
    def unlabelled_ratio(self) -> int:
        """How many accompany each labelled one of a batch."""
        ...


def accompanied(settings: S, dataset: Dataset, progress: Progress) -> tuple[S, Dataset]:
    """The dataset with the unlabelled examples that its settings name; settings that name them from everywhere.

    Raises: DataError, naming the file, if they cannot be read as what the schema says.
    """
    if not isinstance(settings, Companionable) or not settings.unlabelled:
        return settings, dataset
    with one_thread():
        dataset = with_unlabelled(dataset, settings.unlabelled, progress)
    return settings.model_copy(update={"unlabelled": source_name(settings.unlabelled)}), dataset


def with_unlabelled(dataset: Dataset, place: str, progress: Progress) -> Dataset:
    """The dataset with the examples at `place`, of all splits that it may have, whatever labels are there.

    Those that are equal to a held-out one are left out, and a remark tells it. Raises: as `accompanied`.
    """
    schema = dataset.schema.model_copy(update={"classes": None, "counts": None})  # so no label is looked up
    try:
        content = read(place, Request(schema=schema, progress=progress))
        found = join(list(content.splits.values()))
    except DataError as error:
        raise DataError(f"--unlabelled: {error}") from None
    examples, remarks = apart(identified(replace(found, y=None, fields={})), dataset)
    if not len(examples):
        raise DataError(
            f"--unlabelled {place}: all {len(found):,} examples are held out of {dataset.source} as well; name others"
        )
    return replace(dataset, unlabelled=examples, remarks=(*dataset.remarks, *content.remarks, *remarks))


def apart(examples: Examples, dataset: Dataset) -> tuple[Examples, tuple[Finding, ...]]:
    """The examples that are in neither validation nor test, and what there is to tell of the others."""
    held = [part for part in (dataset.validation, dataset.test) if part is not None]
    if not held:
        return examples, ()
    if not all(map(known, (examples, *held))):
        what = "unlabelled examples that were not compared with held-out ones: one of the two is too large for memory"
        return examples, (Finding("note", "unlabelled", what, len(examples), (), "see to it that none is in both"),)
    own, *others = identify([examples, *held])
    out = np.isin(own, np.concatenate(others))
    if not out.any():
        return examples, ()
    named = tuple(examples.names[place] for place in np.flatnonzero(out)[:FEW].tolist())
    what = "unlabelled examples that are left out, since they are in validation or test too"
    told = Finding("note", "unlabelled", what, int(out.sum()), named, "nothing needs to be done")
    return examples.select(torch.from_numpy(np.flatnonzero(~out))), (told,)


def marked(dataset: Dataset) -> str:
    """SHA-256 of all examples that decide a training: the dataset's fingerprint, unless there are unlabelled ones."""
    if dataset.unlabelled is None:
        return dataset.fingerprint
    both = dataset.fingerprint + fingerprint({"unlabelled": dataset.unlabelled})
    return hashlib.sha256(both.encode()).hexdigest()


def turns(start: int, count: int, size: int, seed: int) -> Tensor:
    """Whose turn it is, if `start` turns are over and `count` more are taken: int64 (count,), places of `size`.

    All have their turn before anybody has the next one, in another order every time.
    """
    positions = torch.arange(start, start + count)
    passes = range(start // size, (start + count - 1) // size + 1)
    return torch.cat([scatter(positions[positions // size == one] % size, size, seed, one) for one in passes])


class Companions:
    """The unlabelled examples beside the labelled ones of every step, each in two views."""

    def __init__(
        self, examples: Examples, ratio: int, labelled: int, settings: Settings, dataset: Dataset, device: torch.device
    ) -> None:
        self.feed = feed(examples, dataset.schema, device)
        self.ratio = ratio
        self.labelled = labelled
        self.settings = settings
        self.weak, self.strong = views(settings.augment, dataset.schema)

    def join(self, batch: Batch, step: int) -> Batch:
        """The batch of step `step`, counted from 0, with the unlabelled examples whose turn it is."""
        seed = self.settings.seed
        index = turns(self.ratio * self.before(step), self.ratio * len(batch), len(self.feed), seed)
        plain = self.feed.gather(index)
        # Random numbers go by index: each view has its own, as if it were of an example that comes after train's.
        weak = replace(plain, index=plain.index + self.labelled)
        strong = replace(plain, index=weak.index + len(self.feed))
        seen = Unlabelled(self.weak.apply(weak, seed, step).x, self.strong.apply(strong, seed, step).x, plain.lengths)
        return replace(batch, unlabelled=seen)

    def before(self, step: int) -> int:
        """The labelled examples of all earlier steps."""
        size = self.settings.batch_size
        epochs, position = divmod(step, -(-self.labelled // size))
        return epochs * self.labelled + position * size


def companions(dataset: Dataset, settings: Settings, device: torch.device) -> Companions | None:
    """Who accompanies the batches of a training; None if it has no unlabelled examples."""
    if dataset.unlabelled is None or not isinstance(settings, Companionable):
        return None
    ratio = settings.unlabelled_ratio
    return Companions(dataset.unlabelled, ratio, len(dataset.train), settings, dataset, device)
