"""How the presets of the recurrent family were chosen, and what they reach: the choosing looks at train alone.

    python benchmarks/recipes_rnn.py choose gunpoint --data DIR --try "convolution=fcn pooling=mean" --try "cell=gru"
    python benchmarks/recipes_rnn.py test gunpoint --data DIR --try "preset=series"

DIR holds the files that `DATA` names. `choose` judges small sets with a test split by cross-validation within their
train file, the others by the last epoch on a validation split; `test` judges the test split. Prints a Markdown row for
each candidate: mean accuracy and cross-entropy, the accuracies by fold and seed, and the seconds of a training.
"""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

import fourfold

DIGITS = {"pattern": "{label}_{speaker}_{index}.wav"}


@dataclass(frozen=True, kw_only=True)
class Data:
    """One set of data: its files, how a test is split off, and how candidates are judged without it.

    folds: of the train file, for choosing; 0 chooses by a share for validation. tests: the flags of each test.
    """

    file: str
    folds: int = 0
    flags: dict[str, Any] = field(default_factory=dict)
    validation: float = 0.1
    tests: tuple[dict[str, Any], ...] = ({},)


DATA = {
    "vowels": Data(file="series/JapaneseVowels", folds=5),
    "gunpoint": Data(file="series/GunPoint", folds=5),
    "italy": Data(file="series/ItalyPowerDemand", folds=5),
    "digits": Data(file="spoken-digits.zip", flags=DIGITS, tests=({"test_on": "index=0,1,2,3,4"},)),
    "speakers": Data(
        file="spoken-digits.zip",
        flags={**DIGITS, "group": "speaker"},
        validation=0.2,  # a whole speaker of the five that are left
        tests=tuple({"fold": f"{k}/6"} for k in range(1, 7)),
    ),
    "movies": Data(file="movie-reviews.csv.gz", tests=tuple({"fold": f"{k}/10"} for k in range(1, 11))),
    "sms": Data(file="sms-spam.csv.gz"),
}


@dataclass(frozen=True)
class Judgement:
    """What one training came to: accuracy and cross-entropy on what judged it, and the seconds it took."""

    accuracy: float
    loss: float
    seconds: float


def train(source: Path, settings: dict[str, Any], by: str = "test") -> Judgement:
    """Train and judge by the test split, or by the last epoch on validation: the best one would flatter."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        model = fourfold.train("rnn", source, out=f"{folder}/run", quiet=True, checkpoint_every="off", **settings)
        seconds = time.perf_counter() - started
        if by == "test":
            return Judgement(model.metrics["test"]["accuracy"], model.metrics["test"]["loss"], seconds)
        assert model.run is not None
        records = [json.loads(line) for line in (model.run / "history.jsonl").read_text().splitlines()]
    last = [record for record in records if "validation_accuracy" in record][-1]
    return Judgement(last["validation_accuracy"], last["validation_loss"], seconds)


@contextmanager
def train_file(data: Data, root: Path) -> Iterator[Path]:
    """The train file alone, under a name by which no test file is found."""
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / f"{Path(data.file).name}.ts.gz"
        shutil.copy(root / f"{data.file}_TRAIN.ts.gz", alone)
        yield alone


def choose(data: Data, root: Path, settings: dict[str, Any], seeds: list[int], tests: int) -> Iterator[Judgement]:
    """Judgements by what chooses: folds of the train file, or validation beside each of the first `tests` tests."""
    if not data.folds:
        for flags, seed in product(data.tests[:tests], seeds):
            every = {**data.flags, **flags, **settings, "validation": data.validation, "seed": seed}
            yield train(root / data.file, every, "validation")
        return
    with train_file(data, root) as alone:
        for seed, k in product(seeds, range(1, data.folds + 1)):
            yield train(alone, {"validation": 0.0, **settings, "fold": f"{k}/{data.folds}", "seed": seed})


def test(data: Data, root: Path, settings: dict[str, Any], seeds: list[int], tests: int) -> Iterator[Judgement]:
    """Judgements by the first `tests` test splits."""
    source = root / (f"{data.file}_TRAIN.ts.gz" if data.folds else data.file)
    for flags, seed in product(data.tests[:tests], seeds):
        yield train(source, {"validation": 0.0, **data.flags, **flags, **settings, "seed": seed})


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose recipes of the recurrent family, or test them.")
    parser.add_argument("what", choices=["choose", "test"])
    parser.add_argument("name", choices=DATA)
    parser.add_argument("--data", type=Path, required=True, help="folder with the files")
    parser.add_argument(
        "--try", dest="candidates", action="append", required=True, help="settings, such as 'cell=gru layers=2'"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tests", type=int, default=10, help="how many of the test splits, where there are several")
    options = parser.parse_args()
    for candidate in options.candidates:
        settings = {k: yaml.safe_load(v) for k, v in (word.split("=", 1) for word in shlex.split(candidate))}
        judge = choose if options.what == "choose" else test
        found = []
        for one in judge(DATA[options.name], options.data, settings, options.seeds, options.tests):
            found.append(one)
            print(f"{options.name} {candidate}: {one}", file=sys.stderr, flush=True)
        accuracy, loss, seconds = (
            mean(getattr(one, name) for one in found) for name in ("accuracy", "loss", "seconds")
        )
        every = ", ".join(f"{one.accuracy:.4f}" for one in found)
        print(f"| {options.name} | {candidate} | {accuracy:.4f} | {loss:.4f} | {every} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
