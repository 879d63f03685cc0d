"""How the recipes of the convolutional network were chosen, and what they reach.

    python benchmarks/recipes_cnn.py mnist --data DATA --epochs 4 --examples 6000
    python benchmarks/recipes_cnn.py photos --data DATA --candidates narrow wide --seeds 0 1
    python benchmarks/recipes_cnn.py speakers --data DATA --epochs 12 --folds 2 --candidates recipe no-voice
    python benchmarks/recipes_cnn.py photos --data DATA --test --seeds 0 1 2

DATA is a folder with `mnist/` (four IDX files), `photos.zip` or `spoken-digits.zip`. Without
--test candidates are compared on examples held out of train, and the test split is never
judged; for `speakers` those are all that one speaker of train says. With --test the named
candidates (the recipe as it stands, if none is) are trained on all of train and judged on
the test split: to be asked once, after choosing.

Prints one line of JSON a training, then a Markdown table: mean ± sample standard deviation.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from fourfold import data, families
from fourfold.data.dataset import Dataset, Examples
from fourfold.data.feed import feed
from fourfold.data.fitting import moments
from fourfold.engine.evaluate import evaluate
from fourfold.engine.loop import Trainer
from fourfold.families.cnn.family import Cnn
from fourfold.families.cnn.settings import SOUND, CnnSettings
from fourfold.runtime import keep_freed_memory, start

SPOKEN = {"pattern": "{label}_{speaker}_{index}.wav"}
SPEAKERS = 6

# What is trained on: the data's place in DATA, and the settings that read and split it.
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "mnist": ("mnist", {}),
    "photos": ("photos.zip", {}),
    "digits": ("spoken-digits.zip", {**SPOKEN, "test_on": "index=0,1,2,3,4"}),
    "speakers": ("spoken-digits.zip", {**SPOKEN, "group": "speaker"}),
}

# The recipe as it stands and, under a name, what was tried in its place.
RECIPE: dict[str, dict[str, Any]] = {
    "mnist": {"preset": "resnet"},
    "photos": {"preset": "small"},
    "digits": {"preset": "small", **SOUND},
    "speakers": {"preset": "small", **SOUND},
}
TRIED: dict[str, dict[str, Any]] = {
    "recipe": {},
    "classic": {"preset": "classic"},
    "narrow": {"width": 16},
    "wide": {"width": 48},
    "deep": {"blocks": 2},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4},
    "gentle": {"learning_rate": 1e-3},
    "bold": {"learning_rate": 1e-2},
    "hard-labels": {"label_smoothing": 0.0},
    "no-dropout": {"dropout": 0.0},
    "no-average": {"ema": 0.0},
    "plain": {"augment": "none"},
    "moved": {"augment": "translate"},
    "moved-mirrored": {"augment": "flip,translate"},
    "cutout": {"augment": "default,cutout"},
    "colour": {"augment": "default,colour"},
    "cutmix": {"augment": "default,cutmix"},
    "mixup": {"augment": "default,mixup"},
    "default": {"augment": "default"},
    "no-voice": {"augment": "mask,bands"},
    "warp": {"augment": "default,warp"},
}


def settings_of(name: str, candidate: str, seed: int, asked: dict[str, Any]) -> CnnSettings:
    """The recipe for a data set, with what a candidate changes and what was asked for on the command line."""
    values = {**RECIPE[name], **SETS[name][1], **TRIED[candidate], **asked, "seed": seed}
    return CnnSettings.resolve(values.pop("preset"), **values)


def without_speaker(dataset: Dataset, speaker: str) -> Dataset:
    """The data with all that one speaker of train says as validation, and the schema fitted on the others."""
    heard = torch.tensor([name != speaker for name in dataset.train.fields["speaker"]])
    train, held = dataset.train.select(heard.nonzero()[:, 0]), dataset.train.select((~heard).nonzero()[:, 0])
    mean, std = moments(train)
    return replace(
        dataset, train=train, validation=held, schema=dataset.schema.model_copy(update={"mean": mean, "std": std})
    )


def part_of(examples: Examples, count: int | None) -> Examples:
    """Some of the examples, evenly spaced over a fixed shuffle; all if `count` is None."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))
    return examples if count is None else examples.select(order[:count].sort().values)


def runs(name: str, place: Path, settings: CnnSettings, test: bool) -> Iterable[Dataset]:
    """The data sets that a candidate is trained on, with what judges it as their validation."""
    if name != "speakers":
        yield data.open(place, settings.model_copy(update={"validation": 0.0} if test else {}))
        return
    for fold in range(1, SPEAKERS + 1):
        dataset = data.open(place, settings.model_copy(update={"fold": f"{fold}/{SPEAKERS}", "validation": 0.0}))
        others = sorted(set(dataset.train.fields["speaker"]))
        yield dataset if test else without_speaker(dataset, others[fold % len(others)])


def judged(dataset: Dataset, settings: CnnSettings, test: bool, views: bool) -> dict[str, float]:
    """Accuracy after training, by the split that judges: of the epochs that are kept, on test if `test`."""
    runtime = start(settings.device, settings.threads)
    family = families.create(dataset.schema, settings)
    trainer = Trainer(family, dataset, runtime)
    began = time.process_time()
    outcome = trainer.fit()
    cpu = time.process_time() - began
    held = dataset.test if test else dataset.validation
    assert held is not None
    split = feed(held, dataset.schema, runtime.device)
    found = {"accuracy": evaluate(family, outcome.networks, split)["accuracy"], "seconds": outcome.seconds, "cpu": cpu}
    if views:
        assert isinstance(family, Cnn)
        found["views"] = evaluate(family, family.viewed(outcome.networks), split)["accuracy"]
    return found


def table(rows: dict[str, list[float]]) -> str:
    """The candidates as a Markdown table, the best first."""
    lines = ["| candidate | accuracy | each |", "| --- | ---: | --- |"]
    for name, found in sorted(rows.items(), key=lambda row: -statistics.mean(row[1])):
        spread = f" ± {statistics.stdev(found):.4f}" if len(found) > 1 else ""
        lines.append(f"| {name} | {statistics.mean(found):.4f}{spread} | {', '.join(f'{one:.4f}' for one in found)} |")
    return "\n".join(lines)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--candidates", nargs="+", choices=list(TRIED), default=["recipe"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, help="fewer than the recipe's, for a first ranking")
    parser.add_argument("--examples", type=int, help="train on so many only")
    parser.add_argument("--folds", type=int, help="of the speakers, only the first so many")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--test", action="store_true", help="train on all of train, judge on the test split")
    parser.add_argument("--views", action="store_true", help="judge by several views of each example as well")
    return parser.parse_args()


def trained(chosen: argparse.Namespace, candidate: str, seed: int) -> Iterable[dict[str, float]]:
    """One candidate's figures, a run each."""
    asked = {name: value for name in ("epochs", "threads") if (value := getattr(chosen, name))}
    settings = settings_of(chosen.set, candidate, seed, asked)
    for dataset in islice(runs(chosen.set, chosen.data / SETS[chosen.set][0], settings, chosen.test), chosen.folds):
        part = replace(dataset, train=part_of(dataset.train, chosen.examples))
        yield judged(part, settings, chosen.test, chosen.views)


def main(chosen: argparse.Namespace) -> None:
    keep_freed_memory()
    rows: dict[str, list[float]] = {}
    for seed in chosen.seeds:
        for candidate in chosen.candidates:
            for figures in trained(chosen, candidate, seed):
                rows.setdefault(candidate, []).append(figures["accuracy"])
                told = {"at": time.strftime("%H:%M:%S"), "candidate": candidate, "seed": seed, **figures}
                print(json.dumps(told), flush=True)
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    main(options())
