"""The autoencoding family: what it can be asked, by task."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ...data.dataset import Batch
from ...data.schema import Schema
from ...errors import DataError, UsageError
from ...metrics import detection
from ..contract import Metrics, Monitor, Networks, Phase
from .coding import Coding
from .normality import Normality, Usual
from .objective import Columns, mean_per_example
from .sequence import within
from .settings import AutoencoderSettings


def create(schema: Schema, settings: AutoencoderSettings) -> "Autoencoder | Variational | Detecting":
    """The family for the task. Raises: DataError or UsageError, telling what would be accepted."""
    if settings.task == "detect":
        return Detecting(schema, settings)
    if settings.normal is not None:
        raise UsageError("--normal names what is normal for --task detect; without that task leave it out")
    return Variational(schema, settings) if settings.beta else Autoencoder(schema, settings)


class Autoencoder:
    """Pictures, series, sounds or rows of a table to codes, and back. Labels are ignored."""

    monitor: Monitor | None = Monitor("loss", "lower")

    def __init__(self, schema: Schema, settings: AutoencoderSettings) -> None:
        self.schema = schema
        self.settings = settings
        self.coding = Coding(schema, settings)
        self.latent_size = self.coding.latent_size
        self.channels_last = self.coding.network in ("conv", "resnet")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """Two networks, "encoder" and "decoder"."""
        return self.coding.build(random)

    def phases(self) -> tuple[Phase, ...]:
        """One phase, which trains both."""
        return (Phase("reconstruct", ("encoder", "decoder"), self.coding.loss),)

    def encode(self, networks: Networks, batch: Batch) -> Tensor:
        """Codes (n, latent)."""
        return self.coding.encode(networks, batch)

    def decode(self, networks: Networks, codes: Tensor, batch: Batch | None = None) -> Tensor:
        """Examples as prepared, pictures in [0, 1], from codes (n, latent); those of a batch over its own steps."""
        return self.coding.decode(networks, codes, batch)

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss, mean squared error and signal-to-noise ratio; see `Coding.judge`."""
        return self.coding.judge(networks, batches)


class Variational:
    """Pictures to codes that are spread as N(0, 1), and back; so it also makes new ones. Labels are ignored."""

    monitor: Monitor | None = Monitor("loss", "lower")

    def __init__(self, schema: Schema, settings: AutoencoderSettings) -> None:
        if schema.kind != "image":
            raise DataError(f"a variational autoencoder makes pictures, and this is {schema.kind} data; use --beta 0")
        self.schema = schema
        self.settings = settings
        self.coding = Coding(schema, settings)
        self.latent_size = self.coding.latent_size
        self.channels_last = self.coding.network in ("conv", "resnet")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """Two networks, "encoder" and "decoder"."""
        return self.coding.build(random)

    def phases(self) -> tuple[Phase, ...]:
        """One phase, which trains both."""
        return (Phase("reconstruct", ("encoder", "decoder"), self.coding.loss, paced=True),)

    def encode(self, networks: Networks, batch: Batch) -> Tensor:
        """The means (n, latent) of the codes' distributions."""
        return self.coding.encode(networks, batch)

    def decode(self, networks: Networks, codes: Tensor, batch: Batch | None = None) -> Tensor:
        """Pictures in [0, 1] from codes (n, latent)."""
        return self.coding.decode(networks, codes)

    def latents(self, count: int, random: torch.Generator) -> Tensor:
        """z ~ N(0, 1), (count, latent)."""
        return torch.randn(count, self.latent_size, generator=random, device=random.device)

    def generate(self, networks: Networks, latents: Tensor) -> Tensor:
        """Pictures (n, channels, height, width) in [0, 1] from latents (n, latent)."""
        return self.coding.decode(networks, latents)

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss with the divergence, mean squared error and signal-to-noise ratio of the means' reconstructions."""
        return self.coding.judge(networks, batches)


class Detecting:
    """What is normal, learnt from normal examples alone: a score of how far an example is from it.

    Three networks: "encoder" and "decoder", and "normality", which nothing trains; `settle` fills it.
    """

    monitor: Monitor | None = Monitor("loss", "lower")

    def __init__(self, schema: Schema, settings: AutoencoderSettings) -> None:
        self.schema = schema
        self.settings = settings
        self.coding = Coding(schema, settings)
        self.latent_size = self.coding.latent_size
        self.channels_last = self.coding.network in ("conv", "resnet")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """The three networks."""
        features = 0 if self.schema.kind == "image" else self.schema.shape[-1]
        return {**self.coding.build(random), "normality": Normality(features)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase, which trains encoder and decoder."""
        return (Phase("reconstruct", ("encoder", "decoder"), self.coding.loss, paced=self.coding.variational),)

    def encode(self, networks: Networks, batch: Batch) -> Tensor:
        """Codes (n, latent)."""
        return self.coding.encode(networks, batch)

    def require(self, held_out: int) -> None:
        """Raises: DataError if so many normal validation examples are too few for the rate of false alarms."""
        rate = self.settings.false_alarms
        if held_out < detection.fewest(rate):
            able = f"--false-alarms {1 / (held_out + 1) + 5e-4:.3f}" if held_out else "a --validation above 0"
            raise DataError(
                f"{held_out} normal validation examples cannot tell a rate of {rate:g} false alarms, which takes "
                f"{detection.fewest(rate)}; give more data, a larger --validation, or {able}"
            )

    def settle(self, networks: Networks, train: Iterable[Batch], held_out: Iterable[Batch]) -> None:
        """Fill "normality" when training has ended: usual errors from train, the threshold from held-out examples."""
        normality = _normality(networks)
        if normality.standardised:
            usual = Usual()
            for batch in train:
                usual.add(*self.coding.both(networks, batch), batch.lengths)
            usual.fill(normality)
        scores = torch.cat([self.score(networks, batch) for batch in held_out])
        # In double precision it is one of the scores to the bit, which are single: none equal to it is above it.
        normality.threshold.fill_(detection.threshold(scores, self.settings.false_alarms))
        normality.held_out.fill_(len(scores))

    def score(self, networks: Networks, batch: Batch) -> Tensor:
        """How far from normal each example is, (n,): see `Normality`."""
        return mean_per_example(self._oddness(networks, batch), batch.lengths)

    def shares(self, networks: Networks, batch: Batch) -> Tensor:
        """Where the errors are, as shares that sum to 1 for each example.

        Returns: (n, columns) of a table, (n, time, channels) of series, (n, height, width) of pictures.
        """
        odd = self._oddness(networks, batch)
        if self.schema.kind == "image":
            height, width = self.schema.shape[1:]
            odd = interpolate(odd.sum(1, keepdim=True), (height, width), mode="bilinear")[:, 0]
        elif isinstance(self.coding.likeness, Columns):
            odd = self.coding.likeness.per_column(odd)
        return odd / odd.flatten(1).sum(1).clamp(min=1e-30).view(-1, *[1] * (odd.dim() - 1))

    def threshold(self, networks: Networks) -> float:
        """The score above which an example counts as abnormal."""
        return float(_normality(networks).threshold)

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Errors as of every autoencoder; once settled the threshold, and with labels how well the score tells."""
        normality = _normality(networks)
        scores: list[Tensor] = []
        labels: list[Tensor | None] = []

        def scored() -> Iterator[Batch]:
            for batch in batches:
                scores.append(self.score(networks, batch))
                labels.append(batch.y)
                yield batch

        figures = self.coding.judge(networks, scored())
        if not normality.held_out:
            return figures
        line, rate, count = float(normality.threshold), self.settings.false_alarms, int(normality.held_out)
        interval = detection.rate_interval(count, rate)
        figures["threshold"] = {"value": line, "false_alarms": rate, "interval": interval, "held_out": count}
        every = torch.cat(scores)
        figures["alarms"] = float((every > line).double().mean())
        abnormal = self._abnormal(labels)
        if abnormal is not None and abnormal.any() and not abnormal.all():
            figures |= detection.judge(every, abnormal, line)
        return figures

    def _oddness(self, networks: Networks, batch: Batch) -> Tensor:
        """How odd each value of the target is, (n, …), zero past an end."""
        odd: Tensor = networks["normality"](*self.coding.both(networks, batch))
        return odd if batch.lengths is None else odd * within(odd, batch.lengths)

    def _abnormal(self, labels: Sequence[Tensor | None]) -> Tensor | None:
        """Which examples are of a class that is not normal, bool (n,); None where nobody tells."""
        known = [y for y in labels if y is not None]
        if len(known) < len(labels) or self.schema.classes is None or not self.settings.normal_classes:
            return None
        places = [i for i, name in enumerate(self.schema.classes) if name in self.settings.normal_classes]
        y = torch.cat(known)
        return ~torch.isin(y, torch.tensor(places, device=y.device))


def _normality(networks: Networks) -> Normality:
    normality = networks["normality"]
    assert isinstance(normality, Normality)
    return normality
