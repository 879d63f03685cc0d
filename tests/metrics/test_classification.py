"""Figures of a classifier, against the same written with loops."""

import math

import pytest
import torch
from torch import Tensor

from fourfold.metrics.classification import FIRST, MANY, from_confusion, from_probabilities, judge, logarithms


def answers(n: int, k: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Log-probabilities (n, k) that are sometimes right, and the true classes."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=random, dtype=torch.float64)
    y = torch.randint(k, (n,), generator=random)
    logits[torch.arange(n), y] += 1
    return torch.log_softmax(logits, dim=1), y


@pytest.mark.parametrize("k", [2, 3, MANY])
def test_figures_are_those_of_their_definitions(k: int) -> None:
    log_p, y = answers(200, k)
    p, truth, said = log_p.exp().tolist(), y.tolist(), log_p.argmax(1).tolist()
    recalls, f1s = [], []
    for c in sorted(set(truth)):
        hits = sum(t == s == c for t, s in zip(truth, said, strict=True))
        recall, precision = hits / truth.count(c), hits / said.count(c) if c in said else 0.0
        recalls.append(recall)
        f1s.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    expected = {
        "accuracy": sum(t == s for t, s in zip(truth, said, strict=True)) / 200,
        "balanced_accuracy": sum(recalls) / len(recalls),
        "macro_f1": sum(f1s) / len(f1s),
        "log_loss": -sum(math.log(row[t]) for row, t in zip(p, truth, strict=True)) / 200,
        "brier": sum(sum((q - (c == t)) ** 2 for c, q in enumerate(row)) for row, t in zip(p, truth, strict=True))
        / 200,
    }
    if k >= MANY:
        before = [sum(q > row[t] for q in row) for row, t in zip(p, truth, strict=True)]
        expected["top_5"] = sum(place < FIRST for place in before) / 200
    assert from_probabilities(log_p, y) == pytest.approx(expected)


def test_the_networks_own_figures_agree() -> None:
    log_p, y = answers(300, 4)
    own = judge(tuple("abcd"), ((log_p[i : i + 64].float(), y[i : i + 64]) for i in range(0, 300, 64)))
    told = from_probabilities(log_p, y)
    assert own["loss"] == pytest.approx(told["log_loss"], rel=1e-6)
    assert own["accuracy"] == told["accuracy"]
    assert own["balanced_accuracy"] == pytest.approx(told["balanced_accuracy"])
    f1s = [figures["f1"] for figures in own["classes"].values()]
    assert sum(f1s) / 4 == pytest.approx(told["macro_f1"])


def test_what_cannot_be_told_is_none() -> None:
    figures = from_confusion(("a", "b", "c"), torch.tensor([[3, 1, 0], [0, 0, 0], [0, 0, 0]]))["classes"]
    assert figures["a"] == {"precision": 1.0, "recall": 0.75, "f1": pytest.approx(6 / 7), "count": 4}
    assert figures["b"] == {"precision": 0.0, "recall": None, "f1": 0.0, "count": 0}
    assert figures["c"] == {"precision": None, "recall": None, "f1": None, "count": 0}


def test_a_class_that_float32_has_rounded_away_costs_a_finite_loss() -> None:
    log_p = logarithms(torch.softmax(torch.tensor([[0.0, 500.0]]), dim=1))
    assert from_probabilities(log_p, torch.tensor([0]))["log_loss"] == pytest.approx(87.3, abs=0.1)
