"""The parts of the engine, each against its formula."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fourfold.data.dataset import Batch
from fourfold.data.order import batches, order
from fourfold.engine.ema import Average
from fourfold.engine.evaluate import asking
from fourfold.engine.history import Means
from fourfold.engine.optim import Optimizer, learning_rate
from fourfold.engine.step import Stepper
from fourfold.families.cnn.settings import CnnSettings
from fourfold.families.contract import Losses, Networks, Phase
from fourfold.runtime import generator


@given(st.integers(1, 2000), st.integers(0, 2**63 - 1), st.integers(0, 10**6))
def test_an_order_is_a_permutation_and_a_function_of_its_arguments(size: int, seed: int, epoch: int) -> None:
    index = order(size, seed, epoch)
    assert sorted(index.tolist()) == list(range(size))
    assert torch.equal(index, order(size, seed, epoch))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(order(50, seed, epoch).tolist()) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25


@given(st.integers(1, 100), st.integers(1, 40))
def test_batches_hold_every_example_once(size: int, batch_size: int) -> None:
    pieces = list(batches(size, 0, 0, batch_size))
    assert sorted(torch.cat(pieces).tolist()) == list(range(size))
    assert all(len(piece) == batch_size for piece in pieces[:-1])


def test_random_numbers_depend_on_the_place_alone() -> None:
    first = torch.rand(4, generator=generator(7, "step", 3))
    torch.rand(9)
    assert torch.equal(first, torch.rand(4, generator=generator(7, "step", 3)))
    others = [generator(8, "step", 3), generator(7, "step", 4), generator(7, "order", 3)]
    assert not any(torch.equal(first, torch.rand(4, generator=other)) for other in others)


def test_the_learning_rate_rises_and_falls_as_asked() -> None:
    def rates(**values: object) -> list[float]:
        return [learning_rate(CnnSettings(learning_rate=1.0, **values), step, 100) for step in range(100)]

    assert rates() == [1.0] * 100
    linear, cosine = rates(schedule="linear", warmup=0.1), rates(schedule="cosine", warmup=0.1)
    for rate in (linear, cosine):
        assert rate[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
        assert rate[10] == 1.0
        assert all(later < earlier for earlier, later in itertools.pairwise(rate[10:]))
    assert linear[55] == pytest.approx(0.5)
    assert cosine[55] == pytest.approx(0.5)
    assert linear[99] == pytest.approx(1 / 90)
    assert cosine[99] == pytest.approx((1 + math.cos(math.pi * 89 / 90)) / 2)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_the_optimizers_do_what_torchs_do(name: str, momentum: float) -> None:
    settings = CnnSettings.resolve(optimizer=name, beta1=momentum, weight_decay=0.1)
    ours, theirs = ([nn.Parameter(torch.ones(3)), nn.Parameter(torch.full((2, 2), 2.0))] for _ in range(2))
    if name == "sgd":
        reference: torch.optim.Optimizer = torch.optim.SGD(
            theirs, 0.5, momentum, weight_decay=0.1, nesterov=momentum > 0
        )
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
        reference = kind(theirs, 0.5, betas=(momentum, 0.999), eps=1e-7, weight_decay=0.1)
    optimizer = Optimizer(ours, settings)
    for step in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad, b.grad = torch.sin(a.detach() + step), torch.sin(b.detach() + step)
        optimizer.apply(0.5)
        reference.step()
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)
    optimizer.clear()
    assert all(parameter.grad is None for parameter in ours)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_parameter_without_a_gradient_and_a_step_that_is_stuck_change_nothing(name: str) -> None:
    used, unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer = Optimizer([used, unused], CnnSettings.resolve(optimizer=name, weight_decay=0.1))
    used.grad = torch.full((3,), torch.nan)
    optimizer.apply(0.5, stuck=torch.ones(()))
    before = {key: tensor.clone() for key, tensor in optimizer.tensors().items()}
    assert used.tolist() == [1.0] * 3
    used.grad = torch.ones(3)
    optimizer.apply(0.5, stuck=torch.zeros(()))
    assert unused.tolist() == [1.0] * 3
    assert used.tolist() != [1.0] * 3
    assert before["steps"] == 0
    assert optimizer.tensors()["steps"] == 1


def straight(networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
    return Losses(networks["line"](batch.x).sum(), {})


def stepped(clip: float) -> torch.Tensor:
    line = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(line.weight)
    settings = CnnSettings(optimizer="sgd", beta1=0.0, learning_rate=1.0, clip=clip)
    batch = Batch(torch.tensor([[30.0, 40.0]]), None, None, torch.arange(1))
    Stepper({"line": line}, [Phase("p", ("line",), straight)], settings, 1)(batch, 0, torch.Generator())
    return line.weight.detach()[0]


def test_clipping_bounds_the_norm_of_the_gradient() -> None:
    torch.testing.assert_close(stepped(0.0), torch.tensor([-30.0, -40.0]))
    torch.testing.assert_close(stepped(5.0), torch.tensor([-3.0, -4.0]))
    torch.testing.assert_close(stepped(500.0), torch.tensor([-30.0, -40.0]))


def test_the_average_is_the_weighted_sum_of_all_weights_so_far() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    first = network[0].weight
    nn.init.zeros_(first)  # type: ignore[arg-type]
    average = Average({"n": network}, decay=0.6)
    expected = 0.0
    for step, value in enumerate([1.0, 5.0, -2.0, 8.0, 3.0, 7.0, 7.0, 1.0, 0.0, 2.0, 4.0, 9.0]):
        nn.init.constant_(first, value)  # type: ignore[arg-type]
        network[1].running_mean.fill_(-value)  # type: ignore[operator]
        network[1].num_batches_tracked.fill_(step)  # type: ignore[operator]
        average.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert average.networks["n"][0].weight.item() == pytest.approx(expected, rel=1e-5)  # type: ignore[index]
        assert average.networks["n"][1].running_mean.item() == pytest.approx(-expected, rel=1e-5)  # type: ignore[index]
        assert average.networks["n"][1].num_batches_tracked.item() == step  # type: ignore[index]
    assert first.item() == 9.0  # type: ignore[operator]


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(1, 50), st.booleans()), min_size=1, max_size=20))
def test_means_are_weighted_by_examples_however_often_they_are_read(parts: list[tuple[float, int, bool]]) -> None:
    means = Means()
    for value, count, look in parts:
        means.add({"loss": torch.tensor(value, dtype=torch.float64)}, count)
        if look:
            means.read()
    expected = sum(value * count for value, count, _ in parts) / sum(count for _, count, _ in parts)
    assert means.read()["loss"] == pytest.approx(expected, abs=1e-9)


def test_asking_leaves_networks_in_their_own_mode() -> None:
    networks = {"a": nn.Dropout().train(), "b": nn.Dropout().eval()}
    with asking(networks):
        assert not networks["a"].training
        assert torch.is_inference_mode_enabled()
    assert networks["a"].training
    assert not networks["b"].training


def test_asking_that_fails_does_so_too() -> None:
    network = nn.Dropout().train()

    def fail() -> None:
        with asking({"a": network}):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert network.training
