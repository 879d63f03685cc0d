"""An environment for each peer, so that none of them decides another one's versions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]


def python_of(name: str) -> Path:
    """The interpreter of an environment, which is made if absent and made anew if its pins change.

    torch comes first and alone, so that its exact version is settled before anything else could ask for another.
    Raises: SystemExit, naming what could not be installed.
    """
    pins = BENCHMARKS / "peers" / f"requirements-{name}.txt"
    folder = BENCHMARKS / f".venv-{name}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = folder / pins.name
    if installed.exists() and installed.read_bytes() == pins.read_bytes():
        return python
    print(f"installing into {folder} …", file=sys.stderr)
    _call(sys.executable, "-m", "venv", "--clear", str(folder))
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for torch in (line for line in pins.read_text(encoding="utf-8").split() if line.startswith("torch==")):
        _call(*pip, torch)
    _call(*pip, "-r", str(pins))
    shutil.copy(pins, installed)  # last, so that an installation cut short is not taken for a whole one
    return python


def _call(*words: str) -> None:
    if subprocess.run(words, check=False, stdout=sys.stderr).returncode:
        raise SystemExit(f"{' '.join(words)}\nfailed; its own message stands above")
