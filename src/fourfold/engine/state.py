"""All that an unfinished training depends on, as plain tensors and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ..errors import ResumeError

Tensors = dict[str, Tensor]


class Point(BaseModel):
    """Where a training stands, and the numbers that it has gathered on the way.

    Order and randomness are functions of the seed and these integers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    step: int = Field(ge=0)  # done in all
    closed: int = Field(ge=0)  # epochs that have ended, each with a record in the history
    position: int = Field(ge=0)  # steps of the open one that are done
    seconds: float = Field(ge=0)
    best_epoch: int = Field(ge=0)
    best_value: float | None
    examples: int = Field(ge=0)  # that the sums are over
    sums: dict[str, float]  # of the open epoch's figures
    at_once: int = Field(ge=1)  # examples of a batch that are computed together


@dataclass(frozen=True)
class State:
    """A training at one point. weights: the networks with their buffers. rest: optimizers, average, best weights."""

    point: Point
    weights: Tensors
    rest: Tensors

    @property
    def nbytes(self) -> int:
        """The size of the tensors."""
        return sum(tensor.nbytes for tensors in (self.weights, self.rest) for tensor in tensors.values())


def tensors_of(networks: Mapping[str, nn.Module]) -> Tensors:
    """Every parameter and buffer, as NETWORK.NAME."""
    return {f"{name}.{key}": value for name, network in networks.items() for key, value in network.state_dict().items()}


def copied(tensors: Mapping[str, Tensor]) -> Tensors:
    """Copies in the CPU's memory that no later step changes, in the order of C."""
    return {
        name: tensor.detach().to(device="cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def fill(kept: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into those that are there, which keep their device and layout.

    Raises: ResumeError if names, shapes or types differ.
    """
    require_alike(kept, saved)
    for name, tensor in kept.items():
        tensor.detach().copy_(saved[name])


def require_alike(kept: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Raises: ResumeError if names, shapes or types differ."""
    if odd := sorted(kept.keys() ^ saved.keys()):
        raise ResumeError(f"the checkpoint is of another network: {odd[0]} is on one side only")
    for name, tensor in kept.items():
        there, here = (f"{tuple(one.shape)} {one.dtype}" for one in (saved[name], tensor))
        if there != here:
            raise ResumeError(f"the checkpoint is of another network: {name} is {there} there and {here} here")


def under(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors whose names begin with `prefix` and a dot, by what follows."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The inverse of `under`."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}
