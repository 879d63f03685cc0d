"""The linear baseline: as good as can be where the truth is linear, and the same whatever is not its business."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fourfold import data
from fourfold.data.dataset import Dataset, Examples
from fourfold.data.schema import Schema
from fourfold.judge import linear
from fourfold.judge.linear import fit_linear
from fourfold.metrics.classification import from_probabilities, losses
from fourfold.settings import DataSettings

CENTRES = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)


def clouds(n: int, seed: int) -> Examples:
    """Rows of three Gaussians with the same covariance, which a linear classifier tells apart as well as any."""
    random = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=random)
    x = CENTRES[y] + 0.5 * torch.randn(n, 3, generator=random, dtype=torch.float64)
    return Examples(x=x.float(), names=[f"row {i}" for i in range(n)], y=y)


def dataset(train: Examples, validation: Examples | None, test: Examples, schema: Schema) -> Dataset:
    return Dataset(schema, train, validation, test, source="made", fingerprint="", held_out={})


@pytest.fixture
def gaussians() -> Dataset:
    schema = Schema(
        kind="table", shape=(3,), classes=("a", "b", "c"), columns=("p", "q", "r"), mean=(0, 0, 0), std=(1, 1, 1)
    )
    return dataset(clouds(2000, 0), clouds(300, 1), clouds(2000, 2), schema)


def test_it_comes_near_the_best_there_is(gaussians: Dataset) -> None:
    test = gaussians.test
    assert test is not None
    assert test.y is not None
    densities = -(torch.cdist(test.loaded.double(), CENTRES) ** 2) / (2 * 0.5**2)
    best = float(losses(torch.log_softmax(densities, dim=1), test.y).mean())
    fitted = fit_linear(gaussians)
    loss = float(losses(fitted.log_probabilities(test, gaussians.schema), test.y).mean())
    assert loss == pytest.approx(best, rel=0.03)
    assert (fitted.kind, fitted.learnt_from) == ("columns", 2000)


def test_the_scale_of_what_it_sees_changes_nothing(gaussians: Dataset) -> None:
    def scaled(part: Examples | None) -> Examples | None:
        return part and replace(part, x=1000 * part.loaded + 7)

    train, test = scaled(gaussians.train), scaled(gaussians.test)
    assert train is not None
    assert test is not None
    assert gaussians.test is not None
    other = dataset(train, scaled(gaussians.validation), test, gaussians.schema)
    first = fit_linear(gaussians).log_probabilities(gaussians.test, gaussians.schema)
    torch.testing.assert_close(fit_linear(other).log_probabilities(test, other.schema), first, atol=2e-2, rtol=2e-2)


def test_the_same_data_give_the_same_weights_and_the_test_has_no_part(gaussians: Dataset) -> None:
    first, again = fit_linear(gaussians), fit_linear(replace(gaussians, test=None))
    assert torch.equal(first.weights, again.weights)


def test_without_a_validation_split_a_part_of_train_chooses(gaussians: Dataset) -> None:
    assert fit_linear(replace(gaussians, validation=None)).learnt_from == 1600


def test_noise_gets_a_strong_penalty_and_does_no_worse_than_chance(gaussians: Dataset) -> None:
    """Without the choice on validation, 100 columns of noise would be learnt by heart."""
    random = torch.Generator().manual_seed(3)

    def noise(n: int) -> Examples:
        return Examples(
            x=torch.randn(n, 100, generator=random), names=["row"] * n, y=torch.randint(2, (n,), generator=random)
        )

    schema = Schema(kind="table", shape=(100,), classes=("a", "b"), mean=(0,) * 100, std=(1,) * 100)
    made = dataset(noise(120), noise(500), noise(500), schema)
    fitted = fit_linear(made)
    assert made.test is not None
    assert made.test.y is not None
    assert fitted.penalty == linear.PENALTIES[0]
    assert from_probabilities(fitted.log_probabilities(made.test, schema), made.test.y)["log_loss"] < 0.7


def test_much_data_are_learnt_from_in_part(gaussians: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "WORK", 500 * 3 * 3)
    monkeypatch.setattr(linear, "FEWEST", 10)
    assert fit_linear(gaussians).learnt_from == 500


def test_digits_by_their_pixels(digits: Dataset) -> None:
    assert digits.test is not None
    assert digits.test.y is not None
    fitted = fit_linear(digits)
    assert fitted.kind == "pixels"
    assert from_probabilities(fitted.log_probabilities(digits.test, digits.schema), digits.test.y)["accuracy"] > 0.75


def padded(part: Examples, extra: int) -> Examples:
    x: Tensor = part.loaded
    return replace(part, x=torch.cat([x, torch.full((len(x), extra, x.shape[2]), 99.0)], dim=1))


def test_padding_more_changes_nothing() -> None:
    vowels = data.open("vowels", DataSettings())
    assert vowels.test is not None
    fitted = fit_linear(vowels)
    answers = fitted.log_probabilities(vowels.test, vowels.schema)
    assert vowels.test.y is not None
    assert from_probabilities(answers, vowels.test.y)["accuracy"] > 0.95
    torch.testing.assert_close(fitted.log_probabilities(padded(vowels.test, 30), vowels.schema), answers)
    assert torch.equal(fit_linear(replace(vowels, train=padded(vowels.train, 9))).weights, fitted.weights)


def test_texts_by_their_pieces_in_any_order(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    words = ["river", "mountain", "window", "garden", "letter"]
    rows = [
        f"{words[i % 5]} {'good' if i % 2 else 'bad'} {words[i % 3]} {i},{'yes' if i % 2 else 'no'}" for i in range(200)
    ]
    (tmp_path / "plain.csv").write_text("\n".join(["text,label", *rows]))
    settings = DataSettings(kind="text", target="label", vocabulary_size=300)
    found = data.open(tmp_path / "plain.csv", settings)
    fitted = fit_linear(found)
    assert found.test is not None
    assert found.test.y is not None
    answers = fitted.log_probabilities(found.test, found.schema)
    assert fitted.kind == "counts of the pieces"
    assert from_probabilities(answers, found.test.y)["accuracy"] == 1
    assert found.test.lengths is not None
    turned = found.test.loaded.clone()
    for row, length in zip(turned, found.test.lengths.tolist(), strict=True):
        row[:length] = row[:length].flip(0)
    torch.testing.assert_close(fitted.log_probabilities(replace(found.test, x=turned), found.schema), answers)
