"""Learning from unlabelled examples too: what the network is sure of in one view is its target in a harder one.

FixMatch (Sohn et al., arXiv 2001.07685), with two differences: the labels come from the weights
as they are, not from their average, and a norm's running moments follow the labelled examples alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from ...data.dataset import Batch, Unlabelled
from ..contract import Losses, Networks


def semi_supervised(
    networks: Networks,
    batch: Batch,
    random: torch.Generator,
    supervised: Callable[[Networks, Batch, torch.Generator], Losses],
    weight: float,
    confidence: float,
) -> Losses:
    """supervised + weight · Σ m H(ŷ, p(strong)) / u, over the batch's u unlabelled examples.

    ŷ is the likeliest class of an example's weak view, m is 1 where its probability is above `confidence` and else 0;
    no gradient goes through either. A batch without unlabelled examples has the supervised loss alone.
    """
    losses = supervised(networks, batch, random)
    if batch.unlabelled is None:
        return losses
    terms, sure = pseudo_labelled(networks["classifier"], batch.unlabelled, random, confidence)
    unsupervised = terms.mean()
    logged = {"unlabelled_loss": unsupervised.detach(), "confident": sure.mean()}
    return Losses(losses.total + weight * unsupervised, {**losses.logged, **logged})


def pseudo_labelled(
    classifier: nn.Module, unlabelled: Unlabelled, random: torch.Generator, confidence: float
) -> tuple[Tensor, Tensor]:
    """m H(ŷ, p(strong)) and m of each unlabelled example, float (u,) both."""
    with torch.no_grad():
        logits = unnoticed(classifier, unlabelled.weak, unlabelled.lengths)
        likeliest = torch.softmax(logits.float(), dim=1).max(dim=1)
        sure = (likeliest.values > confidence).float()
    told = unnoticed(classifier, unlabelled.strong, unlabelled.lengths, random)
    return sure * cross_entropy(told, likeliest.indices, reduction="none"), sure


def unnoticed(network: nn.Module, *inputs: Tensor | torch.Generator | None) -> Tensor:
    """What a network says, while its buffers (a norm's running moments) stay as they are."""
    copies = {name: buffer.clone() for name, buffer in network.named_buffers()}
    told: Tensor = functional_call(network, copies, inputs)
    return told
