"""What an example is apart from its place, its name and its label: a digest of its content."""

import hashlib
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from .dataset import Examples
from .schema import as_floats

BLOCK = 1 << 23  # bytes


def digests(part: Examples, floats: bool = False) -> Iterator[bytes]:
    """The content of each example, in 16 bytes: the same digest, the same content.

    A series counts up to its own length, and -0 equals 0. floats: pictures in bytes equal
    their shares of 255.
    """
    for start, block in blocks(part.x):
        rows = (as_floats(block) if floats else block).contiguous().numpy()
        if rows.dtype != np.uint8:
            rows = rows + 0.0  # -0 equals 0 and must have its bytes
        lengths = [None] * len(rows) if part.lengths is None else part.lengths[start : start + len(rows)].tolist()
        for row, length in zip(rows, lengths, strict=True):
            yield hashlib.blake2b(row[:length], digest_size=16).digest()


def blocks(x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """x in pieces that take little memory as floats, each with the place where it begins."""
    size = max(1, BLOCK // (4 * max(1, x[:1].numel())))
    for start in range(0, len(x), size):
        yield start, x[start : start + size]
