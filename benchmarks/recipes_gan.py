"""Which recipe of the gan makes the best pictures in the same time, as a classifier of the same data sees them.

    fourfold train cnn DATA --out judge
    python benchmarks/recipes_gan.py DATA --judge judge --minutes 20 --seeds 0 1 2
    python benchmarks/recipes_gan.py DATA --judge judge --minutes 20 --try "preset=r3gan width=48" --try "preset=dcgan"

Each recipe gets as many epochs as fit into the time, at the speed of its own first steps, so the machine has to be
quiet, or the epochs be spelt ("preset=dcgan epochs=13"); the seconds that it took stand in the table. The pictures are
judged by the penultimate features of the judge,
whose weights' hash is printed, against the test split: Fréchet and kernel distance, precision and recall, and how
often the rarest and the commonest class are made, 1 being even. The first row is the floor: real pictures of train.
"""

import argparse
import hashlib
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

import fourfold as ff
from fourfold import data, families
from fourfold.data.dataset import Dataset
from fourfold.data.order import batches
from fourfold.engine.loop import Trainer
from fourfold.families.gan.settings import GanSettings
from fourfold.metrics.generation import frechet, kernel_distance, precision_recall
from fourfold.runtime import keep_freed_memory, start

RECIPES = ("preset=r3gan", "preset=dcgan")
WARM, TIMED = 5, 30  # steps
COUNT = 10_000  # pictures
FEW = 5_000  # of them, where the cost is the square of their number
NAMES = ("epochs", "seconds", "Fréchet", "kernel", "precision", "recall", "rarest", "commonest")


class Judge:
    """A classifier's penultimate features (n, d) of pictures, and its classes of them."""

    def __init__(self, place: str) -> None:
        self.model = ff.load(place)
        path = next(Path(place).rglob("weights.safetensors"))
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.seen: list[Tensor] = []
        last = [layer for layer in self.model.networks["classifier"].modules() if isinstance(layer, nn.Linear)][-1]
        last.register_forward_pre_hook(lambda _, given: self.seen.append(given[0].float().cpu()))

    def __call__(self, pictures: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor]:
        """Features (n, d), and the place of each one's likeliest class (n,)."""
        self.seen.clear()
        classes = torch.from_numpy(np.asarray(self.model.predict(pictures))).argmax(1)
        return torch.cat(self.seen), classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--judge", required=True, help="a cnn's run or model, trained on the same pictures")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--try", action="append", dest="recipes", metavar='"NAME=VALUE …"')
    parser.add_argument("--out", type=Path, help="a folder to keep the runs in, not there yet")
    options = parser.parse_args()

    keep_freed_memory()
    judge = Judge(options.judge)
    dataset = data.open(options.data, GanSettings.resolve())
    assert dataset.test is not None
    test, floor = (part.loaded[:COUNT].float().numpy() / 255 for part in (dataset.test, dataset.train))
    real, _ = judge(test)
    print(f"judge: {options.judge}, SHA-256 {judge.sha256}; {len(real):,} test pictures against as many others")
    print(f"| recipe | seed | {' | '.join(NAMES)} |\n| --- | ---: |{' ---: |' * len(NAMES)}")
    tell("real pictures of train", 0, 0, 0, figures(real, *judge(floor)))
    for words in options.recipes or RECIPES:
        for seed in options.seeds:
            values = spelt(words)
            asked = GanSettings.resolve(**values, seed=seed, threads=options.threads)
            epochs = values.get("epochs") or affordable(asked, dataset, options.minutes * 60)
            settings = asked.model_dump() | {"epochs": epochs}
            with tempfile.TemporaryDirectory() as folder:
                kept = (options.out or Path(folder)) / f"{words.replace(' ', '-').replace('=', '-')}-{seed}"
                model = ff.train("gan", options.data, out=kept, quiet=True, **settings)
            figure = figures(real, *judge(model.generate(len(real), seed)))
            tell(words, seed, model.origin.epochs, model.origin.seconds, figure)


def spelt(words: str) -> dict[str, Any]:
    """Settings as words, such as "preset=dcgan width=32", by name."""
    return {name: yaml.safe_load(value) for name, value in (word.split("=", 1) for word in words.split())}


def affordable(settings: GanSettings, dataset: Dataset, seconds: float) -> int:
    """How many epochs fit into the time, told by a few steps and one judgement; 1 at least."""
    trainer = Trainer(families.create(dataset.schema, settings), dataset, start("cpu", settings.threads))
    pieces = batches(len(trainer.train), settings.seed, 1, settings.batch_size)
    began = 0.0
    for step, batch in enumerate(trainer.train.batches(islice(pieces, WARM + TIMED))):
        if step == WARM:
            began = time.perf_counter()
        trainer.take_step(batch)
    a_step = (time.perf_counter() - began) / TIMED
    began = time.perf_counter()
    trainer.judgement()
    judging = time.perf_counter() - began
    return max(1, int(seconds / (a_step * trainer.steps + judging)))


def figures(real: Tensor, made: Tensor, classes: Tensor) -> list[float]:
    """What the table tells of features (n, d) and the classes (n,) that they are taken for."""
    shares = torch.bincount(classes, minlength=10).double() / len(classes) * 10
    precision, recall = precision_recall(real[:FEW], made[:FEW])
    distances = [frechet(made, real), kernel_distance(made[:FEW], real[:FEW])]
    return [*distances, precision, recall, float(shares.min()), float(shares.max())]


def tell(recipe: str, seed: int, epochs: int, seconds: float, figure: list[float]) -> None:
    told = " | ".join(f"{value:.3f}" for value in figure)
    print(f"| {recipe} | {seed} | {epochs} | {seconds:.0f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
