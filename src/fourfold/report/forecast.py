"""Forecasts as a picture: each history, what follows it, and between what bounds."""

from pathlib import Path

import numpy as np

from ..answers import Forecasts
from ..data.schema import Schema
from ..storage import unwritten

MOST = 6  # panels; of more series and channels the first are drawn
BEFORE = 6  # times as many steps of history as of forecast are drawn, at most
INK, PALE = "#2f6bb3", "#98a2b3"


def draw(forecasts: Forecasts, schema: Schema, path: Path) -> None:
    """Draw a panel a series and channel, as PNG. Raises: StorageError."""
    from matplotlib.figure import Figure  # half a second

    _, horizon, _, channels = forecasts.quantiles.shape
    panels = [(row, channel) for row in range(len(forecasts.names)) for channel in range(channels)][:MOST]
    names = schema.columns or tuple(f"{i}" for i in range(channels))
    figure = Figure(figsize=(7.2, 2.6 * len(panels)), layout="constrained")
    for axes, (row, channel) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        history = forecasts.history[row, -BEFORE * horizon :, channel]
        low, middle, high = np.vstack((np.full(3, history[-1]), forecasts.quantiles[row, :, :, channel])).T
        ahead = np.arange(horizon + 1)
        axes.plot(np.arange(1 - len(history), 1), history, color=PALE, label="history")
        axes.plot(ahead, middle, color=INK, label="median")
        axes.fill_between(ahead, low, high, color=INK, alpha=0.2, linewidth=0, label="10% to 90%")
        title = f"{Path(forecasts.names[row]).name}, {names[channel]}"
        axes.set_title(title.replace("$", r"\$"), fontsize=9)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("steps ahead")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise unwritten(path, error) from error
