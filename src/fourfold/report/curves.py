"""The course of a training as a picture."""

from pathlib import Path

from ..engine.history import Record
from ..storage import unwritten


def draw(records: list[Record], path: Path) -> None:
    """Plot every figure of a history over its epochs: losses above, norms of gradients below, all else between, as PNG.

    Raises: StorageError.
    """
    from matplotlib.figure import Figure  # half a second

    names = [name for name in records[-1] if name not in ("epoch", "step", "seconds")]
    losses, norms = ([name for name in names if name.endswith(end)] for end in ("loss", "gradient_norm"))
    panels = [panel for panel in (losses, [name for name in names if name not in (*losses, *norms)], norms) if panel]
    figure = Figure(figsize=(6.4, 2.8 * len(panels)), layout="constrained")
    epochs = [record["epoch"] for record in records]
    for axes, panel in zip(figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0], panels, strict=True):
        for name in panel:
            axes.plot(epochs, [record[name] for record in records], label=name.replace("_", " "), marker=".")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise unwritten(path, error) from error
