"""Two processes do not train in one folder, and the lock of a dead one is no lock."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fourfold.cli import main
from fourfold.data.dataset import Request
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read

FLAGS = ["--epochs", "20", "--batch-size", "20", "--checkpoint-every", "1steps", "--device", "cpu", "--threads", "1"]


def test_the_second_process_is_told_who_trains_and_takes_over_when_that_is_dead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fourfold.api.draw", lambda *_: None)
    x = read(sample_path("mnist"), Request()).splits["train"].loaded[:80, 0].numpy()
    np.savez(tmp_path / "digits.npz", x=x)
    run = tmp_path / "run"
    words = [sys.executable, "-m", "fourfold", "train", "autoencoder", str(tmp_path / "digits.npz")]
    with subprocess.Popen([*words, "--out", str(run), *FLAGS, "--quiet"]) as first:
        while not list(run.glob("checkpoints/step-*")):
            assert first.poll() is None
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)  # as one that is slow, or whose terminal was left
        try:
            assert main(["resume", str(run)]) == 6
            told = capsys.readouterr().err
            assert f"{run}: process {first.pid} on " in told
            assert "is training here; wait until it ends, or end it" in told
            assert main(["train", "autoencoder", str(tmp_path / "digits.npz"), "--out", str(run)]) == 2
            assert "exists already" in capsys.readouterr().err
        finally:
            first.kill()
    assert first.returncode == -signal.SIGKILL
    assert f"process {first.pid} " in (run / ".lock").read_text()
    assert main(["resume", str(run), "--quiet"]) == 0
    assert f"process {os.getpid()} " in (run / ".lock").read_text()
    assert (run / "model").is_dir()
