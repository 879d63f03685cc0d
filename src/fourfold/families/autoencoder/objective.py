"""What an autoencoder minimises: the difference between x and decoder(encoder(x))."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from ...data.dataset import Batch
from ..contract import Losses, Networks


def cross_entropy(networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
    """For x in [0, 1]: -x log x̂ - (1 - x) log(1 - x̂), x̂ = sigmoid(outputs), as a mean over all values."""
    return Losses(binary_cross_entropy_with_logits(reconstruct(networks, batch.x), batch.x), {})


def squared_error(networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
    """For standardised x: (x - x̂)², x̂ = outputs, as a mean over all values."""
    return Losses(mse_loss(reconstruct(networks, batch.x), batch.x), {})


def reconstruct(networks: Networks, x: Tensor) -> Tensor:
    """decoder(encoder(x)), before any sigmoid."""
    outputs: Tensor = networks["decoder"](networks["encoder"](x))
    return outputs
