"""What opening, auditing and streaming data cost.

    python benchmarks/data.py --data DATA

DATA holds `photos.zip` (class folders of small JPEGs) and `mnist/` (IDX); what is not there
is left out. Each figure is of a process of its own, import not counted; rounds are
interleaved. Run it on a quiet machine.

pillow         every picture of the archive read and decoded by zipfile and Pillow, nothing else
cold, warm     `data.open`: with an empty store, and again
audit          the audit of all digits, once they are open
sparse         20 GB of pictures in one .npy (made sparse): opened, then batches of an epoch's first part
"""

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fourfold import data
from fourfold.data.audit import audit
from fourfold.data.feed import feed
from fourfold.data.order import batches
from fourfold.settings import DataSettings

SHAPE = (1_600_000, 64, 64, 3)
STEPS, BATCH = 2000, 128

Figures = dict[str, float]


def pillow(path: Path) -> Figures:
    started = time.perf_counter()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".jpg"):
                np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
    return {"seconds": time.perf_counter() - started}


def opened(path: Path) -> Figures:
    started = time.perf_counter()
    data.open(path, DataSettings())
    return {"seconds": time.perf_counter() - started}


def audited(path: Path) -> Figures:
    dataset = data.open(path, DataSettings())
    started = time.perf_counter()
    found = audit(dataset)
    return {"seconds": time.perf_counter() - started, "findings": len(found.findings)}


def sparse(path: Path) -> Figures:
    with (path / "x.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": SHAPE})
        file.truncate(file.tell() + int(np.prod(SHAPE, dtype=np.int64)))
    started = time.perf_counter()
    dataset = data.open(path / "x.npy", DataSettings())
    seconds = time.perf_counter() - started
    split = feed(dataset.train, dataset.schema, torch.device("cpu"))
    started = time.perf_counter()
    for step, batch in enumerate(split.batches(batches(len(split), 0, 1, BATCH)), 1):
        batch.x.mean()
        if step == STEPS:
            break
    rate = STEPS * BATCH / (time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "examples a second": rate, "peak MB": peak}


WORK: dict[str, Callable[[Path], Figures]] = {
    "pillow": pillow,
    "cold": opened,
    "warm": opened,
    "audit": audited,
    "sparse": sparse,
}


def alone(name: str, path: Path, cache: Path) -> Figures:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, "--data", str(path)]
    environment = {**os.environ, "FOURFOLD_CACHE": str(cache)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    figures: Figures = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", choices=WORK, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(WORK[options.measure](options.data)))
        return
    photos, digits = options.data / "photos.zip", options.data / "mnist"
    found: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            cache = Path(folder) / f"cache-{number}"
            for name in ("pillow", "cold", "warm") if photos.exists() else ():
                found.setdefault(name, []).append(alone(name, photos, cache))
            if digits.exists():
                found.setdefault("audit", []).append(alone("audit", digits, cache))
            found.setdefault("sparse", []).append(alone("sparse", Path(folder), cache))
    for name, rounds in found.items():
        for figure in rounds[0]:
            values = [each[figure] for each in rounds]
            print(f"{name:8}{figure:20}{statistics.median(values):12.2f}   ({min(values):.2f} to {max(values):.2f})")
    if "cold" in found:
        ratios = [a["seconds"] / b["seconds"] for a, b in zip(found["cold"], found["pillow"], strict=True)]
        print(f"cold / pillow {statistics.median(ratios):.2f}   ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
