"""`fourfold learn-curve`: real trainings on ever less data, by one recipe, judged on one test split."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from fourfold.cli import main
from fourfold.data.dataset import Request
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read

FLAGS = ["--preset", "classic", "--epochs", "4", "--batch-size", "20", "--threads", "1"]


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """160 real digits to train on, 100 to test on."""
    monkeypatch.chdir(tmp_path)
    train = read(sample_path("mnist"), Request()).splits["train"]
    assert train.y is not None
    x, y = train.loaded[:, 0].numpy(), train.y.numpy()
    np.savez("digits.npz", x_train=x[:160], y_train=y[:160], x_test=x[160:260], y_test=y[160:260])
    return "digits.npz"


def test_more_digits_teach_more(digits: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn-curve", "cnn", digits, *FLAGS, "--halvings", "2", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    points = found["points"]
    assert [p["examples"] for p in points] == [pytest.approx(144 * share, abs=8) for share in (0.25, 0.5, 1)]
    assert points[0]["accuracy"] < points[2]["accuracy"]
    assert all(p["low"] <= p["accuracy"] <= p["high"] for p in points)
    assert found["twice"]["examples"] == 2 * points[2]["examples"]
    assert Path("learn-curve/curve.png").read_bytes().startswith(b"\x89PNG")
    runs = {name: yaml.safe_load(Path(f"learn-curve/1-of-{name}/settings.yaml").read_text()) for name in (1, 2, 4)}
    assert {name: run["epochs"] for name, run in runs.items()} == {1: 4, 2: 8, 4: 16}  # as many steps for each
    assert {name: run["share"] for name, run in runs.items()} == {1: 1.0, 2: 0.5, 4: 0.25}
    same = [{k: v for k, v in run.items() if k not in ("epochs", "share")} for run in runs.values()]
    assert same[0] == same[1] == same[2]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("autoencoder digits.npz --epochs 1", 2, "learn-curve is for what tells classes apart"),
        ("cnn digits.npz --halvings 0", 2, "--halvings 0: 1 to 10"),
        ("cnn digits.npz --share 0.5", 2, "--share is what is varied here"),
        ("cnn digits.npz --out .", 2, "exists already"),
        ("", 2, "learn-curve FAMILY DATA"),
    ],
)
def test_a_mistake_is_named_with_its_mend(
    digits: str, words: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["learn-curve", *words.split()]) == code
    assert message in " ".join(capsys.readouterr().err.split())


def test_help_names_the_families_and_their_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn-curve", "--help"]) == 0
    assert "autoencoder" in capsys.readouterr().out
    assert main(["learn-curve", "cnn", "--help"]) == 0
    assert "--halvings" in capsys.readouterr().out
