"""`fourfold train`: a network from data."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import tyro

from ..errors import UsageError
from ..families import FAMILIES, settings_of
from ..settings import Settings, read_config
from .arguments import DataPlace
from .console import Command, Console, Output
from .parse import parse

if TYPE_CHECKING:
    from ..model import Model

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class Train(Generic[S]):
    """Train a network on data: fourfold train FAMILY DATA."""

    data: DataPlace
    settings: S
    out: str | None = None
    """The run's folder; runs/FAMILY-DATA-N if not given."""
    config: str | None = None
    """A YAML file of settings; flags go before it, it goes before the preset."""
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Train, with progress, and tell the test figures and where the run lies."""
        console.say(f"{self.settings.family} ({self.settings.preset}) on {self.data}")
        from ..api import fit
        from ..report.progress import Progress

        with Progress(console.quiet) as progress:
            model = fit(self.settings, self.data, self.out, [progress])
        tell(console, model)


def tell(console: Console, model: "Model") -> None:
    """The result of a training: the figures, and where the run lies."""
    assert model.run is not None
    epochs = f"epoch {model.origin.epoch} of {model.origin.epochs}"
    console.result(
        {
            "run": str(model.run),
            "model": str(model.run / "model"),
            "family": model.settings.family,
            "preset": model.settings.preset,
            "parameters": model.parameters,
            "epochs": model.origin.epochs,
            "epoch": model.origin.epoch,
            "seconds": model.origin.seconds,
            "metrics": model.metrics,
        },
        *(f"{split}: {figures(metrics)}" for split, metrics in model.metrics.items()),
        f"run: {model.run} ({model.settings.preset}), with the weights of {epochs}",
    )


def figures(metrics: dict[str, Any]) -> str:
    """The figures that are single numbers, in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in metrics.items() if type(value) is float)


def parse_family(command: type[Any], name: str, arguments: Sequence[str]) -> Command:
    """What `fourfold NAME FAMILY DATA …` spells, a command with data and a family's settings.

    Preset and file of settings are looked up first, so that --help shows what would be used.
    """
    if not arguments:
        raise UsageError(
            f"{name} FAMILY DATA: a family is {', '.join(FAMILIES)}; fourfold {name} FAMILY --help tells its settings"
        )
    family, rest = arguments[0], arguments[1:]
    kind = settings_of(family)
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset")
    early.add_argument("--config", type=Path)
    early.add_argument("--task")
    known, _ = early.parse_known_args(rest)
    values = read_config(known.config, kind) if known.config else {}
    preset = known.preset or values.get("preset")
    if known.task is not None:
        values["task"] = known.task  # a task may bring a preset of its own
    settings = kind.resolve(preset, **{name: value for name, value in values.items() if name != "preset"})
    default = command(data=tyro.MISSING, settings=settings)
    spelt: Any = parse(command[kind], f"{name} {family}", rest, default=default)
    made: Command = replace(spelt, settings=only(spelt.settings, {*values, *typed(rest)}))
    return made


def typed(arguments: Sequence[str]) -> set[str]:
    """The names of the settings that flags give."""
    return {word[2:].partition("=")[0].replace("-", "_") for word in arguments if word.startswith("--")}


def only(settings: S, chosen: Iterable[str]) -> S:
    """The same settings with `chosen` alone set over the preset: what goes before a preset that the data choose."""
    names = set(chosen) & set(type(settings).model_fields) - {"preset"}
    return type(settings).resolve(settings.preset, **{name: getattr(settings, name) for name in names})
