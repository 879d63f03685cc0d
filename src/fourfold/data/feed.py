"""How batches are taken from a split: from the device's memory if it fits there, else from the disk."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from .dataset import Batch, Examples
from .mapped import Mapped
from .schema import Schema

SHARE = 4  # a split of more than a quarter of the memory stays in its file


class Feed(Protocol):
    """A split from which batches are taken."""

    def __len__(self) -> int:
        """How many examples there are."""
        ...

    def gather(self, index: Tensor) -> Batch:
        """The batch of the examples at `index`, int64 (n,) on the CPU."""
        ...

    def batches(self, pieces: Iterable[Tensor]) -> Iterator[Batch]:
        """The batch of each piece of places, in turn."""
        ...


def feed(examples: Examples, schema: Schema, device: torch.device) -> Feed:
    """The way to take batches that suits the size of a split. Nothing but speed depends on it."""
    if isinstance(examples.x, Mapped):
        if examples.x.numel() * examples.x.dtype.itemsize > memory() // SHARE:
            return Streamed(examples, schema, device)
        examples = replace(examples, x=examples.loaded)
    return Resident(examples, schema, device)


def memory() -> int:
    """The machine's memory, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1 << 33


def in_order(split: Feed, batch_size: int) -> Iterator[Batch]:
    """Every example once, as they stand, for judging and predicting."""
    starts = range(0, len(split), batch_size)
    return split.batches(torch.arange(start, min(start + batch_size, len(split))) for start in starts)


class Resident:
    """A split that lives on the device, whole.

    Pictures stay bytes until they are gathered; everything else is prepared once.
    """

    def __init__(self, examples: Examples, schema: Schema, device: torch.device) -> None:
        assert isinstance(examples.x, Tensor)
        self.schema = schema
        self.device = device
        self.prepared = examples.x.dtype != torch.uint8
        x = schema.prepare(examples.x) if self.prepared else examples.x
        if examples.lengths is not None:
            x = _blanked(x, examples.lengths)
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

    def batches(self, pieces: Iterable[Tensor]) -> Iterator[Batch]:
        """The batch of each piece of places, in turn."""
        return map(self.gather, pieces)


class Streamed:
    """A split in a file: its labels are in memory, its examples are read batch by batch, one batch ahead."""

    def __init__(self, examples: Examples, schema: Schema, device: torch.device) -> None:
        self.examples = examples
        self.schema = schema
        self.device = device

    def __len__(self) -> int:
        return len(self.examples)

    def gather(self, index: Tensor) -> Batch:
        """The batch of the examples at `index`, int64 (n,) on the CPU."""
        return self._batch(index, self.examples.x[index])

    def batches(self, pieces: Iterable[Tensor]) -> Iterator[Batch]:
        """The batch of each piece of places, in turn; the next one is read while this one is used."""
        with ThreadPoolExecutor(1) as pool:
            before: tuple[Tensor, Future[Tensor]] | None = None
            for index in pieces:
                ahead = index, pool.submit(self.examples.x.__getitem__, index)
                if before:
                    yield self._batch(before[0], before[1].result())
                before = ahead
            if before:
                yield self._batch(before[0], before[1].result())

    def _batch(self, index: Tensor, x: Tensor) -> Batch:
        lengths, y = self.examples.lengths, self.examples.y
        if lengths is not None:
            lengths = lengths[index]
            x = x[:, : int(lengths.max())]
            lengths = lengths.to(self.device, non_blocking=True)
        x = self.schema.prepare(x.to(self.device, non_blocking=True))
        return Batch(
            x=x if lengths is None else _blanked(x, lengths),
            lengths=lengths,
            y=None if y is None else y[index].to(self.device),
            index=index.to(self.device),
        )


def _blanked(x: Tensor, lengths: Tensor) -> Tensor:
    """Series (n, t, c), once they are prepared, or texts (n, t) with zeros past their lengths, int64 (n,)."""
    inside = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return x.masked_fill(~(inside if x.dim() == 2 else inside[:, :, None]), 0)
