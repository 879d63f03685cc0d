"""Judging a trained model on test data: figures with intervals, beside what plain means reach on the same examples.

Nothing here is fitted on what is judged: baselines come from the training split, penalties
and the temperature from the validation split.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..answers import foretell
from ..data import Arrays
from ..data.dataset import Dataset, Examples
from ..data.feed import feed, in_order
from ..data.windows import courses, season_of
from ..engine.evaluate import BATCH_SIZE, evaluate
from ..errors import DataError, UsageError
from ..families.contract import (
    Classifier,
    Coder,
    Detector,
    Forecaster,
    Labeller,
    Metrics,
    Regressor,
    Sampler,
    Tagger,
    Writer,
)
from ..metrics.forecasting import beside_rivals, naive_scale
from ..model import Model
from .classes import Classified, judge_classes
from .codes import Restored, judge_codes
from .numbers import Estimated, judge_numbers, judge_tags
from .samples import Sampled, judge_samples
from .steps import judge_steps


@dataclass(frozen=True)
class Plain:
    """figures: plain JSON, where there is nothing to draw."""

    figures: dict[str, Any]


Judgement = Classified | Estimated | Restored | Sampled | Plain


def judge(
    model: Model, data: str | Path | Arrays | None = None, features: Model | None = None, seed: int = 0
) -> Judgement:
    """Judge a model on the test split of `data`, or on all of it if it has none; without `data`, on its own.

    features: a classifier in whose features generated pictures are compared. seed: of what is
    generated. Returns: a judgement whose `figures` are plain JSON, the model's own (see
    `Model.evaluate`) among them. Raises: as `Model.evaluate`.
    """
    split, examples = model.judged_on(data)
    told = Classifier | Coder | Detector | Forecaster | Labeller | Regressor | Tagger
    if features is not None and isinstance(model.family, told):
        raise UsageError("--features: only what generates is judged by features; leave it out")
    dataset, missing = _own_data(model)
    own = evaluate(model.family, model.networks, feed(examples, model.schema, model.runtime.device))
    if isinstance(model.family, Classifier):
        judgement: Judgement = judge_classes(model, examples, dataset)
    elif isinstance(model.family, Regressor):
        judgement = judge_numbers(model, examples, dataset)
    elif isinstance(model.family, Labeller):
        judgement = judge_steps(model, examples, dataset)
    elif isinstance(model.family, Tagger):
        judgement = Plain(judge_tags(model, examples, dataset))
    elif isinstance(model.family, Coder):
        judgement = judge_codes(model, examples, dataset)
    elif isinstance(model.family, Forecaster):
        judgement = Plain(judge_forecasts(model, model.family, examples, dataset))
    elif isinstance(model.family, Writer):
        judgement = Plain(judge_texts(model, model.family, examples, dataset, own))
    elif isinstance(model.family, Detector) or not isinstance(model.family, Sampler):
        judgement, missing = Plain({"remarks": []}), ""
    else:
        judgement = judge_samples(model, examples, dataset, features, seed)
    figures: dict[str, Any] = {"family": model.settings.family, "split": split, **judgement.figures, **own}
    if missing:
        figures["remarks"] = [*figures["remarks"], missing]
    return replace(judgement, figures=figures)


def judge_forecasts(model: Model, family: Forecaster, windows: Examples, dataset: Dataset | None) -> dict[str, Any]:
    """Forecasts at every moment that some windows show, beside plain rules; see `metrics.forecasting.beside_rivals`.

    dataset: what the model was trained on. Its train tells the season, unless the settings do, and the scale of errors.
    """
    train = courses(dataset.train.loaded) if dataset else []
    season = getattr(model.settings, "season", None) or (season_of(train) if train else 1)
    scale = naive_scale(train, season) if train else None
    said = foretell(family, model.networks, model.schema, windows).quantiles
    return beside_rivals(torch.from_numpy(said), windows.loaded, season, scale)


def judge_texts(
    model: Model, family: Writer, passages: Examples, dataset: Dataset | None, own: Metrics
) -> dict[str, Any]:
    """What counting models of train come to on the same passages, as NAME_bits_per_character, and who loses to them.

    dataset: what the model was trained on. own: the network's figures. Returns: "rivals" by name, and "remarks".
    """
    if dataset is None:
        return {"remarks": []}
    device, key = model.runtime.device, "bits_per_character"
    batches = (in_order(feed(part, model.schema, device), BATCH_SIZE) for part in (dataset.train, passages))
    found = family.rivals(*batches)
    told = [
        f"it loses to the {name} model of train: {each[key]:.4f} bits a character against {own[key]:.4f}; train longer"
        for name, each in found.items()
        if each[key] <= own[key]
    ]
    return {**{f"{name}_{key}": each[key] for name, each in found.items()}, "rivals": found, "remarks": told}


def _own_data(model: Model) -> tuple[Dataset | None, str]:
    """What the model was trained on or, if it is not to be had, why there is nothing to compare with."""
    try:
        return model.own_data(), ""
    except (DataError, UsageError) as error:
        return None, f"no baseline, since its training data are not at hand: {str(error).partition(';')[0]}"
