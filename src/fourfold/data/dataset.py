"""Examples under a schema, with their splits, and how batches are taken from them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from torch import Tensor

from ..settings import Facts, Reading
from .finding import Finding
from .mapped import Mapped, Numbered
from .progress import Progress, untold
from .schema import Aim, Kind, Schema

UNTOLD = -1  # the class of a step that has none


@dataclass(frozen=True)
class Examples:
    """Some examples, as they were read: in memory or, where they are too large for it, in a file.

    x: pictures (n, channels, height, width), uint8 or float32 in [0, 1]; series
    (n, time, channels) float32, zero past their lengths; tables (n, columns) float32.
    lengths: int64 (n,), None unless the series differ in length. y: int64 (n,), indices
    into the classes; or int64 (n, time) of a class a step, `UNTOLD` where there is none and past the
    lengths; or float32, (n, tags) of 0 and 1, (n, targets) in their own units; None without labels.
    names: where each example came from, for messages and tables.
    fields: columns that splits go by (a speaker, a patient), by name. texts: what a text
    says; its x, int32 (n, 0), is nothing until a vocabulary is fitted. digests: uint8
    (n, 16), where the content was known before it was asked for. times: of each series' steps, for
    tables that tell of steps; datetime64[us] or float64.
    """

    x: Tensor | Mapped
    names: Sequence[str]
    y: Tensor | None = None
    lengths: Tensor | None = None
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    texts: Sequence[str] | None = None
    digests: np.ndarray | None = None
    times: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def loaded(self) -> Tensor:
        """x, all of it in memory."""
        return self.x[:] if isinstance(self.x, Mapped) else self.x

    def select(self, index: Tensor) -> Self:
        """The examples at `index`, int64 (m,), in that order."""
        return replace(
            self,
            x=self.x.select(index) if isinstance(self.x, Mapped) else self.x[index],
            names=_pick(self.names, index),
            y=None if self.y is None else self.y[index],
            lengths=None if self.lengths is None else self.lengths[index],
            fields={name: _pick(values, index) for name, values in self.fields.items()},
            texts=None if self.texts is None else _pick(self.texts, index),
            digests=None if self.digests is None else self.digests[index.numpy()],
            times=None if self.times is None else [self.times[place] for place in index.tolist()],
        )


def _pick(values: Sequence[str], index: Tensor) -> Sequence[str]:
    return values.select(index) if isinstance(values, Numbered) else [values[place] for place in index.tolist()]


@dataclass(frozen=True)
class Content:
    """What a source found: raw examples by split, before anything is fitted on them.

    splits: "train" always; "validation" and "test" where the data bring them. levels: the
    categories of a table's columns that are not numbers; x holds their places there.
    decided: settings of `Reading` that were found by looking at the data (the target, the
    column of texts, the rate of sounds); they go into the schema. aim: what y tells; the
    names of tags or of numbers stand in `classes`. remarks: what the source
    has to tell, files that it left out among it; an audit shows them. ordered: one series
    that is a course of time, which a split cuts by time.
    """

    kind: Kind
    splits: Mapping[str, Examples]
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    decided: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remarks: tuple[Finding, ...] = ()
    ordered: bool = False
    aim: Aim = "classes"

    def facts(self, share: float = 1.0) -> Facts:
        """What the choice of a preset goes by, if a share of the examples is used."""
        train = self.splits["train"]
        return Facts(kind=self.kind, examples=math.ceil(share * len(train)), shape=tuple(train.x.shape[1:]))


@dataclass(frozen=True)
class Request:
    """How a source is to read: by a training's settings, or by a model's schema.

    fields: columns (or names in a pattern) that splits go by. Under a schema the source
    brings what it reads into the schema's shape where that loses nothing (grey to colour,
    columns by name), refuses the rest, and takes labels where they are and nothing where
    they are not. aim: what labels tell. progress: told what is going on, how much is done
    and of how much.
    """

    reading: Reading = field(default_factory=Reading)
    fields: tuple[str, ...] = ()
    schema: Schema | None = None
    progress: Progress = untold
    aim: Aim = "classes"

    def __post_init__(self) -> None:
        if self.schema is not None:
            object.__setattr__(self, "reading", self.schema.reading)
            object.__setattr__(self, "aim", self.schema.aim)

    @property
    def kind(self) -> Kind | Literal["auto"]:
        """What the data have to be."""
        return self.schema.kind if self.schema else self.reading.kind


@dataclass(frozen=True)
class Dataset:
    """Examples under one schema, with their splits."""

    schema: Schema
    train: Examples
    validation: Examples | None
    test: Examples | None
    source: str
    fingerprint: str  # SHA-256 of the content and the split
    held_out: Mapping[str, list[int]]  # places in the train that the data brought, by the split cut from it
    remarks: tuple[Finding, ...] = ()  # what the source had to tell
    group: str | None = None  # the field whose equal values no split may tear apart
    unlabelled: Examples | None = None  # to learn from beside train

    @property
    def splits(self) -> dict[str, Examples]:
        """The splits that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


@dataclass(frozen=True)
class Unlabelled:
    """Unlabelled examples beside the labelled ones of a batch, as many to each: u together, prepared.

    weak, strong: two views of each example, changed a little and a lot; float32 (u, …), shaped
    as a batch's x. lengths: int64 (u,) or None.
    """

    weak: Tensor
    strong: Tensor
    lengths: Tensor | None

    def select(self, within: slice) -> Self:
        """Some of them."""
        lengths = None if self.lengths is None else self.lengths[within]
        return replace(self, weak=self.weak[within], strong=self.strong[within], lengths=lengths)


@dataclass(frozen=True)
class Batch:
    """What a loss sees: prepared examples on the device.

    x: float32, shaped as in `Examples`, or a text's int32 (n, time). lengths: int64 (n,) or
    None. y: as in `Examples`, or None; of classes probabilities, float32 (n, classes), once
    examples are mixed. index: int64 (n,), the examples' places in their split.
    """

    x: Tensor
    lengths: Tensor | None
    y: Tensor | None
    index: Tensor
    unlabelled: Unlabelled | None = None

    def __len__(self) -> int:
        return len(self.x)

    def parts(self, size: int) -> Iterator[Self]:
        """The batch in parts of `size` examples, the last of what is left; the batch itself if it is not larger."""
        if len(self) <= size:
            yield self
            return
        beside = self.unlabelled
        ratio = 0 if beside is None else len(beside.weak) // len(self)
        for start in range(0, len(self), size):
            within = slice(start, start + size)
            yield replace(
                self,
                x=self.x[within],
                lengths=None if self.lengths is None else self.lengths[within],
                y=None if self.y is None else self.y[within],
                index=self.index[within],
                unlabelled=None if beside is None else beside.select(slice(ratio * start, ratio * (start + size))),
            )

    def first(self, size: int) -> Self:
        """Its first `size` examples."""
        return next(self.parts(size))
