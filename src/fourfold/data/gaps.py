"""What is wrong with the times of series: steps that are missing, steps that are uneven, splits that overlap.

A network takes every step of every series for the same, so one usual step is sought for all
of them together. Months, years and working days count as even, though they differ in length.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from .finding import FEW, Finding

EVEN = 0.01  # of the usual step: what differs by less is as even as clocks are
ALIKE = 1e-4  # of a step: what differs by less is one step, as 0.3 - 0.2 and 0.1 are
UNITS = {"day": 86_400_000_000, "hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000, "millisecond": 1_000}


@dataclass(frozen=True)
class _Calendar:
    """A way to count time: the steps between neighbours in each series, in units of some name."""

    unit: str
    steps: list[np.ndarray]

    @cached_property
    def every(self) -> np.ndarray:
        """The steps of all series, one after the other."""
        return np.concatenate(self.steps)

    @cached_property
    def usual(self) -> float:
        """The commonest step; of several that are equally common the shortest."""
        every = np.sort(self.every)
        starts = np.flatnonzero(np.diff(every, prepend=0) > ALIKE * every)
        sizes = np.diff(starts, append=len(every))
        return float(every[starts[sizes.argmax()] + sizes.max() // 2])

    @cached_property
    def even(self) -> int:
        """How many steps are the usual one."""
        return int((abs(self.every - self.usual) <= EVEN * self.usual).sum())


def gap_findings(times: Sequence[np.ndarray], where: Sequence[Callable[[int], str]]) -> tuple[Finding, ...]:
    """Steps that are missing from series, or that a usual step cannot be told.

    times: of each series, ascending: datetime64[us] or float64, (time,). where: for each
    series, what names its step at a place, from 0, such as "co2.csv, row 8".
    """
    if all(len(each) < 2 for each in times):
        return ()
    calendar = max(_calendars(times), key=lambda calendar: calendar.even)
    usual = calendar.usual
    if 2 * calendar.even < len(calendar.every):
        odd = [np.flatnonzero(abs(steps - usual) > EVEN * usual) for steps in calendar.steps]
        what = f"steps of time that are not the commonest one, {_length(calendar)}"
        told = [_between(times[i], where[i], int(place)) for i, places in enumerate(odd) for place in places[:FEW]]
        mend = "sample the series evenly, or know that a network takes all steps for equal"
        return (Finding("warning", "uneven", what, sum(map(len, odd)), tuple(told[:FEW]), mend),)
    missing = [np.maximum(np.rint(steps / usual).astype(np.int64) - 1, 0) for steps in calendar.steps]
    total = sum(int(each.sum()) for each in missing)
    if not total:
        return ()
    told = [
        f"{_between(times[i], where[i], int(place))}: {each[place]:,} {'step' if each[place] == 1 else 'steps'} missing"
        for i, each in enumerate(missing)
        for place in np.flatnonzero(each)[:FEW]
    ]
    what = f"steps of time that are missing where each is {_length(calendar)}"
    mend = "add their rows, empty cells for --impute to fill, or know that steps are not even"
    return (Finding("warning", "gaps", what, total, tuple(told[:FEW]), mend),)


def overlap_findings(times: Mapping[str, np.ndarray]) -> tuple[Finding, ...]:
    """Splits of one course of time, by name, that do not lie one after the other: what is judged has been seen."""
    told = [
        f"{first} ({word(a[0])} to {word(a[-1])}) and {second} ({word(b[0])} to {word(b[-1])})"
        for (first, a), (second, b) in combinations(times.items(), 2)
        if ticks(a)[0] <= ticks(b)[-1] and ticks(b)[0] <= ticks(a)[-1]
    ]
    if not told:
        return ()
    what, mend = "pairs of splits whose times overlap", "cut the series at one time"
    return (Finding("warning", "overlapping-times", what, len(told), tuple(told), mend),)


def ticks(times: np.ndarray) -> np.ndarray:
    """Times as numbers that order and measure them: datetimes as int64 microseconds."""
    return times.view(np.int64) if times.dtype.kind == "M" else times


def _calendars(times: Sequence[np.ndarray]) -> list[_Calendar]:
    """The ways of counting that fit all series; of ways that are equally even the first is the plainest."""
    plain = [ticks(each) for each in times]
    if not all(each.dtype.kind == "M" for each in times):
        return [_Calendar("", [np.diff(each) for each in plain])]
    monthly, working = [_months(each) for each in times], [_working_days(each) for each in times]
    named: dict[str, Sequence[np.ndarray | None]] = {"month": monthly, "microsecond": plain, "working day": working}
    return [
        _Calendar(unit, [np.diff(each) for each in counts if each is not None])
        for unit, counts in named.items()
        if all(each is not None for each in counts)
    ]


def _months(times: np.ndarray) -> np.ndarray | None:
    """The numbers of the months, if all times are on the same day of theirs; the 31st may be a shorter one's last."""
    months, days = times.astype("datetime64[M]"), times.astype("datetime64[D]")
    day = (days - months.astype("datetime64[D]")).astype(np.int64)
    last = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64) - 1
    same = (day == np.minimum(day.max(initial=0), last)).all() and _same_hour(times)
    return months.astype(np.int64) if same else None


def _working_days(times: np.ndarray) -> np.ndarray | None:
    """The numbers of the days from Monday to Friday, if no time is on another."""
    weeks, weekday = np.divmod(times.astype("datetime64[D]").astype(np.int64) + 3, 7)  # 1970 began on a Thursday
    return 5 * weeks + weekday if (weekday < 5).all() and _same_hour(times) else None


def _same_hour(times: np.ndarray) -> bool:
    return len(np.unique(times - times.astype("datetime64[D]"))) <= 1


# Words


def _between(times: np.ndarray, where: Callable[[int], str], place: int) -> str:
    """The step after a place; the row is that where it ends."""
    return f"{where(place + 1)}: {word(times[place])} to {word(times[place + 1])}"


def word(time: Any) -> str:
    """A time as one would write it: dates without midnight, numbers without noise."""
    return str(time.item()).removesuffix(" 00:00:00") if isinstance(time, np.datetime64) else f"{time:.15g}"


def _length(calendar: _Calendar) -> str:
    """The usual step in words, such as 7 days."""
    size, unit = calendar.usual, calendar.unit
    if unit == "month" and size % 12 == 0:
        size, unit = size / 12, "year"
    if unit == "microsecond":
        unit = next((name for name, of in UNITS.items() if size % of == 0), unit)
        size /= UNITS.get(unit, 1)
    return f"{size:.5g} {unit}{'' if size == 1 or not unit else 's'}".strip()
