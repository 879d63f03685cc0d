"""How the preset to forecast was chosen, and what it reaches: the choosing looks at validation alone.

    python benchmarks/recipes_forecast.py choose sunspots --data DIR --try "cell=gru" --try "cell=none dropout=0"
    python benchmarks/recipes_forecast.py test co2 --data DIR --try "" --seeds 0 1 2

DIR holds sunspots.csv and co2.csv. `choose` judges every moment of a validation split that is as large as the test and
takes no part in training; `test` judges every moment of the test split by the preset as it is. Prints a Markdown row
for each candidate: the mean absolute scaled errors by seed and their mean, those of the rivals, coverage and seconds.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

import fourfold
from fourfold.families.contract import Forecaster
from fourfold.judge import judge_forecasts

DATA: dict[str, dict[str, Any]] = {"sunspots": {}, "co2": {"impute": "mean"}}
HELD_OUT = 0.25  # of what the test leaves: a fifth of all, as the test is


def judge(source: Path, settings: dict[str, Any], split: str) -> dict[str, Any]:
    """The figures of one training on a split, and the seconds that it took."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        model = fourfold.train(
            "rnn", source, task="forecast", out=f"{folder}/run", quiet=True, checkpoint_every="off", **settings
        )
        seconds = time.perf_counter() - started
        assert model.run is not None
        last = json.loads((model.run / "history.jsonl").read_text().splitlines()[-1])
    dataset = model.own_data()
    assert isinstance(model.family, Forecaster)
    figures = judge_forecasts(model, model.family, dataset.splits[split], dataset)
    figures["coverage"] = model.metrics[split]["coverage"]
    if split == "validation":  # by the last epoch: the best one would flatter
        figures["mase"] *= last["validation_mae"] / figures["mae"]
        figures["coverage"] = last["validation_coverage"]
    return {**figures, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose the recipe to forecast, or test it.")
    parser.add_argument("what", choices=["choose", "test"])
    parser.add_argument("name", choices=DATA)
    parser.add_argument("--data", type=Path, required=True, help="folder with the files")
    parser.add_argument(
        "--try", dest="candidates", action="append", required=True, help="settings, such as 'cell=gru layers=2'"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    choose = options.what == "choose"
    base = {**DATA[options.name], "threads": 1, **({"validation": HELD_OUT} if choose else {})}
    for candidate in options.candidates:
        settings = {k: yaml.safe_load(v) for k, v in (word.split("=", 1) for word in shlex.split(candidate))}
        found = []
        for seed in options.seeds:
            source = options.data / f"{options.name}.csv"
            found.append(judge(source, {**base, **settings, "seed": seed}, "validation" if choose else "test"))
            print(f"{options.name} {candidate}: {found[-1]}", file=sys.stderr, flush=True)
        every = ", ".join(f"{one['mase']:.3f}" for one in found)
        rivals = ", ".join(f"{name} {figures['mase']:.3f}" for name, figures in found[0]["rivals"].items())
        coverage, seconds = (mean(one[key] for one in found) for key in ("coverage", "seconds"))
        told = [options.name, candidate, f"{mean(one['mase'] for one in found):.3f}", every, rivals]
        print(f"| {' | '.join(told)} | {coverage:.2f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
