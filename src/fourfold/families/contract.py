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

    Both are scalars on the device, means over the batch; nothing reads them there. gradients: of `total`, one of
    each parameter that the phase trains, where a kernel gives both at once; autograd knows nothing of it then.
    """

    total: Tensor
    logged: Mapping[str, Tensor]
    gradients: Mapping[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Phase:
    """One loss and the names of the networks that it trains; the others stay as they are.

    loss: of the networks, a batch and the step's random numbers. paced: it has a schedule, so
    it is also told the share of all steps that are over, in [0, 1). saturates: logged scores in
    [0, 1] that come near 1 when the phase leaves the others nothing to learn from.
    """

    name: str
    trains: tuple[str, ...]
    loss: Callable[..., Losses]
    paced: bool = False
    saturates: tuple[str, ...] = ()


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
class Regressor(Protocol):
    """A family that tells numbers."""

    def estimate(self, networks: Networks, batch: Batch) -> Tensor:
        """Numbers (n, targets) in the data's own units."""
        ...


@runtime_checkable
class Tagger(Protocol):
    """A family that tells tags, of which an example may have several."""

    def tag(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, tags), each tag's for itself."""
        ...


@runtime_checkable
class Labeller(Protocol):
    """A family that tells a class for every step."""

    def label(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, time, classes), zeros past a series' own end."""
        ...


@runtime_checkable
class Viewer(Protocol):
    """A classifier that can look at an example more than once (test-time augmentation)."""

    def viewed(self, networks: Networks) -> Networks:
        """The same networks, to be asked in their place: each answer is the mean over several views."""
        ...


@runtime_checkable
class Coder(Protocol):
    """A family that makes short codes and decodes them."""

    def encode(self, networks: Networks, batch: Batch) -> Tensor:
        """Codes (n, latent)."""
        ...

    @property
    def latent_size(self) -> int:
        """Numbers in a code."""
        ...

    def decode(self, networks: Networks, codes: Tensor, batch: Batch | None = None) -> Tensor:
        """Examples, prepared as the networks take them, from codes (n, latent); those of a batch over its own steps."""
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


@runtime_checkable
class Steered(Sampler, Protocol):
    """A sampler that one can tell what to make."""

    def circle(self, frames: int, count: int, random: torch.Generator) -> Tensor:
        """Latents (frames, count, latent) along ways that end where they begin."""
        ...

    def steer(self, latents: Tensor, label: str | None = None, truncation: float = 1.0) -> Tensor:
        """Latents (…, latent), brought to one class and towards what is usual. Raises: UsageError."""
        ...


@runtime_checkable
class Forecaster(Protocol):
    """A family that tells what follows a history; its examples are windows of a course of time."""

    @property
    def context(self) -> int:
        """Steps of history that it looks back on."""
        ...

    @property
    def horizon(self) -> int:
        """Steps that it looks ahead."""
        ...

    def forecast(self, networks: Networks, batch: Batch) -> Tensor:
        """Quantiles (n, horizon, quantiles, channels) in the data's units; only a window's history is looked at."""
        ...


@runtime_checkable
class Writer(Protocol):
    """A family that goes on with texts; its examples are passages of some."""

    def write(self, networks: Networks, prompt: str, chance: Tensor, temperature: float, top_k: int) -> list[str]:
        """Texts that begin with `prompt`, a row of `chance` each: a number in [0, 1) for every piece that is chosen.

        A text ends with its row, or where the network ends it. temperature: above 0, of the softmax; towards 0 the
        likeliest piece is always chosen. top_k: how many pieces, the likeliest, there is a choice of; 0: all.
        Raises: UsageError if the network does not know a character of the prompt.
        """
        ...

    def rivals(self, train: Iterable[Batch], batches: Iterable[Batch]) -> dict[str, Metrics]:
        """What plain models of train come to on batches: figures as `evaluate` gives them, by the model's name."""
        ...


@runtime_checkable
class Detector(Protocol):
    """A family that learns what is normal, and scores how far examples are from it."""

    def require(self, held_out: int) -> None:
        """Raises: DataError if so many normal validation examples are too few for its threshold."""
        ...

    def settle(self, networks: Networks, train: Iterable[Batch], held_out: Iterable[Batch]) -> None:
        """Called once, when training has ended: fit the score on train, the threshold on held-out normal examples."""
        ...

    def score(self, networks: Networks, batch: Batch) -> Tensor:
        """How far from normal each example is, (n,)."""
        ...

    def shares(self, networks: Networks, batch: Batch) -> Tensor:
        """Where the score comes from, as shares that sum to 1 for each example.

        Returns: (n, columns) of a table, (n, time, channels) of series, (n, height, width) of pictures.
        """
        ...

    def threshold(self, networks: Networks) -> float:
        """The score above which an example counts as abnormal."""
        ...
