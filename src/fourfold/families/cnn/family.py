"""The convolutional family: what it accepts, what it builds, how it is judged."""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from ...data.augment import asked
from ...data.dataset import Batch
from ...data.schema import Schema
from ...errors import DataError, UsageError
from ...metrics.classification import judge
from ..blocks import class_weights, require_classes, require_counts
from ..contract import Metrics, Monitor, Networks, Phase
from . import networks as nets
from . import resnet, spectra
from .objective import classification
from .settings import CnnSettings
from .views import Viewed

SMALLEST = {"classic": nets.SMALLEST, "resnet": resnet.SMALLEST, "small": resnet.SMALLEST}


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
        if settings.preset == "classic" and (settings.width or settings.blocks or settings.dropout):
            raise UsageError("the classic cnn is as it is: width, blocks and dropout are for --preset resnet or small")
        self.shape = picture_shape(schema, settings.preset)
        smallest = SMALLEST[settings.preset]
        if min(self.shape[1:]) < smallest:
            mend = "enlarge picture files with --size" if schema.kind == "image" else "take more bands with --mels"
            raise DataError(
                f"pictures of {self.shape[1]}×{self.shape[2]}: the {settings.preset} cnn needs {smallest} pixels a "
                f"side or more; {mend} {smallest}"
            )
        self.schema = schema
        self.settings = settings
        self.classes = require_classes(schema, "cnn")
        if settings.balance:
            self.monitor = Monitor("balanced_accuracy", "higher")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "classifier"."""
        settings, classes = self.settings, len(self.classes)
        if settings.preset == "classic":
            return {"classifier": nets.Classic(*self.shape, classes, random)}
        sizes = resnet.sizes(self.shape, settings.width, settings.blocks)
        return {"classifier": resnet.ResNet(self.shape, classes, sizes, settings.dropout, random)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        weights = class_weights(require_counts(self.schema)) if self.settings.balance else None
        loss = partial(classification, smoothing=self.settings.label_smoothing, weights=weights)
        return (Phase("classify", ("classifier",), loss),)

    def predict(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, classes)."""
        return torch.softmax(networks["classifier"](batch.x, batch.lengths), dim=1)

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss, accuracy and what hangs on them; see `metrics.classification`."""
        return judge(self.classes, ((networks["classifier"](batch.x, batch.lengths), batch.y) for batch in batches))

    def viewed(self, networks: Networks) -> Networks:
        """The same networks, asked about several views of each example: moved, and mirrored if training did that."""
        mirrored = "flip" in asked(self.settings.augment, self.schema)
        return {"classifier": Viewed(networks["classifier"], mirrored)}


def picture_shape(schema: Schema, preset: str) -> tuple[int, int, int]:
    """(channels, height, width) of pictures, and of sounds as pictures: frames down, bands across.

    For the classic network a sound is as high as the longest of train, and what is longer is
    cut; for the others all sounds are stretched to one height.
    """
    if schema.kind == "sound":
        assert schema.lengths is not None
        (bands,) = schema.shape
        return 1, schema.lengths[1] if preset == "classic" else spectra.height(schema.lengths), bands
    channels, height, width = schema.shape
    return channels, height, width
