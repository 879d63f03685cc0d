"""Where a training's time and memory go, how near that is to what the machine can do, and what would be faster."""

import sys
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .. import families
from ..cores import Sample, allowed_cores
from ..data.dataset import Dataset
from ..engine.loop import Trainer
from ..runtime import Runtime
from ..settings import Settings
from .advice import advice
from .machine import Limits, limits
from .timing import Trial, Way, by_part, trials
from .work import Work, memory, work

STILL = 1e-30  # a learning rate so small that measuring leaves the weights as they are
FLOOR = 0.25  # share of a limit below which it is not what bounds a step


@dataclass(frozen=True)
class Profile:
    """What a step costs. All figures are of this machine as it was meanwhile.

    parameters: by network. milliseconds: by part of a step. memory: in bytes; `peak` is the
    device's, or on a CPU that of the whole process, with torch and the data in it. others: cores
    that other processes used meanwhile, None where the system does not tell.
    """

    way: Way
    parameters: dict[str, int]
    work: Work
    memory: dict[str, int]
    milliseconds: dict[str, float]
    limits: Limits
    trials: list[Trial]
    others: float | None
    advice: list[str]

    @property
    def step(self) -> float:
        """Milliseconds of a whole step."""
        return sum(self.milliseconds.values())

    @property
    def compute(self) -> float:
        """The share of the machine's products in 32 bits that a step reaches."""
        return share(self.work.flops, self.step, self.limits.float32)

    @property
    def bandwidth(self) -> float:
        """The share of the machine's memory bandwidth that a step would need, were there no caches."""
        return share(self.work.traffic, self.step, self.limits.bandwidth)

    def as_dict(self) -> dict[str, Any]:
        """It as plain JSON."""
        document = asdict(self)
        document["trials"] = [
            {**asdict(trial.way), "milliseconds": trial.milliseconds, "microseconds_an_example": trial.microseconds}
            for trial in self.trials
        ]
        shares = {"compute": self.compute, "bandwidth": self.bandwidth}
        return document | {"step_milliseconds": self.step, "shares": shares, "bound": bound(**shares)}


def profile(dataset: Dataset, settings: Settings, runtime: Runtime) -> Profile:
    """Measure steps of the training of a new network on the data, for some seconds.

    Raises: DataError, as training does, if the family cannot use the data.
    """
    before = Sample.now()
    still = settings.model_copy(update={"learning_rate": STILL})
    trainer = Trainer(families.create(dataset.schema, still), dataset, runtime)
    examples = len(trainer.train)
    way = Way(min(settings.batch_size, examples), torch.get_num_threads())
    batch = trainer.train.gather(torch.arange(way.batch_size))
    counted = work(trainer, batch)
    milliseconds = by_part(trainer, way)
    held = memory(trainer, batch) | peak(runtime)
    step = sum(milliseconds.values())
    highest = limits(runtime)
    shares = share(counted.flops, step, highest.float32), share(counted.traffic, step, highest.bandwidth)
    tried = trials(trainer, way, max(1, int(allowed_cores())), step / 1000)
    after = Sample.now()
    others = after.others(before) if before and after else None
    return Profile(
        way=way,
        parameters={
            name: sum(one.numel() for one in network.parameters()) for name, network in trainer.course.networks.items()
        },
        work=counted,
        memory=held,
        milliseconds=milliseconds,
        limits=highest,
        trials=tried,
        others=others,
        advice=advice(milliseconds, bound(*shares), tried, others or 0.0),
    )


def share(counts: dict[str, int], milliseconds: float, highest: float) -> float:
    """What counts in so many milliseconds are of the highest number a second."""
    return sum(counts.values()) / (milliseconds / 1000) / highest


def bound(compute: float, bandwidth: float) -> str:
    """What bounds a step, by the shares that it takes of the machine: "compute", "memory" or "overhead".

    The roofline model (Williams, Waterman and Patterson, 2009), with a floor: far below both
    limits, many small operators and the waiting between them are what takes the time.
    """
    if max(compute, bandwidth) < FLOOR:
        return "overhead"
    return "compute" if compute >= bandwidth else "memory"


def peak(runtime: Runtime) -> dict[str, int]:
    """The most bytes that were ever in use so far, on the device or by the process; nothing where no system tells."""
    if runtime.device.type == "cuda":
        return {"peak": torch.cuda.max_memory_allocated(runtime.device)}
    if sys.platform == "win32":
        return {}
    import resource  # where there is Unix

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak": largest if sys.platform == "darwin" else largest << 10}
