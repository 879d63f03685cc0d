"""How well classes are told apart."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def judge(classes: tuple[str, ...], outcomes: Iterable[tuple[Tensor, Tensor | None]]) -> dict[str, Any]:
    """Figures on a split, from its batches: logits (n, classes) with true classes int64 (n,).

    Returns: loss (mean cross-entropy), accuracy, balanced accuracy, the majority baseline,
    precision and recall a class, and the confusion matrix (true, predicted) in counts.
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
    occur; such a class is left out of the balanced accuracy. The baseline is the accuracy of
    always naming the commonest class.
    """
    hits, occurs, predicted = table.diag().tolist(), table.sum(1).tolist(), table.sum(0).tolist()
    count = sum(occurs)
    recalls = [hit / n if n else None for hit, n in zip(hits, occurs, strict=True)]
    precisions = [hit / n if n else None for hit, n in zip(hits, predicted, strict=True)]
    present = [recall for recall in recalls if recall is not None]
    return {
        "accuracy": sum(hits) / count,
        "balanced_accuracy": sum(present) / len(present),
        "baseline": {"majority": max(occurs) / count},
        "count": count,
        "classes": {
            name: {"precision": precision, "recall": recall, "count": n}
            for name, precision, recall, n in zip(classes, precisions, recalls, occurs, strict=True)
        },
        "confusion": table.tolist(),
    }
