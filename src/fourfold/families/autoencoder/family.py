"""The autoencoding family: what it accepts, what it builds, how it is judged."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...data.dataset import Batch
from ...data.schema import Schema
from ...errors import DataError
from ...metrics import reconstruction
from ..contract import Metrics, Monitor, Networks, Phase
from . import networks as nets
from .objective import cross_entropy, squared_error
from .settings import AutoencoderSettings


class Autoencoder:
    """Pictures or rows of a table to codes, and back. Labels are ignored."""

    monitor: Monitor | None = Monitor("loss", "lower")
    channels_last = False

    def __init__(self, schema: Schema, settings: AutoencoderSettings) -> None:
        if schema.kind not in ("image", "table"):
            raise DataError(f"an autoencoder takes pictures or tables, and this is {schema.kind} data; for it use rnn")
        self.schema = schema
        self.settings = settings
        self.unit_range = schema.kind == "image"
        self.loss = cross_entropy if self.unit_range else squared_error

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """Two networks, "encoder" and "decoder"."""
        shape, latent_size = self.schema.shape, self.settings.latent_size
        return {
            "encoder": nets.DenseEncoder(shape, latent_size, random),
            "decoder": nets.DenseDecoder(latent_size, shape, random),
        }

    def phases(self) -> tuple[Phase, ...]:
        """One phase, which trains both."""
        return (Phase("reconstruct", ("encoder", "decoder"), self.loss),)

    def encode(self, networks: Networks, batch: Batch) -> Tensor:
        """Codes (n, latent)."""
        codes: Tensor = networks["encoder"](batch.x)
        return codes

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """Pictures in [0, 1], or standardised rows, from codes (n, latent)."""
        outputs: Tensor = networks["decoder"](codes)
        return torch.sigmoid(outputs) if self.unit_range else outputs

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss, mean squared error and signal-to-noise ratio; see `metrics.reconstruction`."""
        random = torch.Generator()  # the losses draw nothing
        outcomes = (
            (self.loss(networks, batch, random).total, batch.x, self.decode(networks, self.encode(networks, batch)))
            for batch in batches
        )
        return dict(reconstruction.judge(outcomes, self.unit_range))
