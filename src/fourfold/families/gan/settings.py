"""Settings of the generative adversarial network."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...settings import Settings


class GanSettings(Settings):
    """A generative adversarial network that makes pictures like the given ones.

    Adam 2e-4 with β1 0.5: Radford, Metz and Chintala (arXiv 1511.06434).
    """

    family: ClassVar[str] = "gan"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dcgan": {},
        "classic": {"epochs": 50},
    }

    preset: Literal["dcgan", "classic"] = Field("dcgan", description="The recipe that stands where no flag does.")
    task: Literal["generate"] = Field("generate", description="What the network is asked to do.")
    epochs: int = Field(20, ge=1, description="Passes over the training split.")
    batch_size: int = Field(128, ge=1, description="Examples a step.")
    learning_rate: float = Field(2e-4, gt=0, description="Its highest value, after the warm-up.")
    beta1: float = Field(0.5, ge=0, lt=1, description="First moment's decay for adam(w); momentum for sgd.")
    latent_size: int = Field(100, ge=1, description="Normal random numbers that a picture is made of.")
    width: int = Field(64, ge=1, description="Channels of dcgan's layers nearest to the picture.")
