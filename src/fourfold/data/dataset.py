"""Examples under a schema, with their splits, and how batches are taken from them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from .schema import Kind, Schema


@dataclass(frozen=True)
class Examples:
    """Some examples, in memory, as they were read.

    x: pictures (n, channels, height, width), uint8 or float32 in [0, 1]; series
    (n, time, channels) float32, zero past their lengths; tables (n, columns) float32.
    lengths: int64 (n,), None unless the series differ in length. y: int64 (n,), indices
    into the classes, None without labels. names: where each example came from, for
    messages and tables. groups: what must not be torn apart by a split (a speaker, a
    patient), by name.
    """

    x: Tensor
    names: Sequence[str]
    y: Tensor | None = None
    lengths: Tensor | None = None
    groups: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def select(self, index: Tensor) -> Self:
        """The examples at `index`, int64 (m,), in that order."""
        return replace(
            self,
            x=self.x[index],
            names=[self.names[i] for i in index.tolist()],
            groups=None if self.groups is None else [self.groups[i] for i in index.tolist()],
            y=None if self.y is None else self.y[index],
            lengths=None if self.lengths is None else self.lengths[index],
        )


@dataclass(frozen=True)
class Content:
    """What a source found: raw examples by split, before anything is fitted on them.

    splits: "train" always; "validation" and "test" where the data bring them.
    """

    kind: Kind
    splits: Mapping[str, Examples]
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    target: str | None = None


@dataclass(frozen=True)
class Request:
    """How a source is to read: by a training's settings, or by a model's schema.

    Under a schema the source brings what it reads into the schema's shape where that
    loses nothing (grey to colour, columns by name), refuses the rest, and takes labels
    where they are and nothing where they are not.
    """

    kind: Kind | Literal["auto"] = "auto"
    target: str | None = None
    group: str | None = None
    size: int | None = None
    schema: Schema | None = None

    @classmethod
    def of(cls, schema: Schema) -> Self:
        """How to read what a model with this schema is asked about."""
        return cls(kind=schema.kind, target=schema.target, size=schema.size, schema=schema)


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

    @property
    def splits(self) -> dict[str, Examples]:
        """The splits that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


@dataclass(frozen=True)
class Batch:
    """What a loss sees: prepared examples on the device.

    x: float32, shaped as in `Examples`. lengths: int64 (n,) or None. y: int64 (n,) or None; probabilities, float32
    (n, classes), once examples are mixed. index: int64 (n,), the examples' places in their split.
    """

    x: Tensor
    lengths: Tensor | None
    y: Tensor | None
    index: Tensor

    def __len__(self) -> int:
        return len(self.x)


class Resident:
    """A split that lives on the device, whole, from which batches are gathered.

    Pictures stay bytes until they are gathered; everything else is prepared once.
    """

    def __init__(self, examples: Examples, schema: Schema, device: torch.device) -> None:
        self.schema = schema
        self.device = device
        self.prepared = examples.x.dtype != torch.uint8
        x = schema.prepare(examples.x) if self.prepared else examples.x
        if examples.lengths is not None:
            # Standardising moves the padding away from zero; nothing may read it, and zero shows if it does.
            x = x * (torch.arange(x.shape[1]) < examples.lengths[:, None])[:, :, None]
        self.x = x.to(device)
        self.y = None if examples.y is None else examples.y.to(device)
        self.lengths = examples.lengths  # on the CPU: the longest of a batch is read at every step

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, index: Tensor) -> Batch:
        """The batch of the examples at `index`, int64 (n,) on the CPU."""
        place = index.to(self.device, non_blocking=True)
        lengths = None
        if self.lengths is None:
            x = self.x.index_select(0, place)
        else:
            short = self.lengths[index]
            x = self.x[:, : int(short.max())].index_select(0, place)
            lengths = short.to(self.device, non_blocking=True)
        return Batch(
            x=x if self.prepared else self.schema.prepare(x),
            lengths=lengths,
            y=None if self.y is None else self.y.index_select(0, place),
            index=place,
        )

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Every example once, as they stand, for judging and predicting."""
        for index in torch.split(torch.arange(len(self)), batch_size):
            yield self.gather(index)
