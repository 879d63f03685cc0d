"""What the two networks of a relativistic GAN minimise (Huang et al., R3GAN, arXiv 2501.05441).

Each real picture meets a generated one of the same class: the discriminator is to find the real one more real by
as much as it can, the generator the other way about, so that no part of the data can be left out unpunished. What
makes that converge is a penalty on the slope of the discriminator, at real pictures (R1) and at generated ones (R2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from ...data.dataset import Batch
from ..contract import Losses, Networks
from . import diffaugment
from .objective import latents, to_tanh

FALL = 0.1  # the share of their weight that the penalties end with, as in R3GAN's settings
PENALISED = 4  # one picture in so many is penalised: the same in expectation, for a quarter of the cost
NEAR = 0.1  # standard deviation of the noise that slopes are measured by; pictures are in [-1, 1]


@dataclass(frozen=True)
class Relativistic:
    """The two losses.

    classes: of how many the networks are told, 0 for none. gamma: the penalties' weight at the
    beginning. kinds: what both real and generated pictures go through before they are judged.
    """

    latent_size: int
    classes: int
    gamma: float
    kinds: Sequence[str] = ()

    def discriminator(self, networks: Networks, batch: Batch, random: torch.Generator, passed: float = 0.0) -> Losses:
        """softplus(D(G(z)) - D(x)) + γ/2 (|∇D(x)|² + |∇D(G(z))|²), as means; G only serves here.

        The logged score is the mean probability of taking the right one of a pair for the real one.
        """
        with torch.no_grad():
            real, fake = self.pictures(networks, batch, random)
        some = slice(-(-len(batch) // PENALISED))
        near = [nearby(pictures[some], random) for pictures in (real, fake)]
        y = self.labels(batch)
        labels = None if y is None else torch.cat([y, y, y[some], y[some]])
        # One pass for all of them: no layer mixes examples, and large batches are faster.
        logits = networks["discriminator"](torch.cat([real, fake, *near]), labels)
        real_n, fake_n, real_near_m, fake_near_m = logits.split([len(part) for part in (real, fake, *near)])
        slopes = slope(real_n[some], real_near_m) + slope(fake_n[some], fake_near_m)
        penalty = self.gamma * FALL**passed / 2 * slopes
        score = torch.sigmoid(real_n - fake_n).detach().mean()
        return Losses(softplus(fake_n - real_n).mean() + penalty, {"real_score": score, "penalty": penalty.detach()})

    def generator(self, networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
        """softplus(D(x) - D(G(z))), as a mean."""
        real, fake = self.pictures(networks, batch, random)
        with torch.no_grad():
            real_n = networks["discriminator"](real, self.labels(batch))
        return Losses(softplus(real_n - networks["discriminator"](fake, self.labels(batch))).mean(), {})

    def pictures(self, networks: Networks, batch: Batch, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Real and generated pictures as the discriminator is to see them: those of a pair are changed alike."""
        real, fake = to_tanh(batch.x), self.generated(networks, batch, random)
        if not self.kinds:
            return real, fake
        u = torch.rand(len(batch), diffaugment.draws(self.kinds), generator=random, device=random.device)
        return diffaugment.changed(real, self.kinds, u), diffaugment.changed(fake, self.kinds, u)

    def generated(self, networks: Networks, batch: Batch, random: torch.Generator) -> Tensor:
        """G(z) for new latents, of the same classes as the batch: pictures in [-1, 1]."""
        z = latents(len(batch), self.latent_size, random)
        y = self.labels(batch)
        pictures: Tensor = networks["generator"](z if y is None else with_class(z, y, self.classes))
        return pictures

    def labels(self, batch: Batch) -> Tensor | None:
        """What the networks are told of the batch: int64 (n,), or None."""
        return batch.y if self.classes else None


def slope(logits: Tensor, near: Tensor) -> Tensor:
    """The mean squared norm of D's gradient, told by the logits (m,) of pictures and of the same with noise on them.

    For normal noise the squared difference quotient has that norm as its mean (Lin et al., arXiv 2501.08316,
    who penalise large networks so). The exact gradient's own gradient costs three times as much on a CPU.
    """
    return ((near - logits) / NEAR).square().mean()


def nearby(pictures: Tensor, random: torch.Generator) -> Tensor:
    """The pictures with normal noise on them."""
    return pictures + NEAR * torch.randn(pictures.shape, generator=random, device=random.device)


def with_class(latents: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Latents (…, latent) with their classes, int64 (…), behind them as a one and zeros: (…, latent + classes)."""
    return torch.cat([latents, one_hot(labels, classes).to(latents.dtype)], dim=-1)
