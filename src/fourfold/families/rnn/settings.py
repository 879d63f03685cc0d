"""Settings of the recurrent network."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from ...settings import AUTO, Advice, Facts, Settings, enough_epochs

POOLINGS = ("mean", "max", "last", "attention")

# Nothing is held out for validation: the schedule ends where the rate is zero, the last step's averaged weights are
# kept, and a few examples more are worth more than an epoch that a few examples choose.
STEADY: Mapping[str, Any] = {
    "validation": 0.0,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "clip": 1.0,
    "ema": 0.99,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    AUTO: {},
    "classic": {},
    "series": {
        **STEADY,
        "cell": "none",
        "convolution": "fcn",
        "pooling": "mean",
        "dropout": 0.2,
        "augment": "default",
        "epochs": 100,
        "batch_size": 16,
        "members": 3,
    },
    "sound": {
        **STEADY,
        "cell": "gru",
        "hidden_size": 64,
        "bidirectional": True,
        "convolution": "fcn",
        "pooling": "mean,max",
        "center": True,
        "dropout": 0.3,
        "augment": "voice,warp,mask,bands",
        "epochs": 15,
    },
    "text": {
        **STEADY,
        "cell": "gru",
        "bidirectional": True,
        "convolution": "words",
        "filters": 32,
        "pooling": "mean,max",
        "dropout": 0.5,
        "step_dropout": 0.5,
        "wide": True,
        "schedule": "linear",
        "ema": 0.998,
        "epochs": 10,  # of which each text is read by the network in half, by the wide model in the others
        "batch_size": 64,
        "members": 3,
    },
    "forecast": {
        **STEADY,
        "kind": "series",
        "task": "forecast",
        "cell": "gru",
        "dropout": 0.1,
        "epochs": 25,
        "batch_size": 32,
        "members": 3,
    },
    "write": {
        "kind": "text",
        "task": "write",
        "vocabulary": "characters",
        "longest": 256,
        "cell": "gru",
        "hidden_size": 256,
        "embedding_size": 64,
        "dropout": 0.1,
        "optimizer": "adamw",
        "learning_rate": 5e-3,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup": 0.02,
        "clip": 1.0,
        "epochs": 10,
        "batch_size": 16,
    },
}
# What becomes of the preset of series where each of their steps has a class: cells alone, in both directions. Telling
# the sign of a running sum (300 series of 40 steps) they are right at 98.8 % of all steps, with the convolution beside
# them at 96.2 %; three members instead of one take three times as long for 98.9 %.
LABEL: Mapping[str, Any] = {
    "cell": "gru",
    "hidden_size": 64,
    "bidirectional": True,
    "convolution": "none",
    "members": 1,
}
TASKS = ("forecast", "write")  # that bring a preset of their name
PIECE = 256  # steps that teach as much as a short series
STEPS = 1000  # that a small set of series is trained for
FEWEST_EPOCHS = 20  # that a large one is


class RnnSettings(Settings):
    """A recurrent network that tells classes of series apart, of any length, or what follows them."""

    family: ClassVar[str] = "rnn"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    preset: Literal["auto", "classic", "series", "sound", "text", "forecast", "write"] = Field(
        "auto", description="The recipe that stands where no flag does; 'auto' goes by the data's kind and size."
    )
    task: Literal["classify", "forecast", "write", "regress", "tag", "label"] = Field(
        "classify",
        description="'forecast' tells the steps that follow a series, 'write' goes on with texts, 'regress' tells "
        "numbers, 'tag' several tags at once, 'label' a class for every step.",
    )
    horizon: int = Field(12, ge=1, le=10_000, description="Steps that are forecast, all at once.")
    context: int | None = Field(
        None, ge=1, description="Steps of history that a forecast is made from; several seasons unless given."
    )
    season: int | None = Field(
        None, ge=1, description="Steps in a season, 12 for months and 1 for none; found in train unless given."
    )
    cell: Literal["simple", "gru", "lstm", "none"] = Field(
        "simple", description="What reads a series step by step; 'none' leaves it to --convolution or --pooling alone."
    )
    hidden_size: int = Field(32, ge=1, description="Units of a recurrent cell.")
    layers: int = Field(1, ge=1, le=16, description="Recurrent cells on top of each other.")
    bidirectional: bool = Field(False, description="Read each series from its end as well.")
    activation: Literal["relu", "tanh"] = Field("relu", description="Of simple cells.")
    convolution: Literal["none", "fcn", "inception", "words"] = Field(
        "none", description="What else reads a series, beside the cells: all of its steps at once."
    )
    filters: int = Field(64, ge=1, description="Convolution filters of a kind.")
    wide: bool = Field(
        False, description="Beside all that reads a text, a linear model of its pieces and their pairs; averaged."
    )
    pooling: str = Field("last", description="What sums up all steps: mean, max, last, attention, or some: mean,max.")
    embedding_size: int = Field(64, ge=1, description="Numbers that stand for a piece of a text.")
    truncate: int = Field(
        0, ge=0, description="Steps after which gradients end while the state goes on, for long series; 0 never."
    )
    center: bool = Field(False, description="Take off each example's own mean over time: a voice, a sensor's offset.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of what was read that a training step hides.")
    step_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the steps, pieces of a text, that a training step hides."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of a label that is given to all classes alike.")
    members: int = Field(1, ge=1, le=64, description="Networks that learn side by side and average what they say.")

    @classmethod
    def resolve(cls, preset: str | None = None, **values: Any) -> Self:
        """As for every family; without a preset, a task to forecast or to write brings its own.

        A number may be what augmentation changes, such as a height, so it has to be asked for.
        """
        if values.get("task") == "regress":
            values = {"augment": "none", **values}
        return super().resolve(preset or next((task for task in TASKS if values.get("task") == task), None), **values)

    def advice(self, facts: Facts) -> Advice:
        """A small set of series gets as many epochs as `STEPS` need, a large one `FEWEST_EPOCHS`.

        Where steps have classes, a long series is worth several, and one course is cut into some.
        """
        if self.task in TASKS:
            return self.task, {}
        if self.task == "label":
            pieces = facts.examples * math.prod(facts.shape[:1]) // PIECE
            return "series", {**LABEL, "epochs": _epochs(max(facts.examples, pieces))}
        preset = facts.kind if facts.kind in self.presets else "classic"
        if preset != "series":
            return preset, {}
        return preset, {"epochs": _epochs(facts.examples)}

    @property
    def windows(self) -> Mapping[str, int | None]:
        """How a course of time is cut to forecast from."""
        asked = {"horizon": self.horizon, "context": self.context, "season": self.season}
        return asked if self.task == "forecast" else {}

    @property
    def writes(self) -> bool:
        """Whether the task is to write."""
        return self.task == "write"

    @field_validator("pooling")
    @classmethod
    def _pooling_spelt(cls, pooling: str) -> str:
        names = pooling.split(",")
        if len(set(names)) < len(names) or not set(names) <= set(POOLINGS):
            raise ValueError(f"some of {', '.join(POOLINGS)} are expected, each once, parted by commas: mean,max")
        return pooling

    @property
    def only_a_cell(self) -> bool:
        """Whether one cell reads alone and its last state tells: the source article's network, for any cell."""
        plain = (
            self.layers,
            self.bidirectional,
            self.convolution,
            self.pooling,
            self.center,
            self.dropout,
            self.step_dropout,
            self.wide,
        )
        return self.cell != "none" and plain == (1, False, "none", "last", False, 0.0, 0.0, False)


def _epochs(examples: int) -> int:
    """How often so many series are passed."""
    return enough_epochs(examples, PRESETS["series"]["batch_size"], STEPS, FEWEST_EPOCHS)
