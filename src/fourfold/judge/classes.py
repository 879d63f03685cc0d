"""A classifier's judgement: its figures with intervals, beside what plain means reach."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import Dataset, Examples
from ..metrics.calibration import BINS, FEWEST, calibration_error, reliability, temper
from ..metrics.classification import from_probabilities, logarithms, losses
from ..metrics.intervals import bootstrap, share_interval
from ..metrics.ranking import auprc, auroc
from ..model import Model
from .linear import fit_linear
from .spread import spread

INTERVALS = ("accuracy", "balanced_accuracy", "log_loss")
WIDE = 0.1  # of an accuracy's interval, from which on it is told


@dataclass(frozen=True)
class Classified:
    """figures: plain JSON. log_p: what `Model.predict` says of the examples, log-probabilities (n, classes)."""

    figures: dict[str, Any]
    examples: Examples
    log_p: Tensor


def judge_classes(model: Model, examples: Examples, dataset: Dataset | None) -> Classified:
    """What `from_probabilities` tells and more, on labelled examples: of what the network says, before the temperature.

    dataset: what the model was trained on, whose train teaches the baselines; without it there are none.
    """
    y = examples.y
    assert y is not None
    log_p = logarithms(model.probabilities(examples, tempered=False))
    figures: dict[str, Any] = {**from_probabilities(log_p, y), "calibration": _calibration(model, log_p, y)}
    if log_p.shape[1] == 2:
        figures["ranking"] = ranking(model, log_p, y)
    plain = baselines(dataset, examples) if dataset else {}
    figures["baselines"] = {name: from_probabilities(said, y) | about for name, (said, about) in plain.items()}
    rival = plain["linear"][0] if plain else None
    figures |= _intervals(log_p, rival, y, figures)
    figures["remarks"] = _remarks(figures, len(y))
    return Classified(figures, examples, temper(log_p, model.temperature))


def _calibration(model: Model, log_p: Tensor, y: Tensor) -> dict[str, Any]:
    found: dict[str, Any] = {"bins": BINS, **errors(log_p, y), "temperature": None, "tempered": None}
    if "validation" in model.origin.examples:
        found["fitted_on"] = model.origin.examples["validation"]
    if model.temperature != 1:
        cooled = temper(log_p, model.temperature)
        found["temperature"] = model.temperature
        found["tempered"] = {**errors(cooled, y), "log_loss": float(losses(cooled, y).mean())}
    return found


def errors(log_p: Tensor, y: Tensor) -> dict[str, Any]:
    """How far probabilities are from how often they are right, over all examples and bin by bin."""
    even = reliability(log_p, y)
    return {
        "error": calibration_error(even),
        "adaptive_error": calibration_error(reliability(log_p, y, adaptive=True)),
        "reliability": [asdict(bin) for bin in even],
    }


def ranking(model: Model, log_p: Tensor, y: Tensor) -> dict[str, Any]:
    """Of two classes, how well the second is put before the first."""
    assert model.schema.classes is not None
    scores, positive = log_p[:, 1] - log_p[:, 0], y == 1
    return {
        "positive": model.schema.classes[1],
        "share": float(positive.double().mean()),
        "auroc": auroc(scores, positive),
        "auprc": auprc(scores, positive),
    }


def baselines(dataset: Dataset, examples: Examples) -> dict[str, tuple[Tensor, dict[str, Any]]]:
    """What plain means say of the examples, log-probabilities (n, classes), and how they were made."""
    train, schema = dataset.train, dataset.schema
    assert train.y is not None
    assert schema.classes is not None
    counts = torch.bincount(train.y, minlength=len(schema.classes)).double() + 1  # so that none is impossible
    always = (counts / counts.sum()).log().expand(len(examples), -1)
    linear = fit_linear(dataset)
    about = {"sees": linear.kind, "penalty": linear.penalty, "learnt_from": linear.learnt_from}
    return {
        "majority": (always, {"learnt_from": len(train)}),
        "linear": (linear.log_probabilities(examples, schema), about),
    }


def _intervals(log_p: Tensor, rival: Tensor | None, y: Tensor, figures: dict[str, Any]) -> dict[str, Any]:
    """Intervals by name, and of what the model is above the rival; both answered the same examples."""
    sides = [log_p] if rival is None else [log_p, rival]
    told = [((side.argmax(1) == y).double(), losses(side, y)) for side in sides]

    def draw(index: Tensor) -> Tensor:
        return torch.cat([_three(right[index], loss[index], y[index], log_p.shape[1]) for right, loss in told])

    return spread_of_shares(bootstrap(draw, len(y)), figures, len(y))


def spread_of_shares(draws: Tensor, figures: dict[str, Any], count: int) -> dict[str, Any]:
    """As `spread.spread` of INTERVALS, draws (resamples, 3 or 6), certain of nothing where all of `count` are right."""
    found = spread(draws, INTERVALS, figures, figures["baselines"].get("linear", {}))
    spans = found["intervals"]
    spans["accuracy"] = share_interval(draws[:, 0], figures["accuracy"], count)
    if figures["accuracy"] in (0, 1):  # as little is known of the mean of the classes' recalls
        spans["balanced_accuracy"] = spans["accuracy"]
    return found


def _three(right: Tensor, loss: Tensor, y: Tensor, classes: int) -> Tensor:
    """The figures of INTERVALS, (3,)."""
    occurs = torch.bincount(y, minlength=classes)
    recalls = torch.bincount(y, weights=right, minlength=classes) / occurs
    return torch.stack([right.mean(), recalls[occurs > 0].mean(), loss.mean()])


def _remarks(figures: dict[str, Any], count: int) -> list[str]:
    told = doubts(figures, f"{count} examples")
    calibration = figures["calibration"]
    if "fitted_on" in calibration and calibration["temperature"] is None:
        held = calibration["fitted_on"]
        few = f"{held} validation examples are too few, {FEWEST} are needed"
        right = "not one answer on the validation split was wrong (or it was trained by an earlier Fourfold)"
        told.append(f"no temperature was fitted, since {few if held < FEWEST else right}")
    return told


def doubts(figures: dict[str, Any], those: str) -> list[str]:
    """What keeps the figures from being believed, as sentences; those: what was judged, such as "12 examples"."""
    told = []
    low, high = figures["intervals"]["accuracy"]
    if high - low > WIDE:
        told.append(
            f"{those} tell the accuracy only to within {low:.2f} and {high:.2f}; judge on more of them "
            "before one model is preferred to another"
        )
    if "differences" in figures:
        linear = f"logistic regression on {figures['baselines']['linear']['sees']}"
        low, high = figures["differences"]["accuracy"]["interval"]
        if high < 0:
            told.append(f"{linear} is right more often: use it, or train otherwise")
        elif low <= 0:
            told.append(f"as far as {those} tell, {linear} is right as often")
    return told
