"""Settings of the generative adversarial network."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...settings import AUTO, Advice, Facts, Settings

# Radford, Metz and Chintala (arXiv 1511.06434), in batches of 64; the learning rate's way to zero and the averaged
# generator are ours. docs/log.md has what they gain.
DCGAN = {"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "latent_size": 100, "width": 64}

# Adam without momentum makes a step of ten from a gradient that is suddenly large: a norm of at most 1 keeps the
# discriminator from running away. docs/log.md has what became of trainings without it, and with faster ones.
R3GAN = {"learning_rate": 5e-4, "clip": 1.0}


class GanSettings(Settings):
    """A generative adversarial network that makes pictures like the given ones.

    r3gan: a relativistic loss with penalised slopes, in residual networks without norms (Huang et
    al., arXiv 2501.05441), scaled down; docs/log.md has how its figures were chosen.
    """

    family: ClassVar[str] = "gan"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        AUTO: {},
        "dcgan": DCGAN,
        "r3gan": R3GAN,
        "classic": {**DCGAN, "epochs": 50, "batch_size": 128, "schedule": "constant", "ema": 0.0},
    }

    preset: Literal["auto", "r3gan", "dcgan", "classic"] = Field(
        "auto", description="The recipe that stands where no flag does; 'auto' is r3gan."
    )
    task: Literal["generate"] = Field("generate", description="What the network is asked to do.")
    conditional: bool = Field(False, description="Learn the classes as well, so that one can be asked for; r3gan only.")
    epochs: int = Field(10, ge=1, description="Passes over the training split.")
    batch_size: int = Field(64, ge=1, description="Examples a step.")
    learning_rate: float = Field(1e-3, gt=0, description="Its highest value, after the warm-up.")
    beta1: float = Field(0.0, ge=0, lt=1, description="First moment's decay for adam(w); momentum for sgd.")
    beta2: float = Field(0.99, ge=0, lt=1, description="Second moment's decay for adam(w).")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "linear", description="How the learning rate goes to zero after the warm-up, if it does."
    )
    ema: float = Field(0.998, ge=0, lt=1, description="Decay of the averaged weights; 0 turns the average off.")
    latent_size: int = Field(64, ge=1, description="Normal random numbers that a picture is made of.")
    width: int = Field(32, ge=1, description="Channels of the layers nearest to the picture; not for classic.")
    gamma: float = Field(
        1.0, ge=0, description="Weight of r3gan's penalties at the beginning; it falls to a tenth by the end."
    )
    diffaugment: str = Field(
        "none",
        description="For r3gan with few pictures: what real and generated ones go through before they are judged; "
        "'none', 'all' or some of colour, translation, cutout, parted by commas.",
    )

    def advice(self, facts: Facts) -> Advice:
        """Whatever the pictures: docs/log.md has both beside each other."""
        return "r3gan", {}
