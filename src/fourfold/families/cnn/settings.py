"""Settings of the convolutional network."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from ...settings import AUTO, Advice, Facts, Settings, enough_epochs

FEW = 10_000  # examples, below which a set is small
PIXELS = 700_000_000  # that a training may look at where its epochs are chosen for it: some minutes on two cores
FEWEST_EPOCHS = 5
LARGEST_MAP = 56 * 56  # pixels of a resnet's first maps: trunk.LARGEST_MAP, without torch; a test holds both together
STEPS = 2000  # where unlabelled examples teach: those of few labelled ones alone would be over before they have

# Warm-up, then half a cosine to zero, and averaged weights; benchmarks/recipes_cnn.py compares it with others.
COURSE = {
    "optimizer": "adamw",
    "learning_rate": 4e-3,
    "weight_decay": 0.05,
    "schedule": "cosine",
    "warmup": 0.1,
    "ema": 0.998,
    "augment": "default",
    "label_smoothing": 0.1,
}

SOUND = {"epochs": 20}  # that sounds are passed: a minute for some thousand words


class CnnSettings(Settings):
    """A convolutional network that tells classes, tags or numbers of pictures and sounds."""

    family: ClassVar[str] = "cnn"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        AUTO: {},
        "classic": {},
        "resnet": {**COURSE, "epochs": 16, "batch_size": 128},
        "small": {**COURSE, "epochs": 80, "batch_size": 64, "dropout": 0.2},
    }

    preset: Literal["auto", "classic", "resnet", "small"] = Field(
        "auto",
        description="The recipe that stands where no flag does; small is resnet for some thousand examples, "
        "and 'auto' goes by their number and size.",
    )
    task: Literal["classify", "regress", "tag"] = Field(
        "classify", description="What is told of an example: one class, numbers (regress), or several tags at once."
    )
    width: int = Field(
        0, ge=0, le=1024, description="Channels of the first of a resnet's stages, doubled in each; 0 fits the data."
    )
    blocks: int = Field(0, ge=0, le=64, description="Residual blocks in each stage of a resnet; 0 fits the data.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of a resnet's last features that a step leaves out.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the true class's probability that is aimed at all classes alike."
    )
    balance: bool = Field(
        False, description="Let every class weigh the same in the loss, however few of the examples are of it."
    )
    unlabelled: str = Field(
        "", description="Unlabelled examples of the same kind to learn from as well: a path or a sample's name."
    )
    unlabelled_ratio: int = Field(3, ge=1, le=64, description="Unlabelled examples of a step to each labelled one.")
    unlabelled_weight: float = Field(1.0, ge=0, description="Weight of their loss beside that of the labelled ones.")
    confidence: float = Field(
        0.95, ge=0, le=1, description="Probability above which an unlabelled example is of the class it seems to be."
    )

    @field_validator("unlabelled")
    @classmethod
    def _unlabelled_classify(cls, unlabelled: str, told: ValidationInfo) -> str:
        if unlabelled and told.data.get("task") != "classify":
            raise ValueError("unlabelled examples teach classes alone; leave it out, or --task")
        return unlabelled

    @classmethod
    def resolve(cls, preset: str | None = None, **values: Any) -> Self:
        """As for every family; a number may be what augmentation changes, such as a size, so it has to be asked for.

        With labels smoothed the network would hardly be sure enough of an unlabelled example.
        """
        plain: dict[str, Any] = {"augment": "none"} if values.get("task") == "regress" else {}
        plain |= {"label_smoothing": 0.0} if values.get("unlabelled") else {}
        return super().resolve(preset, **{**plain, **values})

    def advice(self, facts: Facts) -> Advice:
        """A small set is passed more often; large pictures less often, so that a training takes minutes."""
        if self.unlabelled:
            batch_size: int = self.presets["small"]["batch_size"]
            return "small", {"epochs": enough_epochs(facts.examples, batch_size, STEPS, FEWEST_EPOCHS)}
        preset = "small" if facts.examples < FEW else "resnet"
        epochs: int = self.presets[preset]["epochs"]
        if facts.kind != "image":
            return preset, SOUND if facts.kind == "sound" else {}
        pixels = facts.examples * min(math.prod(facts.shape[1:]), LARGEST_MAP)
        return preset, {"epochs": min(epochs, max(PIXELS // pixels, FEWEST_EPOCHS))}
