"""The file of results: parts that were run at different times, each with what its figures depend on."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from .environments import BENCHMARKS
from .runs import Run

Results = dict[str, dict[str, Any]]  # by part: circumstances and runs


def load(path: Path) -> Results:
    """What is there already. Raises: SystemExit if that is not ours."""
    if not path.exists():
        return {}
    try:
        results: Results = json.loads(path.read_text(encoding="utf-8"))
        runs_of(results)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SystemExit(f"{path}: not results of this benchmark ({error}); move it away") from None
    return results


def merge(results: Results, part: str, circumstances: dict[str, Any], runs: Sequence[Run]) -> Results:
    """The results with a part put in the place of what stood there."""
    return {**results, part: {"circumstances": circumstances, "runs": [asdict(run) for run in runs]}}


def save(path: Path, results: Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def runs_of(results: Results) -> list[Run]:
    """Every turn of every part."""
    return [Run(**run) for part in results.values() for run in part["runs"]]


def circumstances(data: str, rounds: int) -> dict[str, Any]:
    """What figures depend on besides the libraries: the commit, the data, the machine, the date."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    commit = subprocess.run(describe, check=False, cwd=BENCHMARKS, capture_output=True, text=True).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")  # Linux only; elsewhere the platform's own word
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return {
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "commit": commit or "unknown",
        "data": Path(data).name,
        "rounds": rounds,
        "cpu": models[0].partition(": ")[2] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
