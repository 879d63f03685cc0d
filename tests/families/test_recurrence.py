"""The recurrences: exact against a plain loop under autograd, on torch's operators and in C, whatever pads a series."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from fourfold.families.native import library
from fourfold.families.rnn import loops
from fourfold.families.rnn.recurrence import gru, lstm, simple

KINDS = loops.KINDS
GATES = {"relu": 1, "tanh": 1, "gru": 3, "lstm": 4}
PATHS = ("native", "plain")

needs_compiler = pytest.mark.skipif(library(loops.SOURCE) is None, reason="no compiler here")
kinds = st.sampled_from(KINDS)
shapes = st.tuples(st.integers(1, 40), st.integers(1, 12), st.integers(1, 6), st.integers(1, 100))
seeds = st.integers(0, 2**32)


@pytest.fixture(autouse=True)
def two_threads_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LEAST_WORK", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@pytest.fixture
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One of PATHS, by indirect parametrisation, in force."""
    if request.param == "plain":
        monkeypatch.setattr(loops, "takes", lambda course: False)
    elif library(loops.SOURCE) is None:
        pytest.skip("no compiler here")
    return str(request.param)


def run(kind: str, x: Tensor, weights: tuple[Tensor, ...], lengths: Tensor | None, every: bool) -> Tensor:
    if kind == "gru":
        return gru(x, weights, lengths, every=every)
    if kind == "lstm":
        return lstm(x, weights, lengths, every=every)
    return simple(x, weights, "relu" if kind == "relu" else "tanh", lengths, every=every)


def loop(kind: str, x: Tensor, weights: tuple[Tensor, ...], lengths: Tensor | None, every: bool) -> Tensor:
    """The formulas, a step at a time, for autograd to differentiate."""
    (w, u, b, *c), h, cells, states = weights, x.new_zeros(len(x), weights[1].shape[1]), x.new_zeros(()), []
    for t in range(x.shape[1]):
        running = torch.ones(len(x), 1, dtype=torch.bool) if lengths is None else (t < lengths)[:, None]
        a = x[:, t].masked_fill(~running, 0) @ w.t() + b
        s = h @ u.t() + (c[0] if c else 0)
        if kind == "gru":
            (ar, az, an), (sr, sz, sn) = a.chunk(3, 1), s.chunk(3, 1)
            z = torch.sigmoid(az + sz)
            new, new_cells = (1 - z) * torch.tanh(an + torch.sigmoid(ar + sr) * sn) + z * h, cells
        elif kind == "lstm":
            i, f, g, o = (a + s).chunk(4, 1)
            new_cells = torch.sigmoid(f) * cells + torch.sigmoid(i) * torch.tanh(g)
            new = torch.sigmoid(o) * torch.tanh(new_cells)
        else:
            new, new_cells = (torch.relu if kind == "relu" else torch.tanh)(a + s), cells
        h, cells = torch.where(running, new, h), torch.where(running, new_cells, cells)
        states.append(h)
    return torch.stack(states, 1) if every else h


def problem(
    kind: str, shape: tuple[int, int, int, int], seed: int, ragged: bool, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
    """Series, weights and lengths, all of which want gradients but the last. Rounding does not grow over time."""
    n, t, f, h = shape
    random = torch.Generator().manual_seed(seed)
    g = GATES[kind] * h
    sizes = [(n, t, f), (g, f), (g, h), (g,), *([(g,)] if kind == "gru" else [])]
    x, *weights = (torch.randn(*size, generator=random, dtype=torch.float64) for size in sizes)
    weights[0] /= math.sqrt(f)
    weights[1] /= 2 * math.sqrt(h)
    lengths = torch.randint(1, t + 1, (n,), generator=random) if ragged else None
    ready = [tensor.to(dtype).requires_grad_() for tensor in (x, *weights)]
    return ready[0], tuple(ready[1:]), lengths


def results(function: Any, kind: str, x: Tensor, weights: Any, lengths: Tensor | None, every: bool) -> list[Tensor]:
    """The states, and the gradients of a random weighting of them."""
    states = function(kind, x, weights, lengths, every)
    weighting = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [states.detach(), *torch.autograd.grad((states * weighting.to(x.dtype)).sum(), (x, *weights))]


def distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest difference, as a share of its tensor's largest number or of 1."""
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1)) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind: str, ragged: bool, every: bool) -> None:
    x, weights, lengths = problem(kind, (3, 4, 2, 3), 5, ragged, torch.float64)
    assert torch.autograd.gradcheck(lambda x, *w: run(kind, x, w, lengths, every), (x, *weights))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(kinds, shapes, seeds, st.booleans(), st.booleans())
def test_equal_to_autograd_on_a_loop(kind: str, shape: Any, seed: int, ragged: bool, every: bool) -> None:
    for dtype, share in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        given = (kind, *problem(kind, shape, seed, ragged, dtype), every)
        assert distance(results(run, *given), results(loop, *given)) < share


@needs_compiler
@settings(deadline=None, max_examples=60, derandomize=True)
@given(kinds, shapes, seeds, st.booleans(), st.booleans())
def test_native_equals_plain(kind: str, shape: Any, seed: int, ragged: bool, every: bool) -> None:
    given = (kind, *problem(kind, shape, seed, ragged), every)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "takes", lambda course: True)
        found = results(run, *given)
        patch.setattr(loops, "takes", lambda course: False)
        expected = results(run, *given)
    assert distance(found, expected) < 1e-6


@pytest.mark.parametrize("path", PATHS, indirect=True)
@pytest.mark.parametrize("rubbish", [7.0, math.inf, math.nan])
@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_past_an_end_changes_nothing(kind: str, rubbish: float, path: str) -> None:
    x, weights, _ = problem(kind, (20, 9, 3, 24), 4, ragged=False)
    lengths = torch.arange(20) % 9 + 1
    past = torch.arange(9) >= lengths[:, None]
    clean = results(run, kind, x, weights, lengths, True)
    filled = x.detach().masked_fill(past[:, :, None], rubbish).requires_grad_()
    found = results(run, kind, filled, weights, lengths, True)
    assert all(torch.equal(a, b) for a, b in zip(found, clean, strict=True))
    assert not found[1][past].any()
    for i, length in enumerate(lengths.tolist()):
        alone = run(kind, x[i : i + 1, :length], weights, None, every=False)
        assert (found[0][i, length - 1 :] - alone).abs().max() < 1e-6


@pytest.mark.parametrize("path", PATHS, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_state_and_states_without_gradients_are_the_same(kind: str, path: str) -> None:
    for ragged in (True, False):
        x, weights, lengths = problem(kind, (9, 6, 3, 20), 6, ragged)
        states = run(kind, x, weights, lengths, every=True)
        assert torch.equal(run(kind, x, weights, lengths, every=False), states[:, -1])
        with torch.inference_mode():
            last = run(kind, x, weights, lengths, every=False)
            assert torch.equal(run(kind, x, weights, lengths, every=True), states)
            assert torch.equal(last, states[:, -1])
            assert last.untyped_storage().nbytes() == last.nbytes  # no other step is kept


@pytest.mark.parametrize("path", PATHS, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_a_second_backward_is_equal_and_a_second_derivative_refused(kind: str, path: str) -> None:
    x, weights, lengths = problem(kind, (4, 5, 3, 8), 7, ragged=True)
    total = run(kind, x, weights, lengths, every=True).square().sum()
    first, second = (torch.autograd.grad(total, (x, *weights), retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    only_x = torch.autograd.grad(run(kind, x, tuple(w.detach() for w in weights), lengths, True).square().sum(), x)
    assert torch.equal(only_x[0], first[0])
    gradient = torch.autograd.grad(run(kind, x, weights, lengths, True).square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("path", PATHS, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_number_stays_none(kind: str, path: str) -> None:
    """A training that diverges is told by it."""
    x, weights, _ = problem(kind, (3, 4, 2, 20), 8, ragged=False)
    with torch.no_grad():
        x[1, 2] = math.nan
    assert run(kind, x, weights, None, True).isnan().flatten(1).any(1).tolist() == [False, True, False]


@needs_compiler
def test_threads_change_nothing_and_leave_denormal_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("lstm", *problem("lstm", (70, 8, 4, 24), 9, ragged=True), True)
    two = results(run, *given)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert all(torch.equal(a, b) for a, b in zip(two, results(run, *given), strict=True))
    assert torch.full((1 << 16,), 1e-40).mul(0.5).all()


def test_under_autocast_the_states_keep_their_32_bits() -> None:
    x, weights, _ = problem("gru", (3, 4, 2, 5), 10, ragged=False)
    with torch.autocast("cpu", torch.bfloat16):
        found = run("gru", x.detach().bfloat16().float().requires_grad_(), weights, None, True)
    assert found.dtype == torch.float32
    assert torch.equal(found, run("gru", x.detach().bfloat16().float(), weights, None, True))


@pytest.mark.parametrize("kind", KINDS)
def test_operators_can_be_recorded(kind: str) -> None:
    """An exported network has no addresses to give to C."""
    x, weights, lengths = problem(kind, (3, 4, 2, 5), 11, ragged=True)
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert run(kind, mode.from_tensor(x), weights, lengths, False).shape == (3, 5)
