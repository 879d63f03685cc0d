"""The whole step in C: the loss and its gradients are the formulas', and what it does not take is left to torch."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from fourfold.data.dataset import Batch
from fourfold.families import native
from fourfold.families.contract import Losses
from fourfold.families.rnn import whole
from fourfold.families.rnn.networks import Classic, Embedding, GruCell, Rows, SimpleCell
from fourfold.families.rnn.objective import classification
from fourfold.families.rnn.reader import Members

needs_compiler = pytest.mark.skipif(not native.wanted(), reason="no compiler here")
NEAREST = 3e-6  # to where relu bends, of its inputs: on which side a number nearer than that lies, rounding decides


@pytest.fixture(autouse=True)
def two_threads_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "LEAST_WORK", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def classic(f: int, h: int, k: int, activation: Any = "relu", seed: int = 0) -> Classic:
    """With biases too, which start at zero."""
    random = torch.Generator().manual_seed(seed)
    network = Classic(Rows(f), SimpleCell(f, h, activation, random), k, random)
    for bias in (network.cell.b_h, network.output.bias):
        assert isinstance(bias, Tensor)
        nn.init.uniform_(bias, -0.3, 0.3, generator=random)
    return network


def batch(n: int, t: int, f: int, k: int, *, ragged: bool = False, shares: bool = False, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, t, f, generator=random)
    y = torch.rand(n, k, generator=random).softmax(1) if shares else torch.randint(k, (n,), generator=random)
    lengths = torch.randint(1, t + 1, (n,), generator=random) if ragged else None
    return Batch(x, lengths, y, torch.arange(n))


def results(loss: Tensor | Losses | None, network: nn.Module) -> list[Tensor]:
    """A loss and its gradients, which come with it or are autograd's."""
    assert loss is not None
    weights = list(network.parameters())
    if isinstance(loss, Tensor):
        return [loss.detach(), *torch.autograd.grad(loss, weights)]
    assert loss.gradients is not None
    return [loss.total, *(loss.gradients[weight] for weight in weights)]


def plain(network: nn.Module, some: Batch, smoothing: float = 0.0) -> list[Tensor]:
    assert some.y is not None
    return results(cross_entropy(network(some.x, some.lengths), some.y, label_smoothing=smoothing), network)


def formula(network: Classic, some: Batch, smoothing: float) -> tuple[Tensor, float]:
    """The loss a step at a time, for autograd to differentiate, and the least number that relu was given."""
    cell, x, y, n, k = network.cell, some.x, some.y, len(some), network.output.out_features
    assert isinstance(cell, SimpleCell)
    assert y is not None
    h, nearest = x.new_zeros(n, cell.hidden_size), math.inf
    for t in range(x.shape[1]):
        z = x[:, t] @ cell.w_hf.t() + h @ cell.u_hh.t() + cell.b_h
        new = z.relu() if cell.activation == "relu" else z.tanh()
        h = new if some.lengths is None else torch.where((t < some.lengths)[:, None], new, h)
        nearest = min(nearest, float(z.detach().abs().min()))
    log = network.output(h).log_softmax(1)
    target = torch.eye(k, dtype=x.dtype)[y] if y.dim() == 1 else y
    target = target * (1 - smoothing) + smoothing / k
    return -(target * log).sum() / n, nearest if cell.activation == "relu" else math.inf


def distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """Of the losses, relative; of the gradients, as a share of the largest number in any of them."""
    largest = max(float(gradient.abs().max()) for gradient in expected[1:])
    apart = [float((a - b).abs().max()) for a, b in zip(found, expected, strict=True)]
    return max(apart[0] / float(expected[0]), max(apart[1:]) / largest)


@needs_compiler
@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.tuples(*map(st.sampled_from, ([1, 15, 17, 33], [1, 2, 28], [1, 3, 28], [5, 32, 33], [2, 10]))),
    st.sampled_from(["relu", "tanh"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.1]),
    st.integers(0, 2**32),
)
def test_loss_and_gradients_are_the_formulas(
    sizes: Any, activation: str, ragged: bool, shares: bool, smoothing: float, seed: int
) -> None:
    n, t, f, h, k = sizes
    network, some = classic(f, h, k, activation, seed), batch(n, t, f, k, ragged=ragged, shares=shares, seed=seed)
    assert some.y is not None
    double = copy.deepcopy(network).double()
    exact = replace(some, x=some.x.double(), y=some.y.double() if shares else some.y)
    loss, nearest = formula(double, exact, smoothing)
    assume(nearest > NEAREST)
    assert distance(results(whole.losses(network, some, smoothing), network), results(loss, double)) < 1e-6


@needs_compiler
@pytest.mark.parametrize("ragged", [True, False])
def test_more_examples_than_parts_and_more_steps_than_a_cache_holds(ragged: bool) -> None:
    for n, t, f, h, k in ((1100, 2, 3, 8, 3), (20, 784, 1, 32, 10), (3, 9, 128, 128, 128)):
        network, some = classic(f, h, k, "tanh"), batch(n, t, f, k, ragged=ragged)
        assert distance(results(whole.losses(network, some), network), plain(network, some)) < 3e-6


@needs_compiler
@pytest.mark.parametrize("rubbish", [7.0, math.inf, math.nan])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_what_stands_past_an_end_changes_nothing(activation: str, rubbish: float) -> None:
    network, some = classic(3, 24, 4, activation), batch(20, 9, 3, 4)
    lengths = torch.arange(20) % 9 + 1
    past = torch.arange(9) >= lengths[:, None]
    clean, filled = (
        results(
            whole.losses(network, replace(some, x=some.x.masked_fill(past[..., None], value), lengths=lengths)), network
        )
        for value in (0.0, rubbish)
    )
    assert all(map(torch.equal, clean, filled))
    assert some.y is not None
    alone = [
        results(whole.losses(network, Batch(x[None, :length], None, y[None], y[None])), network)[0]
        for x, length, y in zip(some.x, lengths.tolist(), some.y, strict=True)
    ]
    assert clean[0].item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-6)


@needs_compiler
@pytest.mark.parametrize("n", [70, 1100])
def test_the_number_of_threads_changes_no_bit_and_denormal_numbers_stay(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, some, found = classic(5, 24, 3), batch(n, 6, 5, 3, ragged=True), []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(results(whole.losses(network, some, 0.1), network))
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(other, found[0], strict=True))
    assert torch.full((1 << 16,), 1e-40).mul(0.5).all()


@needs_compiler
def test_other_layouts_and_pictures_serve() -> None:
    network, some = classic(5, 12, 3), batch(9, 6, 5, 3, ragged=True)
    assert some.y is not None
    assert some.lengths is not None
    expected = results(whole.losses(network, some), network)
    y, lengths = (torch.stack((one, one), 1)[:, 0] for one in (some.y, some.lengths))
    turned = some.x.transpose(1, 2).contiguous().transpose(1, 2)
    for other in (replace(some, x=turned, y=y, lengths=lengths), replace(some, x=some.x[:, None])):
        assert all(map(torch.equal, results(whole.losses(network, other), network), expected))


@needs_compiler
def test_without_gradients_the_loss_is_the_same() -> None:
    network, some = classic(5, 12, 3), batch(40, 6, 5, 3, ragged=True)
    learning = results(whole.losses(network, some), network)[0]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            judging = whole.losses(network, some)
        assert judging is not None
        assert judging.gradients is None
        assert torch.equal(judging.total, learning)


@needs_compiler
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("where", ["x", "cell.w_hf", "cell.u_hh", "cell.b_h", "output.weight", "output.bias"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_never_a_finite_loss(activation: str, where: str, value: float) -> None:
    network, some = classic(3, 20, 4, activation), batch(18, 5, 3, 4)
    labels = some.y
    assert labels is not None
    with torch.no_grad():
        spoilt = some.x if where == "x" else network.get_parameter(where)
        spoilt.view(-1)[-1 if where == "x" else 0] = value
        expected, losses = cross_entropy(network(some.x), labels), whole.losses(network, some)
    assert losses is not None
    found = losses.total
    assert not found.isfinite() or found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert not found.isfinite() or (activation == "tanh" and value == math.inf)  # whose limit is 1


@needs_compiler
def test_logits_whose_powers_no_float_holds() -> None:
    network, some = classic(3, 20, 4, "tanh"), batch(18, 5, 3, 4)
    with torch.no_grad():
        network.output.weight.mul_(1000)
    found, expected = results(whole.losses(network, some), network), plain(network, some)
    assert expected[0] > 100
    assert distance(found, expected) < 1e-5


@needs_compiler
@pytest.mark.parametrize("label", [-1, 3, 1 << 40])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    some = batch(9, 6, 5, 3)
    assert some.y is not None
    some.y[8] = label
    with pytest.raises(IndexError, match="counted from 0 to 2"):
        whole.losses(classic(5, 12, 3), some)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "frozen": lambda network: network.output.bias.requires_grad_(False),
    "columns first": lambda network: network.output.register_parameter("weight", nn.Parameter(torch.randn(12, 3).t())),
    "gated": lambda network: network.register_module("cell", GruCell(5, 12, torch.Generator())),
    "of texts": lambda network: network.register_module("enter", Embedding(4, 5, torch.Generator())),
    "double": lambda network: network.double(),
    "compiled": lambda network: network.compile(backend="eager"),
}


@needs_compiler
@pytest.mark.parametrize("change", CHANGES)
def test_another_network_is_left_to_torch(change: str) -> None:
    network, some = classic(5, 12, 3), batch(9, 6, 5, 3)
    assert whole.losses(network, some) is not None
    CHANGES[change](network)
    assert whole.losses(network, some) is None


@needs_compiler
def test_other_batches_sizes_and_modes_are_left_to_torch() -> None:
    network, some = classic(5, 12, 3), batch(9, 6, 5, 3, ragged=True)
    assert some.y is not None
    assert some.lengths is not None
    for other in (
        replace(some, x=some.x.double()),
        replace(some, x=some.x.clone().requires_grad_()),
        replace(some, x=some.x[:, None].expand(9, 2, 6, 5)),
        replace(some, x=some.x[..., :4]),
        replace(some, x=some.x[:8]),
        replace(some, lengths=some.lengths.int()),
        replace(some, y=some.y.int()),
        replace(some, y=None),
        Batch(some.x[:0], None, some.y[:0], some.index[:0]),
    ):
        assert whole.losses(network, other) is None
    assert whole.losses(classic(5, whole.MOST + 1, 3), some) is None
    assert whole.losses(network, batch(1, whole.MOST_STEPS + 1, 5, 3)) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert whole.losses(network, some) is None
    with FlopCounterMode(display=False) as counter:
        classification({"classifier": network}, some, torch.Generator())
    assert counter.get_total_flops() > 0


@needs_compiler
def test_the_objective_takes_it_for_one_network_and_the_mean_for_members() -> None:
    networks, some = [classic(5, 12, 3, seed=seed) for seed in range(2)], batch(9, 6, 5, 3)
    each = [results(whole.losses(network, some, 0.1), network) for network in networks]
    found = classification({"classifier": networks[0]}, some, torch.Generator(), 0.1)
    assert all(map(torch.equal, results(found, networks[0]), each[0]))
    members = classification({"classifier": Members(networks)}, some, torch.Generator(), 0.1).total
    torch.testing.assert_close(members.detach(), torch.stack([one[0] for one in each]).mean())


def test_by_wish_torch_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_NATIVE", "off")
    monkeypatch.setattr(whole, "library", native.library.__wrapped__)
    network, some = classic(5, 12, 3), batch(9, 6, 5, 3)
    assert whole.losses(network, some) is None
    found = results(classification({"classifier": network}, some, torch.Generator(), 0.1).total, network)
    assert all(map(torch.equal, found, plain(network, some, 0.1)))
