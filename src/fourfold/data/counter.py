"""Random numbers as a function of who uses them, and when, and what for.

A generator that keeps state gives an example other numbers wherever else it stands in a
batch. Here each number is computed from its coordinates alone, for all examples at once,
on the device, and nothing is drawn "before" or "after" it.

The method is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014; constants of Vigna's splitmix64.c): number k of the sequence that
starts at s is mix(s + k · GAMMA). Its arithmetic is modulo 2⁶⁴, which is what int64 tensors do.
"""

import hashlib
import math

import torch
from torch import Tensor

# As the signed numbers with the same 64 bits.
GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
SECOND = 0x94D049BB133111EB - (1 << 64)


def uniform(seed: int, step: int, index: Tensor, stream: int, count: int) -> Tensor:
    """Numbers in [0, 1) for the examples at `index`, int64 (n,), in one step.

    stream: what they are for; two purposes never share one. More of them begin with the
    same ones: `count` 5 gives the first 5 of `count` 9.
    Returns: float32 (n, count), multiples of 2⁻²⁴, the same bits on every device.
    """
    start = mix(_key(seed, step, stream) + (index + 1) * GAMMA)
    return _shift(words(start, count), 40).float() * 2**-24


def normal(seed: int, step: int, index: Tensor, stream: int, count: int) -> Tensor:
    """Numbers from N(0, 1), otherwise as `uniform`; none lies further out than 5.8.

    Box and Muller's transform, Ann. Math. Stat. 29 (1958): a pair of uniform numbers makes a pair of these.
    """
    u = uniform(seed, step, index, stream, 2 * math.ceil(count / 2))
    radius = torch.sqrt(-2 * torch.log1p(-u[:, 0::2]))
    angle = 2 * math.pi * u[:, 1::2]
    return torch.stack((radius * angle.cos(), radius * angle.sin()), dim=2).flatten(1)[:, :count]


def words(start: Tensor, count: int) -> Tensor:
    """The first `count` numbers of the SplitMix64 sequences that start at `start`.

    start: int64 (n,). Returns: int64 (n, count), all 64 bits random.
    """
    place = torch.arange(1, count + 1, device=start.device)
    return mix(start[:, None] + place * GAMMA)


def _key(seed: int, step: int, stream: int) -> int:
    """Where the sequence of these three integers starts, a signed number of 64 bits; hashed as `runtime` does."""
    digest = hashlib.blake2b(repr((seed, step, stream)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def mix(z: Tensor) -> Tensor:
    """SplitMix64's finalizer: int64 of any shape in which every bit depends on all bits of `z`."""
    z = (z ^ _shift(z, 30)) * FIRST
    z = (z ^ _shift(z, 27)) * SECOND
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    """`z` shifted right with zeros coming in; the operator alone would bring in the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
