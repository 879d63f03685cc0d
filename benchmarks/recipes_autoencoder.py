"""What the autoencoder's recipes reach: errors beside principal components, detection, compression.

    python benchmarks/recipes_autoencoder.py codes --data DATA [--preset dense] [--epochs 12]
    python benchmarks/recipes_autoencoder.py digits --data DATA [--classes 0,1,8] [--epochs 20]
    python benchmarks/recipes_autoencoder.py cancer [--seeds 0,1,2]

DATA is MNIST in IDX files, or the sample's name, mnist. `codes` compares a code of 32 numbers with 32
principal components on the test split. `digits` trains on one class, ten times, and tells it from
the rest; `cancer` trains on benign tumours. A line of JSON a run, then the mean.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fourfold as ff
from fourfold.compress import compare, compress


def codes(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    settings = {"epochs": options.epochs} if options.epochs else {}
    for seed in numbers(options.seeds):
        run = folder / str(seed)
        model = ff.train(
            "autoencoder",
            options.data,
            preset=options.preset,
            latent_size=32,
            seed=seed,
            out=run,
            quiet=True,
            **settings,
        )
        dataset = model.own_data()
        assert dataset.test is not None
        told = compare(model, dataset.test, compress(model, dataset.test), dataset)
        exact = model.metrics["test"]["mse"]
        yield {
            "seed": seed,
            "seconds": model.origin.seconds,
            "mse": exact,
            "value": told["mse"] / told["principal"]["mse"],
        } | told


def digits(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    for name in options.classes.split(","):
        yield detected(options, folder / name, options.data, normal=name) | {"normal": name}


def cancer(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    for seed in numbers(options.seeds):
        yield detected(options, folder / str(seed), "cancer", normal="benign", validation=0.2, seed=seed) | {
            "seed": seed
        }


def detected(options: argparse.Namespace, run: Path, data: str, **settings: Any) -> dict[str, Any]:
    """The test's figures of a detector; "value" is the area under its receiver operating characteristic."""
    if options.epochs:
        settings["epochs"] = options.epochs
    model = ff.train("autoencoder", data, task="detect", out=run, quiet=True, **settings)
    figures = model.metrics["test"]
    told = {name: figures[name] for name in ("auprc", "false_alarms", "found")}
    return {"value": figures["auroc"], **told, "seconds": model.origin.seconds}


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


FIGURES = {"codes": codes, "digits": digits, "cancer": cancer}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=FIGURES)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--preset", default="dense")
    parser.add_argument("--epochs", type=int, default=0, help="0 takes the preset's")
    parser.add_argument("--classes", default="0,1,2,3,4,5,6,7,8,9")
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    values = []
    with tempfile.TemporaryDirectory() as folder:
        for row in FIGURES[options.figure](options, Path(folder)):
            values.append(row["value"])
            print(json.dumps(row), flush=True)
    print(json.dumps({"mean": sum(values) / len(values), "runs": len(values)}))


if __name__ == "__main__":
    main()
