"""Bits of a run's files flipped, one at a time: each is to be seen when the file is read."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fourfold import model
from fourfold.engine.checkpoint import MANIFEST, STATE, WEIGHTS, newest
from fourfold.errors import ModelError
from fourfold.modelfile import DESCRIPTION

OTHERS = 2  # random values that each byte of a manifest takes besides its eight flips


@dataclass(frozen=True)
class Flip:
    """One damage to the last checkpoint or the model of a run: a byte of a file XORed with `other`."""

    run: Path
    file: str
    place: int
    other: int

    def seen(self) -> bool:
        """Whether the damaged checkpoint is passed over with a warning, or the damaged model refused."""
        if self.file.startswith("model/"):
            return refused(self.run / "model")
        return passed_over(self.run / "checkpoints", (self.run / self.file).parent.name)


def flips(run: Path, bits: int, stride: int, dice: random.Random) -> list[Flip]:
    """So many random bits of each file of a run that has ended; of its last manifest every `stride`-th byte.

    Those take every single flip and some random values. Raises: AssertionError if the run is damaged already.
    """
    last = sorted((run / "checkpoints").glob("step-*"))[-1]
    assert not passed_over(last.parent, last.name), "the last checkpoint is damaged already"
    assert not refused(run / "model"), "the model is damaged already"
    manifest = str((last / MANIFEST).relative_to(run))
    planned = [
        Flip(run, manifest, place, other)
        for place in range(0, (last / MANIFEST).stat().st_size, stride)
        for other in (*(1 << bit for bit in range(8)), *(dice.randint(1, 255) for _ in range(OTHERS)))
    ]
    for path in (last / WEIGHTS, last / STATE, run / "model" / WEIGHTS, run / "model" / DESCRIPTION):
        name, size = str(path.relative_to(run)), path.stat().st_size
        planned += [Flip(run, name, dice.randrange(size), 1 << dice.randrange(8)) for _ in range(bits)]
    return planned


def tried(flip: Flip) -> tuple[dict[str, int], list[str]]:
    """What came of a flip. Returns: one for the kind of file if it was seen, what is wrong if not."""
    kind = "model's" if flip.file.startswith("model/") else "checkpoint's"
    with flipped(flip.run / flip.file, flip.place, flip.other):
        if flip.seen():
            return {f"{kind} {Path(flip.file).name}": 1}, []
    return {}, [f"{flip.file}: byte {flip.place} XOR {flip.other} was not seen"]


@contextmanager
def flipped(path: Path, place: int, other: int) -> Iterator[None]:
    """The file with one byte XORed with `other`, within."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        (byte,) = os.pread(descriptor, 1, place)
        os.pwrite(descriptor, bytes([byte ^ other]), place)
        yield
        os.pwrite(descriptor, bytes([byte]), place)
    finally:
        os.close(descriptor)


def passed_over(checkpoints: Path, last: str) -> bool:
    """Whether the last checkpoint is told to be damaged, and the one before it taken."""
    told: list[str] = []
    found = newest(checkpoints, told.append)
    return found is not None and found.folder.name != last and len(told) == 1 and last in told[0]


def refused(folder: Path) -> bool:
    """Whether a model is refused as damaged."""
    try:
        model.load(folder, "cpu")
    except ModelError:
        return True
    return False
