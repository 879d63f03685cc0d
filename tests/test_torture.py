"""Real processes that are killed, or meet a disk that fails, go on to the same bits."""

import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("FOURFOLD_KILLS", "25"))  # trainings a family that are killed at random times
FAMILIES = ("cnn", "rnn", "autoencoder", "gan")


def torture(*words: str) -> dict[str, list[Any]]:
    """What `benchmarks/torture.py` finds, by way."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "benchmarks" / "torture.py"), *words]
    ran = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert ran.stdout, ran.stderr
    found = json.loads(ran.stdout)
    assert [tally["wrong"] for tally in found] == [[]] * len(found)
    assert all(tally["tried"] == tally["planned"] > 0 for tally in found)
    assert ran.returncode == 0, ran.stderr
    return {way: [tally for tally in found if tally["way"] == way] for way in {tally["way"] for tally in found}}


def met(tallies: list[Any]) -> Counter[str]:
    return sum((Counter(tally["met"]) for tally in tallies), Counter())


def test_real_processes_killed_at_random_go_on_to_the_same_bits() -> None:
    """Each is killed one to three times: while it trains, evaluates, writes."""
    tallies = torture("--kills", str(KILLS))["random"]
    assert [tally["family"] for tally in tallies] == [*FAMILIES]
    assert all(tally["tried"] == KILLS <= 2 * sum(tally["met"].values()) for tally in tallies)
    assert {"training", "evaluating", "writing"} <= met(tallies).keys()


def test_a_death_at_any_call_that_changes_the_disk_loses_nothing() -> None:
    """At all of them, of a whole training."""
    (tally,) = torture("--sites", "--short", "--families", "autoencoder")["sites"]
    assert sum(tally["met"].values()) == tally["planned"] > 90
    assert {"starting", "writing", "saving the model"} <= tally["met"].keys()


def test_nor_does_a_death_or_a_fault_in_another_family() -> None:
    """At every so manieth, one fault each; at all of them in `make torture`."""
    found = torture("--sites", "--faults", "--short", "--stride", "31")
    assert all(sum(tally["met"].values()) == tally["planned"] for way in found.values() for tally in way)
    assert met(found["sites"])["writing"] > 0
    assert met(found["faults"])["outlived"] > 0


def test_every_flipped_bit_is_seen() -> None:
    """Some hundred; every byte of a manifest and 10,000 bits of each other file in `make torture`."""
    (tally,) = torture("--flips", "100", "--short", "--stride", "100", "--families", "rnn")["flips"]
    assert sum(tally["met"].values()) == tally["planned"] > 400


def test_parts_add_up_to_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other code or of another division are dropped, and one that is repeated counts once."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    tool = importlib.import_module("torture")
    results, terms = tmp_path / "results" / "torture.json", {"code": "this"}

    def found(part: str, tried: int, planned: int = 5) -> Any:
        return tool.Tally("gan", "random", part, planned, tried, {"writing": tried}, ["one"] * (tried - 2), 30.0)

    for tally in (found("1/3", 1, 9), found("1/2", 2), found("2/2", 2), found("1/2", 3)):
        tallies = tool.merged([tally], results, terms)
    row = "| SIGKILL at random times | gan | 5 of 5 | writing 5 | 1 | 1.0 |"
    assert tool.table(tallies).splitlines()[2:] == [row]
    assert tool.merged([found("1/2", 3)], results, {"code": "other"}) == [found("1/2", 3)]
