"""The convolutional family: what it accepts, what it builds, how it is judged."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...data.dataset import Batch
from ...data.schema import Schema
from ...errors import DataError
from ...metrics.classification import judge
from ..blocks import require_classes
from ..contract import Metrics, Monitor, Networks, Phase
from . import networks as nets
from .objective import classification
from .settings import CnnSettings


class Cnn:
    """Pictures to classes."""

    monitor: Monitor | None = Monitor("accuracy", "higher")
    channels_last = True

    def __init__(self, schema: Schema, settings: CnnSettings) -> None:
        if schema.kind != "image":
            raise DataError(
                f"a cnn takes pictures, and this is a {schema.kind}; for series use rnn, for tables autoencoder "
                "(arrays of pictures: (n, height, width) bytes, or --kind image)"
            )
        if min(schema.shape[1:]) < nets.SMALLEST:
            raise DataError(
                f"pictures of {schema.shape[1]}×{schema.shape[2]}: the classic cnn needs {nets.SMALLEST} pixels a "
                f"side or more; enlarge picture files with --size {nets.SMALLEST}"
            )
        self.schema = schema
        self.settings = settings
        self.classes = require_classes(schema, "cnn")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "classifier"."""
        channels, height, width = self.schema.shape
        return {"classifier": nets.Classic(channels, height, width, len(self.classes), random)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase("classify", ("classifier",), classification),)

    def predict(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, classes)."""
        return torch.softmax(networks["classifier"](batch.x), dim=1)

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss, accuracy and what hangs on them; see `metrics.classification`."""
        return judge(self.classes, ((networks["classifier"](batch.x), batch.y) for batch in batches))
