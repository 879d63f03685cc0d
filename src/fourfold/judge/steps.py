"""Judging what tells a class for every step: the figures of classes, with intervals that know what belongs together.

Shapes: n series, t time, m steps that have a class, k classes, u units that are drawn anew.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import UNTOLD, Dataset, Examples
from ..data.mapped import Numbered
from ..data.schema import Schema
from ..families.contract import Labeller
from ..metrics.calibration import BINS, fit_temperature, temper
from ..metrics.classification import from_probabilities, logarithms, losses
from ..metrics.intervals import bootstrap
from ..model import Model
from ..step_answers import tell_steps
from .classes import Classified, baselines, doubts, errors, ranking, spread_of_shares

SEES = "each step's own values"


def judge_steps(model: Model, examples: Examples, dataset: Dataset | None) -> Classified:
    """What `classes.judge_classes` tells, of the steps that have a class.

    Steps of one series resemble each other, so that intervals come from series drawn anew, or, of a single one, from
    stretches as long as train's longest. dataset: what the model was trained on. Its train teaches the baselines, its
    validation the temperature; without it there are none.
    """
    steps, units_m = flat(examples), units(examples, model.schema)
    assert steps.y is not None
    y, log_p = steps.y, _told(model, examples)
    figures: dict[str, Any] = {**from_probabilities(log_p, y), "calibration": _calibration(model, log_p, y, dataset)}
    if log_p.shape[1] == 2:
        figures["ranking"] = ranking(model, log_p, y)
    plain = baselines(_flat(dataset), steps) if dataset else {}
    if plain:
        plain["linear"][1]["sees"] = SEES
    figures["baselines"] = {name: from_probabilities(said, y) | about for name, (said, about) in plain.items()}
    sides = {"": log_p} | ({"linear": plain["linear"][0]} if plain else {})
    figures |= _intervals(sides, y, units_m, figures)
    figures["remarks"] = _remarks(figures, int(units_m.max()) + 1)
    return Classified(figures, steps, log_p)


def flat(examples: Examples) -> Examples:
    """The steps that have a class as examples of their own, rows (m, channels)."""
    assert examples.y is not None
    known = examples.y != UNTOLD
    x_mc = examples.loaded[known]
    return Examples(x_mc, Numbered("step", range(len(x_mc))), examples.y[known])


def units(examples: Examples, schema: Schema) -> Tensor:
    """What each step that has a class is drawn with, int64 (m,), from 0: its series, or of a single one a stretch."""
    assert examples.y is not None
    assert schema.lengths is not None
    row_m, step_m = (examples.y != UNTOLD).nonzero().unbind(1)
    own_m = row_m if len(examples) > 1 else step_m // schema.lengths[1]
    place_m: Tensor = torch.unique(own_m, return_inverse=True)[1]
    return place_m


def _flat(dataset: Dataset) -> Dataset:
    """The data set of steps, each a row of a table."""
    schema = dataset.schema
    row = Schema(kind="table", shape=schema.shape, classes=schema.classes, mean=schema.mean, std=schema.std)
    validation = None if dataset.validation is None else flat(dataset.validation)
    return replace(dataset, schema=row, train=flat(dataset.train), validation=validation, test=None)


def _told(model: Model, examples: Examples) -> Tensor:
    """Log-probabilities (m, k) of the steps that have a class."""
    assert isinstance(model.family, Labeller)
    assert examples.y is not None
    return logarithms(tell_steps(model.family, model.networks, model.schema, examples)[examples.y != UNTOLD])


def _calibration(model: Model, log_p: Tensor, y: Tensor, dataset: Dataset | None) -> dict[str, Any]:
    found: dict[str, Any] = {"bins": BINS, **errors(log_p, y), "temperature": None, "tempered": None}
    held = dataset.validation if dataset else None
    if held is not None and held.y is not None:
        found["temperature"] = fit_temperature(_told(model, held), held.y[held.y != UNTOLD])
        found["fitted_on"] = int((held.y != UNTOLD).sum())
    if found["temperature"] is not None:
        cooled = temper(log_p, found["temperature"])
        found["tempered"] = {**errors(cooled, y), "log_loss": float(losses(cooled, y).mean())}
    return found


def _intervals(sides: Mapping[str, Tensor], y: Tensor, units_m: Tensor, figures: dict[str, Any]) -> dict[str, Any]:
    """Intervals by name, and of what the model is above a rival; none where there is but one unit."""
    count, classes = int(units_m.max()) + 1, next(iter(sides.values())).shape[1]
    if count == 1:
        return {}
    sums = [_sums(log_p, y, units_m, classes) for log_p in sides.values()]
    draws = bootstrap(lambda index: torch.cat([three(each[index].sum(0), classes) for each in sums]), count)
    found = spread_of_shares(draws, figures, count)
    found["intervals"]["drawn"] = count
    return found


def _sums(log_p: Tensor, y: Tensor, units_m: Tensor, classes: int) -> Tensor:
    """What each unit adds: its steps of each class, those of them that are right, and its loss; (u, 2k + 1)."""
    truth = torch.nn.functional.one_hot(y, classes).double()
    right = truth * (log_p.argmax(1) == y)[:, None]
    rows = torch.cat([truth, right, losses(log_p, y)[:, None]], dim=1)
    return rows.new_zeros(int(units_m.max()) + 1, rows.shape[1]).index_add(0, units_m, rows)


def three(sums: Tensor, classes: int) -> Tensor:
    """The figures of `classes.INTERVALS`, (3,), from the sums of some units, (2k + 1,)."""
    occurs, right, loss = sums[:classes], sums[classes : 2 * classes], sums[-1]
    there = occurs > 0
    return torch.stack([right.sum() / occurs.sum(), (right / occurs)[there].mean(), loss / occurs.sum()])


def _remarks(figures: dict[str, Any], count: int) -> list[str]:
    if "intervals" not in figures:
        return ["one short series tells nothing of how sure these figures are; judge on several"]
    told = doubts(figures, f"the steps of {count} series or stretches")
    calibration = figures["calibration"]
    if "fitted_on" in calibration and calibration["temperature"] is None:
        told.append("no temperature was fitted, since the validation split does not tell any")
    return told
