"""Log-mel spectra: the plain formula written with loops, and what must not matter."""

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from fourfold.data.formats import logmel
from fourfold.data.formats.logmel import FAINT, FLOOR, frame_count, frame_sizes, log_mel, mel_filters


def noise(samples: int, seed: int = 0, loud: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, loud, samples).astype(np.float32)


def plain(x: np.ndarray, rate: int, mels: int) -> list[list[float]]:
    """Frame by frame, bin by bin, band by band."""
    width, hop = round(rate * 0.025), round(rate * 0.010)
    size = 2 ** math.ceil(math.log2(width))
    window = [0.5 - 0.5 * math.cos(2 * math.pi * t / width) for t in range(width)]
    energy = sum(w * w for w in window)
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = [700 * (10 ** (top * band / (mels + 1) / 2595) - 1) for band in range(mels + 2)]
    frames = []
    start = 0
    while True:
        sample = [float(x[start + t]) * window[t] if start + t < len(x) else 0.0 for t in range(width)]
        power = []
        for b in range(size // 2 + 1):
            total = sum(s * cmath.exp(-2j * math.pi * b * t / size) for t, s in enumerate(sample))
            power.append(abs(total) ** 2 / energy)
        bands = []
        for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
            weights = [
                max(0.0, min((b * rate / size - low) / (centre - low), (high - b * rate / size) / (high - centre)))
                for b in range(size // 2 + 1)
            ]
            mean = sum(w * p for w, p in zip(weights, power, strict=True)) / sum(weights)
            bands.append(mean)
        frames.append(bands)
        start += hop
        if start + width - hop >= len(x):
            loudest = max(map(max, frames))
            return [[math.log(max(mean + FAINT * loudest, FLOOR)) for mean in bands] for bands in frames]


@pytest.mark.parametrize(
    ("rate", "mels", "samples"), [(4000, 20, 333), (8000, 40, 500), (11025, 40, 277), (8000, 4, 1)]
)
def test_it_is_the_plain_formula(rate: int, mels: int, samples: int) -> None:
    sine = np.sin(0.3 * np.arange(samples)).astype(np.float32)  # loud in one band and silent in others
    for x in (noise(samples), sine, sine / 1000):
        assert_close(log_mel([x], rate, mels)[0], torch.tensor(plain(x, rate, mels)), rtol=1e-4, atol=0)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=4), st.sampled_from([4000, 8000, 11025]))
@settings(max_examples=15, deadline=None)
def test_neither_the_batch_nor_the_block_matters(samples: list[int], rate: int) -> None:
    sounds = [noise(count, seed, 10.0**-seed) for seed, count in enumerate(samples)]
    together = log_mel(sounds, rate, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logmel, "BLOCK", 5000)
        for sound, features in zip(sounds, together, strict=True):
            assert features.shape == (frame_count(len(sound), rate), 20)
            assert features.dtype == torch.float32
            assert_close(log_mel([sound], rate, 20)[0], features, rtol=1e-6, atol=0)


@given(st.integers(1, 10_000), st.integers(1000, 192_000))
def test_every_sample_is_in_a_frame_and_none_is_in_vain(samples: int, rate: int) -> None:
    width, hop = frame_sizes(rate)
    count = frame_count(samples, rate)
    assert (count - 1) * hop + width >= samples
    assert count == 1 or (count - 2) * hop + width < samples


@pytest.mark.parametrize("rate", [1000, 8000, 44100, 192_000])
@pytest.mark.parametrize("mels", [4, 64, 256])
def test_every_band_hears_something(rate: int, mels: int) -> None:
    size, filters = mel_filters(rate, mels)
    assert filters.shape == (size // 2 + 1, mels)
    assert size >= frame_sizes(rate)[0]
    assert size.bit_count() == 1
    assert_close(filters.sum(dim=0), torch.ones(mels, dtype=torch.float64))
    assert (filters >= 0).all()


def test_the_transform_grows_only_for_bands_that_need_it() -> None:
    assert mel_filters(8000, 64)[0] == 256
    assert mel_filters(8000, 128)[0] == 512


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_noise_gives_its_power_at_any_rate(rate: int) -> None:
    features = log_mel([noise(20 * rate, loud=0.1)], rate, 40)[0]
    assert_close(features.exp().mean(dim=0), torch.full((40,), 0.01), rtol=0.15, atol=0)


def test_loudness_is_kept() -> None:
    x = noise(2000)
    assert_close(log_mel([x / 4], 8000, 40)[0], log_mel([x], 8000, 40)[0] - 2 * math.log(4), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("decibels", "change"), [(60, 0.2), (80, 0.01)])
def test_a_faint_room_changes_little_and_a_loud_one_much(decibels: int, change: float) -> None:
    """A word between two silences: in digital silence, and in a room whose hiss is so much fainter."""
    word = np.concatenate((np.zeros(1000), noise(2000), np.zeros(1000))).astype(np.float32)
    hiss = noise(4000, seed=1)
    dry, faint, loud = log_mel([word, word + hiss * 10 ** (-decibels / 20), word + hiss / 10], 8000, 40)
    assert (faint - dry).abs().max() < change
    assert (loud - dry).abs().max() > 4


@given(st.integers(0, 2**31), st.floats(1e-3, 1))
@settings(max_examples=15, deadline=None)
def test_no_place_lies_far_below_the_loudest(seed: int, loud: float) -> None:
    x = noise(3000, seed, loud) * (np.arange(3000) % 1000 < 300)
    features = log_mel([x], 8000, 40)[0]
    assert features.max() - features.min() <= -math.log(FAINT) + 1e-3


def test_silence_is_the_floor_and_16_bits_of_it_as_well() -> None:
    silence = np.zeros(2000, dtype=np.float32)
    assert set(log_mel([silence], 8000, 40)[0].flatten().tolist()) == {float(np.float32(math.log(FLOOR)))}
    rounding = np.random.default_rng(0).uniform(-(2.0**-16), 2.0**-16, 20 * 8000).astype(np.float32)
    assert log_mel([rounding], 8000, 40)[0].exp().mean() < 2 * FLOOR


def test_a_sine_is_in_the_band_of_its_pitch() -> None:
    frequency = 1000.0
    x = np.sin(2 * np.pi * frequency / 8000 * np.arange(4000)).astype(np.float32)
    band = 41 * math.log10(1 + frequency / 700) / math.log10(1 + 4000 / 700) - 1
    assert (log_mel([x], 8000, 40)[0].argmax(dim=1)[:-1] - band).abs().max() <= 0.5


def test_no_sounds() -> None:
    assert log_mel([], 8000, 40) == []
