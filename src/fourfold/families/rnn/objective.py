"""What a recurrent network minimises: the cross-entropy of a true class, or what quantiles miss."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ...data.dataset import Batch
from ...metrics.forecasting import QUANTILES, pinball
from ..contract import Losses, Networks
from . import whole
from .forecasting import Forecaster
from .reader import Members


def classification(networks: Networks, batch: Batch, random: torch.Generator, smoothing: float = 0.0) -> Losses:
    """-log p(y | x), with p = softmax(logits), as a mean over the batch and over the members.

    smoothing: the share of each label that goes to all classes alike (Szegedy et al., arXiv 1512.00567).
    """
    y = batch.y
    assert y is not None
    classifier = networks["classifier"]
    ready = whole.losses(classifier, batch, smoothing)
    if ready is not None:
        return ready
    members: list[nn.Module] = list(classifier.members) if isinstance(classifier, Members) else [classifier]
    losses = [cross_entropy(one(batch.x, batch.lengths, random), y, label_smoothing=smoothing) for one in members]
    return Losses(torch.stack(losses).mean(), {})


def forecasting(networks: Networks, batch: Batch, random: torch.Generator | None = None) -> Losses:
    """The pinball loss of the quantiles of what follows, as a mean over the batch, all steps and the members.

    Errors count in deviations of each window's own history, so that a quiet time teaches as much as a wild one.
    """
    forecaster = networks["forecaster"]
    assert isinstance(forecaster, Forecaster)
    history, ahead = forecaster.parted(batch.x)
    scale = forecaster.level(history)[1]
    losses = [(pinball(said, ahead, QUANTILES) / scale[:, None]).mean() for said in forecaster.each(history, random)]
    return Losses(torch.stack(losses).mean(), {})
