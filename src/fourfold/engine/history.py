"""What happened in a training, a record an epoch."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ResumeError
from ..storage import append_line, write_file

Record = dict[str, Any]
Values = Mapping[str, Sequence[float]]  # a figure's values, step by step


class History:
    """Records and notes in memory and, if a file is given, as lines of JSON in it, each written at once.

    A note tells what happened to the training itself, such as data that changed: {"note": …, "step": …}, and
    what the end of an epoch showed, before its record: {"note": …, "step": …, "epoch": …}.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.records: list[Record] = []
        self.notes: list[Record] = []

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def append(self, record: Record) -> None:
        """Add a record, and write it."""
        self.records.append(record)
        self._write(record)

    def note(self, text: str, step: int, epoch: int | None = None) -> None:
        """Add a note on the training as it stands after `step` steps, at the end of `epoch`, and write it."""
        self.notes.append({"note": text, "step": step} | ({} if epoch is None else {"epoch": epoch}))
        self._write(self.notes[-1])

    def _write(self, line: Record) -> None:
        if self.path:
            append_line(self.path, json.dumps(line))

    @classmethod
    def read(cls, path: Path) -> "History":
        """The history that a file holds; a last line that was not written to its end is none.

        Raises: ValueError if a line is not as we write them.
        """
        history = cls()
        whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
        for number, text in enumerate(whole.splitlines(), start=1):
            line = json.loads(text)
            if not isinstance(line, dict) or not isinstance(line.get("step"), int):
                raise ValueError(f"line {number} is no record")
            (history.notes if "note" in line else history.records).append(line)
        return history

    @classmethod
    def resume(cls, path: Path, records: int, step: int) -> "History":
        """The history up to a checkpoint, with the file cut back to it: so many records, and the notes till then.

        Raises: ResumeError if the file holds less, StorageError if it cannot be written.
        """
        try:
            history = cls.read(path) if path.exists() else cls()
        except (OSError, ValueError) as error:
            raise ResumeError(f"{path}: cannot be read ({error}); put back the file of the run") from error
        if len(history.records) < records:
            raise ResumeError(
                f"{path}: holds {len(history.records)} epochs where the checkpoint has {records}; "
                "put back the file of the run"
            )
        history.path = path
        history.records = history.records[:records]
        history.notes = [
            note for note in history.notes if (note["epoch"] <= records if "epoch" in note else note["step"] < step)
        ]
        write_file(path, "".join(json.dumps(line) + "\n" for line in history.lines()))
        return history

    def lines(self) -> list[Record]:
        """Records and notes as they happened."""
        notes = [(note["step"], 0 if "epoch" in note else 2, note) for note in self.notes]
        lines = [*notes, *((record["step"], 1, record) for record in self.records)]
        return [line for *_, line in sorted(lines, key=lambda line: line[:2])]


class Means:
    """Means over the examples seen, left on the device until they are asked for.

    sums, count: what an earlier part of the epoch has come to. watch: is shown the figures of
    every step once they are read, by name.
    """

    def __init__(
        self, sums: dict[str, float] | None = None, count: int = 0, watch: Callable[[Values], None] | None = None
    ) -> None:
        self.unread: list[tuple[dict[str, Tensor | float], int]] = []
        self.sums = sums or {}
        self.count = count
        self.watch = watch

    def add(self, figures: dict[str, Tensor | float], count: int) -> None:
        """Take a batch's mean figures, scalars, as they are: no kernel runs and nothing waits."""
        self.unread.append((figures, count))

    def read(self) -> dict[str, float]:
        """The means so far. The one place where training waits for the device.

        Added one after the other in double precision, so that the sums do not depend on how often they are read.
        """
        if self.unread:
            steps, counts = zip(*self.unread, strict=True)
            self.unread = []
            values = {name: _numbers([figures[name] for figures in steps]) for name in steps[0]}
            for name, numbers in values.items():
                total = self.sums.get(name, 0.0)
                for value, count in zip(numbers, counts, strict=True):
                    total += value * count
                self.sums[name] = total
            self.count += sum(counts)
            if self.watch:
                self.watch(values)
        return {name: total / self.count for name, total in self.sums.items()}


def _numbers(figures: list[Tensor | float]) -> list[float]:
    """Scalars on a device, all read at once, or numbers that are at hand."""
    tensors = [figure for figure in figures if isinstance(figure, Tensor)]
    if len(tensors) < len(figures):
        return [float(figure) for figure in figures]
    return list(torch.stack(tensors).double().tolist())
