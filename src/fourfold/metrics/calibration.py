"""Whether probabilities mean what they say, and the temperature that makes them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0  # temperatures that are looked at
FEWEST = 20  # examples, below which chance would choose the temperature


@dataclass(frozen=True)
class Bin:
    """Examples that a network is about equally sure of: how many, how sure it is, how often it is right."""

    count: int
    confidence: float
    accuracy: float


def reliability(log_p: Tensor, y: Tensor, adaptive: bool = False, bins: int = BINS) -> list[Bin]:
    """Examples by the probability of their likeliest class, the bins that are not empty, the least sure first.

    log_p: log-probabilities (n, classes); y: int64 (n,). The bins part [0, 1] evenly (Guo et
    al., arXiv 1706.04599) or, adaptive, the examples (Nixon et al., arXiv 1904.01685).
    """
    best = log_p.max(dim=1)
    order = best.values.argsort(stable=True)
    confidence, right = best.values.exp()[order], (best.indices == y)[order].double()
    if adaptive:
        sizes = [len(piece) for piece in confidence.tensor_split(bins)]
    else:
        sizes = torch.bincount((confidence * bins).long().clamp(max=bins - 1), minlength=bins).tolist()
    pieces = zip(torch.split(confidence, sizes), torch.split(right, sizes), strict=True)
    return [Bin(len(sure), float(sure.mean()), float(hit.mean())) for sure, hit in pieces if len(sure)]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: the mean over examples of their bin's |confidence - accuracy|."""
    return sum(bin.count * abs(bin.confidence - bin.accuracy) for bin in bins) / sum(bin.count for bin in bins)


def temper(log_p: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (n, classes) with a temperature: softmax(logits / T), from log softmax(logits)."""
    return torch.log_softmax(log_p / temperature, dim=1)


def fit_temperature(log_p: Tensor, y: Tensor) -> float | None:
    """The temperature under which log-probabilities (n, classes) make the true classes, int64 (n,), likeliest.

    By halving: the loss is convex in 1/T (Guo et al., arXiv 1706.04599), its slope the mean of
    E[log p] - log p of the true class. Returns: None if there are fewer than FEWEST examples, or if
    all are right, since then the smallest temperature is always the best and nothing is told by it.
    """
    if len(y) < FEWEST or bool((log_p.argmax(dim=1) == y).all()):
        return None
    true = log_p.gather(1, y[:, None])[:, 0]
    cold, hot = COLDEST, HOTTEST
    for _ in range(30):
        middle = math.sqrt(cold * hot)
        too_sharp = ((temper(log_p, middle).exp() * log_p).sum(1) - true).mean() > 0
        cold, hot = (middle, hot) if too_sharp else (cold, middle)
    return math.sqrt(cold * hot)
