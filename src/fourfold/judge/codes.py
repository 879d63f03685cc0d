"""An autoencoder's judgement: how much comes back, beside principal components of the same number."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import Dataset, Examples
from ..data.schema import Schema
from ..metrics.intervals import bootstrap
from ..metrics.reconstruction import WINDOW, error_per_example, similarity
from ..model import Model
from .examples import evenly, prepared
from .principal import fit_principal
from .spread import spread

MOST = 10_000  # examples that are looked at one by one
PIECE = 256  # pictures that are compared at a time


@dataclass(frozen=True)
class Restored:
    """figures: plain JSON. rows: examples (n, …) prepared, and what came back, by who gave it."""

    figures: dict[str, Any]
    examples: Examples
    rows: dict[str, Tensor]


def judge_codes(model: Model, examples: Examples, dataset: Dataset | None) -> Restored:
    """Errors of a model that encodes and decodes, in units of the prepared examples.

    dataset: what the model was trained on; without it there is no baseline.
    """
    chosen, schema = evenly(examples, MOST), model.schema
    restored, errors = model.reconstruct_examples(chosen)
    figures: dict[str, Any] = {"examined": len(chosen), "baselines": {}, "remarks": []}
    if chosen.lengths is not None or (dataset and dataset.train.lengths is not None):
        figures["remarks"].append("examples of unequal length have no principal components: no baseline is given")
        return Restored(figures | _intervals({"mse": torch.from_numpy(errors)}, {}), chosen, {})
    x = prepared(chosen, schema)
    rows = {"original": x}
    if schema.kind == "image":
        rows["reconstruction"] = torch.from_numpy(restored)
    own = _told(schema, x, rows.get("reconstruction"), torch.from_numpy(errors))
    rivals: dict[str, dict[str, Tensor]] = {}
    if dataset:
        size = int(getattr(model.family, "latent_size", 0))
        principal = fit_principal(dataset.train, schema, size)
        # A picture's values lie between 0 and 1, whoever gives it back.
        back = principal.reconstruct(x).clip(0, 1) if schema.kind == "image" else principal.reconstruct(x)
        rows["principal components"] = back
        mean = principal.mean.reshape(x.shape[1:]).expand_as(x)
        rivals = {name: _told(schema, x, each) for name, each in (("principal", back), ("mean", mean))}
        figures["baselines"] = {name: _means(each, schema) for name, each in rivals.items()}
        components = principal.directions.shape[1]
        figures["baselines"]["principal"] |= {"components": components, "learnt_from": principal.learnt_from}
        if size >= x[0].numel():
            figures["remarks"].append(
                f"a code has {size} numbers and an example {x[0].numel()}: nothing is made shorter; lower --latent-size"
            )
    figures |= _means(own, schema) | _intervals(own, rivals.get("principal", {}))
    figures["remarks"] += _remarks(figures, len(chosen))
    return Restored(figures, chosen, rows)


def _told(schema: Schema, x: Tensor, back: Tensor | None, errors: Tensor | None = None) -> dict[str, Tensor]:
    """Figures (n,) of each example: the squared error, and for pictures the structural similarity."""
    if errors is None:
        assert back is not None
        errors = error_per_example(x, back)
    told = {"mse": errors.double()}
    if back is not None and schema.kind == "image" and min(x.shape[2:]) >= WINDOW:
        pairs = zip(torch.split(x, PIECE), torch.split(back, PIECE), strict=True)
        told["ssim"] = torch.cat([similarity(a, b) for a, b in pairs])
    return told


def _means(told: dict[str, Tensor], schema: Schema) -> dict[str, float]:
    figures = {name: float(values.mean()) for name, values in told.items()}
    if schema.kind == "image" and figures["mse"] > 0:
        figures["psnr"] = -10 * math.log10(figures["mse"])
    return figures


def _intervals(own: dict[str, Tensor], rival: dict[str, Tensor]) -> dict[str, Any]:
    names = list(own)
    columns = torch.stack([*own.values(), *(rival[name] for name in names if rival)], dim=1)
    draws = bootstrap(lambda index: columns[index].mean(0), len(columns))
    means = [{name: float(side[name].mean()) for name in side} for side in (own, rival)]
    return spread(draws, names, *means)


def _remarks(figures: dict[str, Any], count: int) -> list[str]:
    if "differences" not in figures:
        return []
    rival = figures["baselines"]["principal"]
    components = f"{rival['components']} principal components"
    low, high = figures["differences"]["mse"]["interval"]
    errors = f"squared error {rival['mse']:.3g} against {figures['mse']:.3g}"
    if low > 0:
        return [f"it loses to {components} of train: {errors}; use those, or train otherwise"]
    if high >= 0:
        return [f"as far as {count} examples tell, {components} of train are as good: {errors}"]
    return []
