"""What keeping freed memory between steps gains (`runtime.keep_freed_memory`).

    python benchmarks/malloc.py

Trains on random pixels in processes of their own, in turns with glibc as it comes and with
memory kept, and prints ms a step of the second epoch, a column a round. Run it on a quiet machine.
"""

import argparse
import json
import subprocess
import sys
import time

import torch

from fourfold.data.dataset import Dataset, Examples
from fourfold.data.schema import Schema
from fourfold.engine.loop import Trainer
from fourfold.families import create, settings_of
from fourfold.runtime import keep_freed_memory, start

WORK = {"cnn": (128, 2560), "cnn, small batch": (32, 2560), "autoencoder": (256, 12_800), "gan": (128, 1280)}


def milliseconds(family: str, batch_size: int, count: int) -> float:
    """ms a step of a family's second epoch on `count` random pictures of 28×28."""
    schema = Schema(kind="image", shape=(1, 28, 28), classes=tuple("0123456789"))
    x = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)
    examples = Examples(x, [""] * count, torch.randint(0, 10, (count,)))
    dataset = Dataset(schema, examples, None, None, source="", fingerprint="", held_out={})
    settings = settings_of(family).resolve("dcgan" if family == "gan" else "classic", batch_size=batch_size, epochs=2)
    trainer = Trainer(create(schema, settings), dataset, start("cpu"))
    trainer.run_epoch(1)
    started = time.perf_counter()
    trainer.run_epoch(2)
    return 1000 * (time.perf_counter() - started) / trainer.steps


def measure(keep: bool) -> None:
    if keep:
        keep_freed_memory()
    times = {name: milliseconds(name.split(",")[0], *sizes) for name, sizes in WORK.items()}
    print(json.dumps(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--measure", choices=("default", "kept"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure == "kept")
        return
    found: dict[str, dict[str, list[float]]] = {name: {"default": [], "kept": []} for name in WORK}
    for _ in range(options.rounds):
        for way in ("default", "kept"):
            command = [sys.executable, __file__, "--measure", way]
            times = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for name, value in times.items():
                found[name][way].append(value)
    print("| network | batch | glibc as it comes | kept |\n| --- | ---: | ---: | ---: |")
    for name, ways in found.items():
        columns = [", ".join(f"{value:.1f}" for value in values) for values in ways.values()]
        print(f"| {name.split(',')[0]} | {WORK[name][0]} | {columns[0]} | {columns[1]} |")


if __name__ == "__main__":
    main()
