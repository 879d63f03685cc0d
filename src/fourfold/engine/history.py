"""What happened in a training, a record an epoch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..storage import append_line

Record = dict[str, Any]


class History:
    """Records in memory and, if a file is given, as lines of JSON in it, each written at once."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.records: list[Record] = []

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def append(self, record: Record) -> None:
        """Add a record, and write it."""
        self.records.append(record)
        if self.path:
            append_line(self.path, json.dumps(record))

    @classmethod
    def read(cls, path: Path) -> "History":
        """The history that a file holds."""
        history = cls()
        history.records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return history


class Means:
    """Means over the examples seen, left on the device until they are asked for."""

    def __init__(self) -> None:
        self.unread: list[tuple[dict[str, Tensor], int]] = []
        self.sums: dict[str, float] = {}
        self.count = 0

    def add(self, figures: dict[str, Tensor], count: int) -> None:
        """Take a batch's mean figures, scalars, as they are: no kernel runs and nothing waits."""
        self.unread.append((figures, count))

    def read(self) -> dict[str, float]:
        """The means so far. The one place where training waits for the device."""
        if self.unread:
            counts = torch.tensor([count for _, count in self.unread], dtype=torch.float64)
            for name in self.unread[0][0]:
                values = torch.stack([figures[name] for figures, _ in self.unread]).double().cpu()
                self.sums[name] = self.sums.get(name, 0.0) + float(values @ counts)
            self.count += int(counts.sum())
            self.unread.clear()
        return {name: total / self.count for name, total in self.sums.items()}
