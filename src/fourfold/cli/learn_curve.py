"""`fourfold learn-curve`: what less data would have given, and what more would bring."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import DataError, UsageError
from ..settings import Settings
from .arguments import DataPlace
from .console import Console, Output

if TYPE_CHECKING:
    from torch import Tensor

    from ..metrics.learning import Curve
    from ..model import Model

S = TypeVar("S", bound=Settings)
OFTENER = 4  # times as many epochs, at most, for a smaller share: it is to get as many steps


@dataclass(frozen=True, kw_only=True)
class LearnCurve(Generic[S]):
    """Train on 1/16, 1/8, 1/4, 1/2 and all of the data, and tell what twice as many would bring."""

    data: DataPlace
    settings: S
    halvings: int = 4
    """How often the data are halved: 4 ends at a sixteenth."""
    out: str = "learn-curve"
    """The folder for the runs and curve.png."""
    config: str | None = None
    """A YAML file of settings; flags go before it, it goes before the preset."""
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Train on the whole first, then on ever less, and tell the accuracy of each on the test split."""
        from ..metrics.learning import learning_curve

        folder, settings, told = self._folder(), self.settings, dict[int, "Tensor"]()
        for halving in range(self.halvings + 1):
            model = self._trained(settings, halving, folder)
            if not halving:
                settings = type(settings)(**model.settings.model_dump())  # whatever chose it, all have one recipe
            examples = model.origin.examples["train"]
            told[examples] = right(model)
            console.say(f"{examples:,} examples: accuracy {float(told[examples].mean()):.4f}")
        sizes = sorted(told)
        if len(sizes) < 2:
            raise DataError(f"{self.data}: too few examples for a share of them to be less; give more data")
        curve = learning_curve(sizes, [told[size] for size in sizes])
        draw(curve, folder / "curve.png")
        tell(console, curve, folder)

    def _folder(self) -> Path:
        """The folder, if it is free. Raises: UsageError for what cannot be done."""
        if not 1 <= self.halvings <= 10:
            raise UsageError(f"--halvings {self.halvings}: 1 to 10 is expected")
        if self.settings.share < 1:
            raise UsageError("--share is what is varied here; leave it out")
        folder = Path(self.out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"--out {folder}: exists already; remove it or choose another place")
        return folder

    def _trained(self, settings: S, halving: int, folder: Path) -> "Model":
        """One training, of as many steps as that on the whole if it can be. Raises: UsageError without classes."""
        from ..api import fit
        from ..families.contract import Classifier

        share = 0.5**halving
        values = settings.model_dump(exclude_unset=True) | {"share": share}
        if halving:
            values["epochs"] = math.ceil(settings.epochs * min(1 / share, OFTENER))
        part = type(settings).resolve(values.pop("preset", settings.preset), **values)
        model = fit(part, self.data, folder / f"1-of-{2**halving}")
        if not isinstance(model.family, Classifier):
            raise UsageError("learn-curve is for what tells classes apart: fourfold learn-curve cnn or rnn")
        return model


def right(model: "Model") -> "Tensor":
    """Whether each example of the test split is told right, float (n,). Raises: DataError without one."""
    split, examples = model.judged_on()
    if split != "test" or examples.y is None:
        raise DataError(f"{model.origin.data}: no test split with labels to judge by")
    return (model.probabilities(examples).argmax(1) == examples.y).float()


def tell(console: Console, curve: "Curve", folder: Path) -> None:
    """The points, and where they lead."""
    twice = curve.twice
    ahead = f"twice as many, {twice.examples:,}, would bring about {twice.accuracy:.4f}"
    if console.json:
        console.result({"out": str(folder), **asdict(curve)})
        return
    rows = [(f"{p.examples:,}", f"{p.accuracy:.4f}", f"{p.low:.4f} to {p.high:.4f}") for p in curve.points]
    console.table(("training examples", "test accuracy", "interval, 95%"), rows)
    console.say(f"{ahead} ({twice.low:.4f} to {twice.high:.4f}); {folder / 'curve.png'} shows it")


def draw(curve: "Curve", path: Path) -> None:
    """Plot errors against the number of examples, as PNG: a line as far as they fall as a power."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for points, style in (((curve.points[-1], curve.twice), "o--"), (curve.points, "o-")):
        errors = [1 - p.accuracy for p in points]
        spans = [
            [p.high - p.accuracy for p in points],
            [p.accuracy - p.low for p in points],
        ]  # under an error, over it
        label = "measured" if style == "o-" else "twice as many: expected"
        axes.errorbar([p.examples for p in points], errors, spans, fmt=style, capsize=3, label=label)
    axes.set_xscale("log", base=2)
    sizes = [p.examples for p in (*curve.points, curve.twice)]
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("training examples")
    axes.set_ylabel("test error")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
