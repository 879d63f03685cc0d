"""Turns: one library after the other does the same work, each in a process of its own, round after round."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from peers.work import Answer, Job

from .environments import BENCHMARKS, python_of
from .plan import LIBRARIES, Row, Workload

LONGEST = 400  # seconds; a turn that takes longer has failed


@dataclass(frozen=True, kw_only=True)
class Run:
    """One turn.

    figures: what was timed, by name, in ms (the whole process in s). load: the machine's average of the last minute,
    before the turn. busy: cores in use just before it, None where the system does not tell.
    """

    workload: str
    library: str
    way: str
    precision: str
    seed: int
    seconds: float
    figures: dict[str, float] = field(default_factory=dict)
    loss: float | None = None
    accuracy: float | None = None
    parameters: int | None = None
    load: float = 0.0
    busy: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    unavailable: str = ""
    failed: str = ""

    @property
    def row(self) -> Row:
        """Whose turn it was."""
        return Row(library=self.library, way=self.way, precision=self.precision)


def turns(
    workloads: Sequence[tuple[Workload, Path]], rounds: int, deadline: float, tell: Callable[[Run], None]
) -> list[Run]:
    """All turns, A B C A B C within each workload; the round's number is the seed.

    deadline: by `time.monotonic`; no round begins that would last beyond it if it took as long as the longest so far.
    """
    runs: list[Run] = []
    longest = 0.0
    for seed in range(rounds):
        began = time.monotonic()
        if began + longest > deadline:
            print(f"time is up after {seed} rounds of {rounds}", file=sys.stderr)
            break
        for workload, data in workloads:
            for row in workload.rows:
                runs.append(take_turn(workload, row, seed, data))
                tell(runs[-1])
        longest = max(longest, time.monotonic() - began)
    return runs


def take_turn(workload: Workload, row: Row, seed: int, data: Path) -> Run:
    """One library does the work once."""
    job = Job(
        network=workload.network,
        task=workload.task,
        data=str(data),
        batch_size=workload.batch_size,
        epochs=workload.epochs,
        seed=seed,
        precision=row.precision,
        tuned=row.way == "tuned",
    )
    machine: dict[str, Any] = {"load": round(os.getloadavg()[0], 2), "busy": busy_cores()}
    who = {"workload": workload.name, **asdict(row), "seed": seed, **machine}
    answer, seconds, failed = ask(row.library, job)
    told = asdict(answer)
    return Run(
        **who,
        seconds=round(seconds, 3),
        figures={} if failed or answer.unavailable else figures(workload.task, answer, seconds),
        failed=failed,
        **{name: told[name] for name in ("loss", "accuracy", "parameters", "versions", "unavailable")},
    )


def ask(library: str, job: Job) -> tuple[Answer, float, str]:
    """Returns: the worker's answer, its whole process' seconds, and what went wrong, if anything did."""
    peer = LIBRARIES[library]
    python = python_of(peer.environment) if peer.environment else sys.executable
    command = [str(python), "-m", f"peers.{peer.module}"]
    variables = {**os.environ, **peer.variables}
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(job)),
            cwd=BENCHMARKS,
            env=variables,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(), LONGEST, f"took more than {LONGEST} s"
    seconds = time.perf_counter() - started
    if done.returncode:
        return Answer(), seconds, done.stderr.strip()[-300:] or f"exit code {done.returncode}"
    return Answer(**json.loads(done.stdout)), seconds, ""


def figures(task: str, answer: Answer, seconds: float) -> dict[str, float]:
    """What a task is judged by. Of a training's epochs the first, which compiles and warms up, does not count."""
    if task == "process":
        return {"s": seconds}
    if task == "predict":
        return {f"ms for {size}": value for size, value in answer.calls.items()}
    return {"ms a step": 1000 * median(answer.seconds[1:] or answer.seconds) / answer.steps}


def busy_cores(pause: float = 0.3) -> float | None:
    """How many cores are at work now, by Linux' own count over a moment; None elsewhere."""
    counts = Path("/proc/stat")
    if not counts.exists():
        return None

    def jiffies() -> tuple[int, int]:
        values = [int(word) for word in counts.read_text().splitlines()[0].split()[1:]]
        return sum(values), sum(values) - values[3] - values[4]  # idle, and idle waiting for a disk

    (all_before, busy_before) = jiffies()
    time.sleep(pause)
    (all_after, busy_after) = jiffies()
    share = (busy_after - busy_before) / max(1, all_after - all_before)
    return round(share * (os.cpu_count() or 1), 2)
