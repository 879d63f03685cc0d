"""Random numbers from coordinates: their definition, and that they look random along every one of them."""

import hashlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fourfold.data.counter import normal, uniform, words

MASK = 2**64 - 1
MANY = 20_000  # fewer than torch would split between threads
INDEX = torch.arange(MANY)

# Critical values at 1%: of Kolmogorov and Smirnov's distance, sqrt(-ln(0.01 / 2) / 2) / sqrt(n); and of the largest
# of ten correlations, for each of which that is 0.1%.
DISTANCE = math.sqrt(-math.log(0.005) / 2) / math.sqrt(MANY)
CORRELATION = 3.29 / math.sqrt(MANY)


def splitmix64(start: int, k: int) -> int:
    """Number k, counted from 1, of the sequence that starts at `start`; after splitmix64.c."""
    z = (start + k * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def reference(seed: int, step: int, index: int, stream: int, place: int) -> float:
    key = int.from_bytes(hashlib.blake2b(repr((seed, step, stream)).encode(), digest_size=8).digest(), "little")
    return (splitmix64(splitmix64(key, index + 1), place + 1) >> 40) / 2**24


def distance(shares: Tensor) -> float:
    """The largest distance between the distribution of some numbers and the even one on [0, 1]."""
    ordered = shares.double().sort().values
    steps = torch.arange(len(ordered) + 1, dtype=torch.float64) / len(ordered)
    return float(torch.maximum(steps[1:] - ordered, ordered - steps[:-1]).max())


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((a, b)).double())[0, 1])


@pytest.mark.parametrize(
    ("start", "published"),
    [
        # rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]),
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]),
    ],
)
def test_the_words_are_those_of_splitmix64(start: int, published: list[int]) -> None:
    assert [word & MASK for word in words(torch.tensor([start]), 4)[0].tolist()] == published


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 100))
def test_numbers_are_those_of_the_plain_formula(seed: int, step: int, index: int, stream: int) -> None:
    found = uniform(seed, step, torch.tensor([index, 7]), stream, 3)
    assert found.dtype == torch.float32
    assert found.tolist() == [[reference(seed, step, i, stream, place) for place in range(3)] for i in (index, 7)]


def test_fixed_numbers_stay_what_they_are() -> None:
    found = uniform(0, 0, torch.tensor([0, 1]), 0, 2)
    assert found.tolist() == [[0.36514371633529663, 0.4791882038116455], [0.14933902025222778, 0.9712481498718262]]
    assert normal(0, 0, torch.tensor([0]), 0, 2)[0].tolist() == pytest.approx([-0.945126, 0.124298], rel=1e-5)


def test_companions_place_and_count_change_nothing() -> None:
    index = torch.tensor([5, 900, 17, 5])
    for numbers in (uniform, normal):
        whole = numbers(3, 12, index, 1, 9)
        assert torch.equal(whole[0], whole[3])
        assert torch.equal(numbers(3, 12, index[[2]], 1, 9)[0], whole[2])
        assert torch.equal(numbers(3, 12, index, 1, 5), whole[:, :5])
        assert numbers(3, 12, index, 1, 0).shape == (4, 0)


@pytest.mark.parametrize("seed", [0, 1, 2**62])
def test_they_are_spread_evenly(seed: int) -> None:
    numbers = uniform(seed, 0, INDEX, 0, 2)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert distance(numbers[:, 0]) < DISTANCE
    assert distance(uniform(seed, 0, torch.tensor([0]), 0, MANY)[0]) < DISTANCE
    assert distance(numbers[:, 0] * 2**12 % 1) < DISTANCE  # the low bits
    assert distance(numbers[:, 0] ** 1.05) > DISTANCE  # what is not even is seen


def test_a_step_after_the_other_is_spread_evenly() -> None:
    numbers = torch.cat([uniform(0, step, INDEX[:100], 0, 1)[:, 0] for step in range(MANY // 100)])
    assert distance(numbers) < DISTANCE


def test_neighbours_are_not_correlated() -> None:
    here = uniform(0, 0, INDEX, 0, 2)[:, 0]
    neighbours = {
        "index": here.roll(1),
        "place": uniform(0, 0, INDEX, 0, 2)[:, 1],
        "stream": uniform(0, 0, INDEX, 1, 1)[:, 0],
        "step": uniform(0, 1, INDEX, 0, 1)[:, 0],
        "seed": uniform(1, 0, INDEX, 0, 1)[:, 0],
    }
    for name, there in neighbours.items():
        assert abs(correlation(here, there)) < CORRELATION, name
        assert abs(correlation((here - 0.5).abs(), (there - 0.5).abs())) < CORRELATION, name
    mixed = here + 0.05 * neighbours["step"]
    assert correlation(mixed, neighbours["step"]) > CORRELATION  # what is correlated is seen


def test_normal_is_box_and_mullers_transform() -> None:
    u = uniform(4, 2, torch.tensor([8]), 3, 4)[0].tolist()
    expected = [
        math.sqrt(-2 * math.log(1 - u[i])) * wave(2 * math.pi * u[i + 1])
        for i in (0, 2)
        for wave in (math.cos, math.sin)
    ]
    assert normal(4, 2, torch.tensor([8]), 3, 3)[0].tolist() == pytest.approx(expected[:3], rel=1e-4, abs=1e-6)


def test_normal_numbers_are_normal() -> None:
    numbers = normal(0, 0, INDEX, 0, 2)
    assert numbers.isfinite().all()
    for column in numbers.T:
        assert distance(torch.special.ndtr(column.double())) < DISTANCE
    assert abs(correlation(numbers[:, 0], numbers[:, 1])) < CORRELATION
    assert abs(correlation(numbers[:, 0].square(), numbers[:, 1].square())) < CORRELATION
