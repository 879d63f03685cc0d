"""What unlabelled pictures add to few labelled ones: the same network, order and steps, with and without them.

    OMP_NUM_THREADS=1 python benchmarks/unlabelled.py --data mnist/ --seeds 0 1 2
    OMP_NUM_THREADS=1 python benchmarks/unlabelled.py --data mnist/ --confidence 0.8 0.95 --judge validation

DATA is whatever `fourfold train cnn` reads that has classes: a folder with MNIST's four IDX files, pictures in class
folders, a sample's name. Each seed draws --labels examples of every class from train to be labelled, then --held
others to choose settings by (--judge validation), then --unlabelled others whose labels are thrown away; which these
are depends on the seed alone. The test split is that of the data. Settings are chosen on validation; the test is asked
once, after choosing. All are judged after their last step.

    labelled       the preset's recipe on the labelled examples alone
    harder         the same with cutout, which the strong view of unlabelled examples has as well
    unlabelled     with the unlabelled examples, under each of --confidence and --weight

Prints a Markdown row for each training, then mean ± sample standard deviation over the seeds.
"""

import argparse
import statistics
import sys
from dataclasses import replace
from typing import Any

import torch

from fourfold import data, families
from fourfold.data.dataset import Dataset
from fourfold.data.feed import feed
from fourfold.engine.evaluate import evaluate
from fourfold.engine.loop import Trainer
from fourfold.families.cnn.settings import CnnSettings
from fourfold.runtime import generator, keep_freed_memory, start
from fourfold.settings import enough_epochs

KINDS = ("labelled", "harder", "unlabelled")


def divided(dataset: Dataset, labels: int, held: int, unlabelled: int, seed: int) -> Dataset:
    """Few labelled examples of every class, others to choose by and others without a label."""
    train = dataset.train
    assert train.y is not None
    order = torch.randperm(len(train), generator=generator(seed, "labelled"))
    y = train.y[order]
    first = torch.cat([order[y == one][:labels] for one in range(len(dataset.schema.classes or ()))])
    rest = order[~torch.isin(order, first)]
    return replace(
        dataset,
        train=train.select(first),
        validation=train.select(rest[:held]),
        unlabelled=replace(train.select(rest[held : held + unlabelled]), y=None),
    )


def trained(dataset: Dataset, settings: CnnSettings, judge: str) -> tuple[float, float]:
    """The accuracy after the last step, and the seconds that it took."""
    trainer = Trainer(families.create(dataset.schema, settings), replace(dataset, validation=None), start("cpu"))
    outcome = trainer.fit()
    judged = dataset.splits[judge]
    metrics = evaluate(trainer.family, outcome.networks, feed(judged, dataset.schema, trainer.runtime.device))
    return metrics["accuracy"], outcome.seconds


def candidates(chosen: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What is compared, as settings put over the preset's."""
    beside = {
        f"unlabelled, confidence {confidence:g}, weight {weight:g}": {
            "unlabelled": chosen.data,
            "confidence": confidence,
            "unlabelled_weight": weight,
            "unlabelled_ratio": chosen.ratio,
        }
        for confidence in chosen.confidence
        for weight in chosen.weight
    }
    alone: dict[str, dict[str, Any]] = {"labelled": {}, "harder": {"augment": "default,cutout"}}
    every = alone | beside
    return {name: every[name] for name in every if name.partition(",")[0] in chosen.candidates}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--labels", type=int, default=10, help="of every class")
    parser.add_argument("--unlabelled", type=int, default=5000)
    parser.add_argument("--held", type=int, default=1000)
    parser.add_argument("--judge", choices=["validation", "test"], default="test")
    parser.add_argument("--preset", choices=["resnet", "small"], default="small")
    parser.add_argument("--width", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--ratio", type=int, default=3)
    parser.add_argument("--confidence", type=float, nargs="+", default=[0.95])
    parser.add_argument("--weight", type=float, nargs="+", default=[1.0])
    parser.add_argument("--candidates", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    return parser.parse_args()


def main(chosen: argparse.Namespace) -> None:
    keep_freed_memory()
    found: dict[str, list[float]] = {}
    print(f"| candidate | seed | {chosen.judge} accuracy | seconds |\n| --- | ---: | ---: | ---: |", flush=True)
    for seed in chosen.seeds:
        shared: dict[str, Any] = {"seed": seed, "batch_size": chosen.batch_size, "width": chosen.width}
        whole = data.open(chosen.data, CnnSettings.resolve(chosen.preset, validation=0.0))
        dataset = divided(whole, chosen.labels, chosen.held, chosen.unlabelled, seed)
        shared["epochs"] = enough_epochs(len(dataset.train), chosen.batch_size, chosen.steps, least=1)
        for name, changes in candidates(chosen).items():
            settings = CnnSettings.resolve(chosen.preset, **shared, **changes)
            taken = dataset if settings.unlabelled else replace(dataset, unlabelled=None)
            accuracy, seconds = trained(taken, settings, chosen.judge)
            found.setdefault(name, []).append(accuracy)
            print(f"| {name} | {seed} | {accuracy:.4f} | {seconds:.0f} |", flush=True)
    for name, every in found.items():
        spread = f" ± {statistics.stdev(every):.4f}" if len(every) > 1 else ""
        print(f"{name}: {statistics.mean(every):.4f}{spread}", file=sys.stderr)


if __name__ == "__main__":
    main(options())
