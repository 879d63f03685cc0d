"""Judging by several views of an example (test-time augmentation): slower, and often a little surer."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

PLACES = ((0, 0), (1, 1), (-1, -1))  # pixels down and right: as it is, and moved both ways along the diagonal


class Viewed(nn.Module):
    """A classifier that looks at each example several times and takes the mean of its probabilities.

    The views are the example moved by a pixel and, if `mirrored`, the mirror images of those;
    airbench's choice (github.com/KellerJordan/cifar10-airbench), with all views alike.
    """

    def __init__(self, classifier: nn.Module, mirrored: bool) -> None:
        super().__init__()
        self.classifier = classifier
        self.mirrored = mirrored

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logarithms of probabilities (n, classes), which serve as logits.

        x: pictures (n, c, h, w) or spectra (n, frames, bands).
        """
        views = [moved(x, *place) for place in PLACES]
        if self.mirrored:
            views += [view.flip(-1) for view in views]
        logs = [torch.log_softmax(self.classifier(view, lengths), dim=1) for view in views]
        return torch.stack(logs).logsumexp(dim=0) - math.log(len(views))


def moved(x: Tensor, down: int, right: int) -> Tensor:
    """The last two dimensions moved by whole pixels; zeros come in."""
    height, width = x.shape[-2:]
    x = pad(x, (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)))
    return x[..., max(-down, 0) :, max(-right, 0) :][..., :height, :width]
