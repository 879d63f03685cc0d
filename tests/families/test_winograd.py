"""The convolution by Winograd's transforms against torch's: exact where nothing is rounded, as close where it is."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv2d

from fourfold.families import native
from fourfold.families.native import winograd as module
from fourfold.families.native.winograd import convolved, takes

pytestmark = pytest.mark.skipif(native.library(module.SOURCE) is None, reason="no compiler here")

GROUPS = st.integers(1, 6).map(lambda groups: groups * module.GROUP)


def kernel(x: Tensor, weight: Tensor) -> Tensor:
    """The kernel in C, also where torch's is faster."""
    y: Tensor = module._Convolved.apply(x, weight)  # type: ignore[no-untyped-call]
    return y


def plain(x: Tensor, weight: Tensor) -> Tensor:
    return conv2d(x, weight, padding=1)


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def normal(n: int, inputs: int, outputs: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Maps, weights and a gradient of what comes out."""
    random = torch.Generator().manual_seed(0)
    x, weight, dy = (
        torch.randn(shape, generator=random)
        for shape in ((n, inputs, height, width), (outputs, inputs, 3, 3), (n, outputs, height, width))
    )
    return last(x), weight, last(dy)


def three_ways(convolution: object, x: Tensor, weight: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What comes out, and the gradients of what goes in and of the weights."""
    assert callable(convolution)
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = convolution(x, weight)
    dx, dweight = torch.autograd.grad(y, (x, weight), dy)
    return y.detach(), dx, dweight


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 5), GROUPS, GROUPS, st.integers(1, 11), st.integers(1, 11), st.integers(0, 2**32))
def test_small_whole_numbers_come_out_exactly(
    n: int, inputs: int, outputs: int, height: int, width: int, seed: int
) -> None:
    """Their transforms are quarters at the finest, which no sum here rounds."""
    x, weight, dy = (
        torch.randint(-3, 4, t.shape, generator=torch.Generator().manual_seed(seed + i)).float()
        for i, t in enumerate(normal(n, inputs, outputs, height, width))
    )
    found = three_ways(kernel, last(x), weight, last(dy))
    expected = three_ways(plain, x.double(), weight.double(), dy.double())
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.double(), theirs)


@pytest.mark.parametrize("shape", [(8, 64, 32, 16, 15), (16, 32, 96, 7, 8), (8, 256, 256, 4, 4)])
def test_rounding_is_at_most_twice_torchs(shape: tuple[int, int, int, int, int]) -> None:
    tensors = normal(*shape)
    exact = three_ways(plain, *(t.double() for t in tensors))
    for ours, theirs, right in zip(three_ways(kernel, *tensors), three_ways(plain, *tensors), exact, strict=True):
        assert (ours - right).norm() <= 2 * (theirs - right).norm()
        assert (ours - right).abs().max() <= 2 * (theirs - right).abs().max()
        assert (ours - right).norm() <= 2e-6 * right.norm()


def test_the_three_ways_are_one_form_in_three_variables() -> None:
    """Σ y dy = Σ x dx = Σ w dw, which is linear in each."""
    x, weight, dy = normal(4, 48, 80, 9, 10)
    y, dx, dweight = (t.double() for t in three_ways(kernel, x, weight, dy))
    form = (y * dy).sum()
    torch.testing.assert_close((x * dx).sum(), form, rtol=1e-5, atol=0)
    torch.testing.assert_close((weight * dweight).sum(), form, rtol=1e-5, atol=0)


@pytest.mark.parametrize("shape", [(5, 32, 48, 23, 22), (40, 128, 96, 4, 4)])
def test_the_number_of_threads_changes_no_bit(
    shape: tuple[int, int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, found = normal(*shape), []
    for threads in (1, 1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(three_ways(kernel, *tensors))
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_weights_and_gradients_may_lie_in_any_order() -> None:
    x, weight, dy = normal(3, 32, 32, 6, 5)
    expected = three_ways(kernel, x, weight, dy)
    whole, turned = torch.zeros(32, 32, 3, 7), weight.transpose(0, 1).contiguous().transpose(0, 1)
    whole[..., ::2][..., :3] = weight
    for other in (last(weight), turned, whole[..., ::2][..., :3]):
        for ours, same in zip(three_ways(kernel, x, other, dy.contiguous()), expected, strict=True):
            assert torch.equal(ours, same)


def test_only_the_gradients_that_are_wanted_are_computed() -> None:
    x, weight, dy = normal(2, 32, 32, 4, 4)
    _, dx, dweight = three_ways(kernel, x, weight, dy)
    assert not kernel(x, weight).requires_grad
    for wanted, gradient in ((x, dx), (weight, dweight)):
        wanted.requires_grad_()
        (found,) = torch.autograd.grad(kernel(x, weight), wanted, dy)
        assert torch.equal(found, gradient)
        wanted.requires_grad_(False)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_shows_and_stays_near(value: float) -> None:
    x, weight, dy = normal(2, 32, 32, 12, 12)
    clean, _, _ = three_ways(kernel, x, weight, dy)
    x[1, 3, 6, 7] = value
    y, _, dweight = three_ways(kernel, x, weight, dy)
    beyond = torch.ones(2, 1, 12, 12, dtype=torch.bool)
    beyond[1, :, 4:8, 6:10] = False  # the four tiles that see it
    assert not y[1, :, 5:8, 6:9].isfinite().any()
    assert torch.equal(y.where(beyond, 0), clean.where(beyond, 0))
    assert not dweight[:, 3].isfinite().any()
    assert dweight[:, 4:].isfinite().all()


def test_it_is_taken_where_it_pays() -> None:
    x, weight, _ = normal(8, 32, 48, 4, 4)
    y = convolved(x.requires_grad_(), weight)
    assert y.grad_fn is not None
    assert "_Convolved" in y.grad_fn.name()
    assert torch.equal(y, kernel(x, weight))
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_what_it_does_not_take_is_torchs() -> None:
    x, weight, _ = normal(8, 32, 48, 4, 4)
    few, thin = x[:7], normal(64, 32, 48, 4, 1)[0]
    narrow, odd = normal(8, 16, 16, 4, 4), normal(8, 40, 32, 4, 4)
    others = [
        (few, weight),
        (thin, weight),
        narrow[:2],
        odd[:2],
        (x.contiguous(), weight),
        (x.double(), weight.double()),
    ]
    for pair in others:
        assert not takes(*pair)
        assert torch.equal(convolved(*pair), plain(*pair))
    with torch.autocast("cpu", torch.bfloat16):
        assert convolved(x, weight).dtype is torch.bfloat16
    with pytest.raises(RuntimeError, match="channels"):
        convolved(x, weight[:, :16])


def test_without_native_kernels_torch_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = normal(8, 32, 48, 6, 6)
    assert takes(*tensors[:2])
    monkeypatch.setattr(module, "library", native.library.__wrapped__)  # not what an earlier test found
    monkeypatch.setenv("FOURFOLD_NATIVE", "off")
    assert not takes(*tensors[:2])
    for found, expected in zip(three_ways(convolved, *tensors), three_ways(plain, *tensors), strict=True):
        assert torch.equal(found, expected)


def test_want_of_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, _ = normal(8, 32, 32, 4, 4)
    monkeypatch.setattr(module, "library", lambda _: SimpleNamespace(winograd=lambda job: 1))
    with pytest.raises(MemoryError, match="tiles"):
        convolved(x, weight)
