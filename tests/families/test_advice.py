"""The preset 'auto': what stands for it goes by the data alone, and gives way to everything that was set."""

import math
from typing import Any

import pytest

from fourfold.families import FAMILIES
from fourfold.families.cnn.settings import FEWEST_EPOCHS, PIXELS
from fourfold.settings import AUTO, Facts

KINDS: list[tuple[str, dict[str, Any], str, tuple[int, ...], int, str]] = [
    ("cnn", {}, "image", (1, 28, 28), 60_000, "resnet"),
    ("cnn", {}, "image", (3, 32, 32), 4_800, "small"),
    ("cnn", {}, "sound", (90, 64), 2_400, "small"),
    ("rnn", {}, "series", (29, 12), 270, "series"),
    ("rnn", {}, "sound", (90, 64), 2_400, "sound"),
    ("rnn", {}, "text", (0,), 4_000, "text"),
    ("rnn", {}, "image", (1, 28, 28), 60_000, "classic"),
    ("rnn", {"task": "forecast"}, "series", (2_000, 1), 1, "forecast"),
    ("autoencoder", {}, "image", (1, 28, 28), 60_000, "conv"),
    ("autoencoder", {}, "image", (1, 12, 12), 60_000, "dense"),
    ("autoencoder", {}, "table", (30,), 455, "dense"),
    ("autoencoder", {}, "series", (29, 12), 270, "sequence"),
    ("autoencoder", {"task": "detect"}, "table", (30,), 455, "detect"),
    ("gan", {}, "image", (1, 28, 28), 60_000, "r3gan"),
    ("gan", {"conditional": True}, "image", (1, 28, 28), 60_000, "r3gan"),
]


@pytest.mark.parametrize(("family", "asked", "kind", "shape", "examples", "preset"), KINDS)
def test_the_preset_goes_by_the_data(
    family: str, asked: dict[str, Any], kind: str, shape: tuple[int, ...], examples: int, preset: str
) -> None:
    facts = Facts(kind=kind, examples=examples, shape=shape)
    suited = FAMILIES[family].resolve(AUTO, **asked).suited(facts)
    assert suited.preset == preset
    known = {**suited.presets[preset], **asked}
    assert {name: getattr(suited, name) for name in known if name != "epochs"} == {
        name: value for name, value in known.items() if name != "epochs"
    }
    assert suited.suited(Facts(kind="table", examples=1)) == suited  # a choice stands


@pytest.mark.parametrize(("family", "asked", "kind", "shape", "examples", "preset"), KINDS)
def test_what_was_set_goes_before_it(
    family: str, asked: dict[str, Any], kind: str, shape: tuple[int, ...], examples: int, preset: str
) -> None:
    """Also where it equals what would stand there for another preset."""
    plain = FAMILIES[family].resolve(AUTO)
    given = {name: getattr(plain, name) for name in ("epochs", "batch_size", "validation", "schedule")} | asked
    suited = FAMILIES[family].resolve(AUTO, **given).suited(Facts(kind=kind, examples=examples, shape=shape))
    assert suited.preset == preset
    assert {name: getattr(suited, name) for name in given} == given


@pytest.mark.parametrize("preset", ["classic", "resnet"])
def test_a_preset_that_was_named_stays(preset: str) -> None:
    settings = FAMILIES["cnn"].resolve(preset)
    assert settings.suited(Facts(kind="image", examples=5, shape=(1, 28, 28))) is settings


@pytest.mark.parametrize(
    ("family", "kind", "shape", "steps"), [("rnn", "series", (29, 12), 1000), ("autoencoder", "table", (30,), 2000)]
)
@pytest.mark.parametrize("examples", [2, 50, 270, 10**6])
def test_a_small_set_is_passed_more_often(
    family: str, kind: str, shape: tuple[int, ...], steps: int, examples: int
) -> None:
    suited = FAMILIES[family].resolve(AUTO).suited(Facts(kind=kind, examples=examples, shape=shape))
    an_epoch = math.ceil(examples / suited.batch_size)
    assert suited.epochs * an_epoch >= steps
    assert suited.epochs <= max(math.ceil(steps / an_epoch), 40)


@pytest.mark.parametrize(("side", "examples"), [(28, 60_000), (64, 9_000), (224, 9_000), (1024, 9_000)])
def test_large_pictures_are_passed_less_often(side: int, examples: int) -> None:
    suited = FAMILIES["cnn"].resolve(AUTO).suited(Facts(kind="image", examples=examples, shape=(3, side, side)))
    seen = suited.epochs * examples * min(side, 56) ** 2
    assert seen <= PIXELS or suited.epochs == FEWEST_EPOCHS
