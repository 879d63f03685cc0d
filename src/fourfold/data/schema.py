"""What one example is: the contract between data, networks and everything after training.

A schema is JSON and travels with the model, so that whatever a model is asked later is
read by the same rules as its training data, and standardised by the same figures.
"""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ..settings import Reading
from .columns import collapse, expand

Kind = Literal["image", "series", "table", "text", "sound"]
# What is told of an example: one class, several tags, numbers, or a class for each of its steps.
Aim = Literal["classes", "tags", "numbers", "labels"]
THINGS: dict[Kind, str] = {
    "image": "pictures",
    "series": "series",
    "table": "rows of a table",
    "text": "texts",
    "sound": "sounds",
}


class Schema(BaseModel):
    """One example's kind, shape and what is told of it, and the preprocessing fitted on train.

    `shape` is (channels, height, width) for pictures, (channels,) for series, (bands,) for
    sounds, () for texts and (columns,) for tables, a category counting as many as it has
    levels; a length is no part of it. Pictures are scaled to [0, 1]; series, sounds and
    tables are standardised by `mean` and `std`, a figure a channel. Of classes, tags and
    targets there is one or none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    shape: tuple[int, ...]
    lengths: tuple[int, int] | None = None  # the shortest and the longest in train: steps, frames or pieces
    classes: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None  # of which an example may have several
    counts: tuple[int, ...] | None = None  # of each class, or tag, in train
    stepwise: bool = False  # whether each step has a class of its own; counts are then of steps
    targets: tuple[str, ...] | None = None  # the names of the numbers that are told
    target_mean: tuple[float, ...] | None = None
    target_std: tuple[float, ...] | None = None
    columns: tuple[str, ...] | None = None  # a table's, in order, without the target
    levels: dict[str, tuple[str, ...]] = {}  # of a table's columns that are categories
    fill: tuple[float, ...] | None = None  # what stands for a missing value, a figure a column
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    vocabulary: str | None = None  # a text's, as JSON of the tokenizers library
    reading: Reading = Reading()  # with what was decided by looking at train: the target, the rate of sounds

    @property
    def aim(self) -> Aim:
        """What is told of an example."""
        return "numbers" if self.targets else "tags" if self.tags else "labels" if self.stepwise else "classes"

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the classes, tags or numbers; None without labels."""
        return self.targets or self.tags or self.classes

    def prepare(self, x: Tensor) -> Tensor:
        """Examples as the networks take them.

        x: uint8 pictures, or floats: pictures in [0, 1], series (…, channels), tables
        (…, columns) in their own units, a category as the place of its level; a text's
        pieces, which stay as they are. Returns: float32 of the same shape, or (…, width) of
        a table with categories.
        """
        if self.kind == "image":
            return as_floats(x)
        if self.kind == "text":
            return x
        mean, std = self._moments(x)
        if self.columns is not None:
            x = expand(x, self.columns, self.levels, self.fill)
        return (x.float() - mean) / std

    def restore(self, x: Tensor) -> Tensor:
        """The inverse of `prepare`: floats in the data's own units, pictures in [0, 1], categories as places."""
        if self.kind == "image":
            return x
        mean, std = self._moments(x)
        x = x * std + mean
        return x if self.columns is None else collapse(x, self.columns, self.levels)

    def standardise(self, y: Tensor) -> Tensor:
        """Numbers (n, targets) as deviations from train's mean, in units of train's deviation: what is learnt."""
        mean, std = self._target_moments(y)
        return (y - mean) / std

    def in_units(self, z: Tensor) -> Tensor:
        """The inverse of `standardise`: numbers in the data's own units."""
        mean, std = self._target_moments(z)
        return z * std + mean

    def _moments(self, like: Tensor) -> tuple[Tensor, Tensor]:
        assert self.mean is not None
        assert self.std is not None
        return (
            torch.tensor(self.mean, dtype=torch.float32, device=like.device),
            torch.tensor(self.std, dtype=torch.float32, device=like.device),
        )

    def _target_moments(self, like: Tensor) -> tuple[Tensor, Tensor]:
        assert self.target_mean is not None
        assert self.target_std is not None
        both = torch.tensor((self.target_mean, self.target_std), dtype=like.dtype)
        mean, std = both.to(like.device, non_blocking=True)  # a training step does not wait for it
        return mean, std


def as_floats(x: Tensor) -> Tensor:
    """Pictures as float32 in [0, 1], whether they are stored so or as bytes."""
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()
