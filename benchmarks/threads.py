"""What torch's threads cost where others use the same cores, and how they had better wait for each other.

    python benchmarks/threads.py --rounds 3

ms a step of the classic networks on random examples, by the number of threads and by the way in which idle ones wait
(`OMP_WAIT_POLICY` and `GOMP_SPINCOUNT`, which libgomp reads when torch is imported), alone and beside processes that
each keep one core busy. Every figure comes from a process of its own; the ways take turns, round by round. The tables
tell the median of the rounds and the fastest and slowest one, and how many cores others used meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import NamedTuple


class Way(NamedTuple):
    """So many threads, which wait as these environment variables say."""

    threads: int
    environment: dict[str, str]


WORK = {"cnn": 128, "rnn": 32, "autoencoder": 256, "gan": 64}  # batch sizes
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
WAYS = {
    "1 thread": Way(1, {}),
    "2 threads": Way(2, {}),
    "2, passive": Way(2, {"OMP_WAIT_POLICY": "passive"}),
    "2, spin 1,000": Way(2, {"GOMP_SPINCOUNT": "1000"}),
    "2, spin 10,000": Way(2, {"GOMP_SPINCOUNT": "10000"}),
}


def measure(threads: int, seconds: float) -> None:
    """Print ms a step of each network, over about so many seconds, and the cores that others used meanwhile."""
    import torch

    from fourfold.cores import Sample
    from fourfold.data.dataset import Dataset, Examples
    from fourfold.data.schema import Schema
    from fourfold.engine.loop import Trainer
    from fourfold.families import create, settings_of
    from fourfold.runtime import keep_freed_memory, start

    keep_freed_memory()
    schema = Schema(kind="image", shape=(1, 28, 28), classes=tuple("0123456789"))
    examples = Examples(torch.randint(0, 256, (512, 1, 28, 28), dtype=torch.uint8), [""] * 512, torch.arange(512) % 10)
    dataset = Dataset(schema, examples, None, None, source="", fingerprint="", held_out={})
    before, times = Sample.now(), {}
    for family, batch_size in WORK.items():
        settings = settings_of(family).resolve(
            "dcgan" if family == "gan" else "classic", batch_size=batch_size, epochs=1
        )
        trainer = Trainer(create(schema, settings), dataset, start("cpu", threads))
        batch = trainer.train.gather(torch.arange(batch_size))
        trainer.take_step(batch)
        count, started = 0, time.perf_counter()
        while (spent := time.perf_counter() - started) < seconds:
            trainer.take_step(batch)
            count += 1
        times[family] = 1000 * spent / count
    after = Sample.now()
    others = after.others(before) if before and after else float("nan")
    print(json.dumps({"others": others, **times}))


@contextmanager
def beside(count: int) -> Iterator[None]:
    """While so many processes keep a core busy each."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def once(way: Way, seconds: float) -> dict[str, float]:
    """What `measure` prints in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(way.threads), "--seconds", str(seconds)]
    plain = {name: value for name, value in os.environ.items() if name not in (*WAITING, "OMP_NUM_THREADS")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=plain | way.environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(busy: int, found: dict[str, list[dict[str, float]]]) -> str:
    """A Markdown table: a row a way, a column a network, then the cores that others used."""
    names = [*WORK, "others"]
    heads = [*(f"{name}, batch {size}" for name, size in WORK.items()), "others' cores"]
    lines = [f"| {busy} busy beside | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    for way, rounds in found.items():
        columns = [[figures[name] for figures in rounds] for name in names]
        cells = [f"{median(column):.3g} ({min(column):.3g}–{max(column):.3g})" for column in columns]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each network in each round")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="processes beside")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        measure(options.measure, options.seconds)
        return
    for busy in options.busy:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
        with beside(busy):
            for _ in range(options.rounds):
                for name, way in WAYS.items():
                    found[name].append(once(way, options.seconds))
        print(table(busy, found), flush=True)


if __name__ == "__main__":
    main()
