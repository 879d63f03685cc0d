"""The cores that are really free: those that this process may use, less what others use of them.

Threads that share a step wait for each other many times in it. Where one of them has to share its core, all wait, and
two threads can be ten times slower than one: docs/log.md has the figures. So training takes as many threads as cores
are free when it starts; OMP_NUM_THREADS and --threads go before that.

Nothing here imports torch: the first count is to be taken early.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple, Self

ROOT = Path("/")
SAMPLE = 0.05  # seconds; the system counts in hundredths
STALE = 10.0  # seconds after which counts of the past tell nothing of now


def free_threads(most: int) -> int:
    """How many threads, 1 to `most`, the cores that are free now can take.

    It takes `SAMPLE` seconds, or no time in the first seconds of a process.
    """
    now = Sample.now()
    if now is None:
        return fitting(most, allowed_cores(), 0.0)
    if BEGAN and SAMPLE < now.at - BEGAN.at < STALE:
        return fitting(most, allowed_cores(), now.others(BEGAN))
    time.sleep(SAMPLE)
    after = Sample.now()
    assert after is not None, "the system has told it a moment ago"
    return fitting(most, allowed_cores(), after.others(now))


def fitting(most: int, allowed: float, others: float) -> int:
    """How many threads, 1 to `most`, `allowed` cores can take of which others use so many.

    A core is taken if others use half of it: then they make all threads wait. Of a core that is
    allowed in part, nothing can be taken.
    """
    return max(1, min(most, int(allowed), int(len(own_cores()) - others + 0.5)))


def allowed_cores(root: Path = ROOT) -> float:
    """The cores that the system lets this process use: its affinity and the quota of its control group."""
    return min(float(len(own_cores())), quota(root))


def own_cores() -> set[int]:
    """The numbers of the cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def quota(root: Path = ROOT) -> float:
    """The cores whose time a control group grants this process, the least over its parents; infinite if none limits.

    Both layouts of control groups are read, and paths as a container sees them: kernel
    documentation, admin-guide/cgroup-v2 (cpu.max) and scheduler/sched-bwc (cpu.cfs_quota_us).
    """
    granted = float("inf")
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        place = Path(group.lstrip("/"))
        for parent in (place, *place.parents):  # of a container's own group the mount itself is the root
            granted = min(granted, _granted(mount / parent))
    return granted


def _granted(folder: Path) -> float:
    """The cores that one control group grants."""
    words = [word for line in _lines(folder / "cpu.max") for word in line.split()] or [
        word for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us") for word in _lines(folder / name)
    ]
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[1]) == 0:
        return float("inf")  # no file, "max", or -1
    return int(words[0]) / int(words[1])


class Sample(NamedTuple):
    """What the system's counters say at one moment.

    idle: the seconds that each core on which this process may run has been idle so far. own: the
    processor time that this process has used. at: when that was.
    """

    idle: dict[int, float]
    own: float
    at: float

    @classmethod
    def now(cls, root: Path = ROOT) -> Self | None:
        """The counters now; None where the system has none, as outside Linux."""
        tick, own = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100, own_cores()
        rows = [line.split() for line in _lines(root / "proc/stat") if line.startswith("cpu") and line[3:4].isdecimal()]
        # The fourth and fifth figures: idle, and idle with a disk to wait for.
        idle = {int(row[0][3:]): (int(row[4]) + int(row[5])) / tick for row in rows}
        idle = {core: seconds for core, seconds in idle.items() if core in own}
        return cls(idle, time.process_time(), time.monotonic()) if idle else None

    def others(self, before: Self) -> float:
        """The cores, of those where this process may run, that were in use by others since `before`."""
        seconds = self.at - before.at
        busy = sum(seconds - (idle - before.idle.get(core, idle)) for core, idle in self.idle.items())
        return max(0.0, (busy - (self.own - before.own)) / seconds)


def _lines(path: Path) -> list[str]:
    """The lines of a file of the system's; none if it is not there or not ours to read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


BEGAN = Sample.now()  # in the command line, a second or more before training is to choose: torch is imported between
