"""Series as steps in time: brought to one size, filled where values are missing, cut into splits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..errors import DataError
from .dataset import UNTOLD, Examples
from .finding import FEW, Finding

LARGEST = 1 << 30  # bytes that a split may take whatever is in it
WASTE = 100  # how many times its own values it may take beyond that, the rest padding
PIECES = 32  # that a training course is cut into at least, where each then has SHORTEST steps
SHORTEST, LONGEST = 32, 256  # steps of a piece


def stack(series: Sequence[np.ndarray], names: Sequence[str], ragged: bool) -> tuple[Tensor, Tensor | None]:
    """Series, each float32 (time, channels), as one tensor (n, time, channels), zero past their lengths.

    Returns: also the lengths, int64 (n,), if `ragged`: where all series of all splits are
    equally long there are none.
    Raises: DataError naming the longest series if the others would be little but padding beside it.
    """
    lengths = [len(each) for each in series]
    channels = series[0].shape[1]
    size = 4 * channels * len(series) * max(lengths)
    if size > LARGEST and size > WASTE * 4 * channels * sum(lengths):
        longest = int(np.argmax(lengths))
        raise DataError(
            f"{names[longest]}: {lengths[longest]:,} steps, where the {len(series):,} series have "
            f"{np.mean(lengths):,.0f} on average; is it one series? Cut it into pieces or remove it"
        )
    x_ntc = np.zeros((len(series), max(lengths), channels), dtype=np.float32)
    for row, values in enumerate(series):
        x_ntc[row, : len(values)] = values
    return torch.from_numpy(x_ntc), torch.tensor(lengths) if ragged else None


def fill(values: np.ndarray, times: np.ndarray | None, name: str, forward: bool = False) -> None:
    """Put in place of every NaN what lies between its neighbours in time; at the ends the nearest value.

    forward: the value before instead, so that no step knows of a later one, which may be in another split.

    Nothing is fitted and nothing comes from another series.
    values: float (time, channels), changed in place. times: (time,), None for even steps.
    Raises: DataError if a channel has no value at all.
    """
    missing = np.isnan(values)
    places = np.arange(len(values)) if times is None else times
    for channel in np.flatnonzero(missing.any(axis=0)):
        gone = missing[:, channel]
        if gone.all():
            raise DataError(f"{name}: not one value in channel {channel + 1}; remove the series or the channel")
        if forward:
            before = np.searchsorted(np.flatnonzero(~gone), np.flatnonzero(gone)) - 1
            values[gone, channel] = values[~gone, channel][np.maximum(before, 0)]
        else:
            values[gone, channel] = np.interp(places[gone], places[~gone], values[~gone, channel])


def runs(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where `flags`, bool (n,), are true: the first and the last place of each run."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    yield from zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)


def filled_finding(count: int, examples: Sequence[str]) -> tuple[Finding, ...]:
    """What to tell of `count` values that `fill` put in; `examples`: where, the first of them."""
    what, mend = "missing values that were filled from their neighbours in time", "find the values, if you can"
    return (Finding("note", "imputed", what, count, tuple(examples[:FEW]), mend),) if count else ()


def periods(steps: int, validation_share: float, test_share: float) -> dict[str, range]:
    """The steps of each split: the first train, those after them choose, the last judge.

    `validation_share` is a part of what the test leaves, as in other splits; train keeps at
    least one step. A split without a step is left out.
    """
    test = min(round(test_share * steps), steps - 1)
    validation = min(round(validation_share * (steps - test)), steps - test - 1)
    train = steps - test - validation
    named = {"train": range(train), "validation": range(train, train + validation), "test": range(steps - test, steps)}
    return {name: period for name, period in named.items() if period}


def cut_by_time(examples: Examples, validation_share: float, test_share: float) -> dict[str, Examples]:
    """The splits of one course of time, each a single series, by `periods`.

    examples: one series, (1, time, channels). The lengths of the splits are given, since they differ.
    """
    assert len(examples) == 1
    x = examples.loaded if examples.lengths is None else examples.loaded[:, : int(examples.lengths[0])]
    return {
        name: replace(
            examples,
            x=x[:, period.start : period.stop],
            names=[f"{examples.names[0]}, steps {period.start + 1} to {period.stop}"],
            y=None if examples.y is None else examples.y[:, period.start : period.stop],
            lengths=torch.tensor([len(period)]),
            digests=None,
            times=None,
        )
        for name, period in periods(x.shape[1], validation_share, test_share).items()
    }


def in_pieces(parts: Mapping[str, Examples]) -> dict[str, Examples]:
    """Splits that are one series each, as pieces of it that follow each other; the last has what is left."""
    train = parts["train"]
    steps = train.x.shape[1] if train.lengths is None else int(train.lengths[0])
    length = min(max(steps // PIECES, SHORTEST), LONGEST)
    return {name: _in_pieces(part, length, split) for split, (name, part) in enumerate(parts.items())}


def _in_pieces(examples: Examples, length: int, split: int) -> Examples:
    """One series as pieces of so many steps. What is the same again at another time is no duplicate."""
    assert len(examples) == 1
    steps = examples.x.shape[1] if examples.lengths is None else int(examples.lengths[0])
    count = -(-steps // length)
    more = count * length - steps
    y = None if examples.y is None else pad(examples.y[:, :steps], (0, more), value=UNTOLD)
    x_ntc = pad(examples.loaded[:, :steps], (0, 0, 0, more)).view(count, length, -1)
    pieces = Examples(
        x=x_ntc,
        names=[f"{examples.names[0]}, piece {i + 1}" for i in range(count)],
        y=None if y is None else y.view(count, length),
        lengths=(steps - length * torch.arange(count)).clamp(max=length),
        digests=np.array([(split, i) for i in range(count)]).view(np.uint8),
    )
    return pieces if pieces.y is None else pieces.select((pieces.y != UNTOLD).any(dim=1).nonzero()[:, 0])
