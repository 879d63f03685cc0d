"""The order of an epoch, as a function of two integers."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..runtime import generator
from .counter import mix

LISTED = 1 << 22  # examples; of more than these no list of places is held
CHUNK = 1 << 16  # places that are computed at once
ROUNDS = 6


def order(size: int, seed: int, epoch: int) -> Tensor:
    """The order in which epoch `epoch` visits `size` examples.

    A function of its arguments alone, so a run resumes from two integers.
    Returns: int64 (size,), a permutation of range(size).
    """
    if size <= LISTED:
        return torch.randperm(size, generator=generator(seed, "order", epoch))
    return scatter(torch.arange(size), size, seed, epoch)


def batches(size: int, seed: int, epoch: int, batch_size: int) -> Iterator[Tensor]:
    """The places of each batch of an epoch, as `order` has them; the last one may be shorter.

    Memory does not grow with `size`.
    """
    if size <= LISTED:
        yield from torch.split(order(size, seed, epoch), batch_size)
        return
    stride = batch_size * max(1, CHUNK // batch_size)
    for start in range(0, size, stride):
        places = scatter(torch.arange(start, min(start + stride, size)), size, seed, epoch)
        yield from torch.split(places, batch_size)


def scatter(positions: Tensor, size: int, seed: int, epoch: int) -> Tensor:
    """Where a permutation of range(size) sends `positions`, int64 (n,), without the rest of it.

    A Feistel network permutes the next power of four; what falls outside is sent on until it
    falls inside (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    keys = torch.randint(-(1 << 63), (1 << 63) - 1, (ROUNDS,), generator=generator(seed, "order", epoch))
    places = _permute(positions, half, keys)
    while len(outside := (places >= size).nonzero()[:, 0]):
        places[outside] = _permute(places[outside], half, keys)
    return places


def _permute(x: Tensor, half: int, keys: Tensor) -> Tensor:
    """One pass of the network over numbers of 2 · `half` bits."""
    mask = (1 << half) - 1
    left, right = x >> half, x & mask
    for key in keys:
        left, right = right, left ^ (mix(right + key) & mask)
    return left << half | right
