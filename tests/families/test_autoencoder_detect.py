"""Detection: what is learnt from normal examples alone, and where the line is drawn."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.errors import DataError
from fourfold.families import create
from fourfold.families.autoencoder.family import Detecting
from fourfold.families.autoencoder.settings import AutoencoderSettings
from fourfold.families.contract import Detector
from fourfold.runtime import generator, one_thread

FIGURES: dict[str, Any] = {"mean": (0.0,) * 6, "std": (1.0,) * 6}
TABLE = Schema(kind="table", shape=(6,), classes=("ill", "well"), **FIGURES)
SERIES = Schema(kind="series", shape=(6,), lengths=(1, 9), **FIGURES)
GREY = Schema(kind="image", shape=(1, 28, 28), classes=("ill", "well"))
SHAPES = {"table": (6,), "series": (9, 6), "image": (28, 28)}


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread: small networks' threads would wait for each other."""
    with one_thread():
        yield


def made(schema: Schema, **settings: Any) -> tuple[Detecting, dict[str, nn.Module]]:
    family = create(schema, AutoencoderSettings.resolve(task="detect", **settings))
    assert isinstance(family, Detecting)
    assert isinstance(family, Detector)
    return family, family.build(generator(0, "weights"))


def some(schema: Schema, count: int, seed: int = 0, y: Tensor | None = None) -> Batch:
    random = torch.Generator().manual_seed(seed)
    if schema.kind == "image":
        return Batch(torch.rand(count, *schema.shape, generator=random), None, y, torch.arange(count))
    if schema.kind == "table":
        return Batch(torch.randn(count, 6, generator=random), None, y, torch.arange(count))
    lengths = torch.randint(1, 10, (count,), generator=random).clamp(max=9)
    x = torch.randn(count, 9, 6, generator=random) * (torch.arange(9) < lengths[:, None])[:, :, None]
    return Batch(x, lengths, y, torch.arange(count))


def test_the_task_brings_its_preset() -> None:
    settings = AutoencoderSettings.resolve(task="detect")
    assert (settings.preset, settings.network) == ("detect", "auto")
    assert AutoencoderSettings.resolve("dense", task="detect").preset == "dense"


@pytest.mark.parametrize("schema", [TABLE, SERIES, GREY], ids=lambda schema: schema.kind)
def test_the_threshold_is_the_score_of_the_right_held_out_example(schema: Schema) -> None:
    family, networks = made(schema, false_alarms=0.1)
    held_out = some(schema, 29, seed=1)
    with torch.inference_mode():
        assert "threshold" not in family.evaluate(networks, [held_out])
        family.settle(networks, list(parts(some(schema, 50))), list(parts(held_out)))
        scores = family.score(networks, held_out)
        assert family.threshold(networks) == pytest.approx(scores.sort().values[26].item())  # the 27th of 29
        figures = family.evaluate(networks, list(parts(held_out)))
    assert figures["alarms"] == pytest.approx(2 / 29)
    assert figures["threshold"]["held_out"] == 29
    low, high = figures["threshold"]["interval"]
    assert low < 0.1 < high


def parts(batch: Batch) -> list[Batch]:
    """The batch in batches of ten."""
    return list(batch.parts(10))


@pytest.mark.parametrize("schema", [TABLE, SERIES, GREY], ids=lambda schema: schema.kind)
def test_shares_sum_to_one_and_are_where_the_oddness_is(schema: Schema) -> None:
    family, networks = made(schema)
    with torch.inference_mode():
        family.settle(networks, [some(schema, 40)], [some(schema, 40, seed=1)])
        odd = some(schema, 3, seed=2)
        if schema.kind == "image":
            odd.x[0] = 0
            odd.x[0, 0, 20:, 20:] = 1
        else:
            odd.x[0].reshape(-1, 6)[0, 4] = 50
        shares = family.shares(networks, odd)
    assert shares.shape == (3, *SHAPES[schema.kind])
    torch.testing.assert_close(shares.flatten(1).sum(1), torch.ones(3))
    if schema.kind == "table":
        assert shares[0].argmax() == 4
    if schema.kind == "series":
        assert odd.lengths is not None
        assert not shares[1, odd.lengths[1] :].any()


def test_a_score_is_the_mean_of_what_the_formula_says() -> None:
    family, networks = made(TABLE)
    train, held_out = some(TABLE, 40), some(TABLE, 40, seed=1)
    with torch.inference_mode():
        family.settle(networks, parts(train), [held_out])
        back = [networks["decoder"](networks["encoder"](batch.x)) for batch in (train, held_out)]
        usual, mean = (train.x - back[0]).square().mean(0), back[0].mean(0)
        expected = ((held_out.x - back[1]).square() / usual + (back[1] - mean).square()).mean(1)
        torch.testing.assert_close(family.score(networks, held_out), expected, rtol=5e-3, atol=0)


def test_figures_need_both_kinds_of_labels() -> None:
    family, networks = made(TABLE, normal="well")
    y = torch.tensor([1] * 10 + [0] * 10)
    mixed = some(TABLE, 20, y=y)
    mixed.x[10:] *= 30
    with torch.inference_mode():
        family.settle(networks, [some(TABLE, 40)], [some(TABLE, 40, seed=1)])
        figures = family.evaluate(networks, parts(mixed))
        assert "auroc" not in family.evaluate(networks, [some(TABLE, 20, y=torch.ones(20, dtype=torch.int64))])
        assert "auroc" not in family.evaluate(networks, [some(TABLE, 20)])
    assert figures["auroc"] == 1
    assert figures["found"] == 1
    assert figures["abnormal"] == 0.5


def test_too_few_to_tell_are_refused_with_what_can_be_told() -> None:
    family, _ = made(TABLE, false_alarms=0.01)
    family.require(99)
    with pytest.raises(DataError, match=r"98 normal.*takes 99.*--false-alarms 0\.01[01]"):
        family.require(98)
    with pytest.raises(DataError, match="a --validation above 0"):
        family.require(0)
