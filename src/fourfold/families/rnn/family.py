"""The recurrent family: what it accepts, what it builds, how it is judged."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...data.dataset import Batch
from ...data.schema import Schema
from ...data.vocabulary import Vocabulary
from ...errors import DataError
from ...metrics.classification import judge
from ..blocks import require_classes
from ..contract import Metrics, Monitor, Networks, Phase
from . import networks as nets
from .objective import classification
from .settings import RnnSettings


class Rnn:
    """Series, sounds and texts to classes; a grey picture is the series of its rows."""

    monitor: Monitor | None = Monitor("accuracy", "higher")
    channels_last = False

    def __init__(self, schema: Schema, settings: RnnSettings) -> None:
        if schema.kind == "table":
            raise DataError(
                "an rnn takes series, sounds, texts or grey pictures (row by row), and this is a table; use autoencoder"
            )
        if schema.kind == "image" and schema.shape[0] != 1:
            raise DataError("an rnn reads grey pictures row by row, and these are in colour; use cnn")
        self.schema = schema
        self.settings = settings
        self.classes = require_classes(schema, "rnn")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "classifier"."""
        settings, schema = self.settings, self.schema
        if schema.vocabulary is not None:
            enter: nets.Entrance = nets.Embedding(Vocabulary(schema.vocabulary).size, settings.embedding_size, random)
        else:
            enter = nets.Rows(schema.shape[-1])  # a series' channels, a sound's bands, or the pixels of a row
        cell = nets.SimpleCell(enter.features, settings.hidden_size, settings.activation, random)
        return {"classifier": nets.Classic(enter, cell, len(self.classes), random)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase("classify", ("classifier",), classification),)

    def predict(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, classes)."""
        return torch.softmax(networks["classifier"](batch.x, batch.lengths), dim=1)

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss, accuracy and what hangs on them; see `metrics.classification`."""
        return judge(self.classes, ((networks["classifier"](batch.x, batch.lengths), batch.y) for batch in batches))
