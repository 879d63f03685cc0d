"""Who was faster, of those that did the same work."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from .plan import AS_IT_COMES, OURS, TUNED, Row, Workload
from .runs import Run

SPREADS = 5  # of the losses over seeds: how far a run may be from the middle; of few seeds they are often small
FLOOR = 0.05  # of the middle: how far it may be in any case
SIZE = 0.05  # of the parameters: a second bias in a recurrence is the same network, another layer is not


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The median of a row's turns, the fastest and the slowest."""

    middle: float
    least: float
    most: float
    turns: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Fourfold beside the best peer in one precision: as they come, and tuned as well as they can be here."""

    workload: str
    figure: str
    precision: str
    ours: Timing | None
    best: tuple[Row, Timing] | None
    best_tuned: tuple[Row, Timing] | None
    target: float | None

    @property
    def ratio(self) -> float | None:
        """Ours divided by the best peer's as it comes."""
        return self.ours.middle / self.best[1].middle if self.ours and self.best else None

    @property
    def tuned_ratio(self) -> float | None:
        """Ours divided by the best tuned peer's."""
        return self.ours.middle / self.best_tuned[1].middle if self.ours and self.best_tuned else None

    @property
    def told(self) -> str:
        """Whether the promise is kept."""
        if self.target is None:
            return ""
        if self.ratio is None:
            return "not available"
        missed = self.ratio / self.target - 1
        return "met" if missed <= 0 else f"missed by {missed:.0%}"


def discarded(runs: Sequence[Run]) -> dict[int, str]:
    """Of one workload: the places of the runs that did not do the same work as the others, and why.

    A network of another size, or a last loss that is further from the middle of all rows than five times the spread
    over seeds and than 5% of it. The spread is that within a row, of the middle one: neither libraries that differ
    from each other nor one wild turn widen it. Of two rows that disagree neither can be trusted, and both go. One
    round tells nothing of that spread, so a loss is then only asked to be a number.
    """
    done = {place: run for place, run in enumerate(runs) if run.figures}
    found: dict[int, str] = {}
    sizes = [run.parameters for run in done.values() if run.parameters is not None]
    losses: defaultdict[Row, list[float]] = defaultdict(list)
    for run in done.values():
        if run.loss is not None:
            losses[run.row].append(run.loss)
    middle = median(mean(values) for values in losses.values()) if losses else 0.0
    known = any(len(values) > 1 for values in losses.values())
    tolerance = max(SPREADS * spread(losses.values()), FLOOR * abs(middle)) if known else math.inf
    for place, run in done.items():
        if run.parameters is not None and abs(run.parameters / median(sizes) - 1) > SIZE:
            found[place] = f"{run.parameters:,} parameters, where the others have {median(sizes):,.0f}"
        elif run.loss is not None and not math.isfinite(run.loss):
            found[place] = f"loss {run.loss}, which is no number"
        elif run.loss is not None and abs(run.loss - middle) > tolerance:
            found[place] = f"loss {run.loss:.4g}, further than {tolerance:.2g} from {middle:.4g}"
    return found


def spread(rows: Iterable[Sequence[float]]) -> float:
    """How far losses differ from seed to seed: the median of the rows' standard deviations; 0 of single turns."""
    return median([stdev(values) for values in rows if len(values) > 1] or [0.0])


def kept(runs: Sequence[Run]) -> list[Run]:
    """The runs of one workload that count."""
    gone = discarded(runs)
    return [run for place, run in enumerate(runs) if run.figures and place not in gone]


def timings(runs: Sequence[Run], figure: str) -> dict[Row, Timing]:
    """One figure of each row."""
    found: defaultdict[Row, list[float]] = defaultdict(list)
    for run in runs:
        if figure in run.figures:
            found[run.row].append(run.figures[figure])
    return {
        row: Timing(middle=median(values), least=min(values), most=max(values), turns=len(values))
        for row, values in found.items()
    }


def verdicts(workload: Workload, runs: Sequence[Run]) -> list[Verdict]:
    """One for each figure and precision of a workload."""
    counted = kept(runs)
    names = list(dict.fromkeys(name for run in counted for name in run.figures)) or [_figure(workload)]
    precisions = dict.fromkeys(row.precision for row in workload.rows)
    return [_verdict(workload, name, precision, timings(counted, name)) for name in names for precision in precisions]


def _verdict(workload: Workload, figure: str, precision: str, found: dict[Row, Timing]) -> Verdict:
    def best(way: str) -> tuple[Row, Timing] | None:
        able = [
            (row, timing)
            for row, timing in found.items()
            if (row.way, row.precision) == (way, precision) and row.library != OURS
        ]
        return min(able, key=lambda pair: pair[1].middle, default=None)

    return Verdict(
        workload=workload.name,
        figure=figure,
        precision=precision,
        ours=found.get(Row(library=OURS, precision=precision)),
        best=best(AS_IT_COMES),
        best_tuned=best(TUNED),
        target=workload.targets.get(precision),
    )


def _figure(workload: Workload) -> str:
    """What a workload would have been judged by, had anyone done it."""
    return {"process": "s", "predict": "ms for 1"}.get(workload.task, "ms a step")
