"""A sound at another rate, by a filter that lets nothing fold back over half of the lower one."""

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

CROSSINGS = 32  # of zero, that the filter has on either side
PASSED = 1 - 5.5 / (2 * CROSSINGS)  # of the band: Blackman's window needs the rest to fall by 74 dB
BLOCK = 1 << 20  # numbers that are worked on at once


def resample(x: np.ndarray, old: int, new: int) -> np.ndarray:
    """A sound at another rate: float32 (n,) to float32 (ceil(n · new / old),).

    y[i] = Σ_k x[k] h(i · old / new - k), with h a sinc under Blackman's window. It cuts off
    below half of the lower rate: what lies above is down by 74 dB, and 83% of what lies below
    stays as it is. x counts as 0 before its start and after its end.
    Source: J. O. Smith, Digital Audio Resampling.
    """
    if old == new:
        return x
    common = math.gcd(old, new)
    up, down = new // common, old // common
    reach = math.ceil(CROSSINGS * max(1, down / up))
    windows = sliding_window_view(np.pad(x, reach), 2 * reach)  # at k: x[k - reach : k + reach]
    table = _table(up, down, reach) if 2 * up * reach <= BLOCK else None
    y = np.empty(-(-len(x) * up // down), dtype=np.float32)
    step = max(1, BLOCK // (2 * reach))
    for start in range(0, len(y), step):
        before, phase = np.divmod(np.arange(start, min(start + step, len(y))) * down, up)
        weights = _weights(phase / up, up, down, reach) if table is None else table[phase]
        np.einsum("ik,ik->i", windows[before + 1], weights, out=y[start : start + step])
    return y


@lru_cache(maxsize=8)
def _table(up: int, down: int, reach: int) -> np.ndarray:
    """The weights at each place that a new sample can have between two old ones."""
    return _weights(np.arange(up) / up, up, down, reach)


def _weights(after: np.ndarray, up: int, down: int, reach: int) -> np.ndarray:
    """What the 2 · reach samples about a place count there, float32 (n, 2 · reach).

    after: (n,), how far the place is beyond the last sample before it. A row sums to 1, so
    that what is constant stays so.
    """
    distance = after[:, None] - np.arange(1 - reach, reach + 1)
    turn = np.pi / reach * distance
    weights = np.sinc(PASSED * min(1, up / down) * distance) * (0.42 + 0.5 * np.cos(turn) + 0.08 * np.cos(2 * turn))
    normed: np.ndarray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normed
