"""How well classes are told apart."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

MANY = 20  # classes, from which on it is told how often the true one is among the likeliest FIRST
FIRST = 5


def judge(classes: tuple[str, ...], outcomes: Iterable[tuple[Tensor, Tensor | None]]) -> dict[str, Any]:
    """Figures on a split, from its batches: logits (n, classes) with true classes int64 (n,).

    Returns: loss (mean cross-entropy), accuracy, balanced accuracy, the majority baseline,
    precision, recall and F1 a class, and the confusion matrix (true, predicted) in counts.
    """
    k = len(classes)
    confusion = loss = torch.zeros(())
    for logits, y in outcomes:
        assert y is not None
        confusion = confusion.to(y.device) + torch.bincount(y * k + logits.argmax(dim=1), minlength=k * k)
        loss = loss.to(y.device) + cross_entropy(logits.double(), y, reduction="sum")
    table = confusion.long().reshape(k, k).cpu()
    return {"loss": float(loss) / int(table.sum()), **from_confusion(classes, table)}


def from_confusion(classes: tuple[str, ...], table: Tensor) -> dict[str, Any]:
    """The figures that follow from a confusion matrix, int64 (true, predicted).

    Precision is None for a class that was never predicted, recall for one that does not
    occur, F1 (the harmonic mean of both) for one that is neither; a class that does not occur
    is left out of the balanced accuracy. The baseline is the accuracy of always naming the
    commonest class.
    """
    hits, occurs, predicted = table.diag().tolist(), table.sum(1).tolist(), table.sum(0).tolist()
    count = sum(occurs)
    recalls = [hit / n if n else None for hit, n in zip(hits, occurs, strict=True)]
    precisions = [hit / n if n else None for hit, n in zip(hits, predicted, strict=True)]
    halves = [(n + m) / 2 for n, m in zip(occurs, predicted, strict=True)]
    f1s = [hit / half if half else None for hit, half in zip(hits, halves, strict=True)]
    present = [recall for recall in recalls if recall is not None]
    return {
        "accuracy": sum(hits) / count,
        "balanced_accuracy": sum(present) / len(present),
        "baseline": {"majority": max(occurs) / count},
        "count": count,
        "classes": {
            name: {"precision": precision, "recall": recall, "f1": f1, "count": n}
            for name, precision, recall, f1, n in zip(classes, precisions, recalls, f1s, occurs, strict=True)
        },
        "confusion": table.tolist(),
    }


def from_probabilities(log_p: Tensor, y: Tensor) -> dict[str, float]:
    """Single figures of probabilities, their logarithms (n, classes), for true classes int64 (n,).

    Returns: accuracy; balanced accuracy and macro F1, over the classes that occur; log loss
    (mean of -log p of the true class); Brier score (mean over examples of Σ (p - truth)², 0
    to 2); and with many classes how often the true one is among the likeliest five.
    """
    k = log_p.shape[1]
    table = torch.bincount(y * k + log_p.argmax(dim=1), minlength=k * k).reshape(k, k).double()
    hits, occurs, predicted = table.diag(), table.sum(1), table.sum(0)
    there = occurs > 0
    truth = torch.nn.functional.one_hot(y, k)
    figures = {
        "accuracy": hits.sum() / len(y),
        "balanced_accuracy": (hits / occurs)[there].mean(),
        "macro_f1": (2 * hits / (occurs + predicted))[there].mean(),
        "log_loss": losses(log_p, y).mean(),
        "brier": (log_p.exp() - truth).square().sum(1).mean(),
    }
    if k >= MANY:
        figures[f"top_{FIRST}"] = (log_p.topk(FIRST, dim=1).indices == y[:, None]).any(1).double().mean()
    return dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))


def losses(log_p: Tensor, y: Tensor) -> Tensor:
    """-log p of the true class, (n,), of log-probabilities (n, classes)."""
    return -log_p.gather(1, y[:, None])[:, 0]


def logarithms(probabilities: Tensor) -> Tensor:
    """Log-probabilities, float64; what a network's float32 has rounded to nothing counts as its smallest number."""
    return probabilities.double().clamp(min=torch.finfo(torch.float32).tiny).log()
