"""A cnn that begins with an autoencoder's encoder: the same trunk, name for name, taken, told and kept where frozen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fourfold as ff
from fourfold import families
from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.families import trunk
from fourfold.families.autoencoder.settings import AutoencoderSettings
from fourfold.families.cnn import settings as cnn_settings
from fourfold.families.cnn.settings import CnnSettings
from fourfold.families.warmstart import tensors, warm_start
from fourfold.runtime import generator, one_thread

QUICK: dict[str, Any] = {"epochs": 1, "threads": 1, "width": 4, "batch_size": 16}
TRUNK = ("stem.", "blocks.")


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread: small networks' threads would wait for each other."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def pictures() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (60, 16, 16), dtype=np.uint8)


@pytest.fixture(scope="module")
def encoder(pictures: np.ndarray[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> ff.Model:
    """An autoencoder that has seen pictures without labels."""
    out = tmp_path_factory.mktemp("runs") / "encoder"
    return ff.train("autoencoder", pictures, preset="resnet", kind="image", out=out, quiet=True, **QUICK)


def classifier(encoder: ff.Model, pictures: np.ndarray[Any, Any], out: Path, **settings: Any) -> ff.Model:
    y = np.arange(len(pictures)) % 2
    given: dict[str, Any] = {"preset": "small", "quiet": True, "init_from": str(encoder.run), "ema": 0.0}
    return ff.train("cnn", (pictures, y), out=out, **{**QUICK, **given, **settings})


def built(family: str, shape: tuple[int, int, int], **settings: Any) -> dict[str, nn.Module]:
    schema = Schema(kind="image", shape=shape, classes=("a", "b"))
    chosen = families.settings_of(family).resolve(**settings)
    return families.create(schema, chosen).build(generator(0, "weights"))


def of_trunk(networks: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trunk's tensors, without their network's name."""
    named = {name.partition(".")[2]: tensor for name, tensor in networks.items() if not name.startswith("decoder.")}
    return {name: tensor for name, tensor in named.items() if name.startswith(TRUNK)}


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 96, 64), (1, 17, 90)])
def test_encoder_and_classifier_have_the_same_trunk_unasked(shape: tuple[int, int, int]) -> None:
    encoder = of_trunk(dict(tensors(built("autoencoder", shape, preset="resnet"))))
    for preset in ("small", "resnet"):
        own = of_trunk(dict(tensors(built("cnn", shape, preset=preset))))
        assert {name: t.shape for name, t in encoder.items()} == {name: t.shape for name, t in own.items()}


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 33, 17), (1, 28, 28), (3, 100, 130)])
def test_pictures_of_any_size_come_back_in_their_size(shape: tuple[int, int, int]) -> None:
    schema = Schema(kind="image", shape=shape)
    family: Any = families.create(schema, AutoencoderSettings.resolve("resnet", latent_size=5))
    networks = {name: network.eval() for name, network in family.build(generator(0, "weights")).items()}
    x = torch.rand(3, *shape, generator=generator(0, "x"))
    codes = family.encode(networks, Batch(x, None, None, torch.arange(3)))
    assert codes.shape == (3, 5)
    assert family.decode(networks, codes).shape == x.shape
    torch.testing.assert_close(family.encode(networks, Batch(x[1:2], None, None, torch.arange(1))), codes[1:2])


def test_a_classifier_begins_with_the_encoders_trunk_and_its_own_head(encoder: ff.Model) -> None:
    networks = built("cnn", (1, 16, 16), preset="small", width=4)
    before = {name: tensor.clone() for name, tensor in tensors(networks)}
    copied = warm_start(networks, encoder.weights, same_classes=True)
    assert copied == {name for name in before if not name.startswith("classifier.head.")}
    own, theirs = of_trunk(dict(tensors(networks))), of_trunk(encoder.weights)
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], theirs[name]) for name in own)


def test_an_encoders_head_is_no_classifiers_even_if_it_is_as_wide() -> None:
    encoder = built("autoencoder", (1, 40, 40), preset="resnet", width=4, latent_size=2)
    weights = dict(tensors(encoder))
    networks = built("cnn", (1, 40, 40), preset="small", width=4)
    weights["encoder.head.weight"] = torch.ones_like(networks["classifier"].get_parameter("head.weight"))
    assert "classifier.head.weight" not in warm_start(networks, weights, same_classes=True)


def test_the_terminal_tells_how_much_was_taken(
    encoder: ff.Model, pictures: np.ndarray[Any, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier(encoder, pictures, tmp_path / "run", quiet=False)
    taken, every = len(of_trunk(encoder.weights)), len(model.weights)
    assert f"{taken} of {every} tensors begin as those of {encoder.run}" in capsys.readouterr().err


def test_frozen_the_trunk_stays_as_the_encoder_has_it_else_it_learns(
    encoder: ff.Model, pictures: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    theirs = of_trunk(encoder.weights)
    frozen = of_trunk(classifier(encoder, pictures, tmp_path / "frozen", freeze=True).weights)
    assert all(torch.equal(frozen[name], theirs[name]) for name in theirs)
    tuned = of_trunk(classifier(encoder, pictures, tmp_path / "tuned").weights)
    assert not torch.equal(tuned["stem.0.weight"], theirs["stem.0.weight"])


def test_width_zero_is_for_the_trunk_alone() -> None:
    with pytest.raises(ff.UsageError, match="--width 0 is for --network resnet, and this is conv"):
        built("autoencoder", (1, 28, 28), preset="conv", width=0)


def test_the_largest_map_is_told_alike_with_and_without_torch() -> None:
    assert trunk.LARGEST_MAP == cnn_settings.LARGEST_MAP
    assert CnnSettings.resolve("small").width == AutoencoderSettings.resolve("resnet").width
