"""The classic networks beside the same networks in Keras: what Fourfold's `classic` presets are measured by.

    python benchmarks/classic.py --data DIR --seeds 0 1 2

Each library trains each network with each seed in a process of its own, one process after the other.
Prints a Markdown table and writes `benchmarks/results/classic.json`; progress goes to standard error.
The seconds are those of the whole process: imports, reading of data and compilation included.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from fourfold import __version__
from harness.environments import python_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SAMPLE = ROOT / "src/fourfold/data/samples/mnist"
RESULTS = HERE / "results/classic.json"
METRICS = {"cnn": "accuracy", "rnn": "accuracy", "autoencoder": "loss"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training: `figure` is the network's metric on the test split, `seconds` the whole process."""

    library: str
    network: str
    seed: int
    figure: float
    seconds: float
    versions: dict[str, str]


def document(*command: str | Path) -> tuple[dict[str, Any], float]:
    """The JSON document that a command prints, and the seconds it took."""
    words = [str(word) for word in command]
    started = time.perf_counter()
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True)
    seconds = round(time.perf_counter() - started, 2)
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)}\nended with exit code {done.returncode}; its own message stands above")
    return json.loads(done.stdout), seconds


def train_fourfold(network: str, seed: int, data: Path) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-m", "fourfold", "train", network, data, "--preset", "classic")
        options = ("--seed", str(seed), "--validation", "0", "--out", f"{folder}/run", "--json", "--quiet")
        result, seconds = document(*command, *options)
    return Run(
        library="Fourfold",
        network=network,
        seed=seed,
        figure=result["metrics"]["test"][METRICS[network]],
        seconds=seconds,
        versions={"python": platform.python_version(), "fourfold": __version__, "torch": version("torch")},
    )


def train_keras(network: str, seed: int, data: Path) -> Run:
    script = HERE / "peers/keras_classic.py"
    result, seconds = document(python_of("keras-jax"), script, network, "--data", data, "--seeds", str(seed))
    return Run(
        library=result["peer"],
        network=network,
        seed=seed,
        figure=result[METRICS[network]],
        seconds=seconds,
        versions=result["versions"],
    )


def summary(figures: Sequence[float]) -> str:
    """Mean ± sample standard deviation, then each seed's figure; a single figure stands alone."""
    if len(figures) == 1:
        return f"{figures[0]:.4f}"
    each = ", ".join(f"{figure:.4f}" for figure in figures)
    return f"{mean(figures):.4f} ± {stdev(figures):.4f} ({each})"


def table(runs: Sequence[Run]) -> str:
    """A Markdown table: a row a network; a library takes two columns, its figures and its mean seconds."""
    libraries = list(dict.fromkeys(run.library for run in runs))
    rows = [["network", "metric"], ["---", "---"]]
    for library in libraries:
        rows[0] += [library, "seconds"]
        rows[1] += ["---", "---:"]
    for network in dict.fromkeys(run.network for run in runs):
        row = [network, METRICS[network]]
        for library in libraries:
            own = [run for run in runs if (run.network, run.library) == (network, library)]
            row += [summary([run.figure for run in own]), f"{mean(run.seconds for run in own):.1f}"]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def circumstances(data: Path) -> dict[str, Any]:
    """What the figures depend on besides the libraries: the commit, the data and the machine."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    commit = subprocess.run(describe, check=False, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")  # Linux only; elsewhere the platform's own word
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return {
        "commit": commit or None,
        "data": os.path.relpath(data, ROOT),
        "cpu": models[0].partition(": ")[2] if models else platform.processor(),
        "cores": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Set the classic networks beside the same networks in Keras.")
    parser.add_argument("--data", type=Path, default=SAMPLE, help="IDX folder; default: the sample that ships")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="+", choices=METRICS, default=list(METRICS))
    parser.add_argument("--no-peers", action="store_true", help="run Fourfold alone")
    options = parser.parse_args()

    runs = []
    for network in options.networks:
        for seed in options.seeds:
            for train in [train_fourfold] if options.no_peers else [train_fourfold, train_keras]:
                runs.append(train(network, seed, options.data))
                last = runs[-1]
                print(f"{last.library} {network} seed {seed}: {last.figure:.4f}, {last.seconds} s", file=sys.stderr)

    RESULTS.parent.mkdir(exist_ok=True)
    results = {**circumstances(options.data), "runs": [asdict(run) for run in runs]}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table(runs))


if __name__ == "__main__":
    main()
