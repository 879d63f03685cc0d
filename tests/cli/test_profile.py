"""`fourfold profile`, as people and scripts use it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fourfold import cli
from fourfold.profiling import machine, timing
from tests.cli.test_commands import Spoken


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command line in an empty folder, with measurements that are short and say little."""
    monkeypatch.chdir(tmp_path)
    for module, name, value in (
        (timing, "SECONDS", 0.02),
        (timing, "TURN", 0.01),
        (machine, "SECONDS", 0.01),
        (machine, "SIDE", {"cpu": 64}),
        (machine, "COPIED", {"cpu": 1 << 16}),
    ):
        monkeypatch.setattr(module, name, value)

    def call(*words: str | Path) -> Spoken:
        code = cli.main([str(word) for word in words])
        return Spoken(code, *capsys.readouterr())

    return call


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """300 pictures of noise with labels."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (300, 12, 12), dtype=np.uint8), np.arange(300) % 3
    np.savez(tmp_path / "digits.npz", x_train=x, y_train=y)
    return tmp_path / "digits.npz"


def test_a_family_on_data_as_one_document(run: Any, digits: Path) -> None:
    spoken = run("profile", "cnn", digits, "--preset", "classic", "--batch-size", "20", "--threads", "1", "--json")
    assert spoken.code == 0
    found = spoken.json
    assert found["way"] == {"batch_size": 20, "threads": 1, "precision": "float32"}
    assert found["parameters"] == {"classifier": 32 * 10 + 64 * 289 + 64 * 65 + 3 * 65}
    assert found["step_milliseconds"] == pytest.approx(sum(found["milliseconds"].values()))
    assert {"data", "augment", "forward", "backward", "optimizer", "rest"} == set(found["milliseconds"])
    assert {40, 80} <= {trial["batch_size"] for trial in found["trials"]}
    for trial in found["trials"]:
        assert trial["microseconds_an_example"] == pytest.approx(1000 * trial["milliseconds"] / trial["batch_size"])
    gflops = sum(found["work"]["flops"].values()) / found["step_milliseconds"] * 1000
    assert found["shares"]["compute"] == pytest.approx(gflops / found["limits"]["float32"])
    assert found["memory"]["peak"] > found["memory"]["weights"] > 0
    assert found["advice"]


def test_a_models_folder_alone_is_enough(run: Any, digits: Path, tmp_path: Path) -> None:
    assert run("train", "autoencoder", digits, "--epochs", "1", "--out", "run", "--quiet").code == 0
    spoken = run("profile", "run", "--batch-size", "20")
    assert spoken.code == 0
    assert str(digits) in spoken.err
    assert "random" not in spoken.err
    shutil.move("run/model", "elsewhere")
    digits.unlink()
    spoken = run("profile", "elsewhere", "--json")
    assert spoken.code == 0
    assert "measured on random examples" in spoken.err
    found = json.loads(spoken.out)
    assert found["data"] == "random examples"
    assert found["way"]["batch_size"] == 128
    assert "digits.npz" in run("profile", "elsewhere", digits, "--json").json["message"]


def test_tables_in_a_pipe_are_plain_lines(run: Any, digits: Path) -> None:
    spoken = run("profile", "rnn", digits, "--preset", "classic", "--quiet")
    rows = [line.split("\t") for line in spoken.out.splitlines()]
    heads = [row for row in rows if row[0] in ("figure", "part of a step", "batch")]
    assert [len(head) for head in heads] == [2, 5, 5]
    assert [row[0] for row in rows if len(row) == 5][1:7] == [
        "data",
        "augment",
        "forward",
        "backward",
        "optimizer",
        "rest",
    ]
    assert spoken.err == ""


def test_what_cannot_be_profiled_is_refused(run: Any, tmp_path: Path, digits: Path) -> None:
    assert run("profile", "cnn").code == 2
    assert run("profile", "cnn", "nowhere.npz").code == 3
    assert run("profile", "nowhere").code == 3
    assert run("profile", "nowhere", "--preset", "classic").code == 2
    assert run("profile", "cnn", digits, "--preset", "classical").code == 2
