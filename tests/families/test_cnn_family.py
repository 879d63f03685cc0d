"""The convolutional family: its presets, its loss, its judgement, and that it learns."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import pad

from fourfold.data.augment import Augmentation
from fourfold.data.dataset import Batch, Dataset
from fourfold.data.feed import feed
from fourfold.data.schema import Schema
from fourfold.engine.evaluate import asking, evaluate
from fourfold.engine.loop import Trainer
from fourfold.errors import DataError, UsageError
from fourfold.families.blocks import class_weights
from fourfold.families.cnn.family import Cnn
from fourfold.families.cnn.objective import classification
from fourfold.families.cnn.settings import CnnSettings
from fourfold.families.cnn.views import Viewed, moved
from fourfold.runtime import one_thread, start

from .reference import softmax

CLASSES = ("a", "b", "c")
COLOUR = Schema(kind="image", shape=(3, 16, 16), classes=CLASSES)
GREY = Schema(kind="image", shape=(1, 16, 16), classes=CLASSES)


class Fixed(nn.Module):
    """A classifier whose logits are known."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor, lengths: Tensor | None = None, random: torch.Generator | None = None) -> Tensor:
        return self.logits


class Corner(nn.Module):
    """A classifier that looks at one pixel: logits (pixel, 0)."""

    def forward(self, x: Tensor, lengths: Tensor | None = None, random: torch.Generator | None = None) -> Tensor:
        pixel = x[:, 0, 1, 2]
        return torch.stack((pixel, torch.zeros_like(pixel)), dim=1)


def some(schema: Schema, preset: str = "small", **values: Any) -> Cnn:
    return Cnn(schema, CnnSettings.resolve(preset, **{"width": 0 if preset == "classic" else 4, **values}))


def batch_of(schema: Schema, count: int = 6) -> Batch:
    random = torch.Generator().manual_seed(0)
    x = torch.rand(count, *schema.shape, generator=random)
    return Batch(x, None, torch.arange(count) % len(CLASSES), torch.arange(count))


def loss_of(logits: Tensor, y: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> float:
    batch = Batch(torch.zeros(len(y), 1), None, y, torch.arange(len(y)))
    return classification({"classifier": Fixed(logits)}, batch, torch.Generator(), smoothing, weights).total.item()


@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.1, 0.4]), st.booleans(), st.booleans())
def test_the_loss_is_its_formula(seed: int, smoothing: float, mixed: bool, weighted: bool) -> None:
    random = torch.Generator().manual_seed(seed)
    logits, targets = torch.randn(5, 3, generator=random), torch.rand(5, 3, generator=random)
    targets /= targets.sum(dim=1, keepdim=True)
    y = torch.randint(0, 3, (5,), generator=random)
    factors = [0.5, 1.0, 2.5] if weighted else [1.0] * 3
    weights = torch.tensor(factors) if weighted else None
    terms = []
    for place, row in enumerate(logits.tolist()):
        true = targets[place].tolist() if mixed else [float(k == y[place]) for k in range(3)]
        each = sum(t * w for t, w in zip(true, factors, strict=True))
        aimed = [(1 - smoothing) * t + smoothing / 3 for t in true]
        terms.append(-each * sum(t * math.log(p) for t, p in zip(aimed, softmax(row), strict=True)))
    expected = sum(terms) / 5
    assert loss_of(logits, targets if mixed else y, smoothing, weights) == pytest.approx(expected, rel=1e-4)


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=6).filter(any))
def test_weighted_classes_weigh_the_same_and_the_mean_weight_is_one(counts: list[int]) -> None:
    weights = class_weights(counts).tolist()
    shares = [n * w for n, w in zip(counts, weights, strict=True) if n]
    assert shares == pytest.approx([shares[0]] * len(shares), rel=1e-4)
    assert sum(shares) / sum(counts) == pytest.approx(1, rel=1e-4)
    assert all(w == 0 for n, w in zip(counts, weights, strict=True) if not n)


def test_balance_needs_counts_and_is_judged_by_every_class_alike() -> None:
    family = some(GREY, balance=True)
    assert family.monitor == ("balanced_accuracy", "higher")
    assert some(GREY).monitor == ("accuracy", "higher")
    with pytest.raises(DataError, match="without --balance"):
        family.phases()


def test_mixed_pictures_are_learned_from() -> None:
    family = some(COLOUR)
    networks = family.build(torch.Generator().manual_seed(0))
    batch = Augmentation(("mixup", "cutmix"), COLOUR).apply(batch_of(COLOUR), 0, 0)
    assert batch.y is not None
    assert batch.y.is_floating_point()
    (phase,) = family.phases()
    total = phase.loss(networks, batch, torch.Generator()).total
    total.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(total.item())
    assert all(p.grad is not None for p in networks["classifier"].parameters())


def test_moving_brings_in_zeros() -> None:
    x = torch.rand(2, 3, 5, 6)
    for down in (-2, 0, 1):
        for right in (-1, 0, 3):
            expected = torch.zeros_like(x)
            for row in range(5):
                for column in range(6):
                    if 0 <= row - down < 5 and 0 <= column - right < 6:
                        expected[:, :, row, column] = x[:, :, row - down, column - right]
            assert torch.equal(moved(x, down, right), expected)


def test_views_give_the_mean_of_their_probabilities() -> None:
    x = torch.randn(4, 1, 5, 7)
    framed = pad(x, (1, 1, 1, 1))
    pixels = [framed[:, 0, 1 + row, 1 + column] for row, column in ((1, 2), (0, 1), (2, 3))]
    mirrored = [framed[:, 0, 1 + row, 1 + column] for row, column in ((1, 4), (0, 3), (2, 5))]
    for seen, mirror in ((pixels, False), ([*pixels, *mirrored], True)):
        expected = torch.stack([pixel.sigmoid() for pixel in seen]).mean(dim=0)
        found = Viewed(Corner(), mirror)(x).softmax(dim=1)
        torch.testing.assert_close(found[:, 0], expected)


def test_viewed_networks_judge_and_predict_as_networks_do() -> None:
    for schema, mirrored in ((COLOUR, True), (GREY, False)):
        family = some(schema)
        networks = family.build(torch.Generator().manual_seed(0))
        viewed = family.viewed(networks)["classifier"]
        assert isinstance(viewed, Viewed)
        assert viewed.mirrored is mirrored  # training mirrors colour pictures and no others
        batch = batch_of(schema)
        with asking({"viewed": viewed}):
            probabilities = family.predict({"classifier": viewed}, batch)
            judged = family.evaluate({"classifier": viewed}, [batch])
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(6))
        hits = [int(guess) == place % 3 for place, guess in enumerate(probabilities.argmax(dim=1))]
        assert judged["accuracy"] == sum(hits) / 6


def test_sounds_of_any_length_have_views() -> None:
    schema = Schema(kind="sound", shape=(12,), lengths=(1, 24), classes=CLASSES)
    family = some(schema)
    networks = family.build(torch.Generator().manual_seed(0))
    lengths = torch.tensor([24, 3, 11])
    x = torch.where(torch.arange(24)[:, None] < lengths[:, None, None], torch.randn(3, 24, 12), 0)
    batch = Batch(x, lengths, None, torch.arange(3))
    with asking(networks):
        probabilities = family.predict(family.viewed(networks), batch)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3))


@pytest.mark.parametrize(
    ("schema", "values", "error", "message"),
    [
        (GREY, {"preset": "classic", "width": 32}, UsageError, "--preset resnet or small"),
        (GREY, {"preset": "classic", "dropout": 0.1}, UsageError, "--preset resnet or small"),
        (
            GREY.model_copy(update={"shape": (1, 7, 16)}),
            {"preset": "resnet"},
            DataError,
            "resnet cnn needs 8.*--size 8",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    schema: Schema, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Cnn(schema, CnnSettings.resolve(**values))


def test_it_learns_digits(digits: Dataset) -> None:
    settings = CnnSettings.resolve("small", width=4, epochs=8, batch_size=20, learning_rate=0.02, augment="none")
    family = Cnn(digits.schema, settings)
    with one_thread():
        outcome = Trainer(family, replace(digits, validation=None), start("cpu")).fit()
        assert digits.test is not None
        judged = evaluate(family, outcome.networks, feed(digits.test, digits.schema, torch.device("cpu")))
    assert judged["accuracy"] > 0.7
