"""What may be done to whole batches of series, and of sounds as spectra, without changing what they tell.

Every function is pure. What lies past a series' length is never read and comes out as zero,
and a batch that is padded further comes out the same.

n series, t time, c channels. x: float32 (n, t, c), standardised, so that a channel's figures
are in units of its standard deviation about its mean, 0. inside: bool (n, t, 1), before the
end of each. lengths: float (n, 1). u: numbers in [0, 1), z: from N(0, 1), some a series.
"""

import math

import torch
from torch import Tensor

JITTER = 0.05  # Um et al., "Data augmentation of wearable sensor data", arXiv 1706.00527
SCALING = 0.1  # likewise
MASK = 0.2  # of a series, at most; SpecAugment's bound (Park et al., arXiv 1904.08779)
BANDS = 15 / 80  # of a sound's bands, at most; its milder policy, SM, hides up to 15 of 80
VOICE = 0.15  # of a band's height, at most; a little more than the 0.1 of Jaitly and Hinton, who have more speakers
WAVES = 3
SPEED = 0.5  # time runs faster or slower by so much at most


def jitter(x: Tensor, inside: Tensor, z: Tensor) -> Tensor:
    """Noise on every value; z: (n, t · c)."""
    return torch.where(inside, x + JITTER * z.view_as(x), 0)


def scaling(x: Tensor, inside: Tensor, z: Tensor) -> Tensor:
    """Every channel times a factor near 1; z: (n, c)."""
    return torch.where(inside, x * (1 + SCALING * z[:, None]), 0)


def mask(x: Tensor, inside: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
    """A stretch of time set to 0, the mean; u: (n, 2). One of no length leaves the series alone."""
    size = (u[:, :1] * ((MASK * lengths).floor() + 1)).floor()
    start = (u[:, 1:] * (lengths - size + 1)).floor()
    time = torch.arange(x.shape[1], device=x.device)
    hidden = (time >= start) & (time < start + size)
    return torch.where(inside & ~hidden[:, :, None], x, 0)


def mask_bands(x: Tensor, inside: Tensor, u: Tensor) -> Tensor:
    """A stretch of channels, which are bands of a sound, set to 0, the mean; u: (n, 2). It may be of none."""
    channels = x.shape[2]
    size = (u[:, :1] * (math.floor(BANDS * channels) + 1)).floor()
    start = (u[:, 1:] * (channels - size + 1)).floor()
    band = torch.arange(channels, device=x.device)
    hidden = (band >= start) & (band < start + size)
    return torch.where(inside & ~hidden[:, None], x, 0)


def voice(x: Tensor, inside: Tensor, u: Tensor) -> Tensor:
    """Every band of a sound a little higher or lower, as from a smaller or a larger speaker; u: (n, 1).

    Jaitly and Hinton, "Vocal tract length perturbation improves speech recognition" (ICML workshop
    2013), on the bands as they are: band b comes from b (1 + a), linear between two bands.
    """
    last = x.shape[2] - 1
    place = torch.arange(last + 1, device=x.device) * (1 + VOICE * (2 * u - 1))
    place = place.clamp(max=last)[:, None]
    below = place.floor()
    above = (below + 1).clamp(max=last)
    lower, upper = (x.gather(2, band.long().expand_as(x)) for band in (below, above))
    return torch.where(inside, torch.lerp(lower, upper, place - below), 0)


def warp(x: Tensor, inside: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
    """Time that runs now faster, now slower; ends and order stay; u: (n, WAVES).

    As Um et al. do, with waves in place of their splines: the value at the share s of the
    series comes from s + Σ_k a_k sin(kπs), where Σ_k kπ|a_k| ≤ SPEED < 1 keeps time running
    forward. Linear between two values.
    """
    last = lengths - 1
    time = torch.arange(x.shape[1], device=x.device)
    share = (time / last.clamp(min=1)).clamp(max=1)
    moved = share
    for k in range(1, WAVES + 1):
        amplitude = SPEED / (WAVES * k * math.pi) * (2 * u[:, k - 1 : k] - 1)
        moved = moved + amplitude * torch.sin(k * math.pi * share)
    place = torch.minimum((moved * last).clamp(min=0), last)
    below = place.floor()
    above = torch.minimum(below + 1, last)
    values = torch.lerp(_at(x, below), _at(x, above), (place - below)[:, :, None])
    return torch.where(inside, values, 0)


def _at(x: Tensor, place: Tensor) -> Tensor:
    """The values at whole places, float (n, t)."""
    return x.gather(1, place.long()[:, :, None].expand_as(x))
