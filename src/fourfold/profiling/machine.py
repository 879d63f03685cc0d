"""What this machine can do at most: measured, not looked up."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..runtime import Runtime

SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices, large enough for the products to be all that counts
COPIED = {"cpu": 1 << 27, "cuda": 1 << 30}  # bytes, more than the caches near a core hold
SECONDS = 0.15  # of each measurement


@dataclass(frozen=True)
class Limits:
    """Operations a second of a matrix product in 32 and in 16 bits (bfloat16), bytes a second of a copy.

    The copy counts what it reads and what it writes. All on as many threads as torch has now.
    """

    float32: float
    bfloat16: float
    bandwidth: float


def limits(runtime: Runtime) -> Limits:
    """Measure them, in about half a second."""
    device, side = runtime.device, SIDE[runtime.device.type]
    one = torch.rand(side, side, device=device)
    half = one.bfloat16()
    source = torch.ones(COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Limits(
        float32=2 * side**3 / fastest(lambda: one @ one, device),
        bfloat16=2 * side**3 / fastest(lambda: half @ half, device),
        bandwidth=2 * source.nbytes / fastest(lambda: target.copy_(source), device),
    )


def fastest(work: Callable[[], object], device: torch.device) -> float:
    """The seconds of the fastest of several runs, after one to warm up."""
    work()
    wait(device)
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        started = time.perf_counter()
        work()
        wait(device)
        best = min(best, time.perf_counter() - started)
    return best


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
