"""Real processes that are killed, or meet a disk that fails, go on to the same bits."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("FOURFOLD_KILLS", "3"))  # trainings a family that are killed at random times


def torture(*words: str) -> Any:
    """What `benchmarks/torture.py` finds."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "benchmarks" / "torture.py"), *words]
    ran = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout)


def test_real_processes_killed_at_random_go_on_to_the_same_bits() -> None:
    """Each is killed one to three times."""
    tallies = torture("--kills", str(KILLS))
    assert [tally["wrong"] for tally in tallies] == [[]] * 4
    assert all(tally["trainings"] == KILLS for tally in tallies)
    assert sum(tally["deaths"] for tally in tallies) > 0


def test_a_death_or_a_fault_wherever_the_disk_is_written_loses_nothing() -> None:
    """Every so manieth of the places; all of them in `make torture`."""
    tallies = torture("--sites", "--faults", "--families", "autoencoder", "--stride", "16")
    assert [tally["wrong"] for tally in tallies] == [[], []]
    assert all(tally["deaths"] > 0 for tally in tallies)
