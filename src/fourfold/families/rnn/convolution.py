"""Convolutions over the time of ragged series.

Shapes: n batch, t time, f features, c channels. All keep the time. What stands past a series' own end is taken for
zeros, as beyond the last step of a series that is not padded, and no norm sees it.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, max_pool1d, relu

MOMENTUM, EPSILON = 0.1, 1e-5  # torch's own for batch norm

FCN_KERNELS = (7, 5, 3)  # Wang et al. (arXiv 1611.06455) have 8; an odd one looks as far ahead as back
INCEPTION_KERNELS = (39, 19, 9)  # Ismail Fawaz et al. (arXiv 1909.04939): 40, 20 and 10, made odd
INCEPTION_DEPTH, RESIDUAL_EVERY = 6, 3  # likewise
WORD_KERNELS = (3, 4, 5)  # Kim (arXiv 1408.5882)


class Norm(nn.Module):
    """Batch norm (Ioffe and Szegedy, arXiv 1502.03167) whose moments are those of the steps that are data."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean_c: Tensor
        self.var_c: Tensor
        self.register_buffer("mean_c", torch.zeros(channels))
        self.register_buffer("var_c", torch.ones(channels))

    def forward(self, x_nct: Tensor, inside_n1t: Tensor | None) -> Tensor:
        """The same shape; past the ends there is anything."""
        if not self.training:
            return batch_norm(x_nct, self.mean_c, self.var_c, self.weight, self.bias, eps=EPSILON)
        steps = x_nct.shape[0] * x_nct.shape[2]
        if inside_n1t is None and steps > 1:  # of a single step torch refuses to take the moments
            return batch_norm(x_nct, self.mean_c, self.var_c, self.weight, self.bias, True, MOMENTUM, EPSILON)
        inside_n1t = x_nct.new_ones(1, 1, 1).expand(len(x_nct), 1, x_nct.shape[2]) if inside_n1t is None else inside_n1t
        return self._masked(x_nct, inside_n1t.to(x_nct.dtype))

    def _masked(self, x_nct: Tensor, inside_n1t: Tensor) -> Tensor:
        count = inside_n1t.sum()
        mean_c1 = (x_nct * inside_n1t).sum((0, 2))[:, None] / count
        apart_nct = (x_nct - mean_c1) * inside_n1t
        var_c1 = apart_nct.square().sum((0, 2))[:, None] / count
        with torch.no_grad():
            self.mean_c.lerp_(mean_c1[:, 0], MOMENTUM)
            self.var_c.lerp_(var_c1[:, 0] * (count / (count - 1).clamp(min=1)), MOMENTUM)
        return apart_nct * (self.weight[:, None] * torch.rsqrt(var_c1 + EPSILON)) + self.bias[:, None]


class Fcn(nn.Module):
    """The fully convolutional network of Wang et al. (arXiv 1611.06455): three layers, each with a norm.

    With `filters` = 128 theirs, but for the first kernel.
    """

    def __init__(self, features: int, filters: int) -> None:
        super().__init__()
        self.width = filters
        widths = (features, filters, 2 * filters, filters)
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, kernel, padding=kernel // 2, bias=False)
            for (before, after), kernel in zip(pairwise(widths), FCN_KERNELS, strict=True)
        )
        self.norms = nn.ModuleList(Norm(after) for after in widths[1:])

    def forward(self, x_ntf: Tensor, inside_nt1: Tensor | None) -> Tensor:
        """Series (n, t, width) of series that are zero past their ends; they are as well."""
        x_nct, inside_n1t = x_ntf.transpose(1, 2), None if inside_nt1 is None else inside_nt1.transpose(1, 2)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x_nct = _blank(relu(norm(layer(x_nct), inside_n1t)), inside_n1t)
        return x_nct.transpose(1, 2)


class Inception(nn.Module):
    """InceptionTime's network (arXiv 1909.04939): filters of three lengths side by side, six times, with shortcuts."""

    def __init__(self, features: int, filters: int) -> None:
        super().__init__()
        self.width = width = 4 * filters
        inputs = [features, *[width] * (INCEPTION_DEPTH - 1)]
        self.modules_ = nn.ModuleList(_InceptionModule(before, filters) for before in inputs)
        ends = range(0, INCEPTION_DEPTH, RESIDUAL_EVERY)
        self.shortcuts = nn.ModuleList(nn.Conv1d(inputs[start], width, 1, bias=False) for start in ends)
        self.norms = nn.ModuleList(Norm(width) for _ in ends)

    def forward(self, x_ntf: Tensor, inside_nt1: Tensor | None) -> Tensor:
        """Series (n, t, width) of series that are zero past their ends; they are as well."""
        x_nct, inside_n1t = x_ntf.transpose(1, 2), None if inside_nt1 is None else inside_nt1.transpose(1, 2)
        for i, (shortcut, norm) in enumerate(zip(self.shortcuts, self.norms, strict=True)):
            before_nct = x_nct
            for module in self.modules_[i * RESIDUAL_EVERY : (i + 1) * RESIDUAL_EVERY]:
                x_nct = module(x_nct, inside_n1t)
            x_nct = _blank(relu(x_nct + norm(shortcut(before_nct), inside_n1t)), inside_n1t)
        return x_nct.transpose(1, 2)


class _InceptionModule(nn.Module):
    """Three lengths of filters over a bottleneck, and the largest of three neighbours."""

    def __init__(self, features: int, filters: int) -> None:
        super().__init__()
        narrow = filters if features > 1 else features
        self.bottleneck = nn.Conv1d(features, filters, 1, bias=False) if features > 1 else nn.Identity()
        self.filters = nn.ModuleList(
            nn.Conv1d(narrow, filters, kernel, padding=kernel // 2, bias=False) for kernel in INCEPTION_KERNELS
        )
        self.largest = nn.Conv1d(features, filters, 1, bias=False)
        self.norm = Norm(4 * filters)

    def forward(self, x_nct: Tensor, inside_n1t: Tensor | None) -> Tensor:
        narrow_nct = self.bottleneck(x_nct)
        above_nct = x_nct if inside_n1t is None else x_nct.masked_fill(~inside_n1t, -torch.inf)
        above_nct = _blank(max_pool1d(above_nct, 3, stride=1, padding=1), inside_n1t)
        parts = [*(filters(narrow_nct) for filters in self.filters), self.largest(above_nct)]
        return _blank(relu(self.norm(torch.cat(parts, dim=1), inside_n1t)), inside_n1t)


class Words(nn.Module):
    """Filters over 3, 4 and 5 pieces of a text (Kim, arXiv 1408.5882); meant for pooling by max."""

    def __init__(self, features: int, filters: int) -> None:
        super().__init__()
        self.width = filters * len(WORD_KERNELS)
        self.layers = nn.ModuleList(nn.Conv1d(features, filters, k, padding=k // 2) for k in WORD_KERNELS)

    def forward(self, x_ntf: Tensor, inside_nt1: Tensor | None) -> Tensor:
        """Series (n, t, width) of series that are zero past their ends; they are as well."""
        x_nft, time = x_ntf.transpose(1, 2), x_ntf.shape[1]
        found_nct = torch.cat([layer(x_nft)[:, :, :time] for layer in self.layers], dim=1)
        return _blank(relu(found_nct), None if inside_nt1 is None else inside_nt1.transpose(1, 2)).transpose(1, 2)


Convolution = Fcn | Inception | Words
CONVOLUTIONS: dict[str, type[Convolution]] = {"fcn": Fcn, "inception": Inception, "words": Words}


def _blank(x_nct: Tensor, inside_n1t: Tensor | None) -> Tensor:
    return x_nct if inside_n1t is None else x_nct.masked_fill(~inside_n1t, 0)
