"""Settings of the autoencoder."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...settings import Settings


class AutoencoderSettings(Settings):
    """An autoencoder that learns short codes of pictures or of the rows of a table."""

    family: ClassVar[str] = "autoencoder"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"classic": {}}

    preset: Literal["classic"] = Field("classic", description="The recipe that stands where no flag does.")
    task: Literal["reconstruct"] = Field("reconstruct", description="What the network is asked to do.")
    epochs: int = Field(50, ge=1, description="Passes over the training split.")
    batch_size: int = Field(256, ge=1, description="Examples a step.")
    latent_size: int = Field(32, ge=1, description="Numbers in a code.")
