"""Differentiable augmentation against the same with loops over pixels."""

import math

import pytest
import torch
from torch import Tensor

from fourfold.families.gan import diffaugment


def pictures(n: int, channels: int = 1, side: int = 8) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(n), dtype=torch.float64) * 2 - 1


def uniform(n: int, count: int) -> Tensor:
    return torch.rand(n, count, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def test_translation_moves_whole_pictures() -> None:
    x, u = pictures(40), uniform(40, 2)
    moved = diffaugment.translation(x, u)
    shifts = set()
    for i in range(40):
        down, right = (math.floor(v * 3) - 1 for v in u[i].tolist())  # an eighth of 8 pixels is 1
        shifts.add((down, right))
        for row in range(8):
            for column in range(8):
                inside = 0 <= row - down < 8 and 0 <= column - right < 8
                assert moved[i, 0, row, column] == (x[i, 0, row - down, column - right] if inside else 0)
    assert len(shifts) == 9


def test_cutout_takes_a_square_of_half_the_side() -> None:
    x, u = pictures(40), uniform(40, 2)
    cut = diffaugment.cutout(x, u)
    for i in range(40):
        top, left = (math.floor(v * 8) - 2 for v in u[i].tolist())
        for row in range(8):
            for column in range(8):
                gone = top <= row < top + 4 and left <= column < left + 4
                assert cut[i, 0, row, column] == (0 if gone else x[i, 0, row, column])


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_is_brightness_then_saturation_then_contrast(channels: int) -> None:
    x, u = pictures(5, channels), uniform(5, 3)
    changed = diffaugment.colour(x, u)
    for i, (brightness, saturation, contrast) in enumerate(u.tolist()):
        one = x[i] + brightness - 0.5
        if channels == 3:
            grey = sum(one[c] for c in range(3)) / 3
            one = torch.stack([grey + 2 * saturation * (one[c] - grey) for c in range(3)])
        mean = one.sum() / one.numel()
        torch.testing.assert_close(changed[i], mean + (0.5 + contrast) * (one - mean))


def test_each_kind_takes_its_own_numbers_and_gradients_pass_through_all() -> None:
    kinds = diffaugment.asked("all")
    x, u = pictures(2, 3, 4).requires_grad_(), uniform(2, diffaugment.draws(kinds))
    expected = diffaugment.cutout(diffaugment.translation(diffaugment.colour(x, u[:, :3]), u[:, 3:5]), u[:, 5:])
    assert torch.equal(diffaugment.changed(x, kinds, u), expected)
    assert torch.autograd.gradcheck(lambda given: diffaugment.changed(given, kinds, u), x)


def test_kinds_are_named_in_any_order() -> None:
    assert diffaugment.asked("none") == ()
    assert diffaugment.asked("cutout, colour") == ("colour", "cutout")
    x = pictures(2)
    assert torch.equal(diffaugment.changed(x, (), uniform(2, 0)), x)
