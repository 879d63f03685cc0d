"""Batch normalisation in one piece with its activation, against torch's operators in double precision."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from fourfold.families import native
from fourfold.families.native import norm as module
from fourfold.families.native.norm import SOURCE, Activation, normalised

needs_compiler = pytest.mark.skipif(native.library(SOURCE) is None, reason="no compiler here")
ACTIVATIONS = (None, "relu", 0.2)
# The first two have several blocks, the last of which is no whole number of rows by 8; the first goes past the caches.
SHAPES = ((9, 32, 31, 30), (4, 144, 9, 9), (16, 17, 3, 3), (4, 3, 8, 8), (16, 1, 2, 2), (2, 16, 1, 1))


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def maps(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Maps with their channels last, of channels that differ in mean and spread."""
    random = torch.Generator().manual_seed(seed)
    mean, deviation = (torch.rand(1, shape[1], 1, 1, generator=random) for _ in range(2))
    return last(mean + (0.1 + deviation) * torch.randn(shape, generator=random))


def some_norm(channels: int, **settings: Any) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, **settings)
    random = torch.Generator().manual_seed(1)
    for tensor in (norm.weight, norm.bias):
        nn.init.uniform_(tensor, -1, 1, generator=random)
    return norm


def plain(x: Tensor, norm: nn.BatchNorm2d, activation: Activation, shortcut: Tensor | None) -> Tensor:
    """He et al.'s formula (arXiv 1512.03385) in torch's operators."""
    y: Tensor = norm(x) if shortcut is None else shortcut + norm(x)
    if activation == "relu":
        return relu(y)
    return y if activation is None else leaky_relu(y, activation)


def is_native(y: Tensor) -> bool:
    return y.grad_fn is not None and "_Normalised" in y.grad_fn.name()


def outcome(
    way: Any, x: Tensor, norm: nn.BatchNorm2d, activation: Activation, shortcut: Tensor | None, given: Tensor
) -> dict[str, Tensor]:
    """All that a way to normalise gives and changes, in the precision of the norm, which stays as it was."""
    norm, kind = copy.deepcopy(norm), norm.weight.dtype
    leaves = [x.to(kind, copy=True).requires_grad_(), norm.weight, norm.bias]
    if shortcut is not None:
        leaves.append(shortcut.to(kind, copy=True).requires_grad_())
    y = way(leaves[0], norm, activation, leaves[3] if shortcut is not None else None)
    assert is_native(y) or way is not normalised
    gradients = torch.autograd.grad(y, leaves, given.to(kind))
    found = dict(zip(("dx", "d_weight", "d_bias", "d_shortcut"), gradients, strict=False))
    return {"y": y.detach(), **found, **{key: buffer.double() for key, buffer in norm.named_buffers()}}


def error(found: Tensor, exact: Tensor) -> float:
    """The largest difference, in units of the largest number."""
    return float((found.double() - exact).abs().max() / exact.abs().max().clamp(min=1e-12))


@needs_compiler
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_values_moments_and_gradients_are_torchs(
    shape: tuple[int, ...], activation: Activation, adds: bool, training: bool
) -> None:
    norm = some_norm(shape[1]).train(training)
    nn.init.constant_(norm.running_mean, 0.5)  # type: ignore[arg-type]
    rest = (maps(shape), norm, activation, maps(shape, 2) if adds else None, maps(shape, 3))
    found = outcome(normalised, *rest)
    exact = outcome(plain, rest[0], copy.deepcopy(norm).double(), *rest[2:])
    assert {name: error(found[name], exact[name]) for name in exact} == pytest.approx(dict.fromkeys(exact, 0), abs=1e-5)


@needs_compiler
@pytest.mark.parametrize("mean", [1e3, -1e4])
def test_a_small_variance_beside_a_large_mean_survives(mean: float) -> None:
    """Where torch's own single precision loses digits; a corner of zeros in half of the channels changes nothing."""
    x, given = last(maps((8, 16, 9, 9)) + mean), maps((8, 16, 9, 9), 3)
    x[0, :8, 0, 0] = 0
    found = outcome(normalised, x, some_norm(16), "relu", None, given)
    exact = outcome(plain, x, some_norm(16).double(), "relu", None, given)
    assert {name: error(found[name], exact[name]) for name in exact} == pytest.approx(dict.fromkeys(exact, 0), abs=5e-6)


@needs_compiler
@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_a_channel_that_is_constant_becomes_its_bias(value: float) -> None:
    norm, x = some_norm(3), torch.full((4, 3, 8, 8), value).to(memory_format=torch.channels_last)
    found = outcome(normalised, x, norm, None, None, maps((4, 3, 8, 8)))
    assert torch.equal(found["y"], norm.bias.detach()[:, None, None].expand(4, 3, 8, 8))
    assert found["running_mean"].tolist() == pytest.approx([0.1 * value] * 3)
    assert found["running_var"].tolist() == pytest.approx([0.9] * 3, rel=1e-6, abs=1e-16 * value**2)
    assert all(tensor.isfinite().all() for tensor in found.values())


@needs_compiler
@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
def test_running_moments_are_torchs_through_training_and_used_after_it(momentum: float | None) -> None:
    ours, theirs = some_norm(16, momentum=momentum), some_norm(16, momentum=momentum)
    for seed in range(4):
        normalised(maps((4, 16, 5, 5), seed), ours)
        theirs(maps((4, 16, 5, 5), seed))
    for found, expected in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    before = copy.deepcopy(ours.eval().state_dict())
    x = maps((4, 16, 5, 5), 9)
    torch.testing.assert_close(normalised(x, ours, "relu"), relu(theirs.eval()(x)), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


@needs_compiler
@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_finite_is_seen_in_its_channel_and_nowhere_else(odd: float, activation: Activation) -> None:
    x, given = maps((4, 3, 8, 8)), maps((4, 3, 8, 8), 3)
    alone = outcome(normalised, x, some_norm(3), activation, None, given)
    x[2, 1, 3, 3] = odd
    found = outcome(normalised, x, some_norm(3), activation, None, given)
    for name in ("y", "dx"):
        assert found[name][:, 1].isnan().all()
        assert torch.equal(found[name][:, ::2], alone[name][:, ::2])
    for name in ("running_mean", "running_var", "d_weight"):
        assert found[name].isfinite().tolist() == [True, False, True]


@needs_compiler
def test_relu_of_minus_infinity_is_zero_in_evaluation() -> None:
    norm, x = nn.BatchNorm2d(16).eval(), maps((1, 16, 2, 2)).fill_(-torch.inf)
    assert torch.equal(normalised(x, norm, "relu"), torch.zeros(1, 16, 2, 2))


@needs_compiler
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_the_number_of_threads_changes_no_bit(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(outcome(normalised, maps(shape), some_norm(shape[1]), "relu", maps(shape, 2), maps(shape, 3)))
    assert all(torch.equal(one[name], found[0][name]) for one in found[1:] for name in one)


@needs_compiler
def test_maps_that_were_cut_and_gradients_in_another_order_serve() -> None:
    """As where a generator cuts off what rounding up added, and a head takes features channel by channel."""
    x, weights = maps((4, 16, 8, 8)), torch.randn(16 * 7 * 7, generator=torch.Generator().manual_seed(4))
    gradients: list[Tensor] = []
    for kind, way in ((torch.float32, normalised), (torch.float64, plain)):
        leaf = x.to(kind, copy=True).requires_grad_()
        y = way(leaf[:, :, :7, :7], some_norm(16).to(kind), 0.2, None)
        assert is_native(y) or way is plain
        gradients += torch.autograd.grad((y.flatten(1) * weights.to(kind)).sum(), leaf)
    assert error(*gradients) < 1e-5


@needs_compiler
@pytest.mark.parametrize(("adds", "most"), [(False, 1), (True, 2)])
def test_nothing_is_kept_but_what_its_neighbours_keep(adds: bool, most: int) -> None:
    """x, and y where x does not tell its sign."""
    kept: dict[int, int] = {}
    x = maps((8, 16, 16, 16)).requires_grad_()

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = normalised(x, some_norm(16), "relu", maps((8, 16, 16, 16), 2) if adds else None)
    assert sum(kept.values()) < (most + 0.05) * x.nbytes
    assert kept.keys() <= {
        x.data_ptr(),
        y.data_ptr(),
        *(place for place, size in kept.items() if size < 0.05 * x.nbytes),
    }


@needs_compiler
def test_without_a_graph_the_moments_follow_all_the_same() -> None:
    """As those of a generator that only serves."""
    ours, theirs, x = some_norm(16), some_norm(16), maps((4, 16, 5, 5))
    with torch.no_grad():
        torch.testing.assert_close(normalised(x, ours, 0.2), leaky_relu(theirs(x), 0.2), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    assert ours.num_batches_tracked == 1


def hooked(register: str, hook: Callable[..., Any]) -> nn.BatchNorm2d:
    norm = some_norm(16)
    getattr(norm, register)(hook)
    return norm


X = maps((4, 16, 5, 5))


@pytest.mark.parametrize(
    ("x", "norm", "activation"),
    [
        pytest.param(X.contiguous(), some_norm(16), "relu", id="channels first"),
        pytest.param(X.double(), some_norm(16).double(), "relu", id="double precision"),
        pytest.param(maps((1, 3, 5, 5)), some_norm(3), "relu", id="places that fill no row"),
        pytest.param(X, nn.BatchNorm2d(16, affine=False), 0.2, id="no weights"),
        pytest.param(X, nn.BatchNorm2d(16, track_running_stats=False), None, id="no running moments"),
        pytest.param(X, hooked("register_forward_pre_hook", lambda norm, _: norm.eval() and None), 0.2, id="frozen"),
        pytest.param(X, hooked("register_forward_hook", lambda *given: given[2] * 2), "relu", id="another output"),
        pytest.param(X, some_norm(16), -0.2, id="a slope below zero"),
    ],
)
@pytest.mark.parametrize("adds", [False, True])
def test_the_rest_is_left_to_torch(x: Tensor, norm: nn.BatchNorm2d, activation: Activation, adds: bool) -> None:
    twin, shortcut = copy.deepcopy(norm), x.flip(0) if adds else None
    y = normalised(x.clone().requires_grad_(), norm, activation, shortcut)
    assert not is_native(y)
    assert torch.equal(y, plain(x, twin, activation, shortcut))
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), twin.buffers(), strict=True))


def test_a_single_place_and_a_wrong_width_are_refused_as_torch_does() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        normalised(maps((1, 16, 1, 1)), some_norm(16))
    with pytest.raises(RuntimeError, match="16"):
        normalised(maps((2, 16, 2, 2)), some_norm(32))


def test_without_a_library_torch_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "library", lambda _: None)
    x = maps((4, 16, 5, 5))
    assert torch.equal(normalised(x, some_norm(16), "relu", x), relu(x + some_norm(16)(x)))
