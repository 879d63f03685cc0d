"""Forecasting on the command line, from a table to what follows it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fourfold.cli import main
from fourfold.runtime import one_thread

QUICK = ["--task", "forecast", "--horizon", "6", "--members", "1", "--quiet"]


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread: small networks' threads would wait for each other."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen years of months: a season, a slope and some noise."""
    t = np.arange(180)
    y = 10 * np.sin(2 * np.pi * t / 12) + 0.2 * t + np.random.default_rng(0).normal(size=180) * 0.5
    lines = [f"{2000 + i // 12}-{i % 12 + 1:02d}-01,{v:.4f}" for i, v in enumerate(y)]
    path = tmp_path_factory.mktemp("course") / "sales.csv"
    path.write_text("\n".join(["date,sales", *lines]))
    return path


@pytest.fixture(scope="module")
def forecaster(course: Path) -> Path:
    out = course.parent / "run"
    assert main(["train", "rnn", str(course), *QUICK, "--out", str(out)]) == 0
    return out


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command line in an empty folder. Returns: its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return call


def test_what_follows_goes_on_in_time(forecaster: Path, run: Any) -> None:
    code, out, err = run("predict", forecaster, "--json")
    table = json.loads(out)
    assert code == 0
    assert [row["date"] for row in table] == [f"2015-{month:02d}-01" for month in range(1, 7)]
    assert [row["step"] for row in table] == [1, 2, 3, 4, 5, 6]
    assert all(row["q10"] <= row["median"] <= row["q90"] for row in table)
    truth = [10 * np.sin(2 * np.pi * t / 12) + 0.2 * t for t in range(180, 186)]
    assert np.abs(np.array([row["median"] for row in table]) - truth).mean() < 1
    assert (forecaster / "plots" / "forecast.png").read_bytes()[:4] == b"\x89PNG"
    assert "forecast.png: written" in err


def test_a_history_of_its_own_is_gone_on_from(forecaster: Path, course: Path, run: Any, tmp_path: Path) -> None:
    lines = course.read_text().splitlines()
    (tmp_path / "earlier.csv").write_text("\n".join(lines[:121]))
    code, out, _ = run("predict", forecaster, "earlier.csv", "--out", "ahead.csv", "--json")
    assert code == 0
    assert json.loads(out)[0]["date"] == "2010-01-01"
    assert pl.read_csv("ahead.csv")["median"].to_list() == pytest.approx([row["median"] for row in json.loads(out)])
    (tmp_path / "short.csv").write_text("\n".join(lines[:9]))
    code, _, err = run("predict", forecaster, "short.csv")
    assert code == 3
    assert "give a longer history" in err


def test_it_is_judged_beside_plain_rules_and_beats_naive(forecaster: Path, run: Any) -> None:
    code, out, _ = run("evaluate", forecaster, "--json")
    figures = json.loads(out)
    assert code == 0
    assert figures["season"] == 12
    assert figures["count"] == 36 - 6 + 1
    assert figures["rivals"].keys() == {"naive", "seasonal_naive", "drift", "exponential_smoothing", "holt_winters"}
    assert figures["mase"] < figures["rivals"]["seasonal_naive"]["mase"] < figures["rivals"]["naive"]["mase"]
    assert 0 < figures["coverage"] <= 1
    lost = [name for name, each in figures["rivals"].items() if each["mase"] <= figures["mase"]]
    assert len([remark for remark in figures["remarks"] if "it loses to" in remark]) == len(lost)
    code, out, _ = run("evaluate", forecaster)
    assert out.splitlines()[0].split("\t")[:4] == ["figure", "value", "naive", "seasonal naive"]
    assert (forecaster / "evaluation" / "rivals.png").exists()


def test_other_data_are_judged_at_every_moment(forecaster: Path, course: Path, run: Any) -> None:
    code, out, _ = run("evaluate", forecaster, course, "--json")
    assert code == 0
    assert json.loads(out)["count"] == 180 - 36 - 6 + 1


def test_the_card_tells_how_to_ask(forecaster: Path) -> None:
    card = (forecaster / "model" / "README.md").read_text()
    assert "tells what follows" in card
    assert "fourfold predict . HISTORY" in card


def test_a_classifier_still_needs_an_input(run: Any, tmp_path: Path) -> None:
    train = ["train", "rnn", "vowels", "--epochs", "1", "--quiet", "--out", tmp_path / "run"]
    assert run(*train)[0] == 0
    code, _, err = run("predict", tmp_path / "run")
    assert code == 3
    assert "name at least one file" in err
