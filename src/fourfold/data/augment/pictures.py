"""What may be done to whole batches of pictures without changing what they show.

Every function is pure: pictures and the figures of each one in, new pictures out, one pass
over the batch. Who draws the figures, and in which order the functions run, is `augment`'s to say.

n pictures, c channels (1 grey, 3 colour), h height, w width. x: float32 (n, c, h, w) in
[0, 1], and so are the results. u: numbers in [0, 1), some a picture. A `_n33` is an affine map
(n, 3, 3) from a pixel of the result to the place in the given picture that it shows: (right,
down, 1), in pixels from the picture's centre.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

SHIFT = 1 / 8  # of a side: the 4 of 32 pixels by which He et al. (arXiv 1512.03385) pad and crop
ANGLE = 15.0  # degrees: a 6 stays a 6
ZOOM = 1.1
WINDOW = 1 / 2  # smallest share of the area; Szegedy et al. (arXiv 1409.4842) go to 0.08, for photographs
ASPECT = 4 / 3  # likewise
COLOUR = 0.2  # brightness, contrast and saturation change by so much at most
HOLE = 1 / 2  # of the shorter side: the 16 of 32 pixels of DeVries and Taylor (arXiv 1708.04552)

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def mirror(mirrored: Tensor) -> Tensor:
    """Left and right exchanged where `mirrored`, bool (n,). Returns: (n, 3, 3)."""
    sign = torch.where(mirrored, -1.0, 1.0)
    one, zero = torch.ones_like(sign), torch.zeros_like(sign)
    return _rows((sign, zero, zero), (zero, one, zero))


def translation(right: Tensor, down: Tensor) -> Tensor:
    """Moved by so many pixels, float (n,) each. Returns: (n, 3, 3)."""
    one, zero = torch.ones_like(right), torch.zeros_like(right)
    return _rows((one, zero, -right), (zero, one, -down))


def rotation(degrees: Tensor) -> Tensor:
    """Turned clockwise about the centre, float (n,). Returns: (n, 3, 3)."""
    cos, sin = torch.cos(degrees * (math.pi / 180)), torch.sin(degrees * (math.pi / 180))
    zero = torch.zeros_like(degrees)
    return _rows((cos, sin, zero), (-sin, cos, zero))


def magnification(factor: Tensor) -> Tensor:
    """Enlarged about the centre, float (n,). Returns: (n, 3, 3)."""
    inverse, zero = 1 / factor, torch.zeros_like(factor)
    return _rows((inverse, zero, zero), (zero, inverse, zero))


def window(width: Tensor, height: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """A part enlarged to the whole, float (n,) each.

    width, height: its shares of the sides. right, down: its centre, in pixels from the
    picture's. Returns: (n, 3, 3).
    """
    zero = torch.zeros_like(width)
    return _rows((width, zero, right), (zero, height, down))


def _flip(u: Tensor, height: int, width: int) -> Tensor:
    return mirror(u[:, 0] < 0.5)


def _translate(u: Tensor, height: int, width: int) -> Tensor:
    """By whole pixels, which blurs nothing: the same as padding and cropping."""
    right, down = (
        (u[:, i] * (2 * reach + 1)).floor() - reach
        for i, reach in enumerate((round(SHIFT * width), round(SHIFT * height)))
    )
    return translation(right, down)


def _scale(u: Tensor, height: int, width: int) -> Tensor:
    return magnification(ZOOM ** (2 * u[:, 0] - 1))


def _rotate(u: Tensor, height: int, width: int) -> Tensor:
    return rotation(ANGLE * (2 * u[:, 0] - 1))


def _crop(u: Tensor, height: int, width: int) -> Tensor:
    """A window of random area and aspect, anywhere between the centres of the outermost pixels.

    Beyond these, interpolation would let the black from outside in.
    """
    area = WINDOW + (1 - WINDOW) * u[:, 0]
    aspect = ASPECT ** (2 * u[:, 1] - 1)
    across, along = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    right = (1 - across) * (width - 1) * (u[:, 2] - 0.5)
    down = (1 - along) * (height - 1) * (u[:, 3] - 0.5)
    return window(across, along, right, down)


# From the picture given to the one returned, in this order, whichever of them are asked for.
GEOMETRY: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "flip": _flip,
    "crop": _crop,
    "scale": _scale,
    "rotate": _rotate,
    "translate": _translate,
}


def resample(x: Tensor, *maps_n33: Tensor) -> Tensor:
    """The pictures under some maps, the first one first, interpolated once for all of them.

    Bilinear; what comes from outside the picture is zero (black). Whole pixels stay what
    they were, up to rounding.
    """
    n33 = functools.reduce(_compose, maps_n33)
    height, width = x.shape[2:]
    right = torch.arange(width, device=x.device) - (width - 1) / 2
    down = torch.arange(height, device=x.device) - (height - 1) / 2
    # Elementwise and not a product of matrices: a GPU may round those to ten bits (TF32).
    source_n2hw = (
        n33[:, :2, 0, None, None] * right + n33[:, :2, 1, None, None] * down[:, None] + n33[:, :2, 2, None, None]
    )
    # grid_sample counts half a side as 1.
    grid = torch.stack((source_n2hw[:, 0] * (2 / width), source_n2hw[:, 1] * (2 / height)), dim=3)
    return grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False).clamp_(0, 1)


def recolour(x: Tensor, u: Tensor) -> Tensor:
    """Other brightness, contrast and, for colour pictures, saturation; u: (n, 3)."""
    brightness, contrast, saturation = (1 + COLOUR * (2 * u[:, i, None, None, None] - 1) for i in range(3))
    if x.shape[1] == 3:
        red, green, blue = LUMA
        grey = red * x[:, :1] + green * x[:, 1:2] + blue * x[:, 2:]
        x = torch.lerp(grey, x, saturation)
    else:
        grey = x
    mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    return (torch.lerp(mean, x, contrast) * brightness).clamp_(0, 1)


def cut_out(x: Tensor, u: Tensor) -> Tensor:
    """A square about a random pixel made zero, what hangs over the border cut off; u: (n, 2)."""
    side = torch.full_like(u, round(HOLE * min(x.shape[2:])))
    return x.masked_fill(box(u, side, x.shape[2], x.shape[3]), 0)


def mixup_weight(u: Tensor, height: int, width: int) -> Tensor:
    """The weight of a picture's own pixels in mixup (Zhang et al., arXiv 1710.09412); u: (n, 3).

    Beta(1, 1), the paper's choice for CIFAR-10, is uniform. Returns: (n, 1, h, w).
    """
    return u[:, :1, None, None].expand(-1, 1, height, width)


def cutmix_weight(u: Tensor, height: int, width: int) -> Tensor:
    """The weight of a picture's own pixels in CutMix (Yun et al., arXiv 1905.04899); u: (n, 3).

    0 in a box of a random share of the area (uniform, the paper's choice) about a random
    pixel, 1 outside. Returns: (n, 1, h, w).
    """
    share = (1 - u[:, :1]).sqrt()
    side = torch.cat((share * width, share * height), dim=1).floor()
    return 1 - box(u[:, 1:], side, height, width).float()


def mix(x: Tensor, labels: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor | None]:
    """Each picture mixed with the one before it in the batch (the first with the last).

    weight: (n, 1, h, w) of the picture's own pixels. labels: float (n, classes) or None.
    Returns: the pictures, and the labels mixed by the shares of the pixels.
    """
    mixed = torch.lerp(x.roll(1, 0), x, weight)
    if labels is None:
        return mixed, None
    return mixed, torch.lerp(labels.roll(1, 0), labels, weight.mean(dim=(2, 3)))


def box(u: Tensor, side: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in a box about a random pixel.

    u: (n, 2), the pixel, across and down. side: (n, 2), whole pixels, likewise.
    Returns: bool (n, 1, h, w).
    """
    left = (u[:, 0] * width).floor() - (side[:, 0] / 2).floor()
    top = (u[:, 1] * height).floor() - (side[:, 1] / 2).floor()
    across = _between(torch.arange(width, device=u.device), left, side[:, 0])
    along = _between(torch.arange(height, device=u.device), top, side[:, 1])
    return (along[:, :, None] & across[:, None, :])[:, None]


def _between(places: Tensor, start: Tensor, size: Tensor) -> Tensor:
    return (places >= start[:, None]) & (places < (start + size)[:, None])


def _rows(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
    """The affine map with these two rows, three tensors (n,) each."""
    zero, one = torch.zeros_like(first[0]), torch.ones_like(first[0])
    return torch.stack((*first, *second, zero, zero, one), dim=1).view(-1, 3, 3)


def _compose(first_n33: Tensor, second_n33: Tensor) -> Tensor:
    """First this, then that: the product of their maps, which lead back from the result."""
    return (first_n33[:, :, :, None] * second_n33[:, None, :, :]).sum(dim=2)
