"""The autoencoder's presets: shapes, losses against plain formulas, and what may not change a result."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.engine.step import accumulate, parameters
from fourfold.errors import DataError, UsageError
from fourfold.families import create
from fourfold.families.autoencoder.edges import Edges
from fourfold.families.autoencoder.family import Autoencoder, Variational
from fourfold.families.autoencoder.objective import Columns, divergence, drawn
from fourfold.families.autoencoder.sequence import PLACES, spread
from fourfold.families.autoencoder.settings import AutoencoderSettings
from fourfold.families.contract import Sampler
from fourfold.runtime import generator, one_thread

FIGURES: dict[str, Any] = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
SERIES = Schema(kind="series", shape=(3,), lengths=(2, 12), **FIGURES)
GREY = Schema(kind="image", shape=(1, 28, 28))


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread: small networks' threads would wait for each other."""
    with one_thread():
        yield


def made(schema: Schema, preset: str, **settings: Any) -> tuple[Any, dict[str, nn.Module]]:
    family = create(schema, AutoencoderSettings.resolve(preset, **settings))
    return family, family.build(generator(0, "weights"))


def batch_of(x: Tensor, lengths: Tensor | None = None) -> Batch:
    return Batch(x, lengths, None, torch.arange(len(x)))


@pytest.mark.parametrize("preset", ["conv", "vae", "denoising"])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 33, 17), (1, 28, 28), (3, 50, 16)])
def test_pictures_of_any_size_come_back_in_their_size(preset: str, shape: tuple[int, ...]) -> None:
    family, networks = made(Schema(kind="image", shape=shape), preset, width=4, latent_size=5)
    batch = batch_of(torch.rand(2, *shape))
    codes = family.encode(networks, batch)
    back = family.decode(networks, codes)
    assert codes.shape == (2, 5)
    assert back.shape == batch.x.shape
    assert (back >= 0).all()
    assert (back <= 1).all()


def test_sides_that_conv_does_not_take_are_refused() -> None:
    for side in (15, 225):
        with pytest.raises(DataError, match=r"16 to 224 pixels.*--size"):
            made(Schema(kind="image", shape=(1, side, 28)), "conv")


def test_no_example_knows_of_its_batch() -> None:
    family, networks = made(GREY, "conv", width=4)
    x = torch.rand(5, 1, 28, 28)
    whole = family.encode(networks, batch_of(x))
    torch.testing.assert_close(family.encode(networks, batch_of(x[2:3])), whole[2:3])


@pytest.mark.parametrize("preset", ["classic", "conv", "dense", "vae", "denoising"])
def test_a_few_steps_lower_the_loss(preset: str) -> None:
    family, networks = made(GREY, preset, width=4, latent_size=8)
    batch = batch_of(torch.rand(1, 1, 28, 28).expand(16, 1, 28, 28))
    (phase,) = family.phases()
    trained = parameters(networks, phase)
    optimizer = torch.optim.Adam(trained, 3e-3)
    losses = []
    for step in range(15):
        found = phase.loss(networks, batch, generator(0, "step", step))
        optimizer.zero_grad()
        accumulate(found, 1, trained)
        optimizer.step()
        losses.append(found.total.item())
    assert losses[-1] < losses[0]


def test_noise_is_of_the_step_and_of_training_alone() -> None:
    family, networks = made(GREY, "denoising", width=4)
    batch = batch_of(torch.rand(4, 1, 28, 28))
    (phase,) = family.phases()
    losses = [phase.loss(networks, batch, generator(0, "step", step)).total.item() for step in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    with torch.inference_mode():
        assert family.evaluate(networks, [batch]) == family.evaluate(networks, [batch])


def test_padding_more_changes_no_loss_and_no_code() -> None:
    family, networks = made(SERIES, "sequence", latent_size=4)
    lengths = torch.tensor([2, 9, 5])
    x = torch.randn(3, 9, 3, generator=torch.Generator().manual_seed(0))
    x = x * (torch.arange(9) < lengths[:, None])[:, :, None]
    further = torch.cat([x, torch.full((3, 6, 3), 1e6)], dim=1)
    codes = [family.encode(networks, batch_of(each, lengths)) for each in (x, further)]
    torch.testing.assert_close(*codes)
    back = [family.decode(networks, codes[0], batch_of(each, lengths)) for each in (x, further)]
    torch.testing.assert_close(back[0], back[1][:, :9])
    assert not back[1][:, 9:].any()
    alone = family.decode(networks, codes[0][:1], batch_of(x[:1, :2]))
    torch.testing.assert_close(alone, back[0][:1, :2])
    (phase,) = family.phases()
    each = [phase.loss(networks, batch_of(x[i : i + 1, :n]), generator(0)).total for i, n in enumerate(lengths)]
    assert phase.loss(networks, batch_of(x, lengths), generator(0)).total.item() == pytest.approx(sum(each).item() / 3)


def test_the_places_of_a_series_share_each_step_out() -> None:
    shares = spread(20, 2, torch.tensor([20, 7]), torch.zeros(()))
    torch.testing.assert_close(shares[0].sum(1), torch.ones(20))
    torch.testing.assert_close(shares[1].sum(1), (torch.arange(20) < 7).float())
    assert shares[0, 0].argmax() == 0
    assert shares[0, 19].argmax() == PLACES - 1


def test_columns_against_the_formula() -> None:
    columns = Columns([1, 3, 1], [False, True, False])
    outputs = torch.tensor([[0.5, 1.0, 2.0, -1.0, 3.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0, 1.0]])  # the second row's level is unknown
    total = math.exp(1) + math.exp(2) + math.exp(-1)
    expected = ((0.25 + 0) / 2 + (math.log(total) - 2) / 2 + (1 + 0) / 2) / 3
    assert columns.loss(outputs, x, None).item() == pytest.approx(expected)
    back = columns.examples(outputs)
    assert back[0, 2].item() == pytest.approx(math.exp(2) / total)
    assert back[0, [0, 4]].tolist() == [0.5, 3.0]
    assert columns.per_column(x).tolist() == [[1, 1, 2], [0, 0, 1]]


def test_a_table_with_categories() -> None:
    schema = Schema(
        kind="table",
        shape=(4,),
        columns=("age", "colour"),
        levels={"colour": ("blue", "green", "red")},
        mean=(0.0,) * 4,
        std=(1.0,) * 4,
    )
    family, networks = made(schema, "dense")
    assert family.latent_size == 2
    x = torch.tensor([[0.5, 0.0, 1.0, 0.0]])
    back = family.decode(networks, family.encode(networks, batch_of(x)))
    assert back[0, 1:].sum().item() == pytest.approx(1)


def test_divergence_against_the_integral() -> None:
    mean, log_variance = 0.7, -0.4
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    here = torch.distributions.Normal(mean, math.exp(log_variance / 2))
    apart = here.log_prob(z) - torch.distributions.Normal(0.0, 1.0).log_prob(z)  # type: ignore[no-untyped-call]
    integral = torch.trapezoid(here.log_prob(z).exp() * apart, z).item()  # type: ignore[no-untyped-call]
    moments = torch.tensor([[mean, mean, log_variance, log_variance]])
    assert divergence(moments).item() == pytest.approx(2 * integral, rel=1e-5)
    many = drawn(moments.expand(50_000, 4), generator(0))
    assert many.mean().item() == pytest.approx(mean, abs=0.02)
    assert many.var().item() == pytest.approx(math.exp(log_variance), abs=0.02)


def test_a_variational_autoencoder_makes_pictures_and_warms_up() -> None:
    family, networks = made(GREY, "vae", width=4, latent_size=6)
    assert isinstance(family, Variational)
    assert isinstance(family, Sampler)
    assert not isinstance(made(GREY, "conv", width=4)[0], Sampler)
    pictures = family.generate(networks, family.latents(3, generator(0)))
    assert pictures.shape == (3, 1, 28, 28)
    (phase,) = family.phases()
    batch = batch_of(torch.rand(4, 1, 28, 28))
    start, warm, end = (phase.loss(networks, batch, generator(0), passed) for passed in (0.0, 0.2, 0.9))
    error, apart = start.logged["error"].item(), start.logged["divergence"].item()
    assert start.total.item() == pytest.approx(error)
    assert warm.total.item() == end.total.item() == pytest.approx(error + apart / 784)


def test_what_cannot_be_is_refused() -> None:
    table = Schema(kind="table", shape=(3,), **FIGURES)
    for schema, settings, told in (
        (GREY, {"preset": "classic", "beta": 1.0}, "not variational"),
        (table, {"preset": "vae"}, "makes pictures"),
        (GREY, {"network": "edges"}, "for --task detect"),
        (GREY, {"preset": "conv", "normal": "3"}, "without that task leave it out"),
        (Schema(kind="text", shape=()), {}, "text data; use rnn"),
    ):
        with pytest.raises((DataError, UsageError), match=told):
            create(schema, AutoencoderSettings.resolve(settings.pop("preset", "dense"), **settings))  # type: ignore[arg-type]


def test_edges_tell_which_way_they_run() -> None:
    edges = Edges((1, 28, 28))
    upright, lying = torch.zeros(2, 1, 1, 28, 28)
    upright[..., 14:] = 1
    lying[..., 14:, :] = 1
    found = [edges(x).amax((2, 3))[0].argmax().item() for x in (upright, lying, 1 - upright)]
    assert found == [0, 2, 4]  # brighter to the right, downwards, to the left
    assert edges(upright).shape == (1, *edges.shape) == (1, 8, 7, 7)
    faint = edges(torch.full((1, 1, 28, 28), 0.7))
    assert (faint == faint.min()).all()
    assert Edges((3, 50, 224)).shape == (8, 2, 7)
    assert Edges((3, 50, 224))(torch.rand(1, 3, 50, 224)).shape == (1, 8, 2, 7)


def test_a_plain_autoencoder_has_its_class() -> None:
    assert isinstance(made(SERIES, "sequence")[0], Autoencoder)
