"""The cores that are free: what the system allows, what others use, and what a user has decided already."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold import cores
from fourfold.cores import Sample, allowed_cores, fitting, free_threads, own_cores, quota

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the counters are Linux's")


def system(root: Path, files: dict[str, str]) -> Path:
    """A machine's files under a folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({}, float("inf")),
        ({"proc/self/cgroup": "0::/\n"}, float("inf")),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, float("inf")),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/job\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/only/outside/the/container\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            float("inf"),
        ),
    ],
    ids=["no groups", "no limit", "v2", "v2 max", "v2 parent", "v1", "v1 in a container", "v1 none"],
)
def test_the_quota_is_the_least_that_any_group_grants(tmp_path: Path, files: dict[str, str], granted: float) -> None:
    root = system(tmp_path, files)
    assert quota(root) == granted
    assert allowed_cores(root) == min(granted, len(own_cores()))


@pytest.fixture
def one_core() -> Iterator[int]:
    """This thread on one core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield min(before)
    os.sched_setaffinity(0, before)


@linux
def test_of_a_machine_only_the_cores_of_this_process_count(one_core: int, tmp_path: Path) -> None:
    assert allowed_cores(tmp_path) == 1.0
    assert free_threads(64) == 1
    rows = "".join(f"cpu{core} 1 2 3 {100 * core + 400} 50 0 0 0\n" for core in range(one_core + 3))
    sample = Sample.now(system(tmp_path, {"proc/stat": f"cpu  9 9 9 9 9\n{rows}intr 12\n"}))
    assert sample is not None
    assert sample.idle == {one_core: (100 * one_core + 450) / os.sysconf("SC_CLK_TCK")}


def test_others_use_what_is_neither_idle_nor_ours() -> None:
    before = Sample({0: 10.0, 1: 20.0}, own=5.0, at=100.0)
    assert Sample({0: 12.0, 1: 22.0}, own=5.0, at=102.0).others(before) == 0.0
    assert Sample({0: 10.0, 1: 21.0}, own=7.0, at=102.0).others(before) == 0.5
    assert Sample({0: 10.0, 1: 20.0}, own=5.0, at=102.0).others(before) == 2.0
    assert Sample({0: 12.1, 1: 22.0}, own=5.5, at=102.0).others(before) == 0.0  # the counters are rounded


def test_threads_are_what_is_free_and_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "own_cores", lambda: set(range(8)))
    assert [fitting(8, 8.0, others) for others in (0.0, 0.4, 0.6, 3.0, 7.9, 8.0)] == [8, 8, 7, 5, 1, 1]
    assert fitting(4, 8.0, 0.0) == 4  # torch takes a thread for two halves of a core
    assert [fitting(8, allowed, 0.0) for allowed in (2.0, 1.5, 0.5)] == [2, 1, 1]


@linux
def test_beside_busy_processes_fewer_threads_are_left() -> None:
    most = len(own_cores())
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in own_cores()]
    try:
        before = Sample.now()
        time.sleep(0.5)
        after = Sample.now()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert before is not None
    assert after is not None
    assert fitting(most, allowed_cores(), after.others(before)) <= max(1, most // 2)


def test_without_the_systems_counters_the_cores_are_taken_for_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sample, "now", lambda: None)
    assert free_threads(1_000) == max(1, int(allowed_cores()))
