"""Convolutions of few channels against torch's in double precision: sizes, gradients, and gradients of gradients."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from fourfold.families import native
from fourfold.families.native import thin as module
from fourfold.families.native.thin import narrowed, widened

pytestmark = pytest.mark.skipif(native.library(module.SOURCE) is None, reason="no compiler here")

Convolution = Callable[..., Tensor]
Tensors = tuple[Tensor, Tensor, Tensor]
SLOPE = 0.2


def widening(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, slope: float = 1.0) -> Tensor:
    """The kernel in C, also where torch's is faster."""
    y: Tensor = module._Widened.apply(x, weight, bias, stride, padding, slope)  # type: ignore[no-untyped-call]
    return y


def plain(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, slope: float = 1.0) -> Tensor:
    return leaky_relu(conv2d(x, weight, bias, stride, padding), slope)


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def whole(seed: int, *shape: int) -> Tensor:
    """Small whole numbers, which no sum here rounds."""
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).float()


def normal(n: int, few: int, many: int, side: int, kernel: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, weights and the bias of what is wide."""
    random = torch.Generator().manual_seed(seed)
    shapes = (n, few, side, side), (many, few, kernel, kernel), (many,)
    x, weight, bias = (torch.randn(shape, generator=random) for shape in shapes)
    return last(x), weight, bias


def all_of(convolution: Convolution, tensors: Tensors, *how: Any, seed: int = 7) -> tuple[Tensor, ...]:
    """What comes out, and the gradients of what goes in, of the weights and of the bias."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    y = convolution(*leaves, *how)
    return (y.detach(), *torch.autograd.grad(y, leaves, whole(seed, *y.shape).to(y.dtype)))


def same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a.double(), b.double()) for a, b in zip(found, expected, strict=True))


HOW = (
    *(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6).map(lambda groups: groups * module.GROUP)),
    *(st.integers(6, 19), st.integers(6, 19), st.integers(1, 6), st.integers(1, 4), st.integers(0, 3)),
    *(st.sampled_from((1.0, 0.25)), st.integers(0, 2**32)),
)


@settings(deadline=None, max_examples=80, derandomize=True)
@given(*HOW)
def test_small_whole_numbers_are_widened_exactly(
    n: int,
    few: int,
    many: int,
    height: int,
    width: int,
    kernel: int,
    stride: int,
    padding: int,
    slope: float,
    seed: int,
) -> None:
    tensors = whole(seed, n, few, height, width), whole(seed + 1, many, few, kernel, kernel), whole(seed + 2, many)
    found = all_of(widening, tensors, stride, padding, slope)
    exact = tuple(tensor.double() for tensor in tensors)
    assert same(found, all_of(plain, exact, stride, padding, slope))  # type: ignore[arg-type]


@settings(deadline=None, max_examples=80, derandomize=True)
@given(*HOW[:-2], HOW[-1])
def test_small_whole_numbers_are_narrowed_exactly(
    n: int, few: int, many: int, down: int, across: int, kernel: int, stride: int, padding: int, seed: int
) -> None:
    tensors = last(whole(seed, n, many, down, across)), whole(seed + 1, many, few, kernel, kernel), whole(seed, few)
    if min(down, across) * stride - stride + kernel <= 2 * padding:
        return  # nothing comes out
    found = all_of(narrowed, tensors, stride, padding)
    exact = tuple(tensor.double() for tensor in tensors)
    assert same(found, all_of(conv_transpose2d, exact, stride, padding))  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "few", "many"), [(1, 1, 64), (9, 1, 16), (3, 2, 64), (8, 3, 64), (4, 4, 16)])
@pytest.mark.parametrize(("kernel", "stride"), list(itertools.product((3, 4, 5), (1, 2))))
def test_rounding_is_single_precisions(n: int, few: int, many: int, kernel: int, stride: int) -> None:
    tensors = normal(n, few, many, 17, kernel)
    exact = tuple(tensor.double() for tensor in tensors)
    found, expected = all_of(widening, tensors, stride, 1), all_of(plain, exact, stride, 1)  # type: ignore[arg-type]
    for ours, right in zip(found, expected, strict=True):
        assert (ours - right).norm() <= 1e-6 * right.norm()
    wide = last(leaky_relu(found[0], SLOPE)), tensors[1], torch.randn(few, generator=torch.Generator().manual_seed(1))
    exact = tuple(tensor.double() for tensor in wide)
    found, expected = all_of(narrowed, wide, stride, 1), all_of(conv_transpose2d, exact, stride, 1)  # type: ignore[arg-type]
    for ours, right in zip(found[:3], expected[:3], strict=True):
        assert (ours - right).norm() <= 1e-6 * right.norm()


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    thin, weight, bias = normal(37, 3, 48, 21)
    wide, found = last(torch.randn(37, 48, 9, 8, generator=torch.Generator().manual_seed(1))), []
    for threads in (1, 1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        there = all_of(widening, (thin, weight, bias), 2, 1, SLOPE)
        found.append((*there, *all_of(narrowed, (wide, weight, bias[:3]), 2, 1)))
    assert all(same(other, found[0]) for other in found[1:])


def test_maps_weights_and_gradients_may_lie_in_any_order() -> None:
    x, weight, bias = normal(3, 3, 32, 9)
    expected = all_of(widened, (x, weight, bias), 2, 1, SLOPE)
    turned = weight.transpose(0, 3).contiguous().transpose(0, 3)
    for maps, weights in ((x.contiguous(), weight), (x, last(weight)), (x, turned)):
        assert same(all_of(widened, (maps, weights, bias), 2, 1, SLOPE), expected)
    wide = last(expected[0])
    assert same(
        all_of(narrowed, (wide.contiguous(), turned, bias[:3]), 2, 1),
        all_of(narrowed, (wide, weight, bias[:3]), 2, 1),
    )


def test_only_the_gradients_that_are_wanted_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = normal(2, 1, 16, 8)
    _, *gradients = all_of(widened, tensors, 2, 1, SLOPE)
    assert not widened(*tensors, 2, 1, SLOPE).requires_grad
    call, called = module._call, list[str]()

    def noted(name: str, *given: Any) -> None:
        called.append(name)
        call(name, *given)

    monkeypatch.setattr(module, "_call", noted)
    for place, (kernel, gradient) in enumerate(zip(("narrow", "weigh", "weigh"), gradients, strict=True)):
        x, weight, bias = leaves = [tensor.detach().requires_grad_(place == i) for i, tensor in enumerate(tensors)]
        y = widened(x, weight, bias, 2, 1, SLOPE)
        assert torch.equal(torch.autograd.grad(y, leaves[place], whole(7, *y.shape))[0], gradient)
        assert called == ["widen", kernel]
        called.clear()


@pytest.mark.parametrize("how", ["widened", "narrowed"])
def test_a_gradient_has_gradients_of_its_own(how: str) -> None:
    """What a penalty on the slope of a discriminator needs: torch's operators serve it."""
    x, weight, bias = normal(2, 2, 16, 7)
    function: Convolution = widened if how == "widened" else narrowed
    reference: Convolution = plain if how == "widened" else conv_transpose2d
    settings: tuple[Any, ...] = (2, 1, SLOPE) if how == "widened" else (2, 1)
    tensors = (x, weight, bias) if how == "widened" else (last(torch.randn(2, 16, 4, 3)), weight, bias[:2])

    def penalty(convolution: Convolution, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x, weight, bias = (tensor.detach().requires_grad_() for tensor in tensors)
        y = convolution(x * 2, weight, bias, *settings)
        slope, by_weight = torch.autograd.grad(y.square().sum(), (x, weight), create_graph=True)
        return torch.autograd.grad(slope.square().sum() + by_weight.square().sum(), (x, weight, bias))

    expected = penalty(reference, tuple(tensor.double() for tensor in tensors))
    for ours, right in zip(penalty(function, tensors), expected, strict=True):
        assert (ours - right).norm() <= 1e-5 * right.norm()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_shows_where_torch_shows_it(value: float) -> None:
    x, weight, bias = normal(2, 1, 16, 10, 3)
    x[1, 0, 4, 5] = value
    found, expected = (f(x, weight, bias, 1, 1, SLOPE) for f in (widened, plain))
    assert torch.equal(found.isfinite(), expected.isfinite())
    assert not found.isfinite().all()
    wide = last(torch.randn(2, 16, 6, 6))
    wide[1, 3, 2, 4] = value
    found, expected = (f(wide, weight, None, 2, 1) for f in (narrowed, conv_transpose2d))
    assert torch.equal(found.isfinite(), expected.isfinite())
    assert not found.isfinite().all()
    assert not all(gradient.isfinite().all() for gradient in all_of(widened, (x, weight, bias), 1, 1, SLOPE)[2:])


def test_it_is_taken_where_it_pays() -> None:
    for few, slope in ((1, 1.0), (1, SLOPE), (3, SLOPE)):
        x, weight, bias = normal(2, few, 32, 8)
        y = widened(x, weight.requires_grad_(), bias, 2, 1, slope)
        assert y.grad_fn is not None
        assert "_Widened" in y.grad_fn.name()
        assert y.is_contiguous(memory_format=torch.channels_last)
        z = narrowed(y, weight, None, 2, 1)
        assert z.grad_fn is not None
        assert "_Narrowed" in z.grad_fn.name()


def test_what_it_does_not_take_is_torchs() -> None:
    x, weight, bias = normal(2, 1, 32, 8)
    odd, broad = normal(2, 1, 24, 8), normal(2, 5, 32, 8)
    oblong = x, weight[:, :, :3], bias
    without = normal(2, 3, 32, 8)
    for tensors, slope in ((odd, SLOPE), (broad, SLOPE), (oblong, SLOPE), (without, 1.0), ((x, weight, bias), 0.0)):
        assert torch.equal(widened(*tensors, 2, 1, slope), plain(*tensors, 2, 1, slope))
    assert widened(x.double(), weight.double(), bias.double()).dtype is torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert widened(x, weight, bias).dtype is torch.bfloat16
    assert widened(x[:0], weight, bias).shape == (0, 32, 5, 5)
    for wrong in (normal(2, 2, 32, 8)[0], x[..., :3]):
        with pytest.raises(RuntimeError, match=r"channels|Kernel size"):
            widened(wrong, weight, bias)
        with pytest.raises(RuntimeError, match="channels"):
            narrowed(wrong, weight)


def test_without_native_kernels_torch_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = normal(2, 1, 32, 8)
    monkeypatch.setattr(module, "library", native.library.__wrapped__)  # not what an earlier test found
    monkeypatch.setenv("FOURFOLD_NATIVE", "off")
    assert same(all_of(widened, tensors, 2, 1, SLOPE), all_of(plain, tensors, 2, 1, SLOPE))
    wide = last(torch.randn(2, 32, 4, 4)), tensors[1], tensors[2][:1]
    assert same(all_of(narrowed, wide, 2, 1), all_of(conv_transpose2d, wide, 2, 1))


def test_want_of_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "library", lambda _: SimpleNamespace(widen=lambda job: 1))
    with pytest.raises(MemoryError, match="few channels"):
        widened(*normal(2, 1, 16, 8))
