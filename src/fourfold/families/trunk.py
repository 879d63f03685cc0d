"""The residual trunk: what a cnn's resnet and an autoencoder's encoder have alike, name for name.

So a network that tells classes can begin with what an encoder has learnt without any; see `warmstart`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .native.norm import Activation, normalised
from .native.winograd import convolved

LARGEST_MAP = 56 * 56  # pixels of the first maps, He et al.'s for 224×224; a larger picture's stem strides
SMALLEST = 8  # pixels a side, which leave one stage more than the first something to see
LAST_SIDE = 5  # stages halve the shorter side until this or less is left
STAGES = 4


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a residual network is.

    stride: of the stem. stages: each with half the side and twice the channels of the one before.
    width: channels of the first stage. blocks: in each stage.
    """

    stride: int
    stages: int
    width: int
    blocks: int

    def last(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the last maps of pictures of (channels, height, width)."""
        halved = self.stride << (self.stages - 1)
        return -(-shape[1] // halved), -(-shape[2] // halved)


def sizes(shape: tuple[int, ...], width: int = 0, blocks: int = 0) -> Sizes:
    """The sizes that suit pictures of (channels, height, width); `width` and `blocks` as asked for, unless 0.

    A network for grey pictures is half as wide as one for colour pictures: digits and spectra
    have less to tell than photographs.
    """
    channels, *sides = shape
    stride = 1
    while sides[0] * sides[1] > LARGEST_MAP * stride**2:
        stride *= 2
    side, stages = -(-min(sides) // stride), 1
    while side > LAST_SIDE and stages < STAGES:
        side, stages = (side + 1) // 2, stages + 1
    return Sizes(stride=stride, stages=stages, width=width or (32 if channels == 3 else 16), blocks=blocks or 1)


def trunk(channels: int, sizes: Sizes) -> tuple["Layer", nn.Sequential, int]:
    """Stem, blocks and the channels of their last maps, for pictures of so many channels; weights are not yet drawn."""
    widths = [sizes.width << stage for stage in range(sizes.stages)]
    kernel = 2 * sizes.stride + 1  # no pixel is passed over
    stem = Layer(channels, widths[0], kernel, sizes.stride)
    blocks = nn.Sequential()
    inputs = widths[0]
    for stage, outputs in enumerate(widths):
        for block in range(sizes.blocks):
            blocks.append(Block(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    return stem, blocks, inputs


class Block(nn.Module):
    """y = relu(shortcut(x) + f(x)), f two 3×3 convolutions; the shortcut is x itself where the sizes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = Layer(inputs, outputs, 3, stride)
        self.second = Layer(outputs, outputs, 3, 1)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else Layer(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, outputs, h / stride, w / stride) of maps (n, inputs, h, w)."""
        maps: Tensor = self.second(self.first(x, "relu"), "relu", self.shortcut(x))
        return maps


class Layer(nn.Sequential):
    """A convolution, its normalisation over the batch, and what follows that."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(Convolution(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor, activation: Activation = None, shortcut: Tensor | None = None) -> Tensor:
        """activation(norm(convolution(x)) + shortcut): maps (n, outputs, h / stride, w / stride)."""
        convolution, norm = self
        assert isinstance(norm, nn.BatchNorm2d)
        return normalised(convolution(x), norm, activation, shortcut)


class Convolution(nn.Conv2d):
    """Padded so that only its stride shrinks the map; without a bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Maps (n, outputs, h / stride, w / stride) of maps (n, inputs, h, w)."""
        if self.kernel_size == (3, 3) and self.stride == (1, 1):
            return convolved(input, self.weight)
        return super().forward(input)


def he_(network: nn.Module, random: torch.Generator) -> None:
    """Draw the weights as He et al. (arXiv 1502.01852) do, and begin with blocks that change nothing, in place.

    The last norm of each block starts at 0 (Goyal et al., arXiv 1706.02677).
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=random)
        elif isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear", generator=random)
            nn.init.zeros_(layer.bias)
    for layer in network.modules():
        if isinstance(layer, Block):
            norm = layer.second[1]
            assert isinstance(norm, nn.BatchNorm2d)
            nn.init.zeros_(norm.weight)
