"""What one example is: the contract between data, networks and everything after training.

A schema is JSON and travels with the model, so that whatever a model is asked later is
read by the same rules as its training data, and standardised by the same figures.
"""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

Kind = Literal["image", "series", "table"]


class Schema(BaseModel):
    """One example's kind, shape and classes, and the preprocessing fitted on train.

    `shape` is (channels, height, width) for pictures, (channels,) for series and
    (columns,) for tables; the length of a series is no part of it. Pictures are scaled
    to [0, 1]; series and tables are standardised by `mean` and `std`, a figure a channel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    shape: tuple[int, ...]
    lengths: tuple[int, int] | None = None  # a series' shortest and longest in train
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None  # a table's, in order, without the target
    target: str | None = None
    size: int | None = None  # pictures were resized and cropped to this side
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def prepare(self, x: Tensor) -> Tensor:
        """Examples as the networks take them.

        x: uint8 pictures, or floats: pictures in [0, 1], series (…, channels), tables
        (…, columns) in their own units. Returns: float32 of the same shape.
        """
        if self.kind == "image":
            return as_floats(x)
        mean, std = self._moments(x)
        return (x.float() - mean) / std

    def restore(self, x: Tensor) -> Tensor:
        """The inverse of `prepare`: floats in the data's own units, pictures in [0, 1]."""
        if self.kind == "image":
            return x
        mean, std = self._moments(x)
        return x * std + mean

    def _moments(self, like: Tensor) -> tuple[Tensor, Tensor]:
        assert self.mean is not None
        assert self.std is not None
        return (
            torch.tensor(self.mean, dtype=torch.float32, device=like.device),
            torch.tensor(self.std, dtype=torch.float32, device=like.device),
        )


def as_floats(x: Tensor) -> Tensor:
    """Pictures as float32 in [0, 1], whether they are stored so or as bytes."""
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()


def moments(x: Tensor, lengths: Tensor | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel; the padded part of a series is not counted.

    x: float (n, columns) or (n, time, channels); lengths: int64 (n,) or None.
    A channel that never changes gets 1 as its deviation, so that it becomes 0 throughout.
    """
    values = x.double()
    if lengths is not None:
        values = values[torch.arange(x.shape[1]) < lengths[:, None]]
    values = values.reshape(-1, x.shape[-1])
    std = values.std(dim=0, correction=0)
    std = torch.where(std > 1e-12, std, torch.ones_like(std))
    return tuple(values.mean(dim=0).tolist()), tuple(std.tolist())
