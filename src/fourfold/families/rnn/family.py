"""The recurrent family: what it accepts, what it builds, how it is judged, by task."""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from ...data.dataset import Batch
from ...data.schema import Schema
from ...data.vocabulary import Vocabulary
from ...errors import DataError
from ...metrics import forecasting as ahead
from ...metrics.classification import judge
from ..blocks import require_classes
from ..contract import Metrics, Monitor, Networks, Phase
from ..targets import Regression, Tagging, Together
from . import networks as nets
from .forecasting import Forecaster, Member
from .labelling import Labelling
from .objective import classification, forecasting
from .reader import Members, Reader, cell
from .settings import RnnSettings
from .truncation import truncated
from .writing import Writing


def create(schema: Schema, settings: RnnSettings) -> "Rnn | Forecasting | Labelling | Regression | Tagging | Writing":
    """The family for the task. Raises: DataError, telling what would be accepted."""
    if settings.task == "forecast":
        return Forecasting(schema, settings)
    if settings.task == "write":
        return Writing(schema, settings)
    if settings.task == "classify":
        return Rnn(schema, settings)
    require_series(schema)
    if settings.task == "label":
        return Labelling(schema, settings, partial(entrance, schema, settings))
    kind = Regression if settings.task == "regress" else Tagging
    return kind(schema, settings, partial(averaged, schema, settings), channels_last=False)


def require_series(schema: Schema) -> None:
    """Raises: DataError unless examples can be read step by step."""
    if schema.kind == "table":
        raise DataError(
            "an rnn takes series, sounds, texts or grey pictures (row by row), and this is a table; use autoencoder"
        )
    if schema.kind == "image" and schema.shape[0] != 1:
        raise DataError("an rnn reads grey pictures row by row, and these are in colour; use cnn")


def entrance(schema: Schema, settings: RnnSettings, random: torch.Generator) -> nets.Entrance:
    """What makes steps of examples."""
    if schema.vocabulary is None:
        return nets.Rows(schema.shape[-1])  # a series' channels, a sound's bands, or the pixels of a row
    return nets.Embedding(Vocabulary(schema.vocabulary).size, settings.embedding_size, random)


def averaged(schema: Schema, settings: RnnSettings, outputs: int, random: torch.Generator) -> nn.Module:
    """A network of so many outputs; of several members, all in one."""
    members = [reader(entrance(schema, settings, random), outputs, settings, random) for _ in range(settings.members)]
    return members[0] if len(members) == 1 else Together(members)


def reader(enter: nets.Entrance, outputs: int, settings: RnnSettings, random: torch.Generator) -> nn.Module:
    """The network that sums up a series in so many numbers: the article's, or all that the settings ask for."""
    if settings.only_a_cell:
        classic = nets.Classic(enter, cell(enter.features, settings, random), outputs, random)
        return truncated(classic, settings.truncate)
    return truncated(Reader(enter, outputs, settings, random), settings.truncate)


class Rnn:
    """Series, sounds and texts to classes; a grey picture is the series of its rows."""

    monitor: Monitor | None = Monitor("accuracy", "higher")
    channels_last = False

    def __init__(self, schema: Schema, settings: RnnSettings) -> None:
        require_series(schema)
        self.schema = schema
        self.settings = settings
        self.classes = require_classes(schema, "rnn")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "classifier"; of several members, all in one."""
        schema, settings, classes = self.schema, self.settings, len(self.classes)
        enter = partial(entrance, schema, settings, random)
        members = [reader(enter(), classes, settings, random) for _ in range(settings.members)]
        return {"classifier": members[0] if len(members) == 1 else Members(members)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase("classify", ("classifier",), partial(classification, smoothing=self.settings.label_smoothing)),)

    def predict(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, classes)."""
        return torch.softmax(networks["classifier"](batch.x, batch.lengths), dim=1)

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss, accuracy and what hangs on them; see `metrics.classification`."""
        return judge(self.classes, ((networks["classifier"](batch.x, batch.lengths), batch.y) for batch in batches))


class Forecasting:
    """Series to what follows them: quantiles of several steps at once. Every channel is forecast, given all.

    Examples are windows: `context` steps of history, and the settings' `horizon` of steps after it.
    """

    monitor: Monitor | None = Monitor("loss", "lower")
    channels_last = False

    def __init__(self, schema: Schema, settings: RnnSettings) -> None:
        if schema.kind != "series" or schema.lengths is None:
            raise DataError(f"--task forecast takes series, and this is {schema.kind} data; leave the task out")
        self.schema = schema
        self.settings = settings
        self.horizon = settings.horizon
        self.context = schema.lengths[1] - settings.horizon
        if self.context < 1 or schema.lengths[0] != schema.lengths[1]:
            raise DataError(f"windows of {schema.lengths} steps have no history before a horizon of {self.horizon}")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "forecaster", of all members."""
        settings, channels = self.settings, self.schema.shape[-1]
        outputs = settings.horizon * len(ahead.QUANTILES) * channels
        readers = [reader(nets.Rows(channels), outputs, settings, random) for _ in range(settings.members)]
        size = self.context, self.horizon, channels
        return {"forecaster": Forecaster([Member(each, *size, settings.dropout) for each in readers], self.horizon)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase("forecast", ("forecaster",), forecasting),)

    def forecast(self, networks: Networks, batch: Batch) -> Tensor:
        """Quantiles (n, horizon, quantiles, channels) of what follows histories, in the units of the data."""
        return self.schema.restore(networks["forecaster"](batch.x[:, : self.context]))

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """The loss, and errors in the units of the data; see `metrics.forecasting`."""
        told = [
            (forecasting(networks, batch).total * len(batch), self.forecast(networks, batch), self._came(batch))
            for batch in batches
        ]
        losses, said, came = zip(*told, strict=True)
        count = sum(map(len, came))
        figures = ahead.figures(torch.cat(said), torch.cat(came))
        return {"loss": float(torch.stack(losses).sum()) / count, **figures, "count": count}

    def _came(self, batch: Batch) -> Tensor:
        """What followed each history, (n, horizon, channels), in the units of the data."""
        return self.schema.restore(batch.x[:, self.context :])
