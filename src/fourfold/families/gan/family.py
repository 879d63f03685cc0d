"""The adversarial family: what it accepts, what it builds, how it is judged."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ...data.dataset import Batch
from ...data.schema import Schema
from ...errors import DataError, UsageError, nearest
from ...runtime import generator
from ..blocks import require_classes
from ..contract import Losses, Metrics, Monitor, Networks, Phase
from . import diffaugment, objective
from . import networks as nets
from .distance import RandomFeatures, distance
from .relativistic import Relativistic, with_class
from .residual import ResidualDiscriminator, ResidualGenerator
from .settings import GanSettings


class Gan:
    """Square pictures to new ones like them; labels count only if it is conditional.

    Its latents (…, latent) are normal numbers; if it is conditional, a one and zeros behind
    them tell the class: (…, latent + classes).
    """

    channels_last = True

    def __init__(self, schema: Schema, settings: GanSettings) -> None:
        self.schema = schema
        self.settings = settings
        self._require_pictures()
        self._require_allowed()
        self.residual = settings.preset == "r3gan"
        self.classes = require_classes(schema, "conditional gan") if settings.conditional else ()
        # No loss tells how good the pictures are; the older recipes keep the last epoch, as they always did.
        self.monitor: Monitor | None = Monitor("distance", "lower") if self.residual else None
        # The two losses, the discriminator's first.
        game: objective.Game | Relativistic = objective.Game()
        if self.residual:
            kinds = diffaugment.asked(settings.diffaugment)
            game = Relativistic(settings.latent_size, len(self.classes), settings.gamma, kinds)
        self.losses: tuple[Callable[..., Losses], Callable[..., Losses]] = game.discriminator, game.generator

    def _require_pictures(self) -> None:
        if self.schema.kind != "image":
            raise DataError(f"a gan takes pictures, and this is {self.schema.kind} data")
        channels, height, width = self.schema.shape
        found = f"{height}×{width} pictures in {'colour' if channels == 3 else 'grey'}"
        if self.settings.preset == "classic" and self.schema.shape != (3, 84, 84):
            raise DataError(
                f"{found}: the classic gan takes 84×84 in colour; resize picture files with --size 84, "
                "or use --preset r3gan"
            )
        if height != width or not 16 <= height <= 128:
            raise DataError(f"{found}: a gan takes squares from 16 to 128 pixels; resize picture files with --size 64")

    def _require_allowed(self) -> None:
        settings = self.settings
        if settings.augment not in ("none", "flip"):
            raise UsageError(
                f"augment = {settings.augment!r}: a gan would learn to make pictures that are moved, turned or cut "
                "like that; 'none' or 'flip' can be used, or --diffaugment, which it does not learn to make"
            )
        if settings.preset != "r3gan" and (settings.conditional or settings.diffaugment != "none"):
            raise UsageError(f"--conditional and --diffaugment are for --preset r3gan, not for {settings.preset}")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """Two networks, "generator" and "discriminator"."""
        latent_size, width = self.settings.latent_size, self.settings.width
        channels, size, _ = self.schema.shape
        match self.settings.preset:
            case "classic":
                return {
                    "generator": nets.ClassicGenerator(latent_size, random),
                    "discriminator": nets.ClassicDiscriminator(random),
                }
            case "dcgan":
                return {
                    "generator": nets.DcganGenerator(latent_size, channels, size, width, random),
                    "discriminator": nets.DcganDiscriminator(channels, size, width, random),
                }
            case "r3gan":
                classes = len(self.classes)
                return {
                    "generator": ResidualGenerator(latent_size, classes, channels, size, width, random),
                    "discriminator": ResidualDiscriminator(classes, channels, size, width, random),
                }
        raise AssertionError("no network for this preset")

    def phases(self) -> tuple[Phase, ...]:
        """Two phases a step: first the discriminator learns, then the generator."""
        discriminator, generator = self.losses
        return (
            Phase("discriminator", ("discriminator",), discriminator, self.residual, ("real_score",)),
            Phase("generator", ("generator",), generator),
        )

    def latents(self, count: int, random: torch.Generator) -> Tensor:
        """z ~ N(0, 1), (count, latent); classes take turns."""
        return self._in_turn(objective.latents(count, self.settings.latent_size, random))

    def circle(self, frames: int, count: int, random: torch.Generator) -> Tensor:
        """Ways that end where they begin, (frames, count, latent): each a great circle through two latents.

        Spherical interpolation from one to the other, on to their negatives, and back: every
        point of it is distributed as in training.
        """
        start, aim = (objective.latents(count, self.settings.latent_size, random) for _ in range(2))
        angles = torch.arange(frames, device=start.device)[:, None, None] * (2 * math.pi / frames)
        return self._in_turn(torch.cos(angles) * start + torch.sin(angles) * aim)

    def steer(self, latents: Tensor, label: str | None = None, truncation: float = 1.0) -> Tensor:
        """The same latents, all of one class if it is named, their normal numbers scaled by `truncation`.

        Raises: UsageError.
        """
        if not 0 < truncation <= 1:
            raise UsageError(
                f"truncation = {truncation:g}: above 0 (all alike) and up to 1 (as in training) is expected"
            )
        z = latents[..., : self.settings.latent_size] * truncation
        if label is None:
            return torch.cat([z, latents[..., self.settings.latent_size :]], dim=-1)
        if not self.classes:
            raise UsageError("this gan knows no classes; train one with --conditional to ask for them")
        if label not in self.classes:
            raise UsageError(f"no class {label!r}; {nearest(label, self.classes)}")
        place = torch.tensor(self.classes.index(label), device=z.device)
        return with_class(z, place.expand(z.shape[:-1]), len(self.classes))

    def _in_turn(self, z: Tensor) -> Tensor:
        """Latents (…, n, latent) with their classes, which take turns along n, if there are classes."""
        if not self.classes:
            return z
        labels = torch.arange(z.shape[-2], device=z.device) % len(self.classes)
        return with_class(z, labels.expand(z.shape[:-1]), len(self.classes))

    def generate(self, networks: Networks, latents: Tensor) -> Tensor:
        """Pictures (n, channels, height, width) in [0, 1]."""
        return objective.from_tanh(networks["generator"](latents))

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """What the discriminator makes of pictures that it never saw, and how far generated ones are from them.

        `real_score` far under that of training tells that the discriminator knows its training
        pictures by heart; for `distance` see there. Raises: DataError if classes are learnt and there are no labels.
        """
        features = RandomFeatures(self.schema.shape[0])
        total, real, fake = dict[str, Tensor](), list[Tensor](), list[Tensor]()
        for step, batch in enumerate(batches):
            random = generator(0, "evaluate", step, device=batch.x.device)
            fake.append(features(self.generate(networks, self._latents_like(batch, random))))
            real.append(features(batch.x))
            for name, figure in self._figures(networks, batch, random).items():
                total[name] = total.get(name, 0) + figure.double() * len(batch)
        count = sum(map(len, real))
        figures = {name: float(value) / count for name, value in total.items()}
        return figures | distance(torch.cat(real), torch.cat(fake)) | {"count": count}

    def _latents_like(self, batch: Batch, random: torch.Generator) -> Tensor:
        """Latents for as many pictures as the batch has, of its classes. Raises: DataError if it has no labels."""
        z = objective.latents(len(batch), self.settings.latent_size, random)
        if not self.classes:
            return z
        if batch.y is None:
            raise DataError("a conditional gan is judged by pictures with labels, and these have none")
        return with_class(z, batch.y, len(self.classes))

    def _figures(self, networks: Networks, batch: Batch, random: torch.Generator) -> dict[str, Tensor]:
        discriminator, generator = self.losses
        judged, fooled = discriminator(networks, batch, random), generator(networks, batch, random)
        return {"discriminator_loss": judged.total, "generator_loss": fooled.total, **judged.logged}
