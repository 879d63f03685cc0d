"""Recurrences over series, fast and exact: simple, GRU and LSTM, with their backward through time by hand.

Autograd's way through a loop over time is some sixty small operators forward and twice that back; here a step is one
product with the state and its activations, and the gradients of all weights are one product over all steps. On a CPU
with a compiler the loops themselves run in C (`loops.py`); everywhere else on torch's operators.

Shapes: n batch, t time, f features, h hidden units, g gates (simple: h; GRU: 3h, reset, update, candidate; LSTM: 4h,
input, forget, candidate, output: torch's orders).

In each of them a series' state stays as it was past its own end: what stands in the padding changes nothing, be it
infinite, and the gradients there are zero. States start at zero. They return the states of every step (n, t, h), or
(n, h) of the last one, and keep no more than that where no gradient is wanted. A gradient of a gradient is refused.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from . import loops
from .loops import Course, Kind

Activation = Literal["relu", "tanh"]


Weights = tuple[Tensor, ...]

IN_PLACE = {"relu": torch.relu_, "tanh": torch.tanh_}


def simple(
    x_ntf: Tensor, weights: Weights, activation: Activation, lengths_n: Tensor | None = None, *, every: bool = True
) -> Tensor:
    """h_t = activation(W x_t + U h_{t-1} + b). Weights: W (h, f), U (h, h), b (h)."""
    return _recurrence(activation, every, lengths_n, x_ntf, *weights, None)


def gru(x_ntf: Tensor, weights: Weights, lengths_n: Tensor | None = None, *, every: bool = True) -> Tensor:
    """h_t = (1 - z) n + z h_{t-1}, with the candidate n = tanh(W x_t + b + r (U h_{t-1} + c)).

    The reset r and the update z are σ(W x_t + b + U h_{t-1} + c), each with its own third of the weights. The reset
    applies after the product with the state: torch's GRU, and Keras' default (Cho et al., 2014, have it before).
    Weights: W (g, f), U (g, h), b (g), c (g).
    """
    return _recurrence("gru", every, lengths_n, x_ntf, *weights)


def lstm(x_ntf: Tensor, weights: Weights, lengths_n: Tensor | None = None, *, every: bool = True) -> Tensor:
    """h_t = o tanh(c_t), with the cells c_t = f c_{t-1} + i g (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    The input, forget and output gates i, f and o are σ(W x_t + U h_{t-1} + b), the candidate g the tanh of the
    same, each with its own fourth of the weights: W (g, f), U (g, h), b (g).
    """
    return _recurrence("lstm", every, lengths_n, x_ntf, *weights, None)


def _recurrence(kind: Kind, every: bool, lengths_n: Tensor | None, x_ntf: Tensor, *weights: Tensor | None) -> Tensor:
    place, w_gf = x_ntf.device.type, weights[0]
    if torch.is_autocast_enabled(place) and w_gf is not None:  # rounding adds up over time, and 16 bits gain nothing
        with torch.autocast(place, enabled=False):
            return _recurrence(kind, every, lengths_n, x_ntf.to(w_gf.dtype), *weights)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in (x_ntf, *weights)):
        states: Tensor = _Recurrence.apply(kind, every, lengths_n, x_ntf, *weights)  # type: ignore[no-untyped-call]
        return states
    states = _forward(kind, every, lengths_n, x_ntf, *weights).states
    return states if every or states.dim() == 2 else states[:, -1].clone()


class _Recurrence(torch.autograd.Function):
    """A recurrence of any kind, whose gradient is written by hand."""

    @staticmethod
    def forward(ctx: Any, kind: Kind, every: bool, lengths_n: Tensor | None, x_ntf: Tensor, *weights: Any) -> Tensor:
        """The states of every step or of the last one."""
        course = _forward(kind, True, lengths_n, x_ntf, *weights, learning=True)
        ctx.kind, ctx.every = kind, every
        ctx.save_for_backward(weights[0], *course)
        return course.states if every else course.states[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Tensor) -> Any:
        """Gradients of x, W, U, b and c; the first three arguments have none."""
        w_gf, *tensors = ctx.saved_tensors
        course = Course(*tensors)
        d_gates, d_memory = _backward(ctx.kind, ctx.every, course, d_states.contiguous())
        d_ig, hidden = d_gates.flatten(0, 1), course.u_gh.shape[1]
        d_x = (d_ig @ w_gf).view_as(course.x_ntf) if ctx.needs_input_grad[3] else None
        if not any(ctx.needs_input_grad[4:]):
            return None, None, None, d_x, None, None, None, None
        d_w, d_b, d_c = d_ig.t() @ course.x_ntf.flatten(0, 1), d_ig.sum(0), None
        # The state before a step stands one row up, but for first steps: zero it is there, so let their gradients be.
        d_gates[:, 0] = 0
        before_ih = course.states.flatten(0, 1)[:-1]
        d_u = d_ig[1:, : 2 * hidden].t() @ before_ih if d_memory is not None else d_ig[1:].t() @ before_ih
        if d_memory is not None:  # reset and update have one gradient on both sides, the candidate has two
            d_c = torch.cat((d_b[: 2 * hidden], d_memory.sum((0, 1))))
            d_memory[:, 0] = 0
            d_u = torch.cat((d_u, d_memory.flatten(0, 1)[1:].t() @ before_ih))
        return None, None, None, d_x, d_w, d_u, d_b, d_c


def _forward(
    kind: Kind, every: bool, lengths_n: Tensor | None, x_ntf: Tensor, *weights: Any, learning: bool = False
) -> Course:
    """learning: keep what a backward pass needs."""
    w_gf, u_gh, b_g, c_g = weights
    n, time, features = x_ntf.shape
    hidden, gated, bias = u_gh.shape[1], kind in ("gru", "lstm"), None
    if lengths_n is not None:
        lengths_n = lengths_n.to(torch.int64)
        ended_nt1 = _running(time, lengths_n).logical_not_()
        x_ntf = x_ntf.masked_fill(ended_nt1, 0)  # an infinite value times a gradient of 0 is not 0
    if c_g is not None:  # only the candidate's own is multiplied by the reset
        b_g, bias = torch.cat((b_g[: 2 * hidden] + c_g[: 2 * hidden], b_g[2 * hidden :])), c_g[2 * hidden :]
    gates_ntg = torch.addmm(b_g, x_ntf.reshape(n * time, features), w_gf.t()).view(n, time, -1)
    states = gates_ntg
    if gated:
        states = gates_ntg.new_empty((n, time, hidden) if every else (n, hidden))
    memory = gates_ntg.new_empty(n, time, hidden) if gated and learning else None
    course = Course(x_ntf, lengths_n, u_gh, bias, gates_ntg, memory, states)
    if loops.takes(course):
        loops.forward(kind, course)
    else:
        _plain_forward(kind, course)
    return course


def _backward(kind: Kind, every: bool, course: Course, d_states: Tensor) -> tuple[Tensor, Tensor | None]:
    """Gradients (n, t, g) with respect to W x + b and, for a GRU, (n, t, h) with respect to U h + c of its candidate.

    Both are zero past the ends. d_states: (n, t, h), or (n, h) of the last step alone.
    """
    d_gates = torch.empty_like(course.gates_ntg)
    d_memory = torch.empty_like(course.memory_nth) if kind == "gru" and course.memory_nth is not None else None
    if loops.takes(course):
        loops.backward(kind, every, course, d_states, d_gates, d_memory)
    else:
        _plain_backward(kind, every, course, d_states, d_gates, d_memory)
    return d_gates, d_memory


def _running(time: int, lengths_n: Tensor) -> Tensor:
    """Bool (n, t, 1): whether a series has not ended yet at a step."""
    steps_t = torch.arange(time, device=lengths_n.device)
    return (steps_t < lengths_n[:, None])[:, :, None]


def _plain_forward(kind: Kind, course: Course) -> None:
    """The loop of `recurrence.c` in torch's operators; it fills the same tensors."""
    _, lengths_n, u_gh, bias_h, gates_ntg, memory_nth, states = course
    u_t, running_nt1 = u_gh.t(), None if lengths_n is None else _running(gates_ntg.shape[1], lengths_n)
    h_nh = gates_ntg.new_zeros(len(gates_ntg), u_gh.shape[1])
    kept_nh = torch.zeros_like(h_nh)
    for t, gates_ng in enumerate(gates_ntg.unbind(1)):
        if bias_h is not None:
            new_nh, new_kept_nh = _gru_step(gates_ng, h_nh, u_t, bias_h)
        elif kind == "lstm":
            new_nh, new_kept_nh = _lstm_step(gates_ng, h_nh, kept_nh, u_t)
        else:
            new_nh, new_kept_nh = IN_PLACE[kind](gates_ng.addmm_(h_nh, u_t)), kept_nh
        if running_nt1 is None:
            h_nh, kept_nh = new_nh, new_kept_nh
        else:
            running_n1 = running_nt1[:, t]
            h_nh, kept_nh = torch.where(running_n1, new_nh, h_nh), torch.where(running_n1, new_kept_nh, kept_nh)
        if memory_nth is not None:
            memory_nth[:, t] = kept_nh
        if states.dim() == 3 and h_nh is not gates_ng:
            states[:, t] = h_nh
    if states.dim() == 2:
        states.copy_(h_nh)


def _gru_step(gates_ng: Tensor, h_nh: Tensor, u_t: Tensor, bias_h: Tensor) -> tuple[Tensor, Tensor]:
    """The next state, and the candidate's product with this one. The gates take their values in place."""
    both = 2 * h_nh.shape[1]
    product_ng = h_nh @ u_t
    gates_ng[:, :both].add_(product_ng[:, :both]).sigmoid_()
    reset_nh, update_nh, candidate_nh = gates_ng.chunk(3, dim=1)
    product_nh = product_ng[:, both:] + bias_h
    candidate_nh.addcmul_(reset_nh, product_nh).tanh_()
    return torch.lerp(candidate_nh, h_nh, update_nh), product_nh


def _lstm_step(gates_ng: Tensor, h_nh: Tensor, cells_nh: Tensor, u_t: Tensor) -> tuple[Tensor, Tensor]:
    """The next state and the next cells. The gates take their values in place."""
    input_nh, forget_nh, candidate_nh, output_nh = gates_ng.addmm_(h_nh, u_t).chunk(4, dim=1)
    for gate_nh in (input_nh, forget_nh, output_nh):
        gate_nh.sigmoid_()
    cells_nh = torch.addcmul(forget_nh * cells_nh, input_nh, candidate_nh.tanh_())
    return output_nh * cells_nh.tanh(), cells_nh


def _plain_backward(
    kind: Kind, every: bool, course: Course, d_states: Tensor, d_gates: Tensor, d_memory: Tensor | None
) -> None:
    """The loop of `recurrence.c` in torch's operators; it fills the same tensors.

    The gates' gradients are the state's (the cells', in an LSTM) times what does not depend on
    them: these factors are made for all steps at once, and the loop multiplies them in place.
    """
    _slopes(kind, course, d_gates, d_memory)
    running_nt1 = None if course.lengths_n is None else _running(d_gates.shape[1], course.lengths_n)
    dh_nh = torch.zeros_like(d_states[:, 0]) if every else d_states
    dc_nh = torch.zeros_like(dh_nh)
    for t in reversed(range(d_gates.shape[1])):
        if every:
            dh_nh = dh_nh + d_states[:, t]
        gates_ng, d_ng, new_dc_nh = course.gates_ntg[:, t], d_gates[:, t], dc_nh
        if d_memory is not None:
            through_nh, d_ng = _gru_back(gates_ng, dh_nh, d_ng, d_memory[:, t])
            new_dh_nh = torch.addmm(through_nh, d_ng, course.u_gh)
        elif course.memory_nth is not None:
            new_dc_nh = _lstm_back(gates_ng, course.memory_nth[:, t], dh_nh, dc_nh, d_ng)
            new_dh_nh = d_ng @ course.u_gh
        else:
            new_dh_nh = d_ng.mul_(dh_nh) @ course.u_gh
        if running_nt1 is None:
            dh_nh, dc_nh = new_dh_nh, new_dc_nh
        else:
            running_n1 = running_nt1[:, t]
            dh_nh, dc_nh = torch.where(running_n1, new_dh_nh, dh_nh), torch.where(running_n1, new_dc_nh, dc_nh)
    if running_nt1 is not None:  # what the loop left past the ends is worth nothing
        for gradients in (d_gates,) if d_memory is None else (d_gates, d_memory):
            gradients.masked_fill_(~running_nt1, 0)


def _slopes(kind: Kind, course: Course, d_gates: Tensor, d_memory: Tensor | None) -> None:
    """What the gates' gradients are multiples of, for all steps: of a sigmoid s, s (1 - s); of a tanh, 1 - tanh²."""
    gates_ntg, memory_nth, states_nth = course[-3:]
    if memory_nth is None:
        d_gates.copy_(states_nth > 0 if kind == "relu" else 1 - states_nth.square())
        return
    if d_memory is not None:
        reset, update, candidate = gates_ntg.chunk(3, dim=2)
        d_reset, d_update, d_candidate = d_gates.chunk(3, dim=2)
        before = pad(states_nth[:, :-1], (0, 0, 1, 0))
        torch.mul(1 - update, 1 - candidate.square(), out=d_candidate)
        torch.mul(d_candidate * memory_nth, reset * (1 - reset), out=d_reset)
        torch.mul(before - candidate, update * (1 - update), out=d_update)
        torch.mul(d_candidate, reset, out=d_memory)
        return
    inlet, forget, candidate, outlet = gates_ntg.chunk(4, dim=2)
    d_inlet, d_forget, d_candidate, d_outlet = d_gates.chunk(4, dim=2)
    torch.mul(candidate, inlet * (1 - inlet), out=d_inlet)
    torch.mul(pad(memory_nth[:, :-1], (0, 0, 1, 0)), forget * (1 - forget), out=d_forget)
    torch.mul(inlet, 1 - candidate.square(), out=d_candidate)
    torch.mul(memory_nth.tanh(), outlet * (1 - outlet), out=d_outlet)


def _gru_back(gates_ng: Tensor, dh_nh: Tensor, d_ng: Tensor, d_memory_nh: Tensor) -> tuple[Tensor, Tensor]:
    """What reaches the state before by no product, and the gradient of the products with it."""
    hidden = dh_nh.shape[1]
    d_ng.view(-1, 3, hidden).mul_(dh_nh[:, None])
    d_memory_nh.mul_(dh_nh)
    return dh_nh * gates_ng[:, hidden : 2 * hidden], torch.cat((d_ng[:, : 2 * hidden], d_memory_nh), dim=1)


def _lstm_back(gates_ng: Tensor, cells_nh: Tensor, dh_nh: Tensor, dc_nh: Tensor, d_ng: Tensor) -> Tensor:
    """The gradient of the cells before."""
    _, forget_nh, _, output_nh = gates_ng.chunk(4, dim=1)
    shown_nh = cells_nh.tanh()
    dc_nh = torch.addcmul(dc_nh, dh_nh * output_nh, 1 - shown_nh.square())
    d_ng.view(-1, 4, dh_nh.shape[1])[:, :3].mul_(dc_nh[:, None])
    d_ng[:, 3 * dh_nh.shape[1] :].mul_(dh_nh)
    return dc_nh * forget_nh
