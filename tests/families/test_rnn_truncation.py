"""Gradients that end after so many steps: those of detached stretches, whatever the cell, the lengths, the kernels."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.engine.step import accumulate
from fourfold.families import create
from fourfold.families.rnn import loops
from fourfold.families.rnn.networks import GruCell, LstmCell, SimpleCell
from fourfold.families.rnn.settings import RnnSettings
from fourfold.families.rnn.truncation import Truncated
from fourfold.runtime import generator, one_thread


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    with one_thread():
        yield


def detached(cell: nn.Module, x: Tensor, steps: int) -> Tensor:
    """The states of a cell, a step at a time under autograd, each stretch from a state that no gradient reaches."""
    (w, u, b, *c), h = cell.parameters(), x.new_zeros(len(x), 4)
    cells, states = h, []
    for t in range(x.shape[1]):
        if steps and t % steps == 0:
            h, cells = h.detach(), cells.detach()
        a, s = x[:, t] @ w.t() + b, h @ u.t() + (c[0] if c else 0)
        if isinstance(cell, GruCell):
            (ar, az, an), (sr, sz, sn) = a.chunk(3, 1), s.chunk(3, 1)
            z = torch.sigmoid(az + sz)
            h = (1 - z) * torch.tanh(an + torch.sigmoid(ar + sr) * sn) + z * h
        elif isinstance(cell, LstmCell):
            i, f, g, o = (a + s).chunk(4, 1)
            cells = torch.sigmoid(f) * cells + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(cells)
        else:
            h = torch.tanh(a + s)
        states.append(h)
    return torch.stack(states, dim=1)


def some_cell(kind: str) -> nn.Module:
    kinds: dict[str, Any] = {"gru": GruCell, "lstm": LstmCell}
    cell: nn.Module = kinds[kind](3, 4, generator(3)) if kind in kinds else SimpleCell(3, 4, "tanh", generator(3))
    with torch.no_grad():
        for weights in cell.parameters():
            weights.normal_(std=0.5, generator=generator(4))
    return cell


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize(("time", "steps"), [(11, 4), (12, 4), (3, 5), (7, 1)])
@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_a_cut_gradient_is_that_of_detached_stretches(
    kind: str, time: int, steps: int, ragged: bool, every: bool, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr(loops, "takes", lambda course: False)
    cell = some_cell(kind)
    lengths = torch.tensor([time, 1, max(1, time - 3)]) if ragged else torch.full((3,), time)
    x = torch.randn(3, time, 3, generator=generator(5)).requires_grad_()
    weight = torch.randn(3, time, 4, generator=generator(6))
    place = torch.minimum(torch.arange(time), lengths[:, None] - 1)[:, :, None].expand(-1, -1, 4)

    def gradients(states: Tensor) -> list[Tensor]:
        total = (states * weight).sum() if every else (states[:, -1] * weight[:, 0]).sum()
        return list(torch.autograd.grad(total, [x, *cell.parameters()]))

    expected = gradients(detached(cell, x, steps).gather(1, place))
    cut = Truncated(cell, steps)
    given = lengths if ragged else None
    states = cut(x, given)
    found = gradients(states if every else cut.last(x, given)[:, None])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(states, cell(x, given))


@pytest.mark.parametrize(
    ("cells", "values"),
    [(1, {"cell": "simple"}), (1, {"cell": "gru"}), (4, {"cell": "lstm", "layers": 2, "bidirectional": True})],
)
def test_a_classifier_of_long_series_is_cut_as_well(cells: int, values: dict[str, Any]) -> None:
    schema = Schema(kind="series", shape=(2,), lengths=(40, 40), mean=(0.0, 0.0), std=(1.0, 1.0), classes=("a", "b"))
    x = torch.randn(4, 40, 2, generator=generator(7))
    batch = Batch(x, None, torch.tensor([0, 1, 0, 1]), torch.arange(4))
    found = []
    for truncate in (0, 5):
        family = create(schema, RnnSettings.resolve("classic", truncate=truncate, **values))
        network = family.build(generator(0))["classifier"]
        assert sum(isinstance(each, Truncated) for each in network.modules()) == (cells if truncate else 0)
        [phase] = family.phases()
        losses = phase.loss({"classifier": network}, batch, generator(0))
        accumulate(losses, 1.0, list(network.parameters()))
        gradients = [weight.grad.flatten() for weight in network.parameters() if weight.grad is not None]
        found.append((losses.total.detach(), torch.cat(gradients)))
    torch.testing.assert_close(found[0][0], found[1][0])
    assert not torch.equal(found[0][1], found[1][1])
