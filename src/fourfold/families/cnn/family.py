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
    """Pictures to classes; a sound is the grey picture of its spectrum."""

    monitor: Monitor | None = Monitor("accuracy", "higher")
    channels_last = True

    def __init__(self, schema: Schema, settings: CnnSettings) -> None:
        if schema.kind not in ("image", "sound"):
            raise DataError(
                f"a cnn takes pictures or sounds, and this is {schema.kind} data; for series and texts use rnn, for "
                "tables autoencoder (arrays of pictures: (n, height, width) bytes, or --kind image)"
            )
        self.shape = schema.shape
        if schema.kind == "sound":
            assert schema.lengths is not None
            self.shape = (1, schema.lengths[1], *schema.shape)  # of a sound longer than all of train the rest is cut
        if min(self.shape[1:]) < nets.SMALLEST:
            raise DataError(
                f"pictures of {self.shape[1]}×{self.shape[2]}: the classic cnn needs {nets.SMALLEST} pixels a "
                f"side or more; enlarge picture files with --size {nets.SMALLEST}"
            )
        self.schema = schema
        self.settings = settings
        self.classes = require_classes(schema, "cnn")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "classifier"."""
        channels, height, width = self.shape
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
