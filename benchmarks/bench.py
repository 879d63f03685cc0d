"""Fourfold beside its peers, in one interleaved run: the same networks by each library, and who was faster.

    python benchmarks/bench.py --part cnn --data DIR

A part takes at most about 20 minutes; its results take the place of its earlier ones in `results/bench.json`, and
the page `RESULTS.md` and the picture `results.png` are drawn anew from all parts. Peers' environments are made where
they are missing. Run it on a quiet machine: the load before each turn is written down.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness import plot, results, table
from harness.environments import BENCHMARKS, python_of
from harness.material import material
from harness.plan import LIBRARIES, PARTS, WORKLOADS, Workload
from harness.runs import Run, turns

MINUTES = 17  # after which no round begins that would not end within 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("all", *PARTS), default="all")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each library, of a seed each")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="of each part; no round begins that would exceed it"
    )
    parser.add_argument("--data", default="mnist", help="MNIST as an IDX folder; default: the sample that ships")
    parser.add_argument("--out", type=Path, default=BENCHMARKS, help="folder for the page, the picture and results/")
    parser.add_argument("--draw", action="store_true", help="draw page and picture from the results that are there")
    options = parser.parse_args()

    data = str(Path(options.data).resolve()) if Path(options.data).exists() else options.data
    if not options.draw:
        for part in PARTS if options.part == "all" else (options.part,):
            measure(part, data, options.rounds, options.minutes, options.out)
    show(options.out)


def measure(part: str, data: str, rounds: int, minutes: float, out: Path) -> None:
    """Run a part and put its results into the file."""
    deadline = time.monotonic() + 60 * minutes
    path = out / "results" / "bench.json"
    before = results.load(path)
    workloads = [workload for workload in WORKLOADS.values() if workload.part == part]
    prepare(workloads)
    folder = path.parent / "data"
    given = [(workload, material(workload.network, workload.examples, data, folder)) for workload in workloads]
    runs = turns(given, rounds, deadline, tell)
    done = len({run.seed for run in runs})
    results.save(path, results.merge(before, part, results.circumstances(data, done), runs))


def prepare(workloads: Sequence[Workload]) -> None:
    """Make the environments of all who take part, before anything is timed."""
    names = {LIBRARIES[row.library].environment for workload in workloads for row in workload.rows}
    for name in sorted(name for name in names if name):
        python_of(name)


def tell(run: Run) -> None:
    """A line a turn."""
    what = ", ".join(f"{value:.3g} {name}" for name, value in run.figures.items())
    what = what or run.unavailable or run.failed
    loss = "" if run.loss is None else f", loss {run.loss:.4f}"
    who = f"{run.library} ({run.way}, {run.precision})"
    print(
        f"{run.workload} · {run.seed} · {who}: {what}{loss}; process {run.seconds:.1f} s, load {run.load}",
        file=sys.stderr,
    )


def show(out: Path) -> None:
    """Draw the page and the picture from all results, and print the summary."""
    found = results.load(out / "results" / "bench.json")
    runs = results.runs_of(found)
    (out / "RESULTS.md").write_text(table.page(found), encoding="utf-8")
    plot.draw(runs, out / "results.png")
    print(table.summary(runs))


if __name__ == "__main__":
    main()
