"""`fourfold latent-sweep`: how the error falls with the size of a code."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .arguments import Computing, DataPlace
from .console import Console, Output


@dataclass(frozen=True, kw_only=True)
class LatentSweep:
    """Train autoencoders with codes of several sizes, and plot their errors beside those of principal components."""

    data: DataPlace
    sizes: str = "2,4,8,16,32,64"
    """Numbers in a code, parted by commas."""
    preset: str = "dense"
    """The recipe of the autoencoders."""
    epochs: int | None = None
    """Passes over the training split; the preset's if not given."""
    seed: int = 0
    """Of every training."""
    out: str = "latent-sweep"
    """The folder for the runs and sweep.png."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Train one after the other, and tell each one's error on the validation split."""
        sizes = self.parsed()
        folder = Path(self.out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"--out {folder}: exists already; remove it or choose another place")
        rows = []
        for size in sizes:
            rows.append(self.trained(size, folder / str(size)))
            console.say(f"{size} numbers: squared error {rows[-1]['mse']:.4g}")
        draw(rows, folder / "sweep.png")
        if console.json:
            console.result({"out": str(folder), "sizes": rows})
        else:
            console.table(("numbers", "squared error", "components'"), [tuple(row.values()) for row in rows])

    def parsed(self) -> list[int]:
        """The sizes. Raises: UsageError if they are no whole numbers above 0."""
        parts = [part.strip() for part in self.sizes.split(",")]
        if not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise UsageError(f"--sizes {self.sizes}: whole numbers parted by commas, such as 2,8,32")
        return sorted({int(part) for part in parts})

    def trained(self, size: int, run: Path) -> dict[str, Any]:
        """One training: the size, its squared error on validation, and that of as many components of train."""
        from ..api import fit
        from ..errors import DataError
        from ..families import settings_of
        from ..judge.examples import evenly, prepared
        from ..judge.principal import fit_principal

        values: dict[str, Any] = {"latent_size": size, "seed": self.seed, "device": self.device}
        if self.epochs is not None:
            values["epochs"] = self.epochs
        model = fit(settings_of("autoencoder").resolve(self.preset, **values), self.data, run)
        dataset = model.own_data()
        if dataset.validation is None:
            raise DataError(f"{self.data}: no validation split to choose by; give more data")
        if dataset.train.lengths is not None:
            return {"size": size, "mse": model.metrics["validation"]["mse"], "principal": None}
        x = prepared(evenly(dataset.validation, 10_000), model.schema)
        back = fit_principal(dataset.train, model.schema, size).reconstruct(x)
        principal = float((x - back).square().mean())
        return {"size": size, "mse": model.metrics["validation"]["mse"], "principal": principal}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot error against size, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in (("mse", "autoencoder"), ("principal", "principal components")):
        told = [(row["size"], row[name]) for row in rows if row[name] is not None]
        if told:
            axes.plot(*zip(*told, strict=True), label=label, marker="o")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([row["size"] for row in rows], [str(row["size"]) for row in rows])
    axes.set_xlabel("numbers in a code")
    axes.set_ylabel("squared error on validation")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
