"""Networks that code and decode examples under one schema: what all tasks of the family share."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...data.dataset import Batch
from ...data.schema import THINGS, Schema
from ...errors import DataError, UsageError
from ...metrics import reconstruction
from ..contract import Losses, Metrics, Networks
from ..trunk import sizes
from . import networks as nets
from . import whole
from .convolution import ConvDecoder, ConvEncoder
from .edges import Edges
from .objective import Columns, Likeness, Pixels, Values, divergence, drawn, halves, mean_per_example
from .residual import ResidualEncoder
from .sequence import SequenceDecoder, SequenceEncoder, within
from .settings import SIDES, AutoencoderSettings, Network, fits_conv, network_for

TAKES: dict[Network, tuple[str, ...]] = {
    "classic": ("image", "table"),
    "conv": ("image",),
    "resnet": ("image",),
    "dense": ("image", "table"),
    "sequence": ("series", "sound"),
    "edges": ("image",),
}
WARMING = 0.2  # share of all steps in which a variational autoencoder's β grows to its value


class Coding:
    """An encoder, a decoder and the error between them.

    `target` is what the decoder gives back: the example, or for "edges" the edges in it.
    """

    def __init__(self, schema: Schema, settings: AutoencoderSettings) -> None:
        self.schema = schema
        self.settings = settings
        self.network = chosen(schema, settings)
        self.latent_size = latent_size(schema, settings, self.network)
        self.variational = settings.beta > 0
        self.edges = Edges(schema.shape) if self.network == "edges" else None
        self.likeness = likeness(schema, self.network)
        if self.variational and self.network not in ("conv", "resnet", "dense"):
            raise UsageError(f"--beta: the network {self.network!r} is not variational; use --network conv or dense")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """Two networks, "encoder" and "decoder"."""
        shape, size, width = self.schema.shape, self.latent_size, self.settings.width
        outputs = 2 * size if self.variational else size
        encoder: nn.Module
        decoder: nn.Module
        match self.network:
            case "classic":
                encoder, decoder = nets.DenseEncoder(shape, size, random), nets.DenseDecoder(size, shape, random)
            case "conv":
                encoder = ConvEncoder(shape, outputs, width, random)
                decoder = ConvDecoder(size, shape, width, random)
            case "resnet":
                trunk = sizes(shape, width)
                encoder = ResidualEncoder(shape, outputs, trunk, random)
                decoder = ConvDecoder(size, shape, trunk.width, random)
            case "sequence":
                assert self.schema.lengths is not None
                encoder = SequenceEncoder(shape[0], size, random)
                decoder = SequenceDecoder(size, shape[0], self.schema.lengths[1], random)
            case _:
                shape = self.edges.shape if self.edges else shape
                encoder, decoder = nets.DeepEncoder(shape, outputs, random), nets.DeepDecoder(size, shape, random)
        return {"encoder": encoder, "decoder": decoder}

    def target(self, batch: Batch) -> Tensor:
        """What is to come back from prepared examples; zero past the end of a series, whatever stands there."""
        if batch.lengths is not None:
            return torch.where(within(batch.x, batch.lengths) > 0, batch.x, 0)
        return self.edges(batch.x) if self.edges else batch.x

    def encode(self, networks: Networks, batch: Batch) -> Tensor:
        """Codes (n, latent); of a variational encoder the means."""
        codes: Tensor = networks["encoder"](self.target(batch), batch.lengths)
        return halves(codes)[0] if self.variational else codes

    def decode(self, networks: Networks, codes: Tensor, batch: Batch | None = None) -> Tensor:
        """Examples, as prepared, from codes (n, latent); those of a batch over its own steps."""
        return self.likeness.examples(self.outputs(networks, codes, batch))

    def outputs(self, networks: Networks, codes: Tensor, batch: Batch | None) -> Tensor:
        """What the decoder says to codes (n, latent)."""
        if self.network != "sequence" or batch is None:
            outputs: Tensor = networks["decoder"](codes)
        else:
            outputs = networks["decoder"](codes, batch.lengths, batch.x.shape[1])
        return outputs

    def loss(self, networks: Networks, batch: Batch, random: torch.Generator, passed: float = 1.0) -> Losses:
        """The error, and β times the divergence a value, so that β = 1 is the evidence's lower bound.

        passed: the share of all steps that are over. β grows from 0 at first, or a decoder learns to do
        without codes (Bowman et al., arXiv 1511.06349).
        """
        target = self.target(batch)
        seen = self.disturbed(target, random)
        if isinstance(self.likeness, Pixels) and (known := whole.losses(networks, seen, target)):
            return known
        codes = networks["encoder"](seen, batch.lengths)
        sampled = drawn(codes, random) if self.variational else codes
        error = self.likeness.loss(self.outputs(networks, sampled, batch), target, batch.lengths)
        if not self.variational:
            return Losses(error, {})
        apart = divergence(codes)
        weight = min(1.0, passed / WARMING) * self.settings.beta / math.prod(self.schema.shape)
        return Losses(error + weight * apart, {"error": error.detach(), "divergence": apart.detach()})

    def disturbed(self, x: Tensor, random: torch.Generator) -> Tensor:
        """x with the noise that denoising asks for (Vincent et al., ICML 2008)."""
        if not self.settings.noise:
            return x
        noisy = x + self.settings.noise * torch.randn(x.shape, generator=random, device=x.device)
        return noisy.clamp(0, 1) if isinstance(self.likeness, Pixels) else noisy

    def both(self, networks: Networks, batch: Batch) -> tuple[Tensor, Tensor]:
        """The target and what comes back of it, (n, …)."""
        return self.target(batch), self.decode(networks, self.encode(networks, batch), batch)

    def judge(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss (without noise), mean squared error, and for pixels what `metrics.reconstruction` tells."""
        if isinstance(self.likeness, Pixels):
            return dict(reconstruction.judge((self._outcome(networks, batch) for batch in batches), unit_range=True))
        loss = squared = torch.zeros((), dtype=torch.float64)
        count = 0
        for batch in batches:
            mean_loss, target, back = self._outcome(networks, batch)
            each = mean_per_example((target - back).square(), batch.lengths)
            loss = loss.to(each.device) + mean_loss.double() * len(batch)
            squared = squared.to(each.device) + each.double().sum()
            count += len(batch)
        return {"loss": float(loss) / count, "mse": float(squared) / count, "count": count}

    def _outcome(self, networks: Networks, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Mean loss (), target and what came back (n, …), from codes that nothing disturbs."""
        target = self.target(batch)
        moments = networks["encoder"](target, batch.lengths)
        outputs = self.outputs(networks, halves(moments)[0] if self.variational else moments, batch)
        loss = self.likeness.loss(outputs, target, batch.lengths)
        if self.variational:
            loss = loss + self.settings.beta / math.prod(self.schema.shape) * divergence(moments)
        return loss, target, self.likeness.examples(outputs)


def chosen(schema: Schema, settings: AutoencoderSettings) -> Network:
    """The network that the settings name or that suits the data. Raises: DataError if it cannot take them."""
    network: Network = settings.network
    if schema.kind == "text":
        raise DataError("an autoencoder takes pictures, series, sounds or tables, and this is text data; use rnn")
    if network == "auto":
        pictures = schema.kind == "image" and settings.task == "detect"
        network = "edges" if pictures else network_for(schema.kind, schema.shape)
    if schema.kind not in TAKES[network]:
        fit = next(name for name in ("sequence", "dense", "conv") if schema.kind in TAKES[name])
        raise DataError(
            f"the network {network!r} cannot take this {schema.kind} data ({THINGS[schema.kind]}); use --preset {fit}"
        )
    if network == "edges" and settings.task != "detect":
        raise UsageError("--network edges gives back edges, no pictures: it is for --task detect; use --network conv")
    if settings.width == 0 and network != "resnet":
        raise UsageError(f"--width 0 is for --network resnet, and this is {network}; give it a width or leave it out")
    if network in ("conv", "resnet") and not fits_conv(schema.shape):
        height, width = schema.shape[1:]
        raise DataError(
            f"{height}×{width} pictures: {network} takes sides of {SIDES[0]} to {SIDES[1]} pixels; resize picture "
            "files with --size 64, or use --network dense"
        )
    return network


def latent_size(schema: Schema, settings: AutoencoderSettings, network: Network) -> int:
    """Numbers in a code: those asked for, or 32, or a quarter of a table's columns, since 32 might copy it."""
    if settings.latent_size:
        return settings.latent_size
    return max(2, schema.shape[0] // 4) if schema.kind == "table" and network != "classic" else 32


def likeness(schema: Schema, network: Network) -> Likeness:
    """How outputs and examples compare, by the kind of data."""
    if schema.kind == "image" and network != "edges":
        return Pixels()
    if schema.kind == "table" and network != "classic":
        names = schema.columns or tuple(map(str, range(schema.shape[0])))
        widths = [len(schema.levels[name]) if name in schema.levels else 1 for name in names]
        return Columns(widths, [name in schema.levels for name in names])
    return Values()
