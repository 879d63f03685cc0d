"""Resampling: the plain formula, a sine that stays one, nothing that folds back, and lengths."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.formats import resample as module
from fourfold.data.formats.resample import CROSSINGS, PASSED, resample

RATES = [(44100, 16000), (16000, 8000), (8000, 16000), (48000, 44100), (11025, 16000), (8000, 8001)]


def tone(frequency: float, rate: int, samples: int) -> np.ndarray:
    x: np.ndarray = np.sin(2 * np.pi * frequency / rate * np.arange(samples)).astype(np.float32)
    return x


def middle(x: np.ndarray) -> np.ndarray:
    return x[len(x) // 4 : -len(x) // 4]


def plain(x: np.ndarray, old: int, new: int) -> list[float]:
    """The definition, sample by sample, in 64 bits."""
    reach = math.ceil(CROSSINGS * max(1.0, old / new))
    found = []
    for i in range(math.ceil(len(x) * new / old)):
        total = weight = 0.0
        for k in range(i * old // new + 1 - reach, i * old // new + 1 + reach):
            distance = i * old / new - k
            turn = math.pi * distance / reach
            ripple = math.pi * PASSED * min(1, new / old) * distance
            h = math.sin(ripple) / ripple if ripple else 1.0
            h *= 0.42 + 0.5 * math.cos(turn) + 0.08 * math.cos(2 * turn)
            weight += h
            total += h * float(x[k]) if 0 <= k < len(x) else 0
        found.append(total / weight)
    return found


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([*RATES, (3, 2), (2, 3), (7, 1), (44100, 44099)]), st.integers(1, 90), st.integers(0, 99))
def test_it_is_the_plain_formula(rates: tuple[int, int], samples: int, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)
    np.testing.assert_allclose(resample(x, *rates), plain(x, *rates), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("old", "new"), RATES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.83])
def test_a_sine_comes_out_as_the_sine(old: int, new: int, share: float) -> None:
    frequency = share * min(old, new) / 2
    y = resample(tone(frequency, old, old // 4), old, new)
    np.testing.assert_allclose(middle(y), middle(tone(frequency, new, len(y))), rtol=0, atol=5e-4)


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, new in RATES if new < old])
@pytest.mark.parametrize("share", [1.003, 1.02, 1.08])
def test_what_lies_above_half_the_rate_is_gone(old: int, new: int, share: float) -> None:
    y = resample(tone(share * new / 2, old, old // 4), old, new)
    assert 20 * np.log10(np.abs(middle(y)).max()) < -70


@given(st.integers(1, 5000), st.integers(1000, 192_000), st.integers(1000, 192_000))
@settings(max_examples=40, deadline=None)
def test_the_length_of_time_stays(samples: int, old: int, new: int) -> None:
    samples = min(samples, 20_000 * old // new + 1)
    y = resample(np.ones(samples, dtype=np.float32), old, new)
    assert y.dtype == np.float32
    assert len(y) == -(-samples * new // old)
    reach = CROSSINGS * max(1, new / old) + 1
    inner = y[math.ceil(reach) : len(y) - math.ceil(reach)]
    np.testing.assert_allclose(inner, np.ones_like(inner), rtol=0, atol=1e-5)


def test_the_same_rate_changes_nothing() -> None:
    x = tone(440, 8000, 1000)
    assert resample(x, 8000, 8000) is x


@pytest.mark.parametrize(("old", "new"), [(44100, 16000), (44100, 44099)])
def test_blocks_do_not_show(old: int, new: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    whole = resample(x, old, new)
    monkeypatch.setattr(module, "BLOCK", 10_000)
    np.testing.assert_allclose(resample(x, old, new), whole, rtol=0, atol=1e-6)
