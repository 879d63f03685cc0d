"""What a discriminator sees of pictures when there are few: differentiable augmentation (arXiv 2006.10738).

Real and generated pictures are changed alike before they are judged, and gradients pass through, so that the
discriminator cannot learn its pictures by heart and the generator does not learn to make changed ones
(Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", with its strengths).

n pictures, c channels (1 grey, 3 colour), s side. x: float (n, c, s, s) in [-1, 1]. u: numbers in [0, 1), some a
picture; the same u change different pictures in the same way.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import UsageError, nearest

SHIFT = 1 / 8  # of the side, at most
HOLE = 1 / 2  # of the side


def colour(x: Tensor, u: Tensor) -> Tensor:
    """Other brightness, saturation (if there are colours) and contrast; u: (n, 3)."""
    brightness, saturation, contrast = (u[:, i, None, None, None] for i in range(3))
    x = x + (brightness - 0.5)
    if x.shape[1] > 1:
        grey = x.mean(dim=1, keepdim=True)
        x = grey + (x - grey) * (2 * saturation)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.5 + contrast)


def translation(x: Tensor, u: Tensor) -> Tensor:
    """Moved by whole pixels, with middle grey where nothing is left; u: (n, 2), down and right."""
    n, channels, side, _ = x.shape
    furthest = round(side * SHIFT)
    steps = (u * (2 * furthest + 1)).floor().long() - furthest
    from_n2s = torch.arange(side, device=x.device) - steps[:, :, None]
    inside_n2s = ((from_n2s >= 0) & (from_n2s < side)).to(x.dtype)
    rows_ns, columns_ns = from_n2s.clamp(0, side - 1).unbind(1)
    moved = x.gather(2, rows_ns[:, None, :, None].expand(n, channels, side, side))
    moved = moved.gather(3, columns_ns[:, None, None, :].expand(n, channels, side, side))
    return moved * (inside_n2s[:, 0, :, None] * inside_n2s[:, 1, None, :])[:, None]


def cutout(x: Tensor, u: Tensor) -> Tensor:
    """A square about a random pixel made middle grey, what hangs over the border cut off; u: (n, 2), down and right."""
    side = x.shape[2]
    hole = round(side * HOLE)
    first_n21 = (u * side).floor()[:, :, None] - hole // 2
    places_s = torch.arange(side, device=x.device)
    cut_n2s = (places_s >= first_n21) & (places_s < first_n21 + hole)
    return x.masked_fill((cut_n2s[:, 0, :, None] & cut_n2s[:, 1, None, :])[:, None], 0)


KINDS = {"colour": (colour, 3), "translation": (translation, 2), "cutout": (cutout, 2)}


def asked(words: str) -> tuple[str, ...]:
    """The kinds that "none", "all" or names parted by commas ask for, in the paper's order. Raises: UsageError."""
    if words in ("none", "all"):
        return tuple(KINDS) if words == "all" else ()
    names = [name.strip() for name in words.split(",")]
    for name in names:
        if name not in KINDS:
            raise UsageError(f"diffaugment = {words!r}: {name!r} is unknown; {nearest(name, ['none', 'all', *KINDS])}")
    return tuple(name for name in KINDS if name in names)


def changed(x: Tensor, kinds: Sequence[str], seed: Tensor) -> Tensor:
    """Pictures changed in all of these ways; seed: (n, draws(kinds)), the u of each in turn."""
    place = 0
    for kind in kinds:
        change, count = KINDS[kind]
        x = change(x, seed[:, place : place + count])
        place += count
    return x


def draws(kinds: Sequence[str]) -> int:
    """How many random numbers a picture takes."""
    return sum(KINDS[kind][1] for kind in kinds)
