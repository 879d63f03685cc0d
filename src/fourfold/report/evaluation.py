"""A judgement as people see it: a table, a JSON document and pictures."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..data.formats.pictures import tile
from ..errors import StorageError
from ..judge import Judgement, Plain
from ..judge.classes import Classified
from ..judge.codes import Restored
from ..judge.numbers import Estimated
from ..judge.samples import Sampled
from ..storage import as_json, write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOCUMENT = "evaluation.json"
INK, PALE = "#2f6bb3", "#98a2b3"
WRITTEN = 20  # classes, up to which a confusion matrix has its counts in it
NAMED = 40  # classes, up to which its sides have their names
MISTAKES, ACROSS = 24, 8
COLUMNS = 10  # of rows of pictures
LONGEST = 14  # characters of a class in a picture
DRAWN = 6  # numbers, of which what was told is drawn

NAMES = {"mse": "squared error", "psnr": "signal to noise, dB", "ssim": "structural similarity", "brier": "Brier score"}
NAMES |= {"mae": "absolute error", "rmse": "root mean squared error", "macro_ap": "macro average precision"}
NAMES |= {"macro_f1": "macro F1", "frechet": "Fréchet distance", "kernel": "kernel distance", "top_5": "in the first 5"}
NAMES |= {"r2": "R²", "micro_f1": "micro F1", "mase": "scaled error (MASE)", "smape": "symmetric error (sMAPE), %"}
NAMES |= {"pinball": "pinball loss", "coverage": "share between q10 and q90"}
RIVALS = {"linear": "linear", "majority": "majority", "principal": "principal components", "mean": "mean example"}
RIVALS |= {"average": "mean of train", "holt_winters": "Holt-Winters"}

Rows = list[tuple[object, ...]]


def table(figures: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """The figures of a judgement with their intervals, beside what they are to be compared with: columns and rows."""
    if "distances" in figures:
        columns = ["figure", "generated", f"real ({figures['floor']['of']})"]
        rows: Rows = [(_name(key), value, figures["floor"][key]) for key, value in figures["distances"].items()]
        near = figures["nearest"]
        rows.append(("distance to the nearest in train", near["generated"], near["real"]))
        return columns, [*rows, *((name, value, None) for name, value in _single(figures))]
    spans, rivals = figures.get("intervals", {}), figures.get("baselines") or figures.get("rivals", {})
    columns = [
        "figure",
        "value",
        *([f"{spans['level']:.0%} interval"] if spans else []),
        *(_rival(name) for name in rivals),
    ]
    rows = []
    told = {f"{name}_{key}" for name, rival in rivals.items() for key in rival}  # in the columns of the rivals
    told |= {"loss"} if spans or rivals else set()  # as the log loss, or as the error
    for key, value in figures.items():
        if isinstance(value, float) and key not in told:
            span = ["{:.4f} to {:.4f}".format(*spans[key]) if key in spans else None] if spans else []
            rows.append((_name(key), value, *span, *(rival.get(key) for rival in rivals.values())))
    pad = (None,) * (len(columns) - 2)
    return columns, [*rows, *((name, value, *pad) for name, value in _hanging(figures))]


def _name(key: str) -> str:
    return NAMES.get(key, key.replace("_", " "))


def _rival(name: str) -> str:
    return RIVALS.get(name, name.replace("_", " "))


def _single(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What the family itself tells."""
    found: list[tuple[str, object]] = [
        (_name(key), value) for key, value in figures.items() if isinstance(value, float)
    ]
    return [*found, ("pictures compared", figures["compared"])]


def _hanging(figures: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Figures within figures, and the number of examples."""
    rows: list[tuple[str, object]] = []
    if "calibration" in figures:
        found = figures["calibration"]
        rows += [("calibration error", found["error"]), ("the same, bins of equal count", found["adaptive_error"])]
        if found["tempered"]:
            rows += [
                ("temperature (fitted on validation)", found["temperature"]),
                ("calibration error with it", found["tempered"]["error"]),
                ("log loss with it", found["tempered"]["log_loss"]),
            ]
    if "ranking" in figures:
        found = figures["ranking"]
        rows += [("AUROC", found["auroc"]), (f"AUPRC of {found['positive']}", found["auprc"])]
    if figures.get("season", 1) > 1:
        rows.append(("season, steps", figures["season"]))
    return [*rows, ("examples", figures["count"])]


def write(judgement: Judgement, folder: Path) -> list[Path]:
    """Write `evaluation.json` and the pictures that there are into a folder. Returns: the files.

    Raises: StorageError if it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made ({error.strerror or error})") from error
    write_file(folder / DOCUMENT, as_json(judgement.figures))
    drawn = {folder / name: figure for name, figure in draw(judgement).items()}
    for path, figure in drawn.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a class's name may have letters that the font lacks
                figure.savefig(path, dpi=150)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error
    return [folder / DOCUMENT, *drawn]


def draw(judgement: Judgement) -> dict[str, "Figure"]:
    """The pictures of a judgement, by the names of their files."""
    match judgement:
        case Classified(figures=figures):
            drawn = {"confusion.png": _confusion(figures), "reliability.png": _reliability(figures["calibration"])}
            mistakes = _mistakes(judgement)
            return drawn | ({"mistakes.png": mistakes} if mistakes else {})
        case Plain(figures=figures) if figures.get("rivals"):
            return {"rivals.png": _beside(figures)}
        case Estimated():
            return {"predicted.png": _predicted(judgement)}
        case Restored(rows=rows) if "reconstruction" in rows:
            return {"reconstructions.png": _rows(rows)}
        case Sampled(rows=rows) if rows:
            return {"neighbours.png": _rows(rows)}
    return {}


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure  # half a second

    return Figure(figsize=(width, height), layout="constrained")


def _label(name: str) -> str:
    """A class in a picture: cut, and with no sign that would be read as a formula."""
    return (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace("$", r"\$")


def _confusion(figures: Mapping[str, Any]) -> "Figure":
    """Counts of (true, predicted), coloured by their share of the true class."""
    counts = np.array(figures["confusion"])
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    k = len(counts)
    side = min(max(3.6, 0.5 * k + 1.4), 11.0)
    figure = _figure(side, side)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if k <= WRITTEN:
        for true, row in enumerate(counts):
            for said, count in enumerate(row):
                colour = "white" if shares[true, said] > 0.5 else "black" if count else PALE
                axes.text(said, true, str(count), ha="center", va="center", color=colour, fontsize=9)
    if k <= NAMED:
        names = [_label(name) for name in figures["classes"]]
        slanted = k * max(map(len, names)) > 30
        axes.set_xticks(range(k), names, rotation=45 if slanted else 0, ha="right" if slanted else "center")
        axes.set_yticks(range(k), names)
    axes.tick_params(length=0)
    axes.set(xlabel="predicted", ylabel="true")
    axes.spines[:].set_visible(False)
    return figure


def _reliability(calibration: Mapping[str, Any]) -> "Figure":
    """How often answers are right, by how sure they are; below, how many there are of each."""
    figure = _figure(4.6, 5.2)
    above, below = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    above.plot([0, 1], [0, 1], color=PALE, linestyle=":", label="as sure as right")
    sides = [("as it is", calibration, PALE if calibration["tempered"] else INK)]
    if calibration["tempered"]:
        sides.append((f"temperature {calibration['temperature']:.2f}", calibration["tempered"], INK))
    for name, side, colour in sides:
        bins = side["reliability"]
        sure, right, counts = (np.array([bin[key] for bin in bins]) for key in ("confidence", "accuracy", "count"))
        above.plot(sure, right, color=colour, linewidth=0.8)
        above.scatter(sure, right, 4 + 16 * np.log10(counts), color=colour, label=f"{name}, error {side['error']:.3f}")
        below.plot(sure, counts, color=colour, marker="o", markersize=3, linewidth=0.8)
    above.set(xlim=(0, 1.02), ylim=(0, 1.02), ylabel="share that is right")
    above.legend(frameon=False, loc="upper left")
    below.set(yscale="log", xlabel="probability of the predicted class", ylabel="examples")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _beside(figures: Mapping[str, Any]) -> "Figure":
    """The figure by which a network and plain rules are compared, a bar each; the shortest is the best."""
    rivals = figures["rivals"]
    key = next(key for name, rival in rivals.items() for key in rival if f"{name}_{key}" in figures)
    bars = {"this network": figures[key], **{_rival(name): rival[key] for name, rival in rivals.items()}}
    figure = _figure(6.4, 0.7 + 0.35 * len(bars))
    axes = figure.subplots()
    colours = [INK, *[PALE] * len(rivals)]
    axes.bar_label(axes.barh(list(bars), list(bars.values()), color=colours), fmt="%.3f", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel=_name(key))
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _predicted(judgement: Estimated) -> "Figure":
    """What was told of each example over what is true; where both agree is the dotted line."""
    names = list(judgement.figures["targets"])[:DRAWN]
    across = min(len(names), 3)
    high = -(-len(names) // across)
    figure = _figure(4.2 * across, 4.0 * high)
    every = figure.subplots(high, across, squeeze=False).ravel()
    for axes in every[len(names) :]:
        axes.set_axis_off()
    for place, (name, axes) in enumerate(zip(names, every, strict=False)):
        said, y = judgement.said[:, place].numpy(), judgement.y[:, place].numpy()
        both = [min(said.min(), y.min()), max(said.max(), y.max())]
        axes.plot(both, both, color=PALE, linestyle=":")
        axes.scatter(y, said, 8, color=INK, alpha=min(1.0, max(0.1, 100 / len(y))), linewidth=0)
        r2 = judgement.figures["targets"][name]["r2"]
        axes.set_title(_label(name) + ("" if r2 is None else f", R² {r2:.3f}"), fontsize=9)
        axes.set(xlabel="true", ylabel="told")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _mistakes(judgement: Classified) -> "Figure | None":
    """The pictures of which the model was surest and wrong; None if none is, or if examples are no pictures."""
    y, best = judgement.examples.y, judgement.log_p.max(dim=1)
    assert y is not None
    wrong = (best.indices != y).nonzero()[:, 0]
    if not len(wrong) or judgement.examples.x.dim() != 4:
        return None
    worst = wrong[best.values[wrong].argsort(descending=True, stable=True)][:MISTAKES]
    names = [_label(name) for name in judgement.figures["classes"]]
    high = -(-len(worst) // ACROSS)
    figure = _figure(1.2 * ACROSS, 1.65 * high)
    axes = figure.subplots(high, ACROSS, squeeze=False).ravel()
    for place, place_axes in zip(worst.tolist(), axes, strict=False):
        _show(place_axes, _pixels(judgement.examples.x[torch.tensor([place])]))
        said = names[int(best.indices[place])]
        sure = f"{float(best.values[place].exp()):.0%} sure"
        place_axes.set_title(f"said {said}\n{sure}\nis {names[int(y[place])]}", fontsize=7)
    for place_axes in axes:
        place_axes.set_axis_off()
    return figure


def _rows(rows: Mapping[str, Tensor]) -> "Figure":
    """Pictures of several kinds, one kind a row, those that belong together below each other."""
    count = min(COLUMNS, *(len(pictures) for pictures in rows.values()))
    grid = _pixels(torch.cat([pictures[:count] for pictures in rows.values()]), count)
    figure = _figure(1.5 + 0.85 * count, 0.85 * len(rows) * grid.shape[0] / len(rows) / (grid.shape[1] / count) + 0.2)
    axes = figure.subplots()
    _show(axes, grid)
    high = grid.shape[0] / len(rows)
    axes.set_yticks([high * (i + 0.5) for i in range(len(rows))], list(rows))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _pixels(pictures: Tensor, columns: int = 1) -> np.ndarray:
    return tile(pictures.numpy(), columns)


def _show(axes: Any, pixels: np.ndarray) -> None:
    grey = pixels.shape[2] == 1
    axes.imshow(pixels[:, :, 0] if grey else pixels, cmap="gray" if grey else None, vmin=0, vmax=255)
