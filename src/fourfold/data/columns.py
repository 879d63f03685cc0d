"""A table's columns between what was read and what a network takes: filled, one-hot, and back.

Raw tables are float (…, columns): numbers as they are, categories as places in their levels,
NaN where nothing is, -1 for a level that train does not have. A network takes (…, width): a
category counts as many as it has levels, and is 1 at its own, 0 elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import DataError

Levels = Mapping[str, tuple[str, ...]]
LEAST = 1e-30  # of a deviation: networks compute with 32 bits, in which less becomes 0


@dataclass(frozen=True)
class Figures:
    """What train tells of a table's columns.

    levels: of each category those that train has, in their order. fill: what stands for a
    missing value, a figure a column: the median or mean of train, the place of the commonest
    level; None without imputation. mean, std: a figure for each of the width; 0 and 1 for
    levels, which stay as they are.
    """

    levels: dict[str, tuple[str, ...]]
    fill: tuple[float, ...] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


def fit_columns(
    x: Tensor, columns: Sequence[str], levels: Levels, impute: Literal["none", "median", "mean"]
) -> Figures:
    """The figures of a training split.

    x: float (n, columns), categories as places in `levels`. Means and deviations are those of
    the filled numbers; a column that never changes gets 1 as its deviation.
    Raises: DataError naming a column without any value in train.
    """
    known = {name: _occurring(x[:, columns.index(name)], levels[name]) for name in levels}
    x = recode(x, columns, levels, known).double()
    missing = x.isnan()
    for place, name in enumerate(columns):
        if missing[:, place].all():
            raise DataError(f"column {name!r}: not one value in the training split; remove it")
    fill = None
    if impute != "none":
        fill = tuple(_fill(x[:, place], name in known, impute) for place, name in enumerate(columns))
    wide = expand(x, columns, known, fill)
    std, mean = torch.std_mean(wide, dim=0, correction=0)
    number = torch.tensor([name not in known for name in columns]).repeat_interleave(_widths(columns, known))
    mean = torch.where(number, mean, 0)
    std = torch.where(number & (std > (1e-12 * mean.abs()).clamp(min=LEAST)), std, 1)
    return Figures(known, fill, tuple(mean.tolist()), tuple(std.tolist()))


def recode(x: Tensor, columns: Sequence[str], old: Levels, new: Levels) -> Tensor:
    """A raw table whose categories are places in `new` levels; -1 where there is no such level."""
    if old == new:
        return x
    x = x.clone()
    for place, name in enumerate(columns):
        if name in old:
            table = {level: number for number, level in enumerate(new[name])}
            places = torch.tensor([table.get(level, -1) for level in old[name]] + [-1], dtype=x.dtype)
            column = x[..., place]
            x[..., place] = torch.where(column.isnan(), column, places[column.nan_to_num(-1).long()])
    return x


def expand(x: Tensor, columns: Sequence[str], levels: Levels, fill: Sequence[float] | None) -> Tensor:
    """A raw table (…, columns) as a network takes it, (…, width), but for the scale of its numbers.

    Missing values are filled; a category becomes one-hot, a level that is unknown zeros throughout.
    """
    if fill is not None:
        x = torch.where(x.isnan(), torch.tensor(fill, dtype=x.dtype, device=x.device), x)
    if not levels:
        return x
    parts = []
    for place, name in enumerate(columns):
        column = x[..., place : place + 1]
        if name in levels:
            column = (column == torch.arange(len(levels[name]), device=x.device)).to(x.dtype)
        parts.append(column)
    return torch.cat(parts, dim=-1)


def collapse(x: Tensor, columns: Sequence[str], levels: Levels) -> Tensor:
    """The inverse of `expand`: (…, columns), a category at the place of its highest level."""
    if not levels:
        return x
    parts = zip(columns, torch.split(x, _widths(columns, levels).tolist(), dim=-1), strict=True)
    return torch.cat([part.argmax(-1, True).to(x.dtype) if name in levels else part for name, part in parts], dim=-1)


def _widths(columns: Sequence[str], levels: Levels) -> Tensor:
    """How many of the width each column takes, int64 (columns,)."""
    return torch.tensor([len(levels[name]) if name in levels else 1 for name in columns])


def _occurring(places: Tensor, levels: Sequence[str]) -> tuple[str, ...]:
    """Those levels that occur, in their order."""
    there = set(places[~places.isnan()].long().tolist())
    return tuple(level for place, level in enumerate(levels) if place in there)


def _fill(values: Tensor, category: bool, impute: Literal["median", "mean"]) -> float:
    """What stands for a missing value: of equally common levels the first."""
    values = values[~values.isnan()]
    if category:
        return float(torch.bincount(values.long()).argmax())
    middle = values.sort().values[[(len(values) - 1) // 2, len(values) // 2]]
    return float(values.mean() if impute == "mean" else middle.mean())
