"""Settings of the generative adversarial network."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...settings import Settings


class GanSettings(Settings):
    """A generative adversarial network that makes pictures like the given ones.

    Adam 2e-4 with β1 0.5: Radford, Metz and Chintala (arXiv 1511.06434). Batches of 64, the
    learning rate's way to zero and the averaged generator are ours; docs/log.md has what they gain.
    """

    family: ClassVar[str] = "gan"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dcgan": {},
        "classic": {"epochs": 50, "batch_size": 128, "schedule": "constant", "ema": 0.0},
    }

    preset: Literal["dcgan", "classic"] = Field("dcgan", description="The recipe that stands where no flag does.")
    task: Literal["generate"] = Field("generate", description="What the network is asked to do.")
    epochs: int = Field(10, ge=1, description="Passes over the training split.")
    batch_size: int = Field(64, ge=1, description="Examples a step.")
    learning_rate: float = Field(2e-4, gt=0, description="Its highest value, after the warm-up.")
    beta1: float = Field(0.5, ge=0, lt=1, description="First moment's decay for adam(w); momentum for sgd.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "linear", description="How the learning rate goes to zero after the warm-up, if it does."
    )
    ema: float = Field(0.998, ge=0, lt=1, description="Decay of the averaged weights; 0 turns the average off.")
    latent_size: int = Field(100, ge=1, description="Normal random numbers that a picture is made of.")
    width: int = Field(64, ge=1, description="Channels of dcgan's layers nearest to the picture.")
