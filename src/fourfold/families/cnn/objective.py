"""What a convolutional network minimises: the cross-entropy of the true class."""

import torch
from torch.nn.functional import cross_entropy

from ...data.dataset import Batch
from ..contract import Losses, Networks


def classification(networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
    """-log p(y | x), with p = softmax(logits), as a mean over the batch."""
    assert batch.y is not None
    return Losses(cross_entropy(networks["classifier"](batch.x), batch.y), {})
