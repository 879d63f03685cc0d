"""The order of an epoch, as a function of two integers."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..runtime import generator


def order(size: int, seed: int, epoch: int) -> Tensor:
    """The order in which epoch `epoch` visits `size` examples.

    A function of its arguments alone, so a run resumes from two integers.
    Returns: int64 (size,), a permutation of range(size).
    """
    return torch.randperm(size, generator=generator(seed, "order", epoch))


def batches(index: Tensor, batch_size: int) -> Iterator[Tensor]:
    """`index` cut into pieces of `batch_size`; the last one may be shorter."""
    return iter(torch.split(index, batch_size))
