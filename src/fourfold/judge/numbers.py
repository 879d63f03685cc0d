"""Judging what tells numbers or tags: figures with intervals, beside what plain means reach."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..answers import tell
from ..data.dataset import Dataset, Examples
from ..families.contract import Regressor, Tagger
from ..metrics import regression, tagging
from ..metrics.intervals import bootstrap
from ..model import Model
from .linear import fit_linear
from .spread import spread

Drawn = Callable[[Tensor], dict[str, Tensor]]  # places of examples to figures
Draw = Callable[[Tensor, Tensor], Drawn]  # what is told and what is true, (n, names), to these
FIRST = {"numbers": "r2", "tags": "macro_ap"}  # the figure that decides whether a linear model does as well


@dataclass(frozen=True)
class Estimated:
    """figures: plain JSON. said, y: numbers told of the examples, and the true ones, (n, targets)."""

    figures: dict[str, Any]
    said: Tensor
    y: Tensor


def judge_numbers(model: Model, examples: Examples, dataset: Dataset | None) -> Estimated:
    """What `regression.single` tells, on examples with numbers, with intervals.

    dataset: what the model was trained on. Its train teaches the baselines, its mean and a ridge
    regression; without it there are none.
    """
    assert isinstance(model.family, Regressor)
    assert examples.y is not None
    said = tell(model.family, model.networks, model.schema, examples).double()
    return Estimated(_judged(said, examples, dataset, regression.drawn), said, examples.y.double())


def judge_tags(model: Model, examples: Examples, dataset: Dataset | None) -> dict[str, Any]:
    """What `tagging.drawn` tells, likewise; the baselines are the tags' shares in train and logistic regressions."""
    assert isinstance(model.family, Tagger)
    said = tell(model.family, model.networks, model.schema, examples).double()
    return _judged(said, examples, dataset, tagging.drawn)


def _judged(said: Tensor, examples: Examples, dataset: Dataset | None, draw: Draw) -> dict[str, Any]:
    assert examples.y is not None
    y, every = examples.y.double(), torch.arange(len(examples))
    own = draw(said, y)
    figures: dict[str, Any] = regression.plain(own(every))
    baselines = _baselines(dataset, examples) if dataset else {}
    others = {name: draw(of, y) for name, (of, _) in baselines.items()}
    figures["baselines"] = {name: regression.plain(of(every)) | baselines[name][1] for name, of in others.items()}
    figures |= _intervals([own, *([others["linear"]] if others else [])], len(y), figures)
    figures["remarks"] = _remarks(figures, FIRST[dataset.schema.aim], len(y)) if dataset else []
    return figures


def _baselines(dataset: Dataset, examples: Examples) -> dict[str, tuple[Tensor, dict[str, Any]]]:
    """What plain means say of the examples, (n, names), and how they were made."""
    train = dataset.train
    assert train.y is not None
    linear = fit_linear(dataset)
    about = {"sees": linear.kind, "penalty": linear.penalty, "learnt_from": linear.learnt_from}
    return {
        "average": (train.y.double().mean(0).expand(len(examples), -1), {"learnt_from": len(train)}),
        "linear": (linear.tell(examples, dataset.schema), about),
    }


def _intervals(sides: Sequence[Drawn], count: int, figures: dict[str, Any]) -> dict[str, Any]:
    """Intervals of the first side by name, and of what it is above the second; both told the same examples."""
    names = [name for name, value in figures.items() if isinstance(value, float)]

    def draw(index: Tensor) -> Tensor:
        found = [side(index) for side in sides]
        return torch.stack([each[name] for each in found for name in names])

    draws = bootstrap(draw, count)
    draws = draws[draws.isfinite().all(1)]  # where all that were drawn are alike there is no r2
    if not len(draws):
        return {}
    return spread(draws, names, figures, figures["baselines"].get("linear", {}))


def _remarks(figures: dict[str, Any], first: str, count: int) -> list[str]:
    if first not in figures.get("differences", {}):
        return []
    linear = f"a linear model of {figures['baselines']['linear']['sees']}"
    low, high = figures["differences"][first]["interval"]
    if high < 0:
        return [f"{linear} tells them better: use it, or train otherwise"]
    return [f"as far as {count} examples tell, {linear} tells them as well"] if low <= 0 else []
