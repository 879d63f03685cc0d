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
from ..targets import Regression, Tagging, refuse_balance
from . import networks as nets
from . import resnet, spectra
from .consistency import semi_supervised
from .objective import classification
from .settings import CnnSettings
from .views import Viewed

SMALLEST = {"classic": nets.SMALLEST, "resnet": resnet.SMALLEST, "small": resnet.SMALLEST}


def create(schema: Schema, settings: CnnSettings) -> "Cnn | Regression | Tagging":
    """The family for the task. Raises: DataError, telling what would be accepted."""
    if settings.task == "classify":
        return Cnn(schema, settings)
    refuse_balance(settings.balance, settings.task)
    make = partial(network, accepted(schema, settings), settings)
    kind = Regression if settings.task == "regress" else Tagging
    return kind(schema, settings, make, channels_last=True)


def accepted(schema: Schema, settings: CnnSettings) -> tuple[int, int, int]:
    """The shape of the pictures that a network is to take. Raises: DataError or UsageError if it cannot."""
    if schema.kind not in ("image", "sound"):
        raise DataError(
            f"a cnn takes pictures or sounds, and this is {schema.kind} data; for series and texts use rnn, for "
            "tables autoencoder (arrays of pictures: (n, height, width) bytes, or --kind image)"
        )
    if settings.preset == "classic" and (settings.width or settings.blocks or settings.dropout):
        raise UsageError("the classic cnn is as it is: width, blocks and dropout are for --preset resnet or small")
    shape = picture_shape(schema, settings.preset)
    smallest = SMALLEST[settings.preset]
    if min(shape[1:]) < smallest:
        mend = "enlarge picture files with --size" if schema.kind == "image" else "take more bands with --mels"
        raise DataError(
            f"pictures of {shape[1]}×{shape[2]}: the {settings.preset} cnn needs {smallest} pixels a "
            f"side or more; {mend} {smallest}"
        )
    return shape


def network(shape: tuple[int, int, int], settings: CnnSettings, outputs: int, random: torch.Generator) -> nn.Module:
    """The network of a preset, from pictures of a shape to so many outputs."""
    if settings.preset == "classic":
        return nets.Classic(*shape, outputs, random)
    sizes = resnet.sizes(shape, settings.width, settings.blocks)
    return resnet.ResNet(shape, outputs, sizes, settings.dropout, random)


class Cnn:
    """Pictures to classes; a sound is the grey picture of its spectrum."""

    monitor: Monitor | None = Monitor("accuracy", "higher")
    channels_last = True

    def __init__(self, schema: Schema, settings: CnnSettings) -> None:
        self.shape = accepted(schema, settings)
        self.schema = schema
        self.settings = settings
        self.classes = require_classes(schema, "cnn")
        if settings.balance:
            self.monitor = Monitor("balanced_accuracy", "higher")
        if settings.unlabelled:  # few are labelled, and of these few are held out: an epoch would be best by luck
            self.monitor = None

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "classifier"."""
        return {"classifier": network(self.shape, self.settings, len(self.classes), random)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        weights = class_weights(require_counts(self.schema)) if self.settings.balance else None
        loss = partial(classification, smoothing=self.settings.label_smoothing, weights=weights)
        if self.settings.unlabelled:
            weight, confidence = self.settings.unlabelled_weight, self.settings.confidence
            loss = partial(semi_supervised, supervised=loss, weight=weight, confidence=confidence)
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
