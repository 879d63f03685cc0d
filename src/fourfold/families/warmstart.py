"""Beginning with what another model has learned, in place of random weights.

A network's last layers, which depend on its classes, are called `head`; all else is its trunk.
"""

from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import UsageError
from .contract import Networks

HEAD = "head"


@torch.no_grad()
def warm_start(networks: Networks, weights: Mapping[str, Tensor], same_classes: bool) -> frozenset[str]:
    """Copy into networks, in place, what fits of another model's weights.

    weights: as a model's file has them, as NETWORK.NAME. What has the same name and shape is
    copied, the head only if `same_classes`; a network that the other model does not have takes
    what has the same NAME in any of its networks, as a classifier does from an encoder, but no head.
    Returns: the names of what was copied. Raises: UsageError if no weight fits.
    """
    copied = set()
    for name, tensor in tensors(networks):
        network, _, key = name.partition(".")
        known = any(other.startswith(f"{network}.") for other in weights)
        found = [name] if known else [other for other in weights if other.partition(".")[2] == key]
        fits = len(found) == 1 and found[0] in weights and weights[found[0]].shape == tensor.shape
        if fits and ((same_classes and known) or not _in_head(name)):  # an encoder's head tells no classes
            tensor.copy_(weights[found[0]])
            copied.add(name)
    if not any(tensor.dim() > 1 for name, tensor in tensors(networks) if name in copied):
        raise UsageError("nothing of that model fits this network; begin with a model of the same preset and width")
    return frozenset(copied)


def freeze(networks: Networks, names: Collection[str]) -> None:
    """Keep training from changing what was copied, but for the head; the moments of its norms rest as well.

    Raises: UsageError if nothing would be left to train.
    """
    parameters = [(f"{name}.{key}", p) for name, network in networks.items() for key, p in network.named_parameters()]
    for name, parameter in parameters:
        parameter.requires_grad_(name not in names or _in_head(name))
    if not any(parameter.requires_grad for _, parameter in parameters):
        raise UsageError("all of the network would stay as that model has it; train without --freeze")
    for network in networks.values():
        for layer in network.modules():
            if isinstance(layer, _BatchNorm) and not layer.weight.requires_grad:
                layer.register_forward_pre_hook(_rest)


def _rest(layer: nn.Module, inputs: object) -> None:
    """Have a norm use the moments that it has, whatever mode the network around it was put into."""
    layer.training = False


def _in_head(name: str) -> bool:
    return name.split(".")[1] == HEAD


def tensors(networks: Networks) -> Iterator[tuple[str, Tensor]]:
    """Every network's tensors, as NETWORK.NAME: what a model's file holds."""
    for name, network in networks.items():
        for key, tensor in network.state_dict().items():
            yield f"{name}.{key}", tensor
