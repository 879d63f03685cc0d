"""What the two networks of a GAN minimise (Goodfellow et al., arXiv 1406.2661).

The discriminator gives a logit: D(x) = sigmoid(logit) is the probability that x is real.
With softplus(a) = log(1 + exp(a)): -log D = softplus(-logit), -log(1 - D) = softplus(logit).
"""

from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ...data.dataset import Batch
from ..contract import Losses, Networks


class Game:
    """The losses of the two, over the same generated pictures: one pass of the generator serves both.

    Goodfellow et al. draw anew for the generator; on the same pictures its gradient is as true, and a step takes a
    tenth less time.
    """

    def __init__(self) -> None:
        self.made: tuple[Batch, Tensor] | None = None

    def discriminator(self, networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
        """-log D(x) - log(1 - D(G(z))), as means over the batch; G only serves here."""
        fake = generated(networks, len(batch), random)
        self.made = batch, fake
        real_logits = networks["discriminator"](to_tanh(batch.x), random)
        fake_logits = networks["discriminator"](fake.detach(), random)
        return Losses(
            softplus(-real_logits).mean() + softplus(fake_logits).mean(),
            {
                "real_score": torch.sigmoid(real_logits.detach()).mean(),
                "fake_score": torch.sigmoid(fake_logits.detach()).mean(),
            },
        )

    def generator(self, networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
        """-log D(G(z)), the non-saturating loss, as a mean over as many pictures as the batch has."""
        made, self.made = self.made, None
        fake = made[1] if made and made[0] is batch else generated(networks, len(batch), random)
        return Losses(softplus(-networks["discriminator"](fake, random)).mean(), {})


def generated(networks: Networks, count: int, random: torch.Generator) -> Tensor:
    """G(z) for `count` new latents: pictures in [-1, 1]."""
    size = cast(int, networks["generator"].latent_size)
    pictures: Tensor = networks["generator"](latents(count, size, random))
    return pictures


def latents(count: int, size: int, random: torch.Generator) -> Tensor:
    """z ~ N(0, 1), (count, size), on the device of `random`."""
    return torch.randn(count, size, generator=random, device=random.device)


def to_tanh(x: Tensor) -> Tensor:
    """Pictures in [0, 1] to [-1, 1], the range of the generator's tanh."""
    return x * 2 - 1


def from_tanh(x: Tensor) -> Tensor:
    """Pictures in [-1, 1] to [0, 1]."""
    return (x + 1) / 2
