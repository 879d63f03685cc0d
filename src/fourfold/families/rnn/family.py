"""The recurrent family: what it accepts, what it builds, how it is judged."""

from collections.abc import Iterable
from functools import partial

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
from .reader import Members, Reader, cell
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
        """One network, "classifier"; of several members, all in one."""
        members = [self._member(random) for _ in range(self.settings.members)]
        return {"classifier": members[0] if len(members) == 1 else Members(members)}

    def _member(self, random: torch.Generator) -> nn.Module:
        settings, classes = self.settings, len(self.classes)
        enter = self._entrance(random)
        if settings.only_a_cell:
            return nets.Classic(enter, cell(enter.features, settings, random), classes, random)
        return Reader(enter, classes, settings, random)

    def _entrance(self, random: torch.Generator) -> nets.Entrance:
        settings, schema = self.settings, self.schema
        if schema.vocabulary is None:
            return nets.Rows(schema.shape[-1])  # a series' channels, a sound's bands, or the pixels of a row
        return nets.Embedding(Vocabulary(schema.vocabulary).size, settings.embedding_size, random)

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase("classify", ("classifier",), partial(classification, smoothing=self.settings.label_smoothing)),)

    def predict(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, classes)."""
        return torch.softmax(networks["classifier"](batch.x, batch.lengths), dim=1)

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss, accuracy and what hangs on them; see `metrics.classification`."""
        return judge(self.classes, ((networks["classifier"](batch.x, batch.lengths), batch.y) for batch in batches))
