"""Parts that two families share."""

import torch
from torch import Tensor, nn

from ..data.schema import Schema
from ..errors import DataError

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


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
