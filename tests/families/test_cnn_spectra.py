"""Sounds as pictures of one size: by their formulas, and what must not matter to them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from fourfold.families.cnn.resnet import ResNet, sizes
from fourfold.families.cnn.spectra import FEWEST_BANDS, as_picture, centred, height, smoothed, stretched

LENGTHS = torch.tensor([30, 7, 1, 19])
RAGGED = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def some(lengths: Tensor, bands: int = 10, seed: int = 4) -> Tensor:
    x = torch.randn(len(lengths), 30, bands, generator=torch.Generator().manual_seed(seed))
    return torch.where(torch.arange(30)[:, None] < lengths[:, None, None], x, 0)


def network(bands: int = 10) -> ResNet:
    shape = (1, 16, bands)
    return ResNet(shape, 3, sizes(shape, 4), 0.0, torch.Generator().manual_seed(0)).eval()


@given(st.integers(1, 5000), st.integers(0, 5000))
def test_the_height_is_between_the_shortest_and_the_longest(shortest: int, more: int) -> None:
    found = height((shortest, shortest + more))
    assert 16 <= found <= 256
    assert found in (16, 256) or (found - 1) ** 2 < shortest * (shortest + more) <= found**2


@pytest.mark.parametrize("bands", [4, FEWEST_BANDS - 1, FEWEST_BANDS, FEWEST_BANDS + 1, 64])
def test_a_smoothed_band_is_the_mean_of_two(bands: int) -> None:
    x = some(LENGTHS, bands)
    made = smoothed(x)
    if bands < FEWEST_BANDS:
        assert torch.equal(made, x)
        return
    for band in range(math.ceil(bands / 2)):
        pair = [x[:, :, each] for each in (2 * band, 2 * band + 1) if each < bands]
        torch.testing.assert_close(made[:, :, band], sum(pair, torch.zeros(4, 30)) / len(pair))


@settings(deadline=None, max_examples=30)
@given(RAGGED, st.integers(0, 2**31))
def test_centred_is_each_band_less_its_mean(lengths: list[int], seed: int) -> None:
    x = some(torch.tensor(lengths), 3, seed)
    made = centred(x, torch.tensor(lengths))
    for place, length in enumerate(lengths):
        for band in range(3):
            values = x[place, :length, band].tolist()
            expected = [value - sum(values) / length for value in values]
            assert made[place, :length, band].tolist() == pytest.approx(expected, abs=1e-5)
        assert not made[place, length:].any()


@settings(deadline=None, max_examples=30)
@given(RAGGED, st.integers(0, 2**31), st.integers(2, 40))
def test_stretched_lies_on_the_lines_between_frames(lengths: list[int], seed: int, frames: int) -> None:
    x = some(torch.tensor(lengths), 3, seed)
    made = stretched(x, torch.tensor(lengths), frames)
    for place, length in enumerate(lengths):
        for frame in range(frames):
            where = frame * (length - 1) / (frames - 1)
            below = min(int(where + 1e-4), length - 1)
            above, share = min(below + 1, length - 1), where - below
            expected = (1 - share) * x[place, below] + share * x[place, above]
            torch.testing.assert_close(made[place, frame], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bands", [10, 24])
@pytest.mark.parametrize("rubbish", [0.0, 1e6, math.inf, math.nan])
def test_what_stands_past_the_end_changes_nothing(rubbish: float, bands: int) -> None:
    made = network(bands)
    x = some(LENGTHS, bands)
    expected = made(x, LENGTHS)
    filled = torch.where((torch.arange(30) >= LENGTHS[:, None])[:, :, None], rubbish, x)
    assert torch.equal(made(filled, LENGTHS), expected)
    torch.testing.assert_close(made(pad(filled, (0, 0, 0, 9), value=rubbish), LENGTHS), expected)
    torch.testing.assert_close(made(x[1:2, :7], LENGTHS[1:2]), expected[1:2])


def test_without_lengths_every_frame_counts() -> None:
    x = some(torch.full((3,), 30))
    assert torch.equal(network()(x), network()(x, torch.full((3,), 30)))


def test_a_room_a_microphone_and_haste_change_nothing() -> None:
    """What is added to a band in all frames alike, a filter or the loudness; and a sound played slower."""
    x = some(LENGTHS)
    coloured = torch.where(torch.arange(30)[:, None] < LENGTHS[:, None, None], x + torch.randn(4, 1, 10), 0)
    torch.testing.assert_close(as_picture(coloured, LENGTHS, 16), as_picture(x, LENGTHS, 16), rtol=1e-4, atol=1e-4)
    frames = torch.linspace(0, 1, 16)[None, :, None] * torch.arange(1.0, 4)  # straight lines, which stretching keeps
    slower = torch.linspace(0, 1, 46)[None, :, None] * torch.arange(1.0, 4)
    pictures = [as_picture(x, torch.tensor([x.shape[1]]), 16) for x in (frames, slower)]
    torch.testing.assert_close(*pictures)
