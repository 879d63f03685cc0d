"""The autoencoder's step by hand: the loss and its gradients are autograd's, to which all else is left."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.families import native
from fourfold.families.autoencoder import whole
from fourfold.families.autoencoder.coding import Coding
from fourfold.families.autoencoder.networks import DeepEncoder, DenseDecoder, DenseEncoder
from fourfold.families.autoencoder.settings import AutoencoderSettings
from fourfold.families.contract import Losses

needs_compiler = pytest.mark.skipif(not native.wanted(), reason="no compiler here")


def networks(shape: tuple[int, ...], latent: int, seed: int = 0) -> dict[str, nn.Module]:
    """The classic ones, with biases too, which start at zero."""
    random = torch.Generator().manual_seed(seed)
    made = {"encoder": DenseEncoder(shape, latent, random), "decoder": DenseDecoder(latent, shape, random)}
    for weight in weights_of(made):
        if weight.dim() == 1:
            nn.init.uniform_(weight, -0.3, 0.3, generator=random)
    return made


def weights_of(made: dict[str, Any]) -> list[nn.Parameter]:
    return [weight for network in made.values() for weight in network.parameters()]


def pictures(n: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def given_by(found: Losses | None, made: dict[str, nn.Module]) -> list[Tensor]:
    assert found is not None
    assert found.gradients is not None
    assert not any(gradient.requires_grad for gradient in found.gradients.values())
    return [found.total, *(found.gradients[weight] for weight in weights_of(made))]


def formula(x: Tensor, target: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """In doubles, as the source article writes it, for autograd to differentiate."""
    w, b, v, c = (weight.detach().double().requires_grad_() for weight in weights)
    back = ((x.double().flatten(1) @ w.t() + b).relu() @ v.t() + c).sigmoid()
    loss = binary_cross_entropy(back, target.double().flatten(1))
    return [loss.detach(), *torch.autograd.grad(loss, (w, b, v, c))]


@needs_compiler
@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 40), side=st.integers(1, 9), latent=st.integers(1, 20), seed=st.integers(0, 99))
def test_loss_and_gradients_are_those_of_the_formula(n: int, side: int, latent: int, seed: int) -> None:
    shape = (1, side, 5)
    made = networks(shape, latent, seed)
    x, target = pictures(n, shape, seed), pictures(n, shape, seed + 1)
    for got, want in zip(
        given_by(whole.losses(made, x, target), made), formula(x, target, weights_of(made)), strict=True
    ):
        assert got.shape == want.shape
        assert got.is_contiguous()
        torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6)


@needs_compiler
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_family_says_the_same_with_kernels_as_without(noise: float) -> None:
    asked = AutoencoderSettings.resolve("classic", noise=noise, latent_size=8)
    coding = Coding(Schema(kind="image", shape=(1, 6, 6)), asked)
    made = coding.build(torch.Generator().manual_seed(3))
    batch = Batch(pictures(17, (1, 6, 6)), None, None, torch.arange(17))
    by_hand = coding.loss(made, batch, torch.Generator().manual_seed(4))
    with native.plain():
        plain = coding.loss(made, batch, torch.Generator().manual_seed(4))
    assert plain.gradients is None
    gradients = torch.autograd.grad(plain.total, weights_of(made))
    for got, want in zip(given_by(by_hand, made), [plain.total.detach(), *gradients], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_what_is_not_the_article_s_network_in_training_is_left_to_autograd() -> None:
    shape = (1, 4, 4)
    made, x = networks(shape, 3), pictures(5, shape)
    deep = {**made, "encoder": DeepEncoder(shape, 3, torch.Generator())}
    assert whole.losses(deep, x, x) is None
    with torch.no_grad():
        assert whole.losses(made, x, x) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert whole.losses(made, x, x) is None
    with FlopCounterMode(display=False):
        assert whole.losses(made, x, x) is None
    with torch.autograd.graph.saved_tensors_hooks(lambda kept: kept, lambda kept: kept):
        assert whole.losses(made, x, x) is None
    assert whole.losses(made, x.double(), x.double()) is None
    assert whole.losses(made, x.clone().requires_grad_(), x) is None
    weights_of(made)[0].requires_grad_(False)
    assert whole.losses(made, x, x) is None
