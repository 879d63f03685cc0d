"""Networks on a device, in the memory layout that their kernels like."""

import torch
from torch import nn

from ..families.contract import Family
from ..runtime import Runtime


def place(family: Family, networks: dict[str, nn.Module], runtime: Runtime) -> dict[str, nn.Module]:
    """The networks where and as training has them, so that a loaded model answers bit by bit as it did then."""
    layout = torch.channels_last if family.channels_last else torch.preserve_format
    return {
        name: network.to(device=runtime.device, memory_format=layout)  # type: ignore[call-overload]
        for name, network in networks.items()
    }
