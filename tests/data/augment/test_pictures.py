"""What is done to pictures, against loops, Pillow and torch's own turning and rolling."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from fourfold.data.augment import Augmentation, pictures
from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema

Place = tuple[float, float]

close = partial(torch.testing.assert_close, rtol=0, atol=1e-5)


def some(n: int, c: int = 3, h: int = 12, w: int = 10) -> Tensor:
    return torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(n + h))


def augmented(x: Tensor, *names: str, step: int = 0) -> Tensor:
    schema = Schema(kind="image", shape=tuple(x.shape[1:]))
    return Augmentation(names, schema).apply(Batch(x, None, None, torch.arange(len(x))), 0, step).x


def reference(x: Tensor, back: Callable[[float, float], Place]) -> Tensor:
    """One picture (h, w) resampled with loops: every pixel from the place `back` gives, bilinear, zero outside."""
    h, w = x.shape
    result = torch.zeros(h, w)
    for i in range(h):
        for j in range(w):
            right, down = back(j - (w - 1) / 2, i - (h - 1) / 2)
            column, row = right + (w - 1) / 2, down + (h - 1) / 2
            for a in (math.floor(row), math.floor(row) + 1):
                for b in (math.floor(column), math.floor(column) + 1):
                    if 0 <= a < h and 0 <= b < w:
                        result[i, j] += x[a, b] * (1 - abs(row - a)) * (1 - abs(column - b))
    return result


def test_flipping_twice_is_doing_nothing() -> None:
    x = some(32)
    once = augmented(x, "flip")
    turned = [bool(torch.allclose(a, b.flip(2), atol=1e-5)) for a, b in zip(once, x, strict=True)]
    kept = [bool(torch.allclose(a, b, atol=1e-5)) for a, b in zip(once, x, strict=True)]
    assert [not flag for flag in kept] == turned
    assert 8 <= sum(turned) <= 24
    close(augmented(once, "flip"), x)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (0, -2), (-4, 1), (10, 0)])
def test_moving_by_whole_pixels_is_rolling_with_zeros(right: int, down: int) -> None:
    x = some(2)
    expected = x.roll((down, right), (2, 3))
    expected[:, :, slice(0, down) if down >= 0 else slice(down, None)] = 0
    expected[:, :, :, slice(0, right) if right >= 0 else slice(right, None)] = 0
    shift = pictures.translation(torch.full((2,), float(right)), torch.full((2,), float(down)))
    close(pictures.resample(x, shift), expected)


def test_translate_moves_by_whole_pixels_within_its_reach() -> None:
    x = torch.zeros(200, 1, 32, 32)
    x[:, :, 16, 16] = 1
    moved = augmented(x, "translate").round(decimals=4)
    assert (moved.sum(dim=(1, 2, 3)) == 1).all()
    _, _, rows, columns = moved.nonzero(as_tuple=True)
    for places in (rows, columns):
        assert sorted(set((places - 16).tolist())) == list(range(-4, 5))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_rot90(turns: int) -> None:
    x = some(2, h=9, w=9)
    found = pictures.resample(x, pictures.rotation(torch.full((2,), 90.0 * turns)))
    close(found, x.rot90(-turns, (2, 3)))


@pytest.mark.parametrize("degrees", [-37.0, 5.0, 30.0, 160.0])
def test_rotation_is_that_of_the_plain_formula(degrees: float) -> None:
    x = some(1, c=2)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    found = pictures.resample(x, pictures.rotation(torch.tensor([degrees])))
    for channel in range(2):
        expected = reference(x[0, channel], lambda right, down: (cos * right + sin * down, cos * down - sin * right))
        close(found[0, channel], expected)


def test_enlarging_and_windows_are_those_of_the_plain_formula() -> None:
    x = some(1, c=1)
    larger = pictures.resample(x, pictures.magnification(torch.tensor([1.3])))
    close(larger[0, 0], reference(x[0, 0], lambda a, b: (a / 1.3, b / 1.3)))
    part = pictures.resample(x, pictures.window(*(torch.tensor([value]) for value in (0.5, 0.8, 1.5, -1.0))))
    close(part[0, 0], reference(x[0, 0], lambda a, b: (a / 2 + 1.5, b * 0.8 - 1)))


def test_several_maps_are_one_after_the_other() -> None:
    x = some(2, h=9, w=9)
    maps = [
        pictures.mirror(torch.tensor([True, False])),
        pictures.translation(torch.tensor([2.0, 1.0]), torch.tensor([0.0, -3.0])),
        pictures.rotation(torch.tensor([90.0, 180.0])),
    ]
    expected = x
    for each in maps:
        expected = pictures.resample(expected, each)
    close(pictures.resample(x, *maps), expected)
    assert not torch.allclose(pictures.resample(x, *maps[::-1]), expected, atol=1e-5)


def test_a_crop_shows_nothing_from_outside_and_a_part_of_the_inside() -> None:
    assert augmented(torch.ones(100, 1, 16, 12), "crop").min() > 1 - 1e-5
    slope = torch.linspace(0, 1, 64).expand(100, 1, 64, 64)
    seen = augmented(slope, "crop")
    share = seen[:, 0, 0, -1] - seen[:, 0, 0, 0]
    assert share.min() > math.sqrt(pictures.WINDOW / pictures.ASPECT) - 0.02
    assert share.max() <= 1 + 1e-5
    assert share.std() > 0.05
    assert (seen[:, 0, 0, 0] > 0.1).any()


def test_white_stays_within_the_range() -> None:
    # At this size the four weights of an interpolation may sum to a little more than 1.
    turned = pictures.resample(torch.ones(500, 1, 33, 33), pictures.rotation(torch.linspace(-180, 180, 500)))
    assert turned.max() == 1
    assert turned.min() == 0


def test_colours_are_those_of_pillow() -> None:
    x = 0.3 + 0.3 * some(5)  # far from both ends, where Pillow would clip between its steps
    x = (x * 255).round() / 255
    u = torch.tensor([[0.05, 0.5, 0.5], [0.5, 0.95, 0.5], [0.5, 0.5, 0.95], [0.9, 0.1, 0.1], [0.1, 0.9, 0.9]])
    found = pictures.recolour(x, u)
    brightness, contrast, saturation = (1 + pictures.COLOUR * (2 * u - 1)).T.tolist()
    for i in range(5):
        image = Image.fromarray((x[i].permute(1, 2, 0) * 255).round().byte().numpy())
        image = ImageEnhance.Color(image).enhance(saturation[i])
        image = ImageEnhance.Contrast(image).enhance(contrast[i])
        image = ImageEnhance.Brightness(image).enhance(brightness[i])
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
        torch.testing.assert_close(found[i], expected, rtol=0, atol=3 / 255)
        assert (found[i] - x[i]).abs().max() > 6 / 255


def test_grey_pictures_keep_their_mean_but_for_the_brightness() -> None:
    x = 0.3 + 0.3 * some(5, c=1)
    u = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
    brightness, contrast, _ = (1 + pictures.COLOUR * (2 * u - 1)).T
    found = pictures.recolour(x, u)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)) * brightness)
    torch.testing.assert_close(found.std(dim=(1, 2, 3)), x.std(dim=(1, 2, 3)) * contrast * brightness)


def test_a_box_is_that_of_loops() -> None:
    u = torch.tensor([[0.0, 0.0], [0.5, 0.5], [0.999, 0.3], [0.31, 0.99]])
    side = torch.tensor([[4.0, 4.0], [3.0, 6.0], [5.0, 1.0], [0.0, 4.0]])
    found = pictures.box(u, side, 12, 10)
    for k, ((right, down), (width, height)) in enumerate(zip(u.tolist(), side.tolist(), strict=True)):
        left, top = int(right * 10) - int(width) // 2, int(down * 12) - int(height) // 2
        for i in range(12):
            for j in range(10):
                assert found[k, 0, i, j] == (top <= i < top + height and left <= j < left + width)


def test_cutout_makes_one_square_hole() -> None:
    x = 0.1 + 0.9 * some(60, h=16, w=16)
    cut = augmented(x, "cutout")
    hole = cut == 0
    assert torch.equal(cut[~hole], x[~hole])
    assert torch.equal(hole[:, 0], hole[:, 2])
    rows, columns = hole[:, 0].any(dim=2).sum(dim=1), hole[:, 0].any(dim=1).sum(dim=1)
    assert torch.equal(hole[:, 0].sum(dim=(1, 2)), rows * columns)
    for side in (rows, columns):
        assert side.min() >= 4  # the pixel about which it lies is in the picture
        assert side.max() == 8


def mixed(*names: str, count: int = 64) -> tuple[Tensor, Tensor]:
    """Black pictures of class 0 and white ones of class 1 by turns, mixed. Returns: pictures and labels."""
    y = torch.arange(count) % 2
    x = y.float()[:, None, None, None].expand(-1, 3, 12, 10)
    schema = Schema(kind="image", shape=(3, 12, 10), classes=("black", "white"))
    made = Augmentation(names, schema).apply(Batch(x, None, y, torch.arange(count)), 0, 0)
    assert made.y is not None
    assert made.y.dtype == torch.float32
    return made.x, made.y


@pytest.mark.parametrize("names", [("mixup",), ("cutmix",), ("mixup", "cutmix")])
def test_mixed_labels_are_the_shares_of_the_pixels(names: tuple[str, ...]) -> None:
    x, y = mixed(*names)
    assert y.shape == (64, 2)
    torch.testing.assert_close(y.sum(dim=1), torch.ones(64))
    torch.testing.assert_close(y[:, 1], x.mean(dim=(1, 2, 3)))
    assert y[:, 0].std() > 0.2


def test_mixup_mixes_all_pixels_alike_and_cutmix_takes_a_box() -> None:
    x, _ = mixed("mixup")
    assert (x == x[:, :1, :1, :1]).all()
    assert ((x > 0.01) & (x < 0.99)).any()
    x, y = mixed("cutmix")
    own = (torch.arange(64) % 2).float()[:, None, None]
    other = x[:, 0] != own
    assert ((x == 0) | (x == 1)).all()
    area = other.any(dim=2).sum(dim=1) * other.any(dim=1).sum(dim=1)
    assert torch.equal(other.sum(dim=(1, 2)), area)
    shares = torch.where(own[:, 0, 0] == 1, y[:, 0], y[:, 1])
    torch.testing.assert_close(shares, area / 120)


def test_small_boxes_lie_everywhere() -> None:
    u = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0))
    other = pictures.cutmix_weight(u, 12, 10)[:, 0] == 0
    small = other[other.sum(dim=(1, 2)) <= 12]
    assert len(small) > 100
    assert small.any(dim=0).all()


def test_of_mixup_and_cutmix_a_picture_gets_one() -> None:
    x, _ = mixed("mixup", "cutmix")
    even = (x == x[:, :1, :1, :1]).all(dim=3).all(dim=2).all(dim=1) & (x[:, 0, 0, 0] % 1 != 0)
    boxed = ((x == 0) | (x == 1)).all(dim=3).all(dim=2).all(dim=1)
    assert (even ^ boxed).all()
    assert 16 <= even.sum() <= 48


def test_a_picture_alone_in_its_batch_is_mixed_with_itself() -> None:
    x = some(1)
    for name in ("mixup", "cutmix"):
        schema = Schema(kind="image", shape=tuple(x.shape[1:]), classes=("oak", "ash", "elm", "fir"))
        made = Augmentation((name,), schema).apply(Batch(x, None, torch.tensor([2]), torch.tensor([9])), 0, 0)
        torch.testing.assert_close(made.x, x)
        assert made.y is not None
        torch.testing.assert_close(made.y, torch.tensor([[0.0, 0.0, 1.0, 0.0]]))


def test_pictures_without_labels_are_mixed_alike() -> None:
    x, y, index = some(4), torch.arange(4), torch.arange(4)
    schema = Schema(kind="image", shape=(3, 12, 10), classes=("oak", "ash", "elm", "fir"))
    with_labels, without = (Augmentation(("mixup",), schema).apply(Batch(x, None, z, index), 0, 0) for z in (y, None))
    assert without.y is None
    assert torch.equal(with_labels.x, without.x)
