"""Gradients that end after so many steps, for courses too long to learn whole.

Shapes: n batch, t time, f features, h hidden units, g gates.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from .loops import Course, Kind
from .networks import GruCell, LstmCell, SimpleCell
from .pooling import inside
from .recurrence import _backward, _forward, _recurrence


class Truncated(nn.Module):
    """A cell whose state goes on through all of a series, and whose gradients end every `steps` steps.

    Truncated backpropagation through time (Williams and Peng, 1990), inside one training step: the state is carried
    from each stretch of `steps` steps into the next, detached, and starts at zero with each example. Nothing is
    carried from one batch to another, so a run resumes from its step alone. The values are the cell's own; the
    weights keep the cell's names. A step holds what it does without the cut: memory grows with the whole series.
    """

    def __init__(self, cell: nn.Module, steps: int) -> None:
        super().__init__()
        self.kind, self.steps, self.hidden_size = kind_of(cell), steps, cell.hidden_size
        for name, weights in cell.named_parameters():
            self.register_parameter(name, weights)

    def forward(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """The hidden states after each time step, (n, t, h); past a series' own end they stay as they were."""
        return self._read(x_ntf, lengths_n, every=True)

    def last(self, x_ntf: Tensor, lengths_n: Tensor | None = None) -> Tensor:
        """Each series' own last state alone, (n, h)."""
        return self._read(x_ntf, lengths_n, every=False)

    def _read(self, x_ntf: Tensor, lengths_n: Tensor | None, every: bool) -> Tensor:
        own = list(self.parameters())
        weights = own if self.kind == "gru" else [*own, None]
        if not torch.is_grad_enabled():
            return _recurrence(self.kind, every, lengths_n, x_ntf, *weights)
        with torch.autocast(x_ntf.device.type, enabled=False):  # as any recurrence: rounding adds up over time
            x_ntf = x_ntf.to(own[0].dtype)
            states_nth: Tensor = _Stretches.apply(self.kind, self.steps, lengths_n, x_ntf, *weights)  # type: ignore[no-untyped-call]
        return states_nth if every else states_nth[:, -1]


class _Stretches(torch.autograd.Function):
    """A recurrence whose gradient is that of stretches of `steps` steps, each from a state that is given."""

    @staticmethod
    def forward(ctx: Any, kind: Kind, steps: int, lengths_n: Tensor | None, x_ntf: Tensor, *weights: Any) -> Tensor:
        """The states of every step: all of the series in one pass."""
        course = _forward(kind, True, lengths_n, x_ntf, *weights, learning=True)
        ctx.kind, ctx.steps = kind, steps
        ctx.save_for_backward(weights[0], *course)
        return course.states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Tensor) -> Any:
        """Gradients of x, W, U, b and c; the first three arguments have none."""
        w_gf, *tensors = ctx.saved_tensors
        course = Course(*tensors)
        d_gates, d_memory = _in_stretches(ctx.kind, ctx.steps, course, d_states)
        d_ig, before_ih = d_gates.flatten(0, 1), pad(course.states[:, :-1], (0, 0, 1, 0)).flatten(0, 1)
        d_x, d_w = (d_ig @ w_gf).view_as(course.x_ntf), d_ig.t() @ course.x_ntf.flatten(0, 1)
        d_u, d_b, d_c = d_ig.t() @ before_ih, d_ig.sum(0), None
        if d_memory is not None:  # reset and update have one gradient on both sides, the candidate has two
            d_ih, both = d_memory.flatten(0, 1), 2 * d_memory.shape[2]
            d_u = torch.cat((d_u[:both], d_ih.t() @ before_ih))
            d_c = torch.cat((d_b[:both], d_ih.sum(0)))
        return None, None, None, d_x, d_w, d_u, d_b, d_c


def _in_stretches(kind: Kind, steps: int, course: Course, d_states: Tensor) -> tuple[Tensor, Tensor | None]:
    """What `recurrence._backward` gives for each stretch alone, all of them as one batch.

    A stretch comes with the step before it, which holds the state that it starts from; what reaches that is dropped.
    """
    n, time, _ = d_states.shape
    count, ends = -(-time // steps), None
    if course.lengths_n is not None:
        d_states = _to_the_ends(d_states, course.lengths_n)
        first = steps * torch.arange(count, device=d_states.device)
        ends = ((course.lengths_n[:, None] - first).clamp(0, steps) + 1).flatten()

    def stretches(x_nt: Tensor) -> Tensor:
        whole = pad(x_nt, (0, 0, 1, count * steps - time))
        return whole.unfold(1, steps + 1, steps).transpose(2, 3).flatten(0, 1).contiguous()

    def joined(d_stretches: Tensor) -> Tensor:
        return d_stretches[:, 1:].reshape(n, count * steps, -1)[:, :time]

    gates = stretches(course.gates_ntg)
    memory = None if course.memory_nth is None else stretches(course.memory_nth)
    states = gates if memory is None else stretches(course.states)
    parted = course._replace(lengths_n=ends, gates_ntg=gates, memory_nth=memory, states=states)
    d_gates, d_memory = _backward(kind, True, parted, stretches(d_states))
    return joined(d_gates), None if d_memory is None else joined(d_memory)


def _to_the_ends(d_states: Tensor, lengths_n: Tensor) -> Tensor:
    """Gradients (n, t, h), those past a series' own end moved to its last step, whose state it is."""
    within = inside(d_states, lengths_n)
    assert within is not None
    past_n1h = d_states.masked_fill(within, 0).sum(1, keepdim=True)
    place_n1h = (lengths_n - 1)[:, None, None].expand_as(past_n1h)
    return d_states.masked_fill(~within, 0).scatter_add(1, place_n1h, past_n1h)


def truncated(network: nn.Module, steps: int) -> nn.Module:
    """The network with its cells' gradients cut every `steps` steps; 0 leaves it as it is."""
    for parent in list(network.modules()) if steps else ():
        for name, child in list(parent.named_children()):
            if isinstance(child, SimpleCell | GruCell | LstmCell):
                parent.register_module(name, Truncated(child, steps))
    return network


def kind_of(cell: nn.Module) -> Kind:
    """Which recurrence a cell is."""
    if isinstance(cell, Truncated):
        return cell.kind
    if isinstance(cell, SimpleCell):
        return cell.activation
    return "gru" if isinstance(cell, GruCell) else "lstm"
