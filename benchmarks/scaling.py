"""What more data cost: an epoch's time grows as their number does, and memory as their bytes do.

    python benchmarks/scaling.py --data DIR

The classic CNN at batch 128 on 1×, 2×, 4× and 8× as many examples, in turn, round after round: seconds of an epoch an
example, which should stay within 10%. Then the greatest memory of a process that trains on all of MNIST's 60,000,
less that of one which trains on 256: the libraries' and the network's own. It should be at most 1.5 times the data.
"""

import argparse
import resource
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from harness.material import TEST, material
from harness.plan import OURS
from harness.runs import ask
from peers.work import Answer, Job

TIMES = (1, 2, 4, 8)
WITHIN = 0.1  # of the cost of an example
MOST = 1.5  # bytes of memory a byte of data
FEW, MANY = 256, 60_000  # examples
BATCH = 128


def train(data: Path, epochs: int, seed: int = 0) -> Answer:
    """One training in a process of its own. Raises: SystemExit with what went wrong."""
    job = Job(network="cnn", task="train", data=str(data), batch_size=BATCH, epochs=epochs, seed=seed)
    answer, _, failed = ask(OURS, job)
    if failed or answer.unavailable:
        raise SystemExit(failed or answer.unavailable)
    return answer


def memory(few: Path, many: Path) -> tuple[int, int]:
    """The greatest memory of a process that trains on few examples and of one that trains on many, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    found = []
    for data in (few, many):
        train(data, 1)
        found.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit)  # of all so far, the greatest
    return found[0], found[1]


def costs(data: dict[int, Path], least: int, rounds: int) -> dict[int, float]:
    """Microseconds an example of an epoch after the first, by how many times `least` there are."""
    found: dict[int, list[float]] = {times: [] for times in TIMES}
    for seed in range(rounds):
        for times in TIMES:
            seconds = median(train(data[times], 3, seed).seconds[1:])
            found[times].append(1e6 * seconds / (least * times))
    return {times: median(values) for times, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist", help="MNIST as an IDX folder; default: the sample that ships")
    parser.add_argument("--least", type=int, default=4_096, help="examples in 1×")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    with TemporaryDirectory() as folder:
        few, many = (material("cnn", count, options.data, Path(folder)) for count in (FEW, MANY))
        small, great = memory(few, many)
        share = (great - small) / (784 * (MANY + TEST))
        data = {times: material("cnn", options.least * times, options.data, Path(folder)) for times in TIMES}
        found = costs(data, options.least, options.rounds)
    print("| examples | µs an example | beside 1× |\n| ---: | ---: | ---: |")
    for times, cost in found.items():
        print(f"| {options.least * times:,} | {cost:.1f} | {cost / found[1] - 1:+.1%} |")
    worst = max(abs(cost / found[1] - 1) for cost in found.values())
    print(f"\n{'met' if worst <= WITHIN else 'missed'}: within {worst:.1%} of 1×, {WITHIN:.0%} are promised")
    told = f"{great / 1e6:.0f} MB, of which {small / 1e6:.0f} MB without the data: {share:.2f} bytes a byte of data"
    print(f"{'met' if share <= MOST else 'missed'}: {told}, {MOST} are promised")


if __name__ == "__main__":
    main()
