"""What a step costs: counted against the networks' formulas, and what is said of it against what was measured."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fourfold.data.dataset import Dataset
from fourfold.data.schema import Schema
from fourfold.data.vocabulary import fit_vocabulary
from fourfold.engine.loop import Trainer
from fourfold.families import create, settings_of
from fourfold.families.rnn import loops
from fourfold.profiling import bound, timing
from fourfold.profiling.advice import advice
from fourfold.profiling.invented import invented
from fourfold.profiling.meter import Meter, observed, take_step
from fourfold.profiling.timing import Trial, Way, others
from fourfold.profiling.work import Traffic, memory, work
from fourfold.runtime import start
from fourfold.settings import Reading

GREY = Schema(kind="image", shape=(1, 28, 28), classes=tuple("0123456789"))
COLOUR = Schema(kind="image", shape=(3, 84, 84))
STANDARD = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
SCHEMAS = {
    "cnn": GREY,
    "gan": GREY,
    "rnn": Schema(kind="series", shape=(3,), lengths=(4, 9), classes=("a", "b"), **STANDARD),
    "rnn, texts": Schema(
        kind="text",
        shape=(),
        lengths=(2, 7),
        classes=("a", "b"),
        vocabulary=fit_vocabulary(["a text", "another"], Reading(vocabulary="characters")),
    ),
    "cnn, sounds": Schema(
        kind="sound", shape=(16,), lengths=(12, 20), classes=("a", "b"), mean=(0.0,) * 16, std=(1.0,) * 16
    ),
    "autoencoder": Schema(
        kind="table", shape=(3,), columns=("n", "c"), levels={"c": ("x", "y")}, fill=(0.0, 0.0), **STANDARD
    ),
}


def trainer(family: str, schema: Schema, count: int, **settings: Any) -> Trainer:
    """A training of random examples that has not begun."""
    examples = invented(schema, count, torch.Generator().manual_seed(0))
    dataset = Dataset(schema, examples, None, None, source="", fingerprint="", held_out={})
    chosen = settings_of(family).resolve(
        settings.pop("preset", "dcgan" if family == "gan" else "classic"), epochs=1, **settings
    )
    return Trainer(create(schema, chosen), dataset, start("cpu", 1))


def flops(family: str, schema: Schema, n: int, **settings: Any) -> dict[str, int]:
    training = trainer(family, schema, n, batch_size=n, **settings)
    return work(training, training.train.gather(torch.arange(n))).flops


def test_operations_of_the_classic_cnn() -> None:
    n = 3
    layers = [26 * 26 * 32 * 9, 11 * 11 * 64 * 9 * 32, 1600 * 64, 64 * 10]  # multiplications of each for a picture
    forward = 2 * n * sum(layers)
    # Weights and inputs each cost what forward does, but for the picture itself, which needs no gradient.
    assert flops("cnn", GREY, n, preset="classic") == {
        "forward": forward,
        "backward": 2 * forward - 2 * n * layers[0],
    }


def test_operations_of_the_classic_autoencoder() -> None:
    n, layer = 5, 784 * 32
    assert flops("autoencoder", GREY, n, preset="classic") == {
        "forward": 2 * n * 2 * layer,
        "backward": 2 * n * (layer + 2 * layer),
    }


@pytest.mark.parametrize("most_units", [0, loops.MOST_UNITS], ids=["operators", "loops in C"])
def test_operations_of_the_classic_rnn_however_its_loops_run(monkeypatch: pytest.MonkeyPatch, most_units: int) -> None:
    monkeypatch.setattr(loops, "MOST_UNITS", most_units)
    n, t, f, h, k = 4, 28, 28, 32, 10
    # Backward: W needs no gradient of the picture; U has no state before the first step, whose product
    # with zeros is still done, as is one past the first step on the way back.
    counted = flops("rnn", GREY, n, preset="classic")
    assert counted == {
        "forward": 2 * (n * t * (f * h + h * h) + n * h * k),
        "backward": 2 * (n * t * f * h + (n * t - 1) * h * h + n * t * h * h + 2 * n * h * k),
    }
    assert most_units == loops.MOST_UNITS


def test_operations_of_the_classic_gan() -> None:
    n = 1
    dense = [100 * 256, 256 * 512, 512 * 1024, 1024 * 7 * 7 * 256]
    # A transposed convolution multiplies each input value with all weights of its channel.
    turned = [14 * 14 * 256 * 128 * 25, 36 * 36 * 128 * 64 * 25, 80 * 80 * 64 * 3 * 25]
    made = sum(dense) + sum(turned)
    told = [40 * 40 * 64 * 3 * 25, 18 * 18 * 128 * 64 * 25, 7 * 7 * 256 * 128 * 25, 7 * 7 * 256]
    assert flops("gan", COLOUR, n, preset="classic") == {
        "discriminator forward": 2 * n * (made + 2 * sum(told)),
        "discriminator backward": 2 * n * 2 * (2 * sum(told) - told[0]),
        "generator forward": 2 * n * sum(told),  # of pictures that are there
        "generator backward": 2 * n * (sum(told) + 2 * made - dense[0]),
    }


def test_memory_is_what_the_formula_says() -> None:
    n, weights = 7, 4 * (784 * 32 + 32 + 32 * 784 + 784)
    training = trainer("autoencoder", GREY, n, batch_size=n)
    batch = training.train.gather(torch.arange(n))
    work(training, batch)
    counts = memory(training, batch)
    assert counts.pop("optimizer") == 2 * weights + 4  # Adam's moments; beside them it counts its steps
    # Kept for backward: the pictures, the codes after relu and the outputs.
    assert counts == {"weights": weights, "gradients": weights, "activations": 4 * n * (784 + 32 + 784)}


def test_traffic_is_what_operators_read_and_write() -> None:
    a, b = torch.ones(10, 10), torch.ones(10, 10)
    operators: list[Callable[[], object]] = [
        lambda: a + b,
        lambda: a.add_(b),
        lambda: a.t()[:5],
        lambda: torch.empty(100),
        a.sum,
    ]
    traffic = Traffic()
    counts = [0]
    with traffic:
        for operator in operators:
            operator()
            counts.append(traffic.bytes)
    assert np.diff(counts).tolist() == [1200, 1200, 0, 0, 404]


def test_an_average_is_memory_too() -> None:
    training = trainer("cnn", GREY, 2, batch_size=2, ema=0.9)
    counts = memory(training, training.train.gather(torch.arange(2)))
    assert counts["average"] == counts["weights"]


def test_looking_on_changes_nothing() -> None:
    plain, watched = (trainer("gan", GREY, 4, batch_size=4, width=4) for _ in range(2))
    batch = plain.train.gather(torch.arange(4))
    plain.take_step(batch)
    meter = Meter(lambda: 0.0)
    before = watched.course.stepper.phases
    with observed(watched, meter):
        take_step(watched, batch, meter)
    assert watched.course.stepper.phases == before
    for name, network in plain.course.networks.items():
        for ours, theirs in zip(network.parameters(), watched.course.networks[name].parameters(), strict=True):
            assert torch.equal(ours, theirs)
    phases = [f"{name} {part}" for name in ("discriminator", "generator") for part in ("forward", "backward")]
    assert list(meter.parts) == ["data", "augment", *phases[:2], "discriminator optimizer", "rest", *phases[2:],
                                 "generator optimizer"]  # fmt: skip
    plain.take_step(batch)
    watched.take_step(batch)
    assert len(meter.parts) == 9  # nobody looks on any more


def test_every_part_is_given_what_was_counted_while_it_went_on() -> None:
    readings = iter([0.0, 1.0, 3.0, 7.0, 15.0])
    meter = Meter(lambda: next(readings))
    for part in ("forward", "backward", "forward", "data"):
        meter.begin(part)
    assert meter.parts == {"data": 1.0, "forward": 2.0 + 8.0, "backward": 4.0}


@pytest.mark.parametrize("name", SCHEMAS)
def test_random_examples_can_be_trained_on(name: str) -> None:
    training = trainer(name.split(",")[0], SCHEMAS[name], 6, batch_size=6)
    assert sum(work(training, training.train.gather(torch.arange(6))).flops.values()) > 0


def test_other_ways_differ_in_one_thing_and_are_possible() -> None:
    first = Way(32, 2)
    for cores, examples in ((8, 1000), (1, 70), (2, 32)):
        for way in others(first, cores, examples):
            assert (
                sum(ours != theirs for ours, theirs in zip(vars(first).values(), vars(way).values(), strict=True)) == 1
            )
            assert way.batch_size <= examples
            assert way.threads in (1, first.threads, cores)


def test_ways_take_turns_and_what_memory_refuses_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Way] = []

    def steps(_: Trainer, way: Way, *__: float) -> list[dict[str, float]]:
        turns.append(way)
        if way.batch_size == 16:
            raise torch.OutOfMemoryError
        slow = 3.0 if way.precision == "bfloat16" else 1.0 + (way in turns[:-1])
        return [{"forward": slow, "backward": 4 * slow}, {"forward": slow / 2, "backward": slow}]

    monkeypatch.setattr(timing, "_steps", steps)
    first = Way(4, 1)
    found = timing.trials(trainer("cnn", GREY, 16, batch_size=4), first, 1, 0.01)
    assert {trial.way: trial.milliseconds for trial in found} == {
        first: 1500.0,
        Way(8, 1): 1500.0,
        Way(4, 1, "bfloat16"): 4500.0,
    }
    assert [turns.count(way) for way in (first, Way(8, 1), Way(16, 1), Way(4, 1, "bfloat16"))] == [2, 2, 1, 1]


def test_what_bounds_a_step_is_the_limit_that_it_is_nearer_to() -> None:
    assert [bound(0.9, 0.3), bound(0.4, 2.0), bound(0.02, 0.2)] == ["compute", "memory", "overhead"]


def test_advice_follows_from_the_figures() -> None:
    first = Trial(Way(32, 2), 10.0)

    def told(*rest: Trial, data: float = 0.1, others: float = 0.0) -> str:
        return " | ".join(
            advice({"data": data, "g forward": 5.0, "g optimizer": 1.0}, "compute", [first, *rest], others)
        )

    assert "nothing that was tried is faster" in told(Trial(Way(64, 2), 19.0), Trial(Way(32, 1), 9.0))
    assert "--threads 1" in told(Trial(Way(32, 1), 5.0))
    larger = told(Trial(Way(64, 2), 12.0), Trial(Way(128, 2), 18.0))
    assert "141 µs an example instead of 312: --batch-size 128" in larger
    assert "--batch-size 64" not in larger
    assert "bfloat16 take 5 ms a step instead of 10" in told(Trial(Way(32, 2, "bfloat16"), 5.0))
    assert "data takes 40% of a step" in told(data=4.0)
    assert "the data" not in told()
    assert "other processes used 1.5 cores" in told(others=1.5)
    assert "other processes" not in told(others=0.2)
