"""What a convolutional network minimises: the cross-entropy of the true class."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...data.dataset import Batch
from ..contract import Losses, Networks


def classification(
    networks: Networks, batch: Batch, random: torch.Generator, smoothing: float = 0.0, weights: Tensor | None = None
) -> Losses:
    """-Σ t log p(x), with p = softmax(logits), as a mean over the batch; t is 1 for y and 0 for the others.

    Of mixed examples t is y itself. smoothing: t becomes (1 - smoothing) t + smoothing / classes
    (Szegedy et al., arXiv 1512.00567). weights: of the classes, float (classes,), by which each
    example's term is multiplied; a mixed example's weight is mixed.
    """
    y = batch.y
    assert y is not None
    logits = networks["classifier"](batch.x, batch.lengths, random)
    if weights is None:
        return Losses(cross_entropy(logits, y, label_smoothing=smoothing), {})
    weights = weights.to(logits.device, non_blocking=True)
    each = y @ weights if y.is_floating_point() else weights[y]
    return Losses((each * cross_entropy(logits, y, reduction="none", label_smoothing=smoothing)).mean(), {})
