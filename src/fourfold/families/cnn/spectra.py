"""Sounds of any length as pictures of one size, whoever speaks, however fast and into whatever microphone.

n sounds, t frames, b bands. lengths: int64 (n,), the frames of each; what comes after them is not read.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

FEWEST_BANDS = 16  # of a sound whose bands are halved
FEWEST_FRAMES, MOST_FRAMES = 16, 256  # of a picture; other sounds are stretched or pressed into as many


def height(lengths: tuple[int, int]) -> int:
    """How many frames the pictures get of sounds whose shortest and longest in train have so many.

    Their geometric mean: as many times as the longest is pressed together, the shortest is stretched.
    """
    shortest, longest = lengths
    return min(max(FEWEST_FRAMES, math.ceil(math.sqrt(shortest * longest))), MOST_FRAMES)


def as_picture(x: Tensor, lengths: Tensor, height: int) -> Tensor:
    """Spectra (n, t, b), float32, as grey pictures (n, 1, height, bands), as many bands as `smoothed` leaves."""
    return stretched(centred(smoothed(x), lengths), lengths, height)[:, None]


def smoothed(x: Tensor) -> Tensor:
    """Spectra in which the mean of two neighbouring bands stands for both; a last one without a neighbour stays.

    It levels the overtones of a voice, which tell who speaks rather than what is said, and which
    a convolution takes for edges. Fewer bands than `FEWEST_BANDS` stay as they are.
    """
    return x if x.shape[2] < FEWEST_BANDS else avg_pool1d(x, 2, ceil_mode=True)


def centred(x: Tensor, lengths: Tensor) -> Tensor:
    """Spectra less their own mean in each band; zero past their lengths.

    What a voice, a room and a microphone add to all frames alike goes (cepstral mean subtraction,
    Atal 1974, on the bands themselves).
    """
    inside = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[:, :, None]
    mean = torch.where(inside, x, 0).sum(dim=1, keepdim=True) / lengths[:, None, None]
    return torch.where(inside, x - mean, 0)


def stretched(x: Tensor, lengths: Tensor, height: int) -> Tensor:
    """Spectra of `height` frames each, from the first frame to the last, linear between two: (n, height, b)."""
    last = (lengths - 1)[:, None]
    place = torch.linspace(0, 1, height, device=x.device) * last
    below = place.floor()
    above = torch.minimum(below + 1, last)
    lower, upper = (x.gather(1, frame.long()[:, :, None].expand(-1, -1, x.shape[2])) for frame in (below, above))
    return torch.lerp(lower, upper, (place - below)[:, :, None])
