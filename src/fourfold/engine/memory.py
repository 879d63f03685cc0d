"""How many examples of a batch fit into memory at once: estimated, then tried, before training begins."""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..data.dataset import Batch
from ..errors import OutOfMemoryError
from ..runtime import generator, out_of_memory
from .blame import buffers_kept
from .step import Stepper

# A backward pass holds a gradient beside what is kept for it, and kernels have work space of their own.
# Measured for the classic networks and dcgan: 1.0 to 2.1 times what is kept.
BEYOND = 2.5
ROOM = 0.8  # of the free memory that a step may take; judging, checkpoints and threads need some as well
AMPLE = 0.4  # of the free memory: a step that needs less is not tried
CGROUP = Path("/sys/fs/cgroup")


def fit_batch(stepper: Stepper, batch: Batch, tell: Callable[[str], None]) -> None:
    """Have the stepper compute as many examples at once as fit into memory: all of the batch, a half, a quarter…

    batch: the largest there is. tell: is told if it is less than all. Raises: OutOfMemoryError if
    not even one fits.
    """
    whole = stepper.at_once
    needed, free = held(stepper, batch.first(2)) / min(len(batch), 2) * BEYOND, free_memory(stepper.device)
    while free is not None and stepper.at_once > 1 and needed * min(stepper.at_once, len(batch)) > ROOM * free:
        stepper.at_once = (stepper.at_once + 1) // 2
    tried = free is None or needed * stepper.at_once > AMPLE * free or stepper.device.type != "cpu"
    if tried:
        by_trial(stepper, batch)
    if stepper.at_once < min(whole, len(batch)):
        tell(smaller(stepper, whole))


def by_trial(stepper: Stepper, batch: Batch) -> None:
    """Halve what is computed at once until it fits, and then once more: training needs room that a trial does not."""
    asked = stepper.at_once
    while not fits(stepper, batch.first(stepper.at_once)):
        if stepper.at_once == 1:
            raise OutOfMemoryError(
                f"out of memory: one example of shape {tuple(batch.x.shape[1:])} does not fit; smaller examples "
                "(--size, --longest) or a smaller network need less"
            )
        stepper.at_once = (stepper.at_once + 1) // 2
    if stepper.at_once < asked:
        stepper.at_once = (stepper.at_once + 1) // 2


def smaller(stepper: Stepper, whole: int) -> str:
    """What to tell of a batch that is computed in parts."""
    fitting = stepper.at_once
    told = f"a batch of {whole} does not fit into memory: it is computed {fitting} at a time, with the same result"
    trained = [stepper.networks[name] for phase, _ in stepper.phases for name in phase.trains]
    if any(buffer.is_floating_point() for network in trained for buffer in network.buffers()):  # moments of a batch
        told += f", but for its norms, which see {fitting} examples; --batch-size {fitting} is what fits"
    return told


def held(stepper: Stepper, batch: Batch) -> int:
    """The bytes that are kept of a batch between forward and backward, in the phase that keeps the most."""
    own = {p.untyped_storage().data_ptr() for network in stepper.networks.values() for p in network.parameters()}
    most = 0
    with buffers_kept(stepper.networks):
        for phase, _ in stepper.phases:
            kept: dict[int, int] = {}

            def pack(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
                place = tensor.untyped_storage().data_ptr()
                kept[place] = max(kept.get(place, 0), tensor.nbytes)
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                losses = stepper.loss(phase, batch, 0, generator(0, "memory", device=stepper.device))
            most = max(most, sum(size for place, size in kept.items() if place not in own))
            del losses
    return most


def fits(stepper: Stepper, batch: Batch) -> bool:
    """Whether every phase's loss and gradients of a batch can be computed; nothing is changed by it."""
    try:
        with buffers_kept(stepper.networks):
            for phase, trained in stepper.phases:
                random = generator(0, "memory", device=stepper.device)
                stepper.differentiate(phase, trained, batch, 0, random)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        for optimizer in stepper.optimizers.values():
            optimizer.clear()
        if stepper.device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def free_memory(device: torch.device) -> int | None:
    """The bytes that may still be taken: of the device, or of the machine, its container and the process' own limit.

    None where the system does not tell.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if not sys.platform.startswith("linux"):
        return None
    import resource  # where there is Linux

    free = [_field(Path("/proc/meminfo"), "MemAvailable")]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        free.append(limit - _field(Path("/proc/self/status"), "VmSize"))
    largest = CGROUP / "memory.max"
    if largest.exists() and (text := largest.read_text().strip()) != "max":
        free.append(int(text) - int((CGROUP / "memory.current").read_text()))
    return max(min(free), 0)


def _field(path: Path, name: str) -> int:
    """A line such as "MemAvailable: 1234 kB" of a file of the kernel's, in bytes."""
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) << 10
