"""The residual network against plain torch, and on pictures and spectra of every size."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import relu

from fourfold.families.cnn.resnet import ResNet, Sizes, sizes
from fourfold.families.cnn.settings import LARGEST_MAP

RESNET_18 = Sizes(stride=1, stages=4, width=64, blocks=2)


class PlainBlock(nn.Module):
    """He et al.'s basic block, as torch's layers make it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


def plain_resnet_18() -> nn.Sequential:
    """ResNet-18 for CIFAR-10: no stride and no pooling before the first stage."""
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    strides = (1, 1, 2, 1, 2, 1, 2, 1)
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(PlainBlock(a, b, s) for a, b, s in zip(widths, widths[1:], strides, strict=False)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)),
    )


def some(shape: tuple[int, int, int], classes: int = 3, width: int = 2, blocks: int = 1, share: float = 0.0) -> ResNet:
    random = torch.Generator().manual_seed(0)
    return ResNet(shape, classes, sizes(shape, width, blocks), share, random)


def awake(network: nn.Module) -> nn.Module:
    """With norms that let everything through, as after some training."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1, generator=torch.Generator().manual_seed(1))
    return network


def test_with_two_blocks_of_width_64_it_is_resnet_18() -> None:
    assert sizes((3, 32, 32), 64, 2) == RESNET_18
    network = ResNet((3, 32, 32), 10, RESNET_18, 0.0, torch.Generator().manual_seed(0))
    plain = plain_resnet_18()
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in plain.parameters()) == 11_173_962
    awake(network)
    for ours, theirs in zip(network.state_dict().values(), plain.state_dict().values(), strict=True):
        theirs.copy_(ours)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(network(x), plain(x), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(network.eval()(x), plain.eval()(x), rtol=1e-3, atol=1e-4)


@given(st.sampled_from([1, 3]), st.integers(8, 300), st.integers(8, 300))
def test_sizes_suit_the_picture(channels: int, height: int, width: int) -> None:
    found = sizes((channels, height, width))
    rows, columns = -(-height // found.stride), -(-width // found.stride)
    last = min(rows, columns) / 2 ** (found.stages - 1)
    assert 1 <= found.stages <= 4
    assert found.stride == 1 or height * width > LARGEST_MAP * (found.stride // 2) ** 2
    assert height * width <= LARGEST_MAP * found.stride**2
    assert last > 2 or found.stages == 1
    assert last <= 5 or found.stages == 4
    assert sizes((channels, height, width), 7, 3) == Sizes(stride=found.stride, stages=found.stages, width=7, blocks=3)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 16, 16), (3, 17, 31), (1, 28, 28), (3, 96, 65), (3, 224, 224)])
def test_every_pixel_is_seen(shape: tuple[int, int, int]) -> None:
    network = awake(some(shape)).eval()
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(3), requires_grad=True)
    logits = network(x)
    assert logits.shape == (1, 3)
    (gradient,) = torch.autograd.grad(logits.square().sum(), x)
    assert gradient.any(dim=1).float().mean() > 0.98  # a relu may shut a few


def test_it_begins_with_blocks_that_change_nothing() -> None:
    network = some((3, 16, 16), width=4, blocks=2)
    maps = torch.rand(2, 4, 16, 16)
    assert torch.equal(network.blocks[0](maps), maps)
    assert torch.equal(network.blocks[1](maps), maps)
    stem = network.stem[0]
    assert isinstance(stem, nn.Conv2d)
    assert stem.weight.std().item() == pytest.approx(
        math.sqrt(2 / (9 * 4)), rel=0.2
    )  # He et al.: 2 / (pixels · channels out)


def test_weights_are_drawn_from_the_given_generator() -> None:
    torch.manual_seed(1)
    first = some((1, 16, 16)).state_dict()
    torch.manual_seed(2)
    again = some((1, 16, 16)).state_dict()
    assert all(torch.equal(a, b) for a, b in zip(first.values(), again.values(), strict=True))


def test_dropout_draws_from_the_steps_generator_and_only_in_training() -> None:
    network = awake(some((1, 16, 16), width=8, share=0.5))
    x = torch.rand(4, 1, 16, 16)
    first, again, other = (network(x, None, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(network(x), network(x))
