"""The machine: devices refused by name, and memory that a step frees is there for the next."""

import os
import subprocess
import sys

import pytest

from fourfold.errors import OutOfMemoryError, UsageError
from fourfold.runtime import start, within_memory

FAULTS = """
import resource, torch
from fourfold.runtime import keep_freed_memory
print(keep_freed_memory())
x = torch.ones(1 << 23)
for _ in range(10): y = x + 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): y = x + 1
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 20)
"""


def faults(**environment: str) -> tuple[str, int]:
    """Whether memory is kept, and how many new pages 32 MB of result take at each of 20 steps."""
    env = {**{k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}, **environment}
    ran = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, env=env)
    kept, pages = ran.stdout.split()
    return kept, int(pages)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_freed_memory_is_kept_unless_that_is_refused() -> None:
    kept, pages = faults()
    assert kept == "True"
    assert pages < 1000
    left, default = faults(FOURFOLD_MALLOC="default")
    assert left == "False"
    assert default > 4 * pages


@pytest.mark.parametrize("device", ["tpu", "cuda:9", ""])
def test_an_unknown_device_is_a_usage_error(device: str) -> None:
    with pytest.raises(UsageError, match="no device"):
        start(device)


def test_a_missing_gpu_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="torch finds no GPU here; use --device cpu"):
        start("cuda")
    assert start("auto").name == "cpu"


def test_only_memory_that_ran_out_is_told_as_such() -> None:
    import torch

    with pytest.raises(OutOfMemoryError, match="out of memory; buy more"), within_memory("buy more"):
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shapes"), within_memory("buy more"):
        _ = torch.ones(2, 3) @ torch.ones(2, 3)
