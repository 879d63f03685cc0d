"""The generators and discriminators.

A generator maps latents (n, latent) to pictures (n, channels, height, width) in [-1, 1];
a discriminator maps those to logits (n,).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear

from ..blocks import dropout, glorot_
from ..native.norm import Activation, normalised
from ..native.thin import narrowed, widened

SLOPE = 0.2  # of every leaky relu, in both presets


class ClassicGenerator(nn.Module):
    """The source article's generator: latent 100 to 84×84×3, 14,569,347 parameters."""

    def __init__(self, latent_size: int, random: torch.Generator) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.layers = nn.Sequential(
            *(nn.Linear(latent_size, 256), nn.LeakyReLU(SLOPE)),
            *(nn.Linear(256, 512), nn.LeakyReLU(SLOPE)),
            *(nn.Linear(512, 1024), nn.LeakyReLU(SLOPE)),
            *(nn.Linear(1024, 7 * 7 * 256), nn.Tanh(), nn.Unflatten(1, (256, 7, 7))),
            *(nn.Upsample(scale_factor=2), nn.ConvTranspose2d(256, 128, 5), nn.LeakyReLU(SLOPE)),
            *(nn.Upsample(scale_factor=2), nn.ConvTranspose2d(128, 64, 5), nn.LeakyReLU(SLOPE)),
            *(nn.Upsample(scale_factor=2), nn.ConvTranspose2d(64, 3, 5), nn.Tanh()),
        )
        glorot_(self, random)

    def forward(self, latents: Tensor) -> Tensor:
        """Pictures (n, 3, 84, 84)."""
        pictures: Tensor = self.layers(latents)
        return pictures


class ClassicDiscriminator(nn.Module):
    """The source article's discriminator of 84×84×3, 1,041,793 parameters.

    It ends in a logit; dropout 0.3 after each convolution, drawn from `random` in training.
    """

    def __init__(self, random: torch.Generator) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 5, stride=2) for inputs, outputs in ((3, 64), (64, 128), (128, 256))
        )
        self.head = nn.Linear(7 * 7 * 256, 1)
        glorot_(self, random)

    def forward(self, x: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Logits (n,); without `random` nothing is dropped."""
        for convolution in self.convolutions:
            x = dropout(leaky_relu(convolution(x), SLOPE), 0.3, random)
        logits: Tensor = self.head(x.flatten(1))
        return logits.squeeze(1)


class DcganGenerator(nn.Module):
    """Radford, Metz and Chintala's generator (arXiv 1511.06434) for any square size.

    The side is halved, rounding up, until 5 or less is left; from there each transposed
    convolution doubles it again and halves the channels, and what rounding up added is cut off.
    """

    def __init__(self, latent_size: int, channels: int, size: int, width: int, random: torch.Generator) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.sizes = doublings(size)
        levels = len(self.sizes) - 1
        widths = [width << (levels - 1 - level) for level in range(levels)]
        self.first = nn.ConvTranspose2d(latent_size, widths[0], self.sizes[0], bias=False)
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=outputs == channels)
            for inputs, outputs in zip(widths, [*widths[1:], channels], strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for outputs in widths)
        dcgan_(self, random)

    def forward(self, latents: Tensor) -> Tensor:
        """Pictures (n, channels, size, size)."""
        x = _spread(latents, self.first)
        for norm, doubling, size in zip(self.norms, self.doublings, self.sizes[1:], strict=True):
            x = _doubled(_normalised(x, norm, "relu"), doubling)[:, :, :size, :size]
        return torch.tanh(x)


class DcganDiscriminator(nn.Module):
    """Its discriminator: each convolution halves the side and doubles the channels."""

    def __init__(self, channels: int, size: int, width: int, random: torch.Generator) -> None:
        super().__init__()
        levels = len(doublings(size)) - 1
        widths = [width << level for level in range(levels)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=inputs == channels)
            for inputs, outputs in zip([channels, *widths[:-1]], widths, strict=True)
        )
        # The first convolution sees the picture itself and goes without, as in the paper.
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for outputs in widths[1:])
        side = size >> levels
        self.head = nn.Linear(widths[-1] * side * side, 1)
        dcgan_(self, random)

    def forward(self, x: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Logits (n,). Nothing is drawn: `random` is there for the discriminators that drop."""
        first, *others = self.convolutions
        assert isinstance(first, nn.Conv2d)  # a list of modules does not tell
        x = widened(x, first.weight, first.bias, stride=2, padding=1, slope=SLOPE)
        for convolution, norm in zip(others, self.norms, strict=True):
            x = _normalised(convolution(x), norm, SLOPE)
        return _judged(x, self.head)


def doublings(size: int) -> list[int]:
    """The sides that a generator goes through, each the half of the next one, rounded up.

    >>> doublings(28), doublings(50)
    ([4, 7, 14, 28], [4, 7, 13, 25, 50])
    """
    sizes = [size]
    while sizes[0] > 5:
        sizes.insert(0, (sizes[0] + 1) // 2)
    return sizes


def dcgan_(network: nn.Module, random: torch.Generator) -> None:
    """Draw weights from N(0, 0.02), those of norms from N(1, 0.02), biases zero, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02, generator=random)
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02, generator=random)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _spread(latents: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """layer(latents[:, :, None, None]), as the product of matrices that it is: four times as fast, channels last."""
    maps: Tensor = latents @ layer.weight.permute(0, 2, 3, 1).flatten(1)
    return maps.reshape(len(latents), *layer.kernel_size, -1).permute(0, 3, 1, 2)


def _doubled(x: Tensor, layer: nn.Module) -> Tensor:
    """layer(x), a transposed convolution; the last one's result has few channels."""
    assert isinstance(layer, nn.ConvTranspose2d)  # a list of modules does not tell
    return narrowed(x, layer.weight, layer.bias, stride=2, padding=1)


def _judged(x: Tensor, head: nn.Linear) -> Tensor:
    """head(x.flatten(1)), (n,): the weights are put into the order of the maps, which would be more to copy."""
    weight = head.weight.reshape(1, *x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    return linear(x.permute(0, 2, 3, 1).flatten(1), weight, head.bias).squeeze(1)


def _normalised(x: Tensor, norm: nn.Module, activation: Activation) -> Tensor:
    assert isinstance(norm, nn.BatchNorm2d)  # a list of modules does not tell
    return normalised(x, norm, activation)
