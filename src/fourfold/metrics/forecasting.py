"""How far forecasts are from what came, and what plain rules would have said of the same histories.

Errors are those of Hyndman and Athanasopoulos, Forecasting: Principles and Practice (3rd edition, 5.8 and 5.9).
Rules see the same history as a network and nothing else; smoothing is fitted on each history anew.

Shapes: n windows, t time, p steps ahead, q quantiles, c channels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

QUANTILES = (0.1, 0.5, 0.9)
MEDIAN = 1  # its place
COARSE = (0.1, 0.4, 0.8)  # weights of smoothing that are tried first
HALVINGS = 5  # of the steps by which the best of them is then bettered


def pinball(said: Tensor, came: Tensor, levels: Sequence[float]) -> Tensor:
    """What each quantile misses, (n, p, q, c): the error, weighed by the level below what came and by the rest above.

    said (n, p, q, c): the quantiles at `levels`. came (n, p, c). (Koenker and Bassett, 1978.)
    """
    error = came[:, :, None] - said
    level_qc = torch.tensor(levels, dtype=said.dtype, device=said.device)[:, None]
    return torch.maximum(level_qc * error, (level_qc - 1) * error)


def figures(said: Tensor, came: Tensor) -> dict[str, float]:
    """Figures of quantiles (n, p, q, c) at `QUANTILES` against what came (n, p, c), in the units of the data.

    Those of `point_figures` for the median; the mean pinball loss, and the share of what came that lies
    between the outer quantiles.
    """
    said, came = said.double(), came.double()
    inside = (came >= said[:, :, 0]) & (came <= said[:, :, -1])
    return {
        **point_figures(said[:, :, MEDIAN], came),
        "pinball": float(pinball(said, came, QUANTILES).mean()),
        "coverage": float(inside.double().mean()),
    }


def point_figures(said: Tensor, came: Tensor, scale: Tensor | None = None) -> dict[str, float]:
    """Mean absolute error, root of the mean squared one, and the symmetric percentage (0 to 200) of (n, p, c).

    scale (c,): the error that `naive_scale` tells; with it the mean absolute scaled error goes first.
    """
    error, size = (said - came).double().abs(), (said.abs() + came.abs()).double()
    scaled = {} if scale is None else {"mase": float((error / scale).mean())}
    return scaled | {
        "mae": float(error.mean()),
        "rmse": float(error.square().mean().sqrt()),
        "smape": float((200 * error / size.clamp(min=1e-300)).mean()),
    }


def naive_scale(series: Sequence[Tensor], season: int) -> Tensor:
    """The mean absolute error (c,) of saying what was a season ago, over all steps of some series, each (t, c).

    Hyndman and Koehler (2006). A channel that never changes has 1, and so have series shorter than a season.
    """
    errors = torch.cat([(each[season:] - each[:-season]).double().abs() for each in series])
    scale = errors.mean(0) if len(errors) else torch.zeros(series[0].shape[1], dtype=torch.float64)
    return torch.where(scale > 0, scale, 1.0)


def rivals(history: Tensor, horizon: int, season: int) -> dict[str, Tensor]:
    """What plain rules say of the steps after histories (n, t, c), by name, each (n, p, c).

    season: steps; those rules that need one are left out where it is 1, or longer than a history has room for.
    """
    x = history.double()
    ahead = torch.arange(1, horizon + 1, dtype=torch.float64, device=x.device)[:, None]
    steps = x.shape[1]
    said = {"naive": x[:, -1:].expand(-1, horizon, -1)}
    if 1 < season <= steps:
        said["seasonal_naive"] = x[:, steps - season + torch.arange(horizon, device=x.device) % season]
    said["drift"] = x[:, -1:] + ahead * (x[:, -1:] - x[:, :1]) / max(steps - 1, 1)
    flat = x.transpose(1, 2).flatten(0, 1)
    shape = (len(x), x.shape[2], horizon)
    said["exponential_smoothing"] = smoothed(flat, horizon, 1).view(shape).transpose(1, 2)
    if season > 1 and 2 * season < steps:
        said["holt_winters"] = smoothed(flat, horizon, season).view(shape).transpose(1, 2)
    return said


def smoothed(x: Tensor, horizon: int, season: int) -> Tensor:
    """Forecasts (m, p) by exponential smoothing of series (m, t), the weights of each fitted on itself.

    season: 1 is simple smoothing of the level; else Holt and Winters' additive method. The weights have the
    least squared error of one step ahead: a coarse grid, then steps along one weight at a time, ever smaller.
    """
    free = 1 if season == 1 else 3
    grid = torch.cartesian_prod(*[torch.tensor(COARSE, dtype=x.dtype, device=x.device)] * free).reshape(-1, free)
    best = grid[:1].expand(len(x), -1)
    least = recursion(x, best, season)[0]

    def better(tried: Tensor) -> None:
        nonlocal best, least
        error = recursion(x, tried, season)[0]
        best = torch.where((error < least)[:, None], tried, best)
        least = torch.minimum(error, least)

    for row in grid[1:]:
        better(row.expand(len(x), -1))
    for halving in range(HALVINGS):
        for place in range(free):
            for way in (1, -1):
                step = torch.zeros(free, dtype=x.dtype, device=x.device)
                step[place] = way * 0.16 / 2**halving
                better((best + step).clamp(0, 1))
    _, level, slope, seasonal = recursion(x, best, season)
    ahead = torch.arange(1, horizon + 1, dtype=x.dtype, device=x.device)
    return level[:, None] + ahead * slope[:, None] + seasonal[:, torch.arange(horizon) % season]


def recursion(x: Tensor, weights: Tensor, season: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Exponential smoothing of series (m, t) under weights (m, 1 or 3): of the level, the slope and the season.

    Returns: the mean squared error of one step ahead (m,), the last level (m,), slope (m,) and season (m, season),
    which begins with the step that follows. Simple smoothing starts at the first value, Holt and Winters' at
    the means of the first two seasons (Hyndman and Athanasopoulos, 8.1 and 8.3).
    """
    if season == 1:
        level, slope, seasonal = x[:, 0], torch.zeros_like(x[:, 0]), [torch.zeros_like(x[:, 0])]
        alpha, beta, gamma = weights[:, 0], slope, slope
    else:
        first, second = x[:, :season].mean(1), x[:, season : 2 * season].mean(1)
        level, slope = first, (second - first) / season
        seasonal = list((x[:, :season] - first[:, None]).unbind(1))
        alpha, beta, gamma = weights.unbind(1)
    total = torch.zeros_like(level)
    for t in range(season, x.shape[1]):
        last = seasonal[t % season]
        error = x[:, t] - (level + slope + last)
        total = total + error.square()
        before, level = level, level + slope + alpha * error
        slope = slope + beta * (level - before - slope)
        seasonal[t % season] = last + gamma * error
    following = [seasonal[t % season] for t in range(x.shape[1], x.shape[1] + season)]
    return total / max(x.shape[1] - season, 1), level, slope, torch.stack(following, dim=1)


def beside_rivals(said: Tensor, windows: Tensor, season: int, scale: Tensor | None) -> dict[str, Any]:
    """Figures of quantiles (n, p, q, c) and of every rival, from the same histories at the same moments.

    windows (n, t + p, c): each history and what came. scale: as for `point_figures`; without it the mean absolute
    error compares. Returns: plain JSON, with "rivals" by name, what each comes to beside the network's own as
    NAME_mase (or _mae), and "remarks".
    """
    horizon = said.shape[1]
    history, came = windows[:, :-horizon], windows[:, -horizon:].double()
    own = point_figures(said[:, :, MEDIAN], came, scale)
    found = {name: point_figures(each, came, scale) for name, each in rivals(history, horizon, season).items()}
    key = next(iter(own))
    told = [
        f"it loses to {name.replace('_', ' ')}: {key.upper()} {each[key]:.4f} against {own[key]:.4f}; use that, or "
        "train otherwise"
        for name, each in found.items()
        if each[key] <= own[key]
    ]
    return {
        **own,
        **{f"{name}_{key}": each[key] for name, each in found.items()},
        "season": season,
        "rivals": found,
        "remarks": told,
    }
