"""What an example is apart from its place, its name and its label: a digest of its content."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .dataset import Examples
from .mapped import Mapped
from .schema import as_floats

BLOCK = 1 << 23  # bytes
SEEN = 1 << 28  # bytes


def digests(part: Examples, floats: bool = False) -> Iterator[bytes]:
    """The content of each example, in 16 bytes: the same digest, the same content.

    A text counts whole, a series up to its own length, and -0 equals 0. floats: pictures in bytes equal
    their shares of 255.
    """
    if part.digests is not None and not (floats and part.x.dtype == torch.uint8):
        yield from map(bytes, part.digests)
        return
    if part.texts is not None:
        yield from (hashlib.blake2b(text.encode(), digest_size=16).digest() for text in part.texts)
        return
    for start, block in blocks(part.x):
        rows = (as_floats(block) if floats else block).contiguous().numpy()
        if rows.dtype != np.uint8:
            rows = rows + 0.0  # -0 equals 0 and must have its bytes
        lengths = [None] * len(rows) if part.lengths is None else part.lengths[start : start + len(rows)].tolist()
        for row, length in zip(rows, lengths, strict=True):
            yield hashlib.blake2b(row[:length], digest_size=16).digest()


def known(part: Examples) -> bool:
    """Whether the content of all examples is known, or can be without reading a large file."""
    return part.digests is not None or not isinstance(part.x, Mapped)


def sample(part: Examples, size: int = SEEN) -> Examples:
    """All examples, or of those in a file evenly spaced ones, of so many bytes at most."""
    most = max(1, size // max(1, part.x.shape[1:].numel() * part.x.dtype.itemsize))
    if not isinstance(part.x, Mapped) or len(part) <= most:
        return part
    return part.select(torch.arange(most) * (len(part) - 1) // max(1, most - 1))


def identified(part: Examples) -> Examples:
    """The examples with their digests, but for those in a file, which would have to be read for it."""
    if part.digests is not None or not known(part):
        return part
    return replace(part, digests=np.frombuffer(b"".join(digests(part)), np.uint8).reshape(-1, 16))


def blocks(x: Tensor | Mapped) -> Iterator[tuple[int, Tensor]]:
    """x in pieces that take little memory as floats, each with the place where it begins."""
    size = max(1, BLOCK // (4 * max(1, x.shape[1:].numel())))
    for start in range(0, len(x), size):
        yield start, x[start : start + size]
