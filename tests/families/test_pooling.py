"""Pooling and convolutions of ragged series against each series alone: what stands past an end is never read."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from fourfold.families.rnn import pooling
from fourfold.families.rnn.convolution import CONVOLUTIONS, Norm
from fourfold.families.rnn.pooling import Pooling, center, inside

LENGTHS = torch.tensor([9, 1, 5, 3])


def ragged(filling: float, more: int = 0) -> Tensor:
    x = pad(torch.randn(4, 9, 6, generator=torch.Generator().manual_seed(0)), (0, 0, 0, more))
    return torch.where(torch.arange(9 + more)[:, None] < LENGTHS[:, None, None], x, filling)


@pytest.mark.parametrize(
    ("pool", "plain"),
    [
        (pooling.mean, lambda x: x.mean(0)),
        (pooling.largest, lambda x: x.max(0).values),
        (pooling.last, lambda x: x[-1]),
    ],
)
@pytest.mark.parametrize("filling", [0.0, 1e30, float("inf"), float("nan")])
def test_pooling_is_that_of_each_series_alone(
    pool: Callable[[Tensor, Tensor | None], Tensor], plain: Callable[[Tensor], Tensor], filling: float
) -> None:
    x = ragged(filling, more=3)
    alone = torch.stack([plain(one[:length]) for one, length in zip(x, LENGTHS.tolist(), strict=True)])
    torch.testing.assert_close(pool(x, LENGTHS), alone)
    torch.testing.assert_close(pool(x[:1, :9], None), alone[:1])


def test_attention_is_the_formula_in_loops() -> None:
    torch.manual_seed(0)
    attention, x = pooling.Attention(6), ragged(float("inf"))
    found = attention(x, LENGTHS)
    for i, length in enumerate(LENGTHS.tolist()):
        scores = [float(attention.score(torch.tanh(attention.inner(x[i, t]))).detach().exp()) for t in range(length)]
        mean = sum(score / sum(scores) * x[i, t] for t, score in enumerate(scores))
        torch.testing.assert_close(found[i], mean, rtol=1e-4, atol=1e-5)


def test_pools_stand_side_by_side_and_what_was_read_backwards_ends_at_the_first_step() -> None:
    x = ragged(0.0)
    pool = Pooling(("max", "last", "mean"), 6, backward=2)
    found = pool(x, LENGTHS, 0.0, None)
    assert found.shape == (4, pool.width) == (4, 18)
    assert torch.equal(found[:, :6], pooling.largest(x, LENGTHS))
    assert torch.equal(found[:, 6:10], pooling.last(x, LENGTHS)[:, :4])
    assert torch.equal(found[:, 10:12], x[:, 0, 4:])
    assert torch.equal(found[:, 12:], pooling.mean(x, LENGTHS))


def test_a_centered_series_has_no_mean_and_nothing_past_its_end() -> None:
    found = center(ragged(float("inf")), LENGTHS)
    assert torch.equal(found, torch.where(torch.arange(9)[:, None] < LENGTHS[:, None, None], found, 0))
    torch.testing.assert_close(found.sum(dim=1), torch.zeros(4, 6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("ends", [LENGTHS, None])
def test_the_norm_is_torchs_over_the_steps_that_are_data(ends: Tensor | None) -> None:
    own, theirs = Norm(6), nn.BatchNorm1d(6)
    steps = torch.ones(4, 9, dtype=torch.bool) if ends is None else torch.arange(9) < ends[:, None]
    x = 3 + 2 * ragged(0.0) if ends is not None else 3 + 2 * torch.randn(4, 9, 6)
    within = None if ends is None else inside(x, ends)
    for training in (True, True, False):
        own.train(training)
        theirs.train(training)
        mine, given = x.clone().requires_grad_(), x.clone().requires_grad_()
        found = own(mine.transpose(1, 2), None if within is None else within.transpose(1, 2)).transpose(1, 2)[steps]
        expected = theirs(given[steps])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        found.pow(3).sum().backward()
        expected.pow(3).sum().backward()
        torch.testing.assert_close(mine.grad, given.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(own.mean_c, theirs.running_mean)
    torch.testing.assert_close(own.var_c, theirs.running_var)


def test_a_norm_of_a_single_step_is_its_bias() -> None:
    norm = Norm(3)
    assert torch.equal(norm(torch.randn(1, 3, 1), None), torch.zeros(1, 3, 1))
    assert norm.var_c.isfinite().all()


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_reads_each_series_as_if_alone(name: str) -> None:
    torch.manual_seed(0)
    network = CONVOLUTIONS[name](6, 4).eval()
    for module in network.modules():
        if isinstance(module, Norm):  # moments that would show if they reached the padding
            module.mean_c.uniform_(-1, 1)
            module.bias.data.uniform_(-1, 1)
    x = ragged(0.0, more=4)
    found = network(x, inside(x, LENGTHS))
    assert found.shape == (4, 13, network.width)
    for i, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(found[i, :length], network(x[i : i + 1, :length], None)[0], rtol=1e-4, atol=1e-5)
        assert not found[i, length:].any()


def test_the_fully_convolutional_network_is_wangs() -> None:
    network = CONVOLUTIONS["fcn"](1, 128)
    # Theirs with two classes has 264,962, first kernel 8 and biases of convolutions included, head too.
    assert sum(p.numel() for p in network.parameters()) == 128 * 7 + 128 * 256 * 5 + 256 * 128 * 3 + 2 * (
        128 + 256 + 128
    )
