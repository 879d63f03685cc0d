"""The results as a picture: each library's time as a multiple of the best peer's."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .judge import kept, timings, verdicts
from .plan import AS_IT_COMES, LIBRARIES, OURS, Row
from .runs import Run
from .table import measured, of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    OURS: "#c8385a",
    "Keras on TensorFlow": "#e8a33d",
    "Keras on JAX": "#64a6d8",
    "Keras on torch": "#1f4e79",
    "PyTorch": "#4f772d",
    "Lightning": "#9bc26b",
    "skorch": "#8d6a9f",
}
LIMITS = 0.125, 16.0  # of the axis
MARKS = (0.25, 0.5, 1, 2, 4, 8, 16)
HEIGHT = 0.27  # inches of a line


class Group(NamedTuple):
    """One line of the picture: its title, and each library's multiple of the best peer's time."""

    title: str
    multiples: dict[str, float]
    target: float | None


def groups(runs: Sequence[Run]) -> list[Group]:
    """What there is to draw: where Fourfold and a peer, as they come, did the same work."""
    found = []
    for workload in measured(runs):
        own = kept(of(workload, runs))
        for verdict in verdicts(workload, of(workload, runs)):
            if verdict.ratio is None or verdict.best is None:
                continue
            unit = verdict.best[1].middle
            times = timings(own, verdict.figure)
            rows = {name: Row(library=name, way=AS_IT_COMES, precision=verdict.precision) for name in LIBRARIES}
            multiples = {name: times[row].middle / unit for name, row in rows.items() if row in times}
            size = verdict.figure.removeprefix("ms for ")
            told = [workload.name, *([f"batch {size}"] if workload.task == "predict" else [])]
            told += [verdict.precision] if verdict.precision != "fp32" else []
            found.append(Group(", ".join(told), multiples, verdict.target))
    return found


def draw(runs: Sequence[Run], path: Path) -> None:
    """Write the picture, or none if there is nothing to compare yet: Fourfold as bars, its peers as dots."""
    drawn = groups(runs)
    if not drawn:
        return
    figure = Figure(figsize=(9, HEIGHT * len(drawn) + 1.4), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for y, group in enumerate(drawn):
        _draw_group(axes, group, y)
    axes.axvline(1, color="#555555", lw=0.9, zorder=1)
    axes.set_xscale("log")
    axes.set_xlim(*LIMITS)
    axes.set_xticks(MARKS, [f"{mark:g}×" for mark in MARKS])
    axes.minorticks_off()
    axes.grid(axis="x", color="#e6e6e6", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.set_yticks(range(len(drawn)), [group.title for group in drawn], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("time as a multiple of the best peer's, both as they come; left of 1× is faster", fontsize=8.5)
    _draw_legend(figure, {name for group in drawn for name in group.multiples})
    figure.savefig(path)


def _draw_group(axes: "Axes", group: Group, y: int) -> None:
    for library, multiple in group.multiples.items():
        x = min(max(multiple, LIMITS[0] * 1.05), LIMITS[1] * 0.97)  # what is beyond stands at the edge
        if library == OURS:
            axes.barh(y, x - LIMITS[0], 0.56, left=LIMITS[0], color=COLOURS[OURS], zorder=2)
            axes.text(LIMITS[0] * 1.04, y, f"{multiple:.2f}", va="center", color="white", fontsize=8, weight="bold")
        else:
            axes.scatter(x, y, 34, color=COLOURS[library], edgecolors="white", linewidths=0.6, zorder=4)
    if group.target:
        axes.plot([group.target] * 2, [y - 0.42, y + 0.42], color="black", lw=1.6, zorder=3)


def _draw_legend(figure: Figure, seen: set[str]) -> None:
    peers = [name for name in LIBRARIES if name in seen and name != OURS]
    dots = [Line2D([], [], marker="o", ls="", color=COLOURS[name], label=name) for name in peers]
    promise = Line2D([], [], marker="|", ls="", ms=10, mew=1.6, color="black", label="what Fourfold promises")
    handles = [Patch(color=COLOURS[OURS], label=OURS), promise, *dots]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
