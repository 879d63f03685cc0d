"""All that the engine and the model may ask of a family.

A family holds mathematics: networks, losses, judgements. It never calls backward, and
knows no optimizer, no device and no file. One object of it stands for one schema and one
set of settings.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..data.dataset import Batch
from ..data.schema import Schema
from ..settings import Settings

Networks = Mapping[str, nn.Module]
Metrics = dict[str, Any]  # plain JSON: floats by name, and what hangs on them (a confusion matrix)


class Losses(NamedTuple):
    """What a phase's loss returns: `total` is minimised; `logged` goes into the history.

    All are scalars on the device, means over the batch; nothing reads them there.
    """

    total: Tensor
    logged: Mapping[str, Tensor]


@dataclass(frozen=True)
class Phase:
    """One loss and the names of the networks that it trains; the others stay as they are."""

    name: str
    trains: tuple[str, ...]
    loss: Callable[[Networks, Batch, torch.Generator], Losses]


class Monitor(NamedTuple):
    """The validation metric that tells the best epoch, and which way is better."""

    metric: str
    better: Literal["higher", "lower"]


class Family(Protocol):
    """A family under one schema and one set of settings.

    Making one raises a DataError, telling what would be accepted, if the schema is not for it.
    """

    @property
    def schema(self) -> Schema:
        """What one example is."""
        ...

    @property
    def settings(self) -> Settings:
        """What it is trained with."""
        ...

    @property
    def monitor(self) -> Monitor | None:
        """What tells the best epoch; None if only the last one can be kept."""
        ...

    @property
    def channels_last(self) -> bool:
        """Whether its networks are convolutional, whose kernels like that layout."""
        ...

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """Its networks, by name, with their initial weights drawn from `random`."""
        ...

    def phases(self) -> tuple[Phase, ...]:
        """Its phases, in the order in which one step runs them."""
        ...

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Its figures on a split; the networks are in evaluation mode, no gradient is kept."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """A family that tells classes apart."""

    def predict(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, classes)."""
        ...


@runtime_checkable
class Coder(Protocol):
    """A family that makes short codes and decodes them."""

    def encode(self, networks: Networks, batch: Batch) -> Tensor:
        """Codes (n, latent)."""
        ...

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """Examples, prepared as the networks take them, from codes (n, latent)."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """A family that makes new examples."""

    def generate(self, networks: Networks, latents: Tensor) -> Tensor:
        """Pictures (n, channels, height, width) in [0, 1] from latents (n, latent)."""
        ...

    def latents(self, count: int, random: torch.Generator) -> Tensor:
        """Latents (count, latent), drawn as in training."""
        ...
