"""The adversarial networks: the article's layers, and gradients that reach the right network only."""

import itertools
import math

import pytest
import torch
from torch import nn

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.engine.step import Stepper
from fourfold.errors import DataError
from fourfold.families.gan import networks as nets
from fourfold.families.gan import objective
from fourfold.families.gan.family import Gan
from fourfold.families.gan.settings import GanSettings


def made(
    size: int = 16, channels: int = 1, preset: str = "dcgan", **values: object
) -> tuple[Gan, dict[str, nn.Module]]:
    family = Gan(Schema(kind="image", shape=(channels, size, size)), GanSettings.resolve(preset, **values))
    return family, family.build(torch.Generator().manual_seed(0))


def batch_of(*shape: int) -> Batch:
    return Batch(torch.rand(*shape), None, None, torch.arange(shape[0]))


def test_parameters() -> None:
    _, networks = made(84, 3, preset="classic")
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    assert counts == {"generator": 14_569_347, "discriminator": 1_041_793}


def test_classic_shapes_are_the_articles() -> None:
    _, networks = made(84, 3, preset="classic")
    x = torch.randn(2, 100)
    sides = []
    for layer in networks["generator"].layers:  # type: ignore[union-attr]
        x = layer(x)
        if x.dim() == 4 and not isinstance(layer, nn.LeakyReLU):
            sides.append((x.shape[2], x.shape[1]))
    assert sides == [(7, 256), (14, 256), (18, 128), (36, 128), (40, 64), (80, 64), (84, 3), (84, 3)]
    assert x.abs().max() <= 1
    assert networks["discriminator"](x).shape == (2,)


@pytest.mark.parametrize("size", [16, 17, 28, 31, 32, 50, 63, 64, 96, 100, 127, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_dcgan_makes_and_judges_any_square(size: int, channels: int) -> None:
    family, networks = made(size, channels, width=2)
    pictures = family.generate(networks, family.latents(3, torch.Generator().manual_seed(0)))
    assert pictures.shape == (3, channels, size, size)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert networks["discriminator"](pictures).shape == (3,)


def test_the_losses_are_the_articles_game() -> None:
    _, networks = made()
    batch = batch_of(8, 1, 16, 16)
    for network in networks.values():
        network.eval()  # so that real and generated pictures do not share a norm's moments
    game = objective.Game()
    judged = game.discriminator(networks, batch, torch.Generator().manual_seed(5))
    fake = networks["generator"](objective.latents(8, 100, torch.Generator().manual_seed(5)))
    real_scores = torch.sigmoid(networks["discriminator"](batch.x * 2 - 1)).tolist()
    fake_scores = torch.sigmoid(networks["discriminator"](fake)).tolist()
    expected = sum(-math.log(d) for d in real_scores) / 8 + sum(-math.log(1 - d) for d in fake_scores) / 8
    assert judged.total.item() == pytest.approx(expected, rel=1e-5)
    assert judged.logged["real_score"].item() == pytest.approx(sum(real_scores) / 8)
    assert judged.logged["fake_score"].item() == pytest.approx(sum(fake_scores) / 8)
    fooled = game.generator(networks, batch, torch.Generator().manual_seed(6))  # of the same pictures: nothing is drawn
    assert fooled.total.item() == pytest.approx(sum(-math.log(d) for d in fake_scores) / 8, rel=1e-5)


def test_the_generator_answers_for_its_own_batch_alone() -> None:
    """Pictures that were made for another batch, or have served already, are not taken for it."""
    _, networks = made()
    batch, other = batch_of(8, 1, 16, 16), batch_of(3, 1, 16, 16)
    for network in networks.values():
        network.eval()

    def alone() -> float:
        return objective.Game().generator(networks, batch, torch.Generator().manual_seed(7)).total.item()

    game = objective.Game()
    game.discriminator(networks, other, torch.Generator().manual_seed(5))
    assert game.generator(networks, batch, torch.Generator().manual_seed(7)).total.item() == alone()
    game.discriminator(networks, batch, torch.Generator().manual_seed(5))
    game.generator(networks, batch, torch.Generator().manual_seed(7))
    assert game.generator(networks, batch, torch.Generator().manual_seed(7)).total.item() == alone()


@pytest.mark.parametrize("preset", ["dcgan", "classic"])
def test_each_phase_changes_its_own_network_only(preset: str) -> None:
    size, channels = (84, 3) if preset == "classic" else (16, 1)
    family, networks = made(size, channels, preset=preset)
    batch = batch_of(4, channels, size, size)
    for phase in family.phases():
        before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}
        Stepper(networks, [phase], family.settings, 1)(batch, 0, torch.Generator().manual_seed(1))
        for name, network in networks.items():
            same = [torch.equal(p, q) for p, q in zip(network.parameters(), before[name], strict=True)]
            assert all(same) if name != phase.name else not any(same), (phase.name, name)
            assert all(p.grad is None for p in network.parameters())


def test_a_step_is_the_two_gradients_taken_apart() -> None:
    """One step of the engine against autograd asked for exactly what the article's game says."""
    family, networks = made()
    _, other = made()
    batch = batch_of(8, 1, 16, 16)
    Stepper(networks, family.phases(), family.settings, 1)(batch, 0, torch.Generator().manual_seed(9))
    random = torch.Generator().manual_seed(9)
    for phase in family.phases():
        parameters = list(other[phase.name].parameters())
        optimizer = torch.optim.Adam(parameters, 2e-4, betas=(0.5, 0.999), eps=1e-7)
        loss = phase.loss(other, batch, random).total
        for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.grad = gradient
        optimizer.step()
    for name, network in networks.items():
        for p, q in zip(network.parameters(), other[name].parameters(), strict=True):
            torch.testing.assert_close(p, q)


def test_dropout_is_drawn_from_the_step_alone() -> None:
    _, networks = made(84, 3, preset="classic")
    x = torch.rand(2, 3, 84, 84)
    judge = networks["discriminator"]
    assert torch.equal(judge(x, torch.Generator().manual_seed(3)), judge(x, torch.Generator().manual_seed(3)))
    assert not torch.equal(judge(x, torch.Generator().manual_seed(3)), judge(x, torch.Generator().manual_seed(4)))
    assert torch.equal(judge(x), judge(x))


def test_dropout_keeps_the_mean() -> None:
    from fourfold.families.blocks import dropout

    x = torch.ones(100_000)
    y = dropout(x, 0.3, torch.Generator().manual_seed(0))
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert y.mean().item() == pytest.approx(1, abs=0.01)


def test_figures_are_repeatable_and_within_range() -> None:
    family, networks = made()
    for network in networks.values():
        network.eval()
    batches = [batch_of(5, 1, 16, 16), batch_of(2, 1, 16, 16)]
    with torch.inference_mode():
        first, second = family.evaluate(networks, batches), family.evaluate(networks, batches)
    assert first == second
    assert 0 < first["real_score"] < 1
    assert first["count"] == 7


def test_doublings() -> None:
    for size in range(16, 129):
        sizes = nets.doublings(size)
        assert sizes[-1] == size
        assert 3 <= sizes[0] <= 5
        assert all(2 * small - large in (0, 1) for small, large in itertools.pairwise(sizes))


@pytest.mark.parametrize(
    ("shape", "preset", "message"),
    [
        ((1, 28, 28), "classic", "28×28 pictures in grey: the classic gan takes 84×84 in colour; .*--size 84"),
        ((1, 28, 30), "dcgan", "squares from 16 to 128"),
        ((3, 256, 256), "dcgan", "256×256 pictures in colour.*--size 64"),
    ],
)
def test_what_it_cannot_use_is_refused_with_the_mend(shape: tuple[int, ...], preset: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Gan(Schema(kind="image", shape=shape), GanSettings.resolve(preset))
