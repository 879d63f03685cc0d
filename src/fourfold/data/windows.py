"""Courses of time as windows: what was known at a moment, and what came after it.

    train        history ····· targets ···
    validation                 history ····· targets ···          the history may lie in an earlier split,
    test                                     history ····· targets ···       the targets never do

A window is `context` steps of history and the `horizon` steps that follow, of one series with all
its channels. Every moment that a split has room for gives one.

Shapes: n windows, t time, c channels.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..settings import DataSettings, Reading
from .dataset import Content, Examples
from .formats.frames import load_all
from .formats.places import place
from .formats.times import times
from .gaps import word
from .schema import Schema
from .split import fields
from .timeline import periods, stack

SEASONS = 3  # that a history shows, unless asked for otherwise
SHORTEST, LONGEST = 24, 256  # steps of a history, likewise
ALIKE = 0.3  # autocorrelation from which on steps that far apart count as a season
NEARLY = 0.95  # of the highest peak: twelve months are a season, and not twenty-four


def split_by_time(content: Content, settings: DataSettings) -> tuple[dict[str, Examples], dict[str, list[int]]]:
    """The splits of series, each cut by its own time: its first steps train, those after them choose, the last judge.

    Splits that one course of time brings as files of their own go on where train ends. Returns: also
    the steps of each split that was cut from a single series. Raises: DataError for what cannot be forecast.
    """
    whole = content.splits["train"]
    brought = {name: part for name, part in content.splits.items() if name != "train"}
    if content.kind != "series":
        raise DataError(
            f"{whole.names[0]}: forecasts are of series, and this is {content.kind} data; try --kind series"
        )
    if settings.fold or fields(settings):
        raise DataError("--fold, --group, --split, --test-on: what is forecast is cut by time; leave them out")
    if brought and not content.ordered:
        raise DataError(f"{whole.names[0]}: the data bring a test of other series; give all whole, each is cut by time")
    if not content.ordered and any(remark.name == "imputed" for remark in content.remarks):
        raise DataError(
            f"{whole.names[0]}: values were filled from both sides in time, so that the past would know of the "
            "future; fill them in the data"
        )
    series = rows(whole)
    validation = 0.0 if "validation" in brought else settings.validation
    test = 0.0 if "test" in brought else settings.test
    cut = [periods(len(each), validation, test) for each in series]
    parts: dict[str, Examples] = {}
    for name in dict.fromkeys(name for each in cut for name in each):
        spans = [each.get(name, range(0)) for each in cut]
        pieces = [each[span.start : span.stop] for each, span in zip(series, spans, strict=True)]
        x, lengths = stack([piece.numpy() for piece in pieces], whole.names, ragged=True)
        parts[name] = Examples(x, whole.names, lengths=lengths)
    steps = {name: list(period) for name, period in cut[0].items() if name != "train"} if len(series) == 1 else {}
    every = {**parts, **brought}
    return {name: every[name] for name in ("train", "validation", "test") if name in every}, steps


def windowed(
    schema: Schema, parts: Mapping[str, Examples], horizon: int, context: int | None = None, season: int | None = None
) -> tuple[Schema, dict[str, Examples]]:
    """The windows of splits that follow each other in time, and the schema with their length.

    A series in row k of a split goes on in row k of the next. Windows of a single series share its memory.
    Raises: DataError if a split has no room for one.
    """
    train = rows(parts["train"])
    longest = max(map(len, train))
    if context is None:
        context = usual_context(longest, horizon, season or season_of(train))
    if longest < context + horizon:
        raise DataError(
            f"train has {longest} steps, too few for a history of {context} and the {horizon} that follow; give more "
            "data, or a smaller --context or --horizon"
        )
    past = [each[:0] for each in train]
    found: dict[str, Examples] = {}
    for name, part in parts.items():
        reach = [torch.cat((before[-context:], own)) for before, own in zip(past, rows(part), strict=True)]
        past = [torch.cat((before, own)) for before, own in zip(past, rows(part), strict=True)]
        starts = [len(whole) - len(piece) for whole, piece in zip(past, reach, strict=True)]
        found[name] = cut_windows(reach, parts["train"].names, context, horizon, starts, f"the {name} split")
    length = context + horizon
    return schema.model_copy(update={"lengths": (length, length), "counts": None, "classes": None}), found


def cut_windows(
    series: Sequence[Tensor], names: Sequence[str], context: int, horizon: int, starts: Sequence[int], what: str
) -> Examples:
    """Every window (context + horizon, c) of some series, each (t, c), of which the first step is number `starts`.

    Raises: DataError, calling them `what`, if there is none.
    """
    length = context + horizon
    views = [each.unfold(0, length, 1).transpose(1, 2) for each in series if len(each) >= length]
    places = [
        (row, start + i)
        for row, (each, start) in enumerate(zip(series, starts, strict=True))
        for i in range(len(each) - length + 1)
    ]
    if not places:
        longest = max(map(len, series))
        raise DataError(
            f"{what}: {longest} steps with their history, too few for {context} and the {horizon} that follow; give "
            f"more data, a larger share or a smaller --horizon or --context"
        )
    return Examples(
        x=views[0] if len(views) == 1 else torch.cat(views),
        names=[f"{names[row]}, steps {first + 1} to {first + length}" for row, first in places],
        digests=np.array(places).view(np.uint8),  # what is the same again at another time is no duplicate
    )


def every_window(examples: Examples, context: int, horizon: int) -> Examples:
    """The windows of series that were read whole. Raises: DataError if there is no room for one."""
    return cut_windows(rows(examples), examples.names, context, horizon, [0] * len(examples), examples.names[0])


def rows(examples: Examples) -> list[Tensor]:
    """Each series over its own length, (t, c)."""
    x = examples.loaded
    if examples.lengths is None:
        return list(x)
    return [row[:length] for row, length in zip(x, examples.lengths.tolist(), strict=True)]


def histories(examples: Examples, context: int) -> Examples:
    """The last `context` steps of each series. Raises: DataError naming one that is shorter."""
    series = rows(examples)
    for name, each in zip(examples.names, series, strict=True):
        if len(each) < context:
            raise DataError(
                f"{name}: {len(each)} steps, where the model looks back on {context}; give a longer history"
            )
    return Examples(torch.stack([each[-context:] for each in series]), examples.names)


def courses(windows: Tensor) -> list[Tensor]:
    """The series (t, c) that windows (n, t, c) were cut from."""
    edges = pairwise((0, *(place + 1 for place in _lasts(windows))))
    return [torch.cat((windows[first], windows[first + 1 : end, -1])) for first, end in edges]


def ends(windows: Examples, context: int) -> Examples:
    """The last `context` steps of each series that windows were cut from."""
    lasts = _lasts(windows.loaded)
    names = [windows.names[place].rpartition(", steps")[0] for place in lasts]
    return Examples(windows.loaded[lasts, -context:], names)


def _lasts(windows: Tensor) -> list[int]:
    """The places of windows (n, t, c) that the next one does not go on from, a step later in the same series."""
    on = (windows[1:, :-1] == windows[:-1, 1:]).flatten(1).all(1)
    return [*(~on).nonzero()[:, 0].tolist(), len(windows) - 1]


def usual_context(steps: int, horizon: int, season: int) -> int:
    """The steps of history for a training series of so many: some seasons, and no more than half of what there is."""
    wanted = min(max(SEASONS * season, 2 * horizon, SHORTEST), max(LONGEST, 2 * season))
    return max(1, min(wanted, (steps - horizon) // 2))


def season_of(series: Sequence[Tensor]) -> int:
    """After how many steps the longest of some series, each (t, c), resembles itself most; 1 if it never does.

    That is the first of the highest peaks of the autocorrelation, a mean over the channels, beyond its first
    fall below zero, once a parabola over time is taken off.
    """
    y_tc = max(series, key=len).double()
    steps = len(y_tc)
    time_t = torch.linspace(-1, 1, steps, dtype=torch.float64)
    powers_t3 = torch.stack((torch.ones_like(time_t), time_t, time_t**2), dim=1)
    rest_tc = y_tc - powers_t3 @ torch.linalg.lstsq(powers_t3, y_tc).solution
    power = torch.fft.rfft(rest_tc, 2 * steps, dim=0).abs().square()
    lagged_tc = torch.fft.irfft(power, dim=0)[: steps // 3 + 1]
    changing = rest_tc.square().mean(0) > 1e-9 * y_tc.var(0, correction=0).clamp(min=1e-30)
    if not changing.any() or steps < 9:
        return 1
    r = (lagged_tc / lagged_tc[0])[:, changing].mean(1)
    below = (r < 0).nonzero()
    peaks = (r[1:-1] > r[:-2]) & (r[1:-1] >= r[2:]) & (r[1:-1] > ALIKE)
    peaks[: int(below[0]) if len(below) else None] = False
    return int((peaks & (r[1:-1] >= NEARLY * r[1:-1][peaks].max())).nonzero()[0]) + 1 if peaks.any() else 1


def times_after(path: Path, reading: Reading, steps: int) -> list[str] | None:
    """The times of the steps that follow the one course of time at `path`, a table; None where nothing tells them.

    Months and working days go on as such, all else by the median step.
    """
    if reading.time is None or reading.id is not None or not path.exists():
        return None
    found = [
        times(frame, reading.time).to_numpy()
        for frame in load_all(place(path)).values()
        if reading.time in frame.columns
    ]
    if not found:
        return None
    when, ahead = np.sort(np.concatenate(found)), np.arange(1, steps + 1)
    return [word(each) for each in _continued(when, ahead)] if len(when) > 1 else None


def _continued(when: np.ndarray, ahead: np.ndarray) -> list[Any]:
    if when.dtype.kind != "M":
        return list(when[-1] + np.median(np.diff(when)) * ahead)
    day = np.timedelta64(1, "D")
    for shift in (0 * day, day):  # the last days of months are those before the first ones
        months = (when + shift).astype("datetime64[M]")
        if len(np.unique(when + shift - months)) == 1:
            step = np.median(np.diff(months).astype(np.int64)).astype(np.int64)
            return list(months[-1] + step * ahead + (when[-1] + shift - months[-1]) - shift)
    days = when.astype("datetime64[D]")
    step = np.median(np.diff(when).astype(np.int64)).astype("timedelta64[us]")
    if step == day and np.is_busday(days).all():
        return list(np.busday_offset(days[-1], ahead) + (when[-1] - days[-1]))
    return list(when[-1] + step * ahead)
