"""Settings of the convolutional network."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from ...settings import AUTO, Advice, Facts, Settings

FEW = 10_000  # examples, below which a set is small
PIXELS = 700_000_000  # that a training may look at where its epochs are chosen for it: some minutes on two cores
FEWEST_EPOCHS = 5
LARGEST_MAP = 56 * 56  # pixels of a resnet's first maps, He et al.'s for 224×224; a larger picture's stem strides

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

    @classmethod
    def resolve(cls, preset: str | None = None, **values: Any) -> Self:
        """As for every family; a number may be what augmentation changes, such as a size, so it has to be asked for."""
        plain = {"augment": "none"} if values.get("task") == "regress" else {}
        return super().resolve(preset, **{**plain, **values})

    def advice(self, facts: Facts) -> Advice:
        """A small set is passed more often; large pictures less often, so that a training takes minutes."""
        preset = "small" if facts.examples < FEW else "resnet"
        epochs: int = self.presets[preset]["epochs"]
        if facts.kind != "image":
            return preset, {}
        pixels = facts.examples * min(math.prod(facts.shape[1:]), LARGEST_MAP)
        return preset, {"epochs": min(epochs, max(PIXELS // pixels, FEWEST_EPOCHS))}
