"""Settings of the autoencoder."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from ...settings import AUTO, Advice, Facts, Settings, enough_epochs

STEPS = 2000  # that a small set is trained for
SIDES = (16, 224)  # pixels that conv takes

Network = Literal["auto", "classic", "conv", "resnet", "dense", "sequence", "edges"]


class AutoencoderSettings(Settings):
    """An autoencoder that learns short codes of pictures, series, sounds or rows, or what is normal among them."""

    family: ClassVar[str] = "autoencoder"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        AUTO: {},
        "classic": {},
        "conv": {"network": "conv", "batch_size": 128, "epochs": 20, "schedule": "cosine"},
        "resnet": {"network": "resnet", "width": 0, "batch_size": 128, "epochs": 20, "schedule": "cosine"},
        "dense": {"network": "dense", "batch_size": 128, "epochs": 40, "schedule": "cosine"},
        "sequence": {"network": "sequence", "batch_size": 32, "epochs": 100, "schedule": "cosine"},
        "vae": {"network": "conv", "batch_size": 128, "epochs": 20, "schedule": "cosine", "beta": 1.0},
        "denoising": {"network": "auto", "noise": 0.3, "batch_size": 128, "epochs": 20, "schedule": "cosine"},
        "detect": {
            "task": "detect",
            "network": "auto",
            "batch_size": 64,
            "epochs": 100,
            "schedule": "cosine",
            "noise": 1.0,
        },
    }

    preset: Literal["auto", "classic", "conv", "resnet", "dense", "sequence", "vae", "denoising", "detect"] = Field(
        "auto", description="The recipe that stands where no flag does; 'auto' goes by the data's kind and size."
    )
    task: Literal["reconstruct", "detect"] = Field(
        "reconstruct", description="'detect' learns what is normal and tells what is not."
    )
    network: Network = Field(
        "classic", description="'auto' goes by the data: conv, dense or sequence; to detect in pictures edges."
    )
    epochs: int = Field(50, ge=1, description="Passes over the training split.")
    batch_size: int = Field(256, ge=1, description="Examples a step.")
    latent_size: int | None = Field(
        None, ge=1, description="Numbers in a code: 32, in a table a quarter of its columns, unless given."
    )
    width: int = Field(
        16, ge=0, le=256, description="Channels of the first convolution; with --network resnet 0 is a cnn's own."
    )
    noise: float = Field(0.0, ge=0, le=10, description="Deviation of the noise that training adds to what is encoded.")
    beta: float = Field(0.0, ge=0, description="Weight of a variational autoencoder's divergence; 0 is none.")
    normal: str | None = Field(
        None, description="Classes that count as normal, parted by commas; only these train. All of train if not given."
    )
    false_alarms: float = Field(
        0.05, gt=0, lt=1, description="Share of normal examples that the threshold may take for abnormal."
    )

    @classmethod
    def resolve(cls, preset: str | None = None, **values: Any) -> Self:
        """As for every family; without a preset, the task to detect brings its own."""
        return super().resolve(preset or ("detect" if values.get("task") == "detect" else None), **values)

    def advice(self, facts: Facts) -> Advice:
        """The network for the kind; a small set gets as many epochs as `STEPS` need."""
        if self.task == "detect":
            return "detect", {}
        preset = network_for(facts.kind, facts.shape)
        known = self.presets[preset]
        return preset, {"epochs": enough_epochs(facts.examples, known["batch_size"], STEPS, known["epochs"])}

    @field_validator("normal")
    @classmethod
    def _normal_spelt(cls, normal: str | None) -> str | None:
        if normal is not None and not all(name.strip() for name in normal.split(",")):
            raise ValueError("two classes are written cat,dog")
        return normal

    @property
    def normal_classes(self) -> tuple[str, ...]:
        """Those that --normal names."""
        return tuple(name.strip() for name in self.normal.split(",")) if self.normal else ()


def network_for(kind: str, shape: tuple[int, ...]) -> Network:
    """The network that suits data of a schema's kind, each example of this shape; it is a preset's name as well."""
    if kind == "table" or (kind == "image" and not fits_conv(shape)):
        return "dense"
    return "conv" if kind == "image" else "sequence"


def fits_conv(shape: tuple[int, ...]) -> bool:
    """Whether conv takes pictures of (channels, height, width)."""
    return all(SIDES[0] <= side <= SIDES[1] for side in shape[1:])
