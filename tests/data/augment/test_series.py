"""What is done to series: each operation by its formula, and that padding neither matters nor changes."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from fourfold.data.augment import NAMES, Augmentation, series
from fourfold.data.dataset import Batch
from fourfold.data.schema import Kind, Schema

LENGTHS = torch.tensor([40, 3, 1, 17, 40, 2])
KINDS: tuple[Kind, ...] = ("series", "sound")


def some(lengths: Tensor = LENGTHS) -> Tensor:
    """Series (n, 40, 3) of such lengths, zero past them, nowhere zero before."""
    x = torch.randn(len(lengths), 40, 3, generator=torch.Generator().manual_seed(0))
    x = torch.where(x.abs() < 1e-3, 1.0, x)
    return torch.where(torch.arange(40)[:, None] < lengths[:, None, None], x, 0)


def augmented(x: Tensor, lengths: Tensor | None, *names: str, step: int = 0, kind: Kind = "series") -> Tensor:
    batch = Batch(x, lengths, None, torch.arange(len(x)))
    return Augmentation(names, Schema(kind=kind, shape=(x.shape[2],))).apply(batch, 0, step).x


@pytest.mark.parametrize(
    ("kind", "names"),
    [(kind, names) for kind in KINDS for names in (*((name,) for name in NAMES[kind]), NAMES[kind])],
)
def test_padding_is_not_read_and_stays_zero(kind: Kind, names: tuple[str, ...]) -> None:
    x = some().repeat(1, 1, 10 if kind == "sound" else 1)
    made = augmented(x, LENGTHS, *names, kind=kind)
    outside = torch.arange(40) >= LENGTHS[:, None]
    assert not made[outside].any()
    assert made[~outside].any(dim=1).float().mean() > 0.8
    assert not torch.equal(made, x)
    assert torch.equal(augmented(pad(x, (0, 0, 0, 25)), LENGTHS, *names, kind=kind), pad(made, (0, 0, 0, 25)))
    for strange in (math.nan, math.inf):
        filled = torch.where(outside[:, :, None], strange, x)
        assert torch.equal(augmented(filled, LENGTHS, *names, kind=kind), made)


@pytest.mark.parametrize("name", NAMES["series"])
def test_without_lengths_all_are_full(name: str) -> None:
    full = torch.full((6,), 40)
    assert torch.equal(augmented(some(full), None, name), augmented(some(full), full, name))


def test_jitter_is_normal_noise() -> None:
    lengths = torch.full((200,), 40)
    noise = augmented(some(lengths), lengths, "jitter") - some(lengths)
    assert float(noise.std()) == pytest.approx(series.JITTER, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.001)
    assert float((noise.abs() < series.JITTER).float().mean()) == pytest.approx(0.683, abs=0.01)


def test_scaling_is_a_factor_a_channel() -> None:
    lengths = torch.full((300,), 40)
    factor = augmented(some(lengths), lengths, "scaling") / some(lengths)
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    assert float(factor[:, 0].std()) == pytest.approx(series.SCALING, rel=0.1)
    assert float(factor[:, 0].mean()) == pytest.approx(1, abs=0.02)


def test_a_mask_is_one_stretch_of_at_most_its_share() -> None:
    lengths = torch.arange(1, 41).repeat(20)
    x = some(lengths)
    made = augmented(x, lengths, "mask")
    inside = torch.arange(40) < lengths[:, None]
    hidden = (made == 0).all(dim=2) & inside
    assert torch.equal(made[~hidden], x[~hidden])
    assert (hidden.sum(dim=1) <= series.MASK * lengths).all()
    edges = (pad(hidden.int(), (1, 1)).diff(dim=1) == 1).sum(dim=1)
    assert edges.max() == 1


def test_masks_reach_both_ends_and_every_size() -> None:
    lengths = torch.full((500,), 40)
    hidden = (augmented(some(lengths), lengths, "mask") == 0).all(dim=2)
    assert sorted(set(hidden.sum(dim=1).tolist())) == list(range(9))
    assert hidden.any(dim=0).all()


def banded(x: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
    return series.mask_bands(x, (torch.arange(x.shape[1]) < lengths[:, None])[:, :, None], u)


def sounds(count: int, bands: int) -> tuple[Tensor, Tensor]:
    """Spectra (count, 7, bands) without a zero but past their lengths, of 1 to 7 frames, and the lengths."""
    lengths = torch.arange(count) % 7 + 1
    return (torch.arange(7) < lengths[:, None])[:, :, None] * (torch.arange(bands) + 1.0), lengths


def test_a_mask_of_bands_is_that_of_the_plain_formula() -> None:
    for bands in (1, 5, 6, 64, 80):
        x, lengths = sounds(50, bands)
        u = torch.rand(50, 2, generator=torch.Generator().manual_seed(bands), dtype=torch.float64)
        found = banded(x, lengths, u)
        for i in range(50):
            size = int(float(u[i, 0]) * (bands * 15 // 80 + 1))
            start = int(float(u[i, 1]) * (bands - size + 1))
            expected = x[i].clone()
            expected[:, start : start + size] = 0
            assert torch.equal(found[i], expected)


def test_a_mask_of_bands_reaches_both_ends_and_every_size() -> None:
    x, lengths = sounds(2000, 64)
    u = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    hidden = banded(x, lengths, u)[:, 0] == 0
    assert sorted(set(hidden.sum(dim=1).tolist())) == list(range(13))
    assert hidden.any(dim=0).all()


def test_a_mask_of_bands_does_not_read_the_padding() -> None:
    x, lengths = sounds(50, 64)
    u = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    made = banded(x, lengths, u)
    assert torch.equal(banded(pad(x, (0, 0, 0, 9)), lengths, u), pad(made, (0, 0, 0, 9)))
    outside = (torch.arange(7) >= lengths[:, None])[:, :, None]
    for strange in (math.nan, math.inf):
        assert torch.equal(banded(torch.where(outside, strange, x), lengths, u), made)


def test_another_voice_moves_every_band_by_its_share() -> None:
    for bands in (1, 2, 64):
        x, lengths = sounds(30, bands)
        x = x * torch.randn(30, 7, bands, generator=torch.Generator().manual_seed(bands)).double()
        u = torch.rand(30, 1, generator=torch.Generator().manual_seed(1)).double()
        found = series.voice(x, (torch.arange(7) < lengths[:, None])[:, :, None], u)
        for i in range(30):
            for band in range(bands):
                place = min(band * (1 + series.VOICE * (2 * float(u[i, 0]) - 1)), bands - 1)
                below, above = int(place), min(int(place) + 1, bands - 1)
                expected = x[i, :, below] + (place - below) * (x[i, :, above] - x[i, :, below])
                torch.testing.assert_close(found[i, :, band], expected)


def test_the_middle_voice_is_the_speakers_own() -> None:
    x, lengths = sounds(5, 64)
    inside = (torch.arange(7) < lengths[:, None])[:, :, None]
    assert torch.equal(series.voice(x, inside, torch.full((5, 1), 0.5)), x)


def test_a_warp_is_that_of_the_plain_formula() -> None:
    x, n = some(), len(LENGTHS)
    u = torch.rand(n, series.WAVES, generator=torch.Generator().manual_seed(3))
    inside = (torch.arange(40) < LENGTHS[:, None])[:, :, None]
    found = series.warp(x, inside, LENGTHS[:, None].float(), u)
    for i, length in enumerate(LENGTHS.tolist()):
        for t in range(length):
            share = t / max(length - 1, 1)
            waves = [(2 * float(u[i, k - 1]) - 1) * math.sin(k * math.pi * share) / k for k in (1, 2, 3)]
            place = (share + series.SPEED / (3 * math.pi) * sum(waves)) * (length - 1)
            place = min(max(place, 0), length - 1)
            low = min(int(place), max(length - 2, 0))
            high = min(low + 1, length - 1)
            expected = x[i, low] * (1 - (place - low)) + x[i, high] * (place - low)
            torch.testing.assert_close(found[i, t], expected, rtol=0, atol=1e-4)


def test_a_warp_keeps_ends_and_order() -> None:
    lengths = torch.arange(1, 41).repeat(5)
    inside = torch.arange(40) < lengths[:, None]
    ramp = torch.where(inside, torch.arange(40.0), 0)[:, :, None].expand(-1, -1, 3)
    made = augmented(ramp, lengths, "warp")[:, :, 0]
    torch.testing.assert_close(made[:, 0], torch.zeros(200))
    torch.testing.assert_close(made.gather(1, lengths[:, None] - 1)[:, 0], lengths - 1.0, rtol=0, atol=1e-4)
    speed = made.diff(dim=1)[inside[:, 1:]]
    assert speed.min() >= 1 - series.SPEED - 1e-3
    assert speed.max() <= 1 + series.SPEED + 1e-3
    assert speed.std() > 0.05
