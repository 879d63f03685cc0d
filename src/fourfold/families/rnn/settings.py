"""Settings of the recurrent network."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...settings import Settings


class RnnSettings(Settings):
    """A recurrent network that tells classes of series apart, of any length."""

    family: ClassVar[str] = "rnn"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"classic": {}}

    preset: Literal["classic"] = Field("classic", description="The recipe that stands where no flag does.")
    task: Literal["classify"] = Field("classify", description="What the network is asked to do.")
    hidden_size: int = Field(32, ge=1, description="Units of the recurrent cell.")
    embedding_size: int = Field(64, ge=1, description="Numbers that stand for a piece of a text.")
    activation: Literal["relu", "tanh"] = Field("relu", description="Of the recurrent cell.")
