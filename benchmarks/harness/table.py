"""The results as a page in Markdown."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from .judge import Timing, Verdict, discarded, kept, timings, verdicts
from .plan import AS_IT_COMES, WORKLOADS, Row, Workload
from .results import Results, runs_of
from .runs import Run

HEAD = """# Fourfold beside its peers

Made by `make bench`; nothing here is written by hand. The same networks, initial distributions, optimizer (Adam),
batches, precision and epochs; each turn in a process of its own, libraries in turn, round after round, a seed a round.
Figures are medians over the rounds, in brackets the fastest and the slowest.

- *ms a step*: of whole epochs after the first, by each library's own training loop; Fourfold's hold all that it does
  at their ends.
- *process*: all of it, from outside: imports, reading of data, compilation, training and the test.
- *tuned*: glibc keeps freed memory, as it does under Fourfold, and in torch channels are last.
- *ratio*: Fourfold's median divided by the best peer's in the same precision. Under 1 is faster.

Turns that did not do the same work are thrown out and named below: another number of parameters, or a last loss
further from the middle than five times the spread over seeds and than 5% of it. One round tells nothing of that
spread: of its losses none but those that are no number go.

![Time beside the best peer](results.png)
"""


def page(results: Results) -> str:
    """All of it: promises, details, what was thrown out, circumstances."""
    runs = runs_of(results)
    sections = [HEAD, "## Summary", summary(runs), "## In full"]
    for workload in measured(runs):
        sections += [f"### {workload.name}", details(workload, of(workload, runs))]
    sections += ["## Not counted", faults(runs), "## Circumstances", circumstances(results, runs)]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def measured(runs: Sequence[Run]) -> list[Workload]:
    """The workloads that were tried, in the order of the plan."""
    tried = {run.workload for run in runs}
    return [workload for name, workload in WORKLOADS.items() if name in tried]


def of(workload: Workload, runs: Sequence[Run]) -> list[Run]:
    """The runs of a workload."""
    return [run for run in runs if run.workload == workload.name]


def summary(runs: Sequence[Run]) -> str:
    """A row for each workload, figure and precision."""
    rows = [line(verdict) for workload in measured(runs) for verdict in verdicts(workload, of(workload, runs))]
    header = ("work", "", "Fourfold", "best peer", "ratio", "target", "", "best tuned peer", "ratio")
    return markdown(header, rows, right=(2, 4, 5, 8))


def line(verdict: Verdict) -> tuple[str, ...]:
    """A verdict in words."""
    precision = "" if verdict.precision == "fp32" else f", {verdict.precision}"
    target = "" if verdict.target is None else f"≤ {verdict.target}"
    return (
        f"{verdict.workload}{precision}",
        verdict.figure,
        "not available" if verdict.ours is None else number(verdict.ours.middle),
        peer(verdict.best),
        ratio(verdict.ratio),
        target,
        f"**{verdict.told}**" if verdict.told else "",
        peer(verdict.best_tuned),
        ratio(verdict.tuned_ratio),
    )


def details(workload: Workload, runs: Sequence[Run]) -> str:
    """A row for each library, way and precision, the fastest first."""
    counted = kept(runs)
    names = list(dict.fromkeys(name for run in counted for name in run.figures))
    by_figure: dict[str, dict[Row, Timing]] = {name: timings(counted, name) for name in names}
    order = sorted(workload.rows, key=lambda row: (row.precision != "fp32", _speed(by_figure, row)))
    rows = []
    for row in order:
        own = [run for run in counted if run.row == row]
        cells = [span(by_figure[name].get(row)) for name in names]
        whole = timings([_whole(run) for run in own], "s").get(row)
        losses, scores = ([v for run in own if (v := getattr(run, name)) is not None] for name in ("loss", "accuracy"))
        rows.append((*title(row), *cells, span(whole), spread(losses), spread(scores), str(len(own))))
    header = ("library", "way", "precision", *names, "process, s", "last loss", "accuracy", "turns")
    return markdown(header, rows, right=tuple(range(3, len(header))))


def _speed(by_figure: Mapping[str, Mapping[Row, Timing]], row: Row) -> float:
    first = next(iter(by_figure.values()), {})
    return first[row].middle if row in first else float("inf")


def _whole(run: Run) -> Run:
    return Run(**{**vars(run), "figures": {"s": run.seconds}})


def faults(runs: Sequence[Run]) -> str:
    """What was thrown out, failed or is not available, each kind once."""
    lines: list[str] = []
    for workload in measured(runs):
        own = of(workload, runs)
        thrown = discarded(own)
        for place, run in enumerate(own):
            why = run.failed and f"failed: {run.failed}"
            why = why or (run.unavailable and f"not available: {run.unavailable}")
            why = why or (place in thrown and f"thrown out, seed {run.seed}: {thrown[place]}") or ""
            if why:
                lines.append(f"- {workload.name}, {', '.join(title(run.row))}: {' '.join(why.split())}")
    return "\n".join(dict.fromkeys(lines)) or "Every turn counts."


def circumstances(results: Results, runs: Sequence[Run]) -> str:
    """Of each part: when, of which commit, where; then the versions."""
    rows = []
    for name, part in results.items():
        told: dict[str, Any] = part["circumstances"]
        load = [run["load"] for run in part["runs"]]
        busy = [run["busy"] for run in part["runs"] if run["busy"] is not None]
        rows.append(
            (
                name,
                told["date"],
                f"`{told['commit']}`",
                told["data"],
                str(told["rounds"]),
                f"{told['cpu']}, {told['cores']} cores, {told['system']}",
                f"{min(load)} to {max(load)}" if load else "",
                f"{min(busy)} to {max(busy)}" if busy else "",
            )
        )
    header = ("part", "date", "commit", "data", "rounds", "machine", "load before a turn", "cores in use before")
    versions = {library: told for run in runs if run.versions for library, told in [(run.library, run.versions)]}
    listed = [f"- {library}: {', '.join(f'{k} {v}' for k, v in told.items())}" for library, told in versions.items()]
    return markdown(header, rows) + "\n\n" + "\n".join(listed)


def title(row: Row) -> tuple[str, str, str]:
    """A row's first cells."""
    return row.library, row.way if row.way == AS_IT_COMES else "*tuned*", row.precision


def peer(found: tuple[Row, Timing] | None) -> str:
    return "" if found is None else f"{found[0].library}, {number(found[1].middle)}"


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def number(value: float) -> str:
    """Three digits that count, and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def span(timing: Timing | None) -> str:
    return "" if timing is None else f"{number(timing.middle)} ({number(timing.least)}–{number(timing.most)})"


def spread(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation."""
    if not values:
        return ""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table; columns in `right` are aligned to that side."""
    rule = ["---:" if place in right else "---" for place in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows])
