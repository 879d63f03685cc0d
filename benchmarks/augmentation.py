"""What augmentation costs: milliseconds a batch of 128 pictures of 3 × 32 × 32, beside gathering that batch.

    python benchmarks/augmentation.py
    python benchmarks/augmentation.py --device cuda --repeats 1000

Prints the median and the fastest of the repeats, for each operation alone, the default set
and all at once. The pictures are noise: the cost does not depend on what they show.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from fourfold.data.augment import NAMES, Augmentation, default_names
from fourfold.data.dataset import Batch, Examples
from fourfold.data.feed import Resident
from fourfold.data.schema import Schema
from fourfold.runtime import start

STORED = 10_000  # pictures from which batches are gathered
CLASSES = tuple("0123456789")


def milliseconds(work: Callable[[int], Batch], repeats: int, device: torch.device) -> list[float]:
    """How long each of so many calls took, waiting for the device after each."""
    times = []
    for step in range(-10, repeats):  # the first ten warm up
        started = time.perf_counter()
        work(step)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if step >= 0:
            times.append(1000 * (time.perf_counter() - started))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--size", type=int, default=32, help="pixels a side")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()

    runtime = start(options.device, options.threads)
    schema = Schema(kind="image", shape=(3, options.size, options.size), classes=CLASSES)
    random = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (STORED, *schema.shape), dtype=torch.uint8, generator=random)
    y = torch.randint(0, len(CLASSES), (STORED,), generator=random)
    resident = Resident(Examples(x, [""] * STORED, y), schema, runtime.device)
    index = torch.randperm(STORED, generator=random)[: options.batch_size]
    batch = resident.gather(index)

    sets: dict[str, tuple[str, ...]] = {name: (name,) for name in NAMES["image"]}
    sets |= {"the default set": default_names(schema), "all": NAMES["image"]}
    works: dict[str, Callable[[int], Batch]] = {"gathering the batch": lambda step: resident.gather(index)}
    for name, names in sets.items():
        works[name] = bound(Augmentation(names, schema), batch)
    print(f"{options.batch_size} pictures of 3 × {options.size} × {options.size}, {runtime.name}\n")
    print("| | median ms | fastest ms |\n| --- | ---: | ---: |")
    for name, work in works.items():
        times = milliseconds(work, options.repeats, runtime.device)
        print(f"| {name} | {statistics.median(times):.3f} | {min(times):.3f} |")


def bound(augmentation: Augmentation, batch: Batch) -> Callable[[int], Batch]:
    """One augmentation of one batch, as a function of the step."""
    return lambda step: augmentation.apply(batch, 0, step)


if __name__ == "__main__":
    main()
