"""The autoencoder against the article's formulas."""

import math
from typing import Any

import pytest
import torch

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.errors import DataError
from fourfold.families.autoencoder.family import Autoencoder
from fourfold.families.autoencoder.settings import AutoencoderSettings

from .reference import affine, relu, sigmoid

PICTURES = Schema(kind="image", shape=(1, 28, 28))
TABLE = Schema(kind="table", shape=(5,), mean=(0.0,) * 5, std=(1.0,) * 5)


def made(schema: Schema, **settings: int) -> tuple[Autoencoder, dict[str, torch.nn.Module]]:
    family = Autoencoder(schema, AutoencoderSettings(**settings))
    return family, family.build(torch.Generator().manual_seed(0))


def test_parameters() -> None:
    _, networks = made(PICTURES)
    assert sum(p.numel() for network in networks.values() for p in network.parameters()) == 50_992


@pytest.mark.parametrize("schema", [Schema(kind="image", shape=(1, 3, 4)), TABLE])
def test_a_reconstruction_is_decoder_of_encoder(schema: Schema) -> None:
    family, networks = made(schema, latent_size=2)
    with torch.no_grad():
        for network in networks.values():
            for parameter in network.parameters():
                parameter.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    x = torch.rand(4, *schema.shape)
    batch = Batch(x, None, None, torch.arange(4))
    layers: Any = networks["encoder"].layers, networks["decoder"].layers
    encoder, decoder = layers[0][1], layers[1][0]
    total = 0.0
    for i, example in enumerate(x.flatten(1).tolist()):
        z = [relu(v) for v in affine(encoder.weight.tolist(), example, encoder.bias.tolist())]
        out = affine(decoder.weight.tolist(), z, decoder.bias.tolist())
        back = [sigmoid(v) for v in out] if schema.kind == "image" else out
        codes = family.encode(networks, batch)
        torch.testing.assert_close(codes[i], torch.tensor(z))
        torch.testing.assert_close(family.decode(networks, codes)[i].flatten(), torch.tensor(back))
        if schema.kind == "image":
            total += sum(-a * math.log(b) - (1 - a) * math.log(1 - b) for a, b in zip(example, back, strict=True))
        else:
            total += sum((a - b) ** 2 for a, b in zip(example, back, strict=True))
    (phase,) = family.phases()
    loss = phase.loss(networks, batch, torch.Generator()).total.detach().item()
    assert loss == pytest.approx(total / x.numel(), rel=1e-5)
    with torch.inference_mode():
        assert family.evaluate(networks, [batch])["loss"] == pytest.approx(loss)


def test_figures_do_not_depend_on_how_the_split_is_cut() -> None:
    family, networks = made(PICTURES)
    x = torch.rand(10, 1, 28, 28)
    batches = [[Batch(p, None, None, torch.arange(len(p))) for p in torch.split(x, size)] for size in (10, 3)]
    with torch.inference_mode():
        whole, cut = (family.evaluate(networks, each) for each in batches)
    assert whole == pytest.approx(cut)
    assert whole["psnr"] == pytest.approx(-10 * math.log10(whole["mse"]))


def test_what_the_classic_network_cannot_take_is_refused_with_the_preset_that_can() -> None:
    with pytest.raises(DataError, match=r"'classic' cannot take this series data.*--preset sequence"):
        Autoencoder(Schema(kind="series", shape=(2,)), AutoencoderSettings())
