"""The adversarial family: what it accepts, what it builds, how it is judged."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...data.dataset import Batch
from ...data.schema import Schema
from ...errors import DataError, UsageError
from ...runtime import generator
from ..contract import Metrics, Monitor, Networks, Phase
from . import networks as nets
from . import objective
from .settings import GanSettings


class Gan:
    """Square pictures to new ones like them. Labels are ignored."""

    monitor: Monitor | None = None  # neither loss tells how good the pictures are
    channels_last = True

    def __init__(self, schema: Schema, settings: GanSettings) -> None:
        if schema.kind != "image":
            raise DataError(f"a gan takes pictures, and this is {schema.kind} data")
        channels, height, width = schema.shape
        found = f"{height}×{width} pictures in {'colour' if channels == 3 else 'grey'}"
        if settings.preset == "classic" and schema.shape != (3, 84, 84):
            raise DataError(
                f"{found}: the classic gan takes 84×84 in colour; resize picture files with --size 84, "
                "or use --preset dcgan"
            )
        if height != width or not 16 <= height <= 128:
            raise DataError(f"{found}: a gan takes squares from 16 to 128 pixels; resize picture files with --size 64")
        if settings.augment not in ("none", "flip"):
            raise UsageError(
                f"augment = {settings.augment!r}: a gan would learn to make pictures that are moved, turned or cut "
                "like that; 'none' or 'flip' can be used"
            )
        self.schema = schema
        self.settings = settings

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """Two networks, "generator" and "discriminator"."""
        latent_size, width = self.settings.latent_size, self.settings.width
        if self.settings.preset == "classic":
            return {
                "generator": nets.ClassicGenerator(latent_size, random),
                "discriminator": nets.ClassicDiscriminator(random),
            }
        channels, size, _ = self.schema.shape
        return {
            "generator": nets.DcganGenerator(latent_size, channels, size, width, random),
            "discriminator": nets.DcganDiscriminator(channels, size, width, random),
        }

    def phases(self) -> tuple[Phase, ...]:
        """Two phases a step: first the discriminator learns, then the generator."""
        return (
            Phase("discriminator", ("discriminator",), objective.discriminator),
            Phase("generator", ("generator",), objective.generator),
        )

    def latents(self, count: int, random: torch.Generator) -> Tensor:
        """z ~ N(0, 1), (count, latent)."""
        return objective.latents(count, self.settings.latent_size, random)

    def generate(self, networks: Networks, latents: Tensor) -> Tensor:
        """Pictures (n, channels, height, width) in [0, 1]."""
        return objective.from_tanh(networks["generator"](latents))

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """What the discriminator makes of pictures that it never saw, and of generated ones.

        Mean probabilities of being real: near each other is good; `real_score` far under
        that of training tells that the discriminator knows its training pictures by heart.
        """
        total = torch.zeros(4, dtype=torch.float64)
        count = 0
        for step, batch in enumerate(batches):
            random = generator(0, "evaluate", step, device=batch.x.device)
            judged = objective.discriminator(networks, batch, random)
            fooled = objective.generator(networks, batch, random)
            figures = torch.stack(
                [judged.total, fooled.total, judged.logged["real_score"], judged.logged["fake_score"]]
            )
            total = total.to(figures.device) + figures.double() * len(batch)
            count += len(batch)
        names = ("discriminator_loss", "generator_loss", "real_score", "fake_score")
        return dict(zip(names, (total / count).tolist(), strict=True)) | {"count": count}
