"""The four families, by name.

Settings are free of torch; the mathematics is imported when a family is made.
"""

from typing import TYPE_CHECKING

from ..errors import UsageError, nearest
from ..settings import AUTO, Settings
from .autoencoder.settings import AutoencoderSettings
from .cnn.settings import CnnSettings
from .gan.settings import GanSettings
from .rnn.settings import RnnSettings

if TYPE_CHECKING:
    from ..data.schema import Schema
    from .contract import Family

FAMILIES: dict[str, type[Settings]] = {
    "cnn": CnnSettings,
    "rnn": RnnSettings,
    "autoencoder": AutoencoderSettings,
    "gan": GanSettings,
}


def settings_of(family: str) -> type[Settings]:
    """The settings' type of a family. Raises: UsageError for an unknown name."""
    if family not in FAMILIES:
        raise UsageError(f"no family {family!r}; {nearest(family, FAMILIES)}")
    return FAMILIES[family]


def create(schema: "Schema", settings: Settings) -> "Family":
    """The family that `settings` belong to, for data of this schema.

    Raises: DataError if the family cannot use such data, UsageError for a preset that is still to be chosen.
    """
    if settings.preset == AUTO:
        raise UsageError(f"preset = {AUTO!r}: the one that the data chose has to be named")
    match settings:
        case CnnSettings():
            from .cnn import family as cnn

            return cnn.create(schema, settings)
        case RnnSettings():
            from .rnn import family as rnn

            return rnn.create(schema, settings)
        case AutoencoderSettings():
            from .autoencoder import family as autoencoder

            return autoencoder.create(schema, settings)
        case GanSettings():
            from .gan.family import Gan

            return Gan(schema, settings)
    raise AssertionError(f"{type(settings).__name__} belongs to no family")
