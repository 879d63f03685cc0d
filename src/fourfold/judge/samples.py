"""A generator's judgement: how far its pictures are from real ones, and whether they are copies."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import Dataset, Examples
from ..errors import DataError
from ..metrics.generation import frechet, kernel_distance, nearest, precision_recall
from ..model import Model
from .examples import evenly, prepared
from .features import Features, features_of, fitting_features, random_features

MOST = 10_000  # pictures on each side
FEWEST = 20
SHOWN = 10  # generated pictures that are drawn beside the nearest real ones
UNEVEN = 0.4  # of an even share; what is farther from it is told
COPIED = 0.5  # generated pictures nearer to train than this share of the test's distance look like copies


@dataclass(frozen=True)
class Sampled:
    """figures: plain JSON. rows: generated pictures (n, channels, height, width) and the nearest real ones."""

    figures: dict[str, Any]
    rows: dict[str, Tensor]


def judge_samples(
    model: Model, examples: Examples, dataset: Dataset | None, extractor: Model | None = None, seed: int = 0
) -> Sampled:
    """Distances of generated pictures from real examples, as many of each, and of real ones from each other.

    dataset: what the model was trained on. extractor: a classifier whose features are used;
    without one a small one is trained on the dataset's labels, and where there are none, the
    network is a random one. Raises: UsageError or DataError if the extractor is not for such
    pictures.
    """
    test, train = _sides(examples, dataset)
    count = min(len(test), len(train))
    if count < FEWEST:
        told = f"{count} real pictures are too few for distances, which need {FEWEST}; judge on more"
        return Sampled({"compared": count, "remarks": [told]}, {})
    features = _features(model, dataset, extractor)
    pictures = {
        "real": prepared(evenly(test, count), model.schema),
        "train": prepared(train, model.schema),
        "generated": torch.from_numpy(model.generate(count, seed)),
    }
    described = {name: features.describe(each) for name, each in pictures.items()}
    known = described["train"][torch.arange(count) * len(train) // count]
    figures: dict[str, Any] = {
        "compared": count,
        "seed": seed,
        "features": features.told() | {"size": described["real"].shape[1]},
        "distances": _distances(described["real"], described["generated"]),
        "floor": {
            "of": "train against test" if dataset else "one half against the other",
            **_distances(described["real"], known),
        },
    }
    if features.classify is not None:
        figures["balance"] = _balance(features, pictures)
    found, rows = _neighbours(described, pictures)
    figures |= found
    figures["remarks"] = _remarks(figures)
    return Sampled(figures, rows)


def _sides(examples: Examples, dataset: Dataset | None) -> tuple[Examples, Examples]:
    """What generated pictures are compared with, and what stands for train: one half, if there is no train."""
    test = evenly(examples, MOST)
    if dataset:
        return test, evenly(dataset.train, MOST)
    places = torch.arange(len(test))
    return test.select(places[::2]), test.select(places[1::2])


def _features(model: Model, dataset: Dataset | None, extractor: Model | None) -> Features:
    if extractor is None:
        own = model.runtime
        return fitting_features(dataset, own) if dataset else random_features(model.schema.shape[0], own)
    if extractor.schema.shape != model.schema.shape:
        sizes = [" × ".join(map(str, each.schema.shape)) for each in (extractor, model)]
        raise DataError(f"--features: that classifier takes {sizes[0]} pictures, and these are {sizes[1]}")
    return features_of(extractor)


def _distances(real: Tensor, other: Tensor) -> dict[str, float]:
    precision, recall = precision_recall(real, other)
    return {
        "frechet": frechet(real, other),
        "kernel": kernel_distance(real, other),
        "precision": precision,
        "recall": recall,
    }


def _balance(features: Features, pictures: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """The share of each class, as the features' classifier tells them, of generated and of real pictures."""
    assert features.classify is not None
    k = len(features.classes)
    shares = {}
    for name in ("generated", "real"):
        told = features.classify(pictures[name]).argmax(1)
        shares[name] = (torch.bincount(told, minlength=k).double() / len(told)).tolist()
    return {name: {side: shares[side][i] for side in shares} for i, name in enumerate(features.classes)}


def _neighbours(described: dict[str, Tensor], pictures: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """How near the training pictures are, to generated ones and to real ones that no network has seen."""
    away, places = nearest(described["generated"], described["train"])
    real, _ = nearest(described["real"], described["train"])
    medians = {"generated": float(away.median()), "real": float(real.median())}
    rows = {"generated": pictures["generated"][:SHOWN], "nearest in train": pictures["train"][places[:SHOWN]]}
    return {"nearest": medians}, rows


def _remarks(figures: dict[str, Any]) -> list[str]:
    told = []
    shares = {name: share["generated"] for name, share in figures.get("balance", {}).items()}
    even = 1 / max(len(shares), 1)
    odd = [f"{name} {share:.1%}" for name, share in shares.items() if abs(share - even) > UNEVEN * even]
    if odd:
        told.append(f"classes are made unevenly, where {even:.1%} is even: {', '.join(odd)}")
    near = figures["nearest"]
    if near["generated"] < COPIED * near["real"]:
        told.append(
            "generated pictures are much nearer to the training pictures than real ones are: it may copy; "
            "look at the picture of neighbours"
        )
    return told
