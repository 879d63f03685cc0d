"""The convolutional network against the article's formulas."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.errors import DataError
from fourfold.families.cnn import networks
from fourfold.families.cnn.family import Cnn
from fourfold.families.cnn.objective import classification
from fourfold.families.cnn.settings import CnnSettings

from .reference import affine, convolution, max_pool, relu, softmax

CLASSES = tuple("0123456789")


def classic(channels: int, height: int, width: int, classes: int = 10, seed: int = 0) -> Any:
    return networks.Classic(channels, height, width, classes, torch.Generator().manual_seed(seed))


def test_parameters() -> None:
    assert sum(p.numel() for p in classic(1, 28, 28).parameters()) == 121_930


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(3, 9), st.integers(3, 9))
def test_a_convolution_is_the_articles_sum(seed: int, height: int, width: int) -> None:
    layer = classic(1, 28, 28, seed=seed).features[0]
    x = torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    for channel in range(3):
        expected = convolution(x[0, 0].tolist(), layer.weight[channel, 0].tolist())
        torch.testing.assert_close(layer(x)[0, channel], torch.tensor(expected), rtol=1e-5, atol=1e-5)


def by_loops(network: Any, x: torch.Tensor) -> list[float]:
    """The classic network with nothing but the reference's loops."""
    maps = x.tolist()
    for layer in (network.features[0], network.features[2]):
        new = []
        for kernels, bias in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
            parts = [convolution(one, kernel) for one, kernel in zip(maps, kernels, strict=True)]
            summed = [
                [relu(sum(values) + bias) for values in zip(*rows, strict=True)] for rows in zip(*parts, strict=True)
            ]
            new.append(max_pool(summed))
        maps = new
    flat = [value for one in maps for row in one for value in row]
    hidden = [relu(v) for v in affine(network.head[0].weight.tolist(), flat, network.head[0].bias.tolist())]
    return affine(network.head[2].weight.tolist(), hidden, network.head[2].bias.tolist())


@pytest.mark.parametrize("shape", [(1, 10, 10), (1, 11, 14), (3, 12, 10)])
def test_the_whole_network_is_the_articles(shape: tuple[int, int, int]) -> None:
    network = classic(*shape, classes=4)
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1))
    expected = [by_loops(network, picture) for picture in x]
    torch.testing.assert_close(network(x), torch.tensor(expected), rtol=1e-4, atol=1e-5)
    fast = network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(fast(x), torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_initial_weights_are_kerass() -> None:
    network = classic(1, 28, 28)
    for layer, fans in (
        (network.features[0], 9 + 32 * 9),
        (network.features[2], (32 + 64) * 9),
        (network.head[0], 1600 + 64),
        (network.head[2], 64 + 10),
    ):
        limit = math.sqrt(6 / fans)
        assert layer.weight.abs().max() <= limit
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.15)
        assert not layer.bias.any()
    again, other = classic(1, 28, 28), classic(1, 28, 28, seed=1)
    assert torch.equal(network.head[0].weight, again.head[0].weight)
    assert not torch.equal(network.head[0].weight, other.head[0].weight)


def test_the_loss_is_the_cross_entropy_and_predictions_are_its_probabilities() -> None:
    family = Cnn(Schema(kind="image", shape=(1, 12, 12), classes=CLASSES), CnnSettings(preset="classic"))
    built = family.build(torch.Generator().manual_seed(0))
    x, y = torch.rand(5, 1, 12, 12), torch.tensor([3, 1, 4, 1, 5])
    batch = Batch(x, None, y, torch.arange(5))
    expected = [softmax(logits) for logits in built["classifier"](x).tolist()]
    loss = classification(built, batch, torch.Generator()).total
    assert loss.item() == pytest.approx(sum(-math.log(p[t]) for p, t in zip(expected, y.tolist(), strict=True)) / 5)
    torch.testing.assert_close(family.predict(built, batch), torch.tensor(expected))
    with torch.inference_mode():
        judged = family.evaluate(built, [batch])
    assert judged["loss"] == pytest.approx(loss.item())
    assert judged["accuracy"] == (torch.tensor(expected).argmax(1) == y).sum().item() / 5


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (Schema(kind="series", shape=(3,), classes=CLASSES), "takes pictures.*series.*rnn"),
        (Schema(kind="image", shape=(1, 9, 28), classes=CLASSES), "10 pixels.*--size 10"),
        (Schema(kind="image", shape=(1, 28, 28)), "no labels"),
        (Schema(kind="image", shape=(1, 28, 28), classes=("cat",)), "one class only, 'cat'"),
    ],
)
def test_what_it_cannot_use_is_refused_with_the_mend(schema: Schema, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Cnn(schema, CnnSettings(preset="classic"))
