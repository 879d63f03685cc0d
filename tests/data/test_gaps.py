"""Times: every step that is missing is counted, none that is there, and calendars count as even."""

import itertools
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.finding import Finding
from fourfold.data.gaps import gap_findings, overlap_findings


def row(step: int) -> str:
    return f"a.csv, row {step + 2}"


def found(*series: Sequence[date | float]) -> tuple[Finding, ...]:
    return gap_findings([times(each) for each in series], [row] * len(series))


def times(series: Sequence[date | float]) -> np.ndarray:
    return np.array(series, dtype="datetime64[us]" if any(isinstance(each, date) for each in series) else np.float64)


def month(step: int, day: int) -> date:
    """The day in the month that is `step` months after January 1999, or that month's last."""
    after = date(1999 + (step + 1) // 12, (step + 1) % 12 + 1, 1)
    return min(after - timedelta(1), date(1999 + step // 12, step % 12 + 1, 1) + timedelta(day - 1))


GRIDS: dict[str, tuple[Callable[[int], date | float], str]] = {
    "days": (lambda step: date(2024, 1, 30) + timedelta(step), "1 day"),
    "weeks": (lambda step: date(1958, 3, 29) + timedelta(7 * step), "7 days"),
    "hours": (lambda step: datetime(2024, 2, 28, 23) + timedelta(hours=6 * step), "6 hours"),
    "half seconds": (lambda step: datetime(2024, 2, 28) + timedelta(milliseconds=500 * step), "500 milliseconds"),
    "months": (lambda step: month(step, 1), "1 month"),
    "last days": (lambda step: month(step, 31), "1 month"),
    "the 30th": (lambda step: month(step, 30), "1 month"),
    "quarters": (lambda step: month(3 * step, 15), "3 months"),
    "dates of years": (lambda step: date(1700 + step, 7, 1), "1 year"),
    "working days": (lambda step: date(2024, 1, 1) + timedelta(7 * (step // 5) + step % 5), "1 working day"),
    "years": (lambda step: 1700 + step, "1"),
    "tenths": (lambda step: step / 10, "0.1"),
    "seconds since 1970": (lambda step: 1.7e9 + step / 10, "0.1"),
    "thirtieths, rounded": (lambda step: round(step / 30, 4), "0.0333"),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_calendars_are_even(grid: str) -> None:
    assert found([GRIDS[grid][0](step) for step in range(40)]) == ()


@pytest.mark.parametrize("grid", GRIDS)
@given(st.sets(st.integers(1, 38), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_every_step_that_is_left_out_is_missed(grid: str, gone: set[int]) -> None:
    at, length = GRIDS[grid]
    [finding] = found([at(step) for step in range(40) if step not in gone])
    assert (finding.severity, finding.name, finding.count) == ("warning", "gaps", len(gone))
    assert finding.what == f"steps of time that are missing where each is {length}"


def test_a_gap_is_named_by_the_row_that_ends_it() -> None:
    days = [date(1958, 5, 3) + timedelta(7 * step) for step in (0, 3, 4, 5, 6, 8, 9)]
    [finding] = found(days)
    assert finding.examples == (
        "a.csv, row 3: 1958-05-03 to 1958-05-24: 2 steps missing",
        "a.csv, row 7: 1958-06-14 to 1958-06-28: 1 step missing",
    )


def test_the_usual_step_is_that_of_all_series() -> None:
    daily, two_days = ([date(2024, 1, 1) + timedelta(k * step) for step in range(9)] for k in (1, 2))
    [finding] = found(daily, two_days, daily)
    assert (finding.name, finding.count) == ("gaps", 8)
    assert found(daily, daily[:1], daily[:0]) == ()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
@settings(deadline=None)
def test_steps_of_many_sizes_are_uneven(steps: list[int]) -> None:
    ends = list(itertools.accumulate(steps, initial=5))
    commonest = max(steps.count(step) for step in steps)
    usual = min(step for step in steps if steps.count(step) == commonest)
    expected: list[tuple[str, int]] = []
    if 2 * commonest < len(steps):
        expected = [("uneven", len(steps) - commonest)]
    elif missing := sum(max(round(step / usual) - 1, 0) for step in steps):
        expected = [("gaps", missing)]
    assert [(finding.name, finding.count) for finding in found(ends)] == expected


def test_uneven_steps_are_named() -> None:
    [finding] = found([datetime(2024, 1, 1, hour) for hour in (0, 1, 2, 5, 7, 11)])
    assert finding.what == "steps of time that are not the commonest one, 1 hour"
    assert finding.examples[0] == "a.csv, row 5: 2024-01-01 02:00:00 to 2024-01-01 05:00:00"
    assert finding.count == 3


def test_steps_that_differ_in_their_last_digits_are_one() -> None:
    tenths = [step / 10 for step in range(30)]  # most exact: 14 times 0.1 and 15 times 0.5
    [finding] = found([*tenths, *(2.9 + step / 2 for step in range(1, 17))])
    assert (finding.name, finding.count) == ("gaps", 16 * 4)
    [finding] = found([0, 0.1, 0.2, 0.3, 0.7, 1.2, 1.8, 2.5])
    assert (finding.name, finding.count) == ("uneven", 4)


def test_clocks_that_jitter_are_even() -> None:
    seconds = [step + 0.004 * (-1) ** step for step in range(20)]
    assert found(seconds) == ()


@pytest.mark.parametrize("series", [[], [[]], [[1.0]], [[1.0], [], [2.0]]])
def test_too_few_times_tell_nothing(series: list[list[float]]) -> None:
    assert found(*series) == ()


def test_splits_that_overlap() -> None:
    early, late = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])
    assert overlap_findings({"train": early, "test": late}) == ()
    assert overlap_findings({"train": late, "test": early}) == ()  # judging by the past sees nothing of train
    [finding] = overlap_findings({"train": early, "validation": late, "test": np.array([3.0, 6.0])})
    assert finding.examples == ("train (1 to 3) and test (3 to 6)", "validation (4 to 5) and test (3 to 6)")
