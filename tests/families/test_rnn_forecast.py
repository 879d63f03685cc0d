"""The recurrent family's task to forecast: what its quantiles do whatever the weights are, and that it learns."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

import fourfold as ff
from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.errors import DataError, UsageError
from fourfold.families import create
from fourfold.families.rnn.family import Forecasting, Rnn
from fourfold.families.rnn.forecasting import Forecaster
from fourfold.families.rnn.objective import forecasting
from fourfold.families.rnn.settings import RnnSettings
from fourfold.metrics.forecasting import QUANTILES
from fourfold.runtime import generator, one_thread

SCHEMA = Schema(kind="series", shape=(2,), lengths=(15, 15), mean=(10.0, -5.0), std=(2.0, 0.5))
SMALL: dict[str, Any] = {"horizon": 4, "hidden_size": 4, "members": 2}


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    with one_thread():
        yield


def made(**values: Any) -> tuple[Forecasting, Forecaster]:
    """A family and its network, with weights far from where they start."""
    family = create(SCHEMA, RnnSettings.resolve("forecast", **{**SMALL, **values}))
    assert isinstance(family, Forecasting)
    network = family.build(generator(0))["forecaster"]
    assert isinstance(network, Forecaster)
    for weights in network.requires_grad_(False).parameters():
        weights.normal_(generator=generator(1))
    return family, network.eval()


def windows(count: int = 6) -> Tensor:
    return torch.randn(count, 15, 2, generator=generator(2)).cumsum(1)


def batch(x: Tensor) -> Batch:
    return Batch(x, None, None, torch.arange(len(x)))


READERS = [{}, {"cell": "lstm", "layers": 2}, {"cell": "none"}, {"cell": "simple", "dropout": 0.0}]


@pytest.mark.parametrize("values", READERS, ids=str)
def test_a_history_shifted_and_scaled_has_its_forecast_shifted_and_scaled(values: dict[str, Any]) -> None:
    _, network = made(**values)
    history = windows()[:, :11]
    shift, scale = torch.tensor([30.0, -7.0]), torch.tensor([0.25, 8.0])
    torch.testing.assert_close(network(history * scale + shift), network(history) * scale + shift, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("values", READERS, ids=str)
def test_quantiles_never_cross(values: dict[str, Any]) -> None:
    _, network = made(**values)
    said = network(20 * windows(50)[:, :11])
    assert said.shape == (50, 4, 3, 2)
    assert bool((said[:, :, 0] <= said[:, :, 1]).all())
    assert bool((said[:, :, 1] <= said[:, :, 2]).all())


def test_a_constant_history_has_a_finite_forecast() -> None:
    family, network = made()
    x = torch.ones(3, 15, 2)
    assert bool(network(x[:, :11]).isfinite().all())
    assert bool(forecasting({"forecaster": network}, batch(x)).total.isfinite())
    assert family.context == 11


def test_what_comes_after_the_history_changes_no_forecast() -> None:
    family, network = made()
    x, other = windows(), windows()
    other[:, 11:] = torch.inf
    said = [family.forecast({"forecaster": network}, batch(each)) for each in (x, other, x[:, :11])]
    assert torch.equal(said[0], said[1])
    assert torch.equal(said[0], said[2])


def test_every_channel_is_forecast_from_all() -> None:
    _, network = made()
    history = windows()[:, :11]
    other = history.clone()
    other[:, 3, 0] += 1
    assert bool((network(history)[..., 1] != network(other)[..., 1]).any())


def test_forecasts_are_in_the_units_of_the_data() -> None:
    family, network = made()
    networks, x = {"forecaster": network}, windows()
    torch.testing.assert_close(family.forecast(networks, batch(x)), SCHEMA.restore(network(x[:, :11])))


def test_the_loss_is_the_formula() -> None:
    _, network = made()
    x = windows(3)
    history, total = x[:, :11].double(), []
    for member in network.each(x[:, :11]):
        for n, p, q, c in np.ndindex(*member.shape):
            error = float(x[n, 11 + p, c] - member[n, p, q, c])
            missed = max(QUANTILES[q] * error, (QUANTILES[q] - 1) * error)
            total.append(missed / float(history[n, :, c].std(correction=0)))
    assert float(forecasting({"forecaster": network}, batch(x)).total) == pytest.approx(np.mean(total), rel=1e-4)


def test_judging_does_not_depend_on_the_batches() -> None:
    family, network = made()
    x = windows(7)
    whole = family.evaluate({"forecaster": network}, [batch(x)])
    parts = family.evaluate({"forecaster": network}, [batch(x[:5]), batch(x[5:])])
    assert parts == pytest.approx(whole, rel=1e-5)
    assert whole["count"] == 7


def test_the_task_makes_the_family_and_brings_its_preset() -> None:
    assert RnnSettings.resolve(task="forecast") == RnnSettings.resolve("forecast")
    assert RnnSettings.resolve("classic", task="forecast").preset == "classic"
    assert RnnSettings.resolve().windows == {}
    labelled = SCHEMA.model_copy(update={"classes": ("a", "b")})
    assert isinstance(create(labelled, RnnSettings(preset="classic")), Rnn)
    with pytest.raises(DataError, match="no history before a horizon of 15"):
        create(SCHEMA, RnnSettings.resolve("forecast", horizon=15))


def waves(steps: int = 160) -> np.ndarray:
    t = np.arange(steps)[:, None]
    noise = np.random.default_rng(0).normal(size=(steps, 2)) * 0.1
    y = np.sin(2 * np.pi * t / 8 + np.array([0, 1])) * [1, 5] + 0.03 * t + noise
    return np.asarray(y[None], dtype=np.float32)


def test_arrays_have_an_array_of_quantiles(tmp_path: Path) -> None:
    model = ff.train("rnn", waves(), task="forecast", out=tmp_path / "run", quiet=True, epochs=3, **SMALL)
    ahead, given = model.predict(), model.predict(waves())
    assert isinstance(ahead, pl.DataFrame)
    assert isinstance(given, np.ndarray)
    assert given.shape == (1, 4, 3, 2)
    assert ahead.columns == ["input", "step", "channel", "median", "q10", "q90"]
    np.testing.assert_allclose(given[0, :, 1].ravel(), ahead["median"].to_numpy(), rtol=1e-5)
    loaded = ff.load(tmp_path / "run").predict(waves())
    assert np.array_equal(np.asarray(loaded), given)
    with pytest.raises(DataError, match="give a longer history"):
        model.predict(waves(5))
    with pytest.raises(UsageError, match="cannot predict"):
        model.probabilities(model.read(waves()))


def test_resumed_is_as_uninterrupted(tmp_path: Path) -> None:
    settings = {**SMALL, "quiet": True, "schedule": "constant", "task": "forecast"}
    whole = ff.train("rnn", waves(), out=tmp_path / "whole", epochs=4, **settings)
    ff.train("rnn", waves(), out=tmp_path / "parts", epochs=2, **settings)
    resumed = ff.resume(tmp_path / "parts", waves(), epochs=4, quiet=True)
    assert all(torch.equal(whole.weights[name], tensor) for name, tensor in resumed.weights.items())
