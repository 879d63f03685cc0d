"""Settings of the convolutional network."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...settings import Settings


class CnnSettings(Settings):
    """A convolutional network that tells classes of pictures apart."""

    family: ClassVar[str] = "cnn"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"classic": {}}

    preset: Literal["classic"] = Field("classic", description="The recipe that stands where no flag does.")
    task: Literal["classify"] = Field("classify", description="What the network is asked to do.")
