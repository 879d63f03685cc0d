"""Trainings that are killed, or meet a disk that fails, beside one that is not: the same bits or a failure.

    python benchmarks/torture.py --kills 1000                 # SIGKILL at random times, so many trainings a family
    python benchmarks/torture.py --sites --families gan       # a death at every call that changes the disk
    python benchmarks/torture.py --faults --families gan      # ENOSPC, EIO, EACCES or a short write there
    python benchmarks/torture.py --flips 10000                # every byte of a manifest, so many bits of other files

Compared by SHA-256 are the last checkpoint (weights, buffers, optimizers, average, best weights),
the model's weights, and the history without its seconds. Prints one JSON document; with --results
it is merged into that file with what other parts of the same work (--families, --part 2/5) have
found there, and a table of all is printed. Exits with 1 if any training came out otherwise.
"""

import argparse
import errno
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import disk
import fourfold
from flips import flips, tried
from fourfold.engine.terms import versions
from fourfold.errors import FourfoldError
from fourfold.storage import write_file
from victims import FAMILIES, LONG, SHORT, Victim, prepare, sample, wait

FAULTS = (errno.ENOSPC, errno.EIO, errno.EACCES, None)  # None: a write that takes a part
WAYS = {
    "random": "SIGKILL at random times",
    "sites": "death at a write, flush, rename or removal",
    "faults": "ENOSPC, EIO, EACCES or a short write there",
    "flips": "flipped bits",
}


@dataclass
class Tally:
    """What came of one part of one way of torture. met: how often, by what was met. planned: of all parts."""

    family: str
    way: str
    part: str
    planned: int
    tried: int = 0
    met: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def replaces(self, old: "Tally") -> bool:
        """Whether `old` is the same part, or one of another division of the same work."""
        divided = [(one.planned, one.part.split("/")[1]) for one in (self, old)]
        return (self.family, self.way) == (old.family, old.way) and (self.part == old.part or divided[0] != divided[1])


T = TypeVar("T")
Disturb = Callable[[Victim], list[str]]  # returns what the deaths met; raises AssertionError if it ended in no good way


def at_random(dice: random.Random, seconds: float, victim: Victim) -> list[str]:
    """Kill it once to three times, at random times, of which some wait for an act that is soon over.

    Returns: what it was at, each time that it was alive.
    """
    met = []
    for _ in range(dice.randint(1, 3)):
        aim = dice.choice((None, None, "training", "evaluating", "writing"))
        delay = dice.uniform(0, seconds / 2 if aim else seconds)
        if wait(victim.begin(), delay, lambda aim=aim: aim in (None, victim.act)) == -signal.SIGKILL:  # type: ignore[misc]
            met.append(victim.act)
    return met


def died(site: int, victim: Victim) -> list[str]:
    """Have it die at a site. Returns: what it was at."""
    code = victim.end(lambda: disk.hooked(partial(disk.die, site)))
    assert code == -signal.SIGKILL, f"exit code {code} before site {site}: {victim.told}"
    return [victim.act]


def failed(site: int, fault: int | None, victim: Victim) -> list[str]:
    """Have it meet a fault at a site: it outlives that, or ends with 6 and names a file of the run."""
    code = victim.end(lambda: disk.hooked(partial(disk.fail, site, fault)))
    assert code == 0 or (code == 6 and str(victim.folder) in victim.told), f"exit code {code}: {victim.told}"
    return ["ended with 6" if code else "outlived"]


def compared(disturb: Disturb, victim: Victim, expected: dict[str, str]) -> list[str]:
    """Disturb a training, see it to its end, compare what it leaves. Raises: AssertionError, telling what is wrong."""
    met = disturb(victim)
    assert (code := victim.end()) == 0, f"cannot go on, exit code {code}: {victim.told}"
    # A training that outlives a fault may lack the checkpoint that met it, and nothing else.
    names = ("model", "history") if "outlived" in met else tuple(expected)
    found = victim.outcome()
    assert not (odd := [name for name in names if found[name] != expected[name]]), f"other {', '.join(odd)}"
    return met


def torture(tally: Tally, rounds: Sequence[tuple[int, Disturb]], model: Victim, at_once: int) -> Tally:
    """Train as `model` without disturbance, then as each of `rounds` disturbs it; compare. So many at once."""
    started = time.monotonic()
    assert model.end() == 0, model.told
    expected = model.outcome()

    def work(mine: Tally, rounds: Sequence[tuple[int, Disturb]]) -> None:
        for number, disturb in rounds:
            folder = model.folder.with_name(f"{model.folder.name}-{number}")
            victim = Victim(model.family, model.data, folder, model.length)
            mine.tried += 1
            try:
                mine.met = dict(Counter(mine.met) + Counter(compared(disturb, victim, expected)))
                victim.remove()
            except (AssertionError, FourfoldError, OSError) as error:
                mine.wrong.append(f"{victim.folder.name}: {error}")

    for mine in forked([(tally, rounds[share::at_once]) for share in range(at_once)], work, model.folder.parent):
        tally.tried += mine.tried
        tally.met = dict(Counter(tally.met) + Counter(mine.met))
        tally.wrong += mine.wrong
    tally.seconds = round(time.monotonic() - started, 1)
    return tally


def forked(shares: Sequence[tuple[Tally, Any]], work: Callable[[Tally, Any], None], place: Path) -> Iterator[Tally]:
    """The tallies of shares of work, each done by a process of its own."""
    workers = []
    for tally, share in shares:
        if (worker := os.fork()) == 0:
            code = 1
            try:
                work(tally, share)
                (place / f"tally-{os.getpid()}").write_text(json.dumps(asdict(tally)))
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        workers.append(worker)
    ends = [os.waitpid(worker, 0)[1] for worker in workers]
    assert not any(ends), f"a worker ended with {ends}"
    for worker in workers:
        yield Tally(**json.loads((place / f"tally-{worker}").read_text()))


def share(rounds: Sequence[T], part: str) -> Sequence[T]:
    """Those of one part: of 2/5 the second of every five."""
    number, parts = map(int, part.split("/"))
    return rounds[number - 1 :: parts]


def ways(family: str, asked: argparse.Namespace, place: Path, data: Path) -> Iterator[Tally]:
    """Torture one family in every way that is asked for."""
    length = SHORT if asked.short else LONG
    plain = partial(Victim, family, data, length=length)

    def part(way: str, rounds: Sequence[Disturb]) -> Tally:
        tally = Tally(family, way, asked.part, len(rounds))
        return torture(
            tally, share(list(enumerate(rounds)), asked.part), plain(place / f"{family}-{way}"), asked.at_once
        )

    dice = [random.Random(f"{asked.seed} {family} {number}") for number in range(asked.kills)]
    if asked.kills:
        started = time.monotonic()
        plain(place / f"{family}-timed").end()
        seconds = 1.1 * (time.monotonic() - started)
        yield part("random", [partial(at_random, one, seconds) for one in dice])
    if asked.sites or asked.faults:
        sites = range(1, disk.count(plain(place / f"{family}-counted"), place / "sites") + 1)[:: asked.stride]
        if asked.sites:
            yield part("sites", [partial(died, site) for site in sites])
        if asked.faults:
            turn = list(FAMILIES).index(family)  # so that a call meets another fault in each family
            faults = [FAULTS[(place + turn) % len(FAULTS)] for place in range(len(sites))]
            yield part("faults", [partial(failed, *one) for one in zip(sites, faults, strict=True)])
    if asked.flips:
        started, model = time.monotonic(), plain(place / f"{family}-flips")
        assert model.end() == 0, model.told
        planned = flips(model.folder, asked.flips, asked.stride, random.Random(f"{asked.seed} {family}"))
        tally = Tally(family, "flips", asked.part, len(planned))
        for flip in share(planned, asked.part):
            tally.tried += 1
            (met, wrong) = tried(flip)
            tally.met = dict(Counter(tally.met) + Counter(met))
            tally.wrong += wrong
        tally.seconds = round(time.monotonic() - started, 1)
        yield tally


def merged(found: Sequence[Tally], path: Path, terms: dict[str, str]) -> list[Tally]:
    """The tallies with those of other parts of the same work that a file holds; all of them are written there."""
    known = json.loads(path.read_text()) if path.exists() else {}
    kept = [Tally(**tally) for tally in known["tallies"]] if known.get("terms") == terms else []
    for new in found:
        kept = [old for old in kept if not new.replaces(old)] + [new]
    kept.sort(key=lambda one: (list(WAYS).index(one.way), list(FAMILIES).index(one.family), one.part))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps({"terms": terms, "tallies": [asdict(tally) for tally in kept]}, indent=2) + "\n")
    return kept


def table(tallies: Sequence[Tally]) -> str:
    """The sums over the parts as a Markdown table."""
    lines = ["| what | family | done | met | wrong | minutes |", "| --- | --- | ---: | --- | ---: | ---: |"]
    for way, family in dict.fromkeys((tally.way, tally.family) for tally in tallies):
        parts = [tally for tally in tallies if (tally.way, tally.family) == (way, family)]
        met: Counter[str] = sum((Counter(one.met) for one in parts), Counter())
        told = ", ".join(f"{name} {count:,}" for name, count in met.most_common())
        done = f"{sum(one.tried for one in parts):,} of {parts[0].planned:,}"
        wrong, minutes = sum(len(one.wrong) for one in parts), sum(one.seconds for one in parts) / 60
        lines.append(f"| {WAYS[way]} | {family} | {done} | {told} | {wrong} | {minutes:.1f} |")
    return "\n".join(lines)


def terms(seed: int) -> dict[str, str]:
    """What has to be equal for two parts to be of one work: the versions, the code, the seed."""
    source = Path(fourfold.__file__).parent
    code = hashlib.sha256()
    for path in sorted(source.rglob("*.py")):
        code.update(path.read_bytes())
    return {**versions(), "code": code.hexdigest(), "seed": str(seed)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--kills", type=int, default=0, help="trainings a family that are killed at random times")
    parser.add_argument("--sites", action="store_true", help="die at every call that changes the disk")
    parser.add_argument("--faults", action="store_true", help="fail at every such call, in one of four ways in turn")
    parser.add_argument("--flips", type=int, default=0, help="bits a file to flip, and every byte of a manifest")
    parser.add_argument("--short", action="store_true", help="trainings of two steps")
    parser.add_argument("--stride", type=int, default=1, help="of sites and a manifest's bytes every so manieth only")
    parser.add_argument("--part", default="1/1", help="2/5: the second fifth of all")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="trainings at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="merge what is found into this file")
    return parser.parse_args()


def run() -> int:
    """The command. Returns: its exit code."""
    asked = arguments()
    prepare()
    tallies = []
    with tempfile.TemporaryDirectory(prefix="fourfold-torture-") as folder:
        data = sample(Path(folder) / "digits.npz")
        for family in asked.families:
            tallies += list(ways(family, asked, Path(folder), data))
    if asked.results:
        print(table(merged(tallies, asked.results, terms(asked.seed))))
    else:
        print(json.dumps([asdict(tally) for tally in tallies], indent=2))
    for wrong in (wrong for tally in tallies for wrong in tally.wrong):
        print(wrong, file=sys.stderr)
    return 1 if any(tally.wrong for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(run())
