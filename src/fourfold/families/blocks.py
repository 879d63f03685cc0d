"""Parts that two families share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..data.schema import Schema
from ..errors import DataError

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def glorot_(network: nn.Module, random: torch.Generator) -> None:
    """Draw all weights Glorot-uniform and set all biases to zero, in place.

    Keras' default, so that the same network trains alike (Glorot and Bengio, 2010).
    """
    for layer in network.modules():
        if isinstance(layer, LAYERS):
            nn.init.xavier_uniform_(layer.weight, generator=random)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def dropout(x: Tensor, share: float, random: torch.Generator | None) -> Tensor:
    """Zero a share of `x` and scale up the rest; without `random` leave `x` as it is.

    torch's own dropout draws from the global generator, which no step could repeat.
    """
    if random is None or share == 0:
        return x
    kept = torch.empty_like(x).bernoulli_(1 - share, generator=random)
    return x * kept.div_(1 - share)


def require_classes(schema: Schema, family: str) -> tuple[str, ...]:
    """The classes to tell apart. Raises: DataError if there are fewer than two."""
    if schema.classes is None:
        raise DataError(
            f"a {family} learns classes, and these data have no labels; put the files of each class into a folder "
            "of its name, let their names tell (--pattern), or name a column with --target "
            "(without labels: autoencoder, gan)"
        )
    if len(schema.classes) < 2:
        raise DataError(
            f"one class only, {schema.classes[0]!r}: there is nothing to tell apart; a {family} needs two or more "
            "(an autoencoder or a gan can learn from one)"
        )
    return schema.classes


def class_weights(counts: Sequence[int]) -> Tensor:
    """What to multiply the loss of each class's examples by, so that all classes weigh the same: float (classes,).

    counts: of each class in train. The mean over train's examples is 1, so that the learning
    rate means what it did; a class of which train has none gets 0.
    """
    n = torch.tensor(counts, dtype=torch.float32)
    present = n > 0
    return torch.where(present, n.sum() / (present.sum() * n.clamp(min=1)), 0)


def require_counts(schema: Schema) -> tuple[int, ...]:
    """How many examples of each class train has. Raises: DataError if nobody counted them."""
    if schema.counts is None:
        raise DataError("these data do not tell how many examples each class has; train without --balance")
    return schema.counts
