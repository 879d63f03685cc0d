"""What a result depends on besides the state of a training, and whether a checkpoint's is still the same."""

import importlib.metadata
import platform
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from .. import __version__
from ..data.dataset import Dataset
from ..data.unlabelled import marked
from ..errors import ResumeError, UsageError
from ..families import native, settings_of
from ..runtime import Runtime
from ..settings import Settings

# Settings that decide no result; where and on how many threads it is computed is told as `differences`, and
# of unlabelled examples the fingerprint tells whether they are the same, wherever they lie.
FREE = {"allow", "checkpoint_every", "device", "threads", "unlabelled"}


class Terms(BaseModel):
    """Under which settings, on which data and on what machine a training runs.

    machine: what decides the last bits of a result: the device, its threads, the kernels, the versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    settings: dict[str, Any]
    fingerprint: str
    machine: dict[str, str]


def terms(settings: Settings, dataset: Dataset, runtime: Runtime) -> Terms:
    """Those of a training here and now."""
    return Terms(
        family=settings.family,
        settings=settings.model_dump(mode="json"),
        fingerprint=marked(dataset),
        machine={
            "device": runtime.device.type,
            "processor": runtime.name if runtime.device.type == "cuda" else _processor(),
            "threads": str(torch.get_num_threads()),
            "kernels": "native" if native.wanted() else "torch's",
            **versions(),
        },
    )


def versions() -> dict[str, str]:
    """Of Fourfold and of what computes."""
    return {"fourfold": __version__, **{name: importlib.metadata.version(name) for name in ("torch", "numpy")}}


def machine_of(settings: Settings, then: Terms | None) -> tuple[str, int]:
    """The device and the number of threads to go on with: the checkpoint's, unless the settings name others."""
    if then is None:
        return settings.device, settings.threads
    device, threads = then.machine.get("device", ""), then.machine.get("threads", "")
    here = device == "cpu" or (device == "cuda" and torch.cuda.is_available())
    chosen = device if settings.device == "auto" and here else settings.device
    return chosen, settings.threads or (int(threads) if threads.isdecimal() else 0)


def differences(now: Terms, then: Terms) -> list[str]:
    """What has changed of the machine, in words."""
    names = dict.fromkeys([*then.machine, *now.machine])
    pairs = {name: (then.machine.get(name, "unknown"), now.machine.get(name, "unknown")) for name in names}
    return [f"{name} was {before} and is {after}" for name, (before, after) in pairs.items() if before != after]


def require_same(settings: Settings, then: Terms) -> None:
    """Raises: ResumeError, naming every setting that would make the rest of the training another one."""
    try:
        known = settings_of(then.family)(**then.settings)
    except UsageError as error:
        raise ResumeError(f"the checkpoint's settings cannot be used here: {error}") from error
    if settings.family != known.family:
        raise ResumeError(f"family: {settings.family} in settings.yaml, {known.family} in the checkpoint")
    ours, theirs = settings.model_dump(), known.model_dump()
    changed = [name for name in ours if ours[name] != theirs[name] and name not in {*FREE, "epochs"}]
    if changed:
        told = "; ".join(f"{name} is {ours[name]!r} and was {theirs[name]!r}" for name in changed)
        raise ResumeError(f"{told}: that would be another training; put it back in settings.yaml, or train anew")
    _require_extended(settings, known.epochs)


def _require_extended(settings: Settings, before: int) -> None:
    """Raises: ResumeError if other epochs than those before would have changed what is done already."""
    if settings.epochs == before:
        return
    anew = f"train anew with --epochs {settings.epochs}"
    if settings.epochs < before:
        raise ResumeError(f"epochs is {settings.epochs} and was {before}: they can only be extended; {anew}")
    if settings.schedule != "constant":
        raise ResumeError(f"schedule = {settings.schedule!r} runs over all steps, so more epochs change it; {anew}")
    if settings.warmup:
        raise ResumeError(f"warmup = {settings.warmup} is a share of all steps, so more epochs change it; {anew}")


def _processor() -> str:
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
