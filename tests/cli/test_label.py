"""A class for every step on the command line: from a table of courses to figures and answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fourfold as ff
from fourfold.cli import main
from fourfold.runtime import one_thread

QUICK = ["--quiet", "--threads", "1", "--checkpoint-every", "off"]
SMALL = ["--hidden-size", "16", "--epochs", "20", "--learning-rate", "0.01", "--batch-size", "8"]


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    with one_thread():
        yield


def courses(names: range) -> str:
    """Courses of a sensor, some longer than others; whoever moves has a larger x, noisily."""
    random = np.random.default_rng(names.start)
    rows = ["who,when,x,y,activity"]
    for who in names:
        moves = np.repeat(random.permutation([0, 1, 0, 1, 1]), 5)[: 20 + who % 5]
        for t, moving in enumerate(moves):
            x, y = random.normal(2 * moving, 1), random.normal()
            rows.append(f"{who},2026-01-{t + 1:02},{x:.4f},{y:.4f},{'move' if moving else 'rest'}")
    return "\n".join(rows)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, another of new courses, and a run on the first."""
    folder = tmp_path_factory.mktemp("sensor")
    (folder / "steps.csv").write_text(courses(range(60)))
    (folder / "new.csv").write_text(courses(range(100, 103)))
    (folder / "one.csv").write_text(courses(range(204, 205)))
    words = ["train", "rnn", str(folder / "steps.csv"), "--id", "who", "--time", "when", "--target", "activity"]
    assert main([*words, "--task", "label", *SMALL, *QUICK, "--out", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command line in an empty folder. Returns: what it said on both streams."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path, code: int = 0) -> tuple[str, str]:
        assert main([str(word) for word in words]) == code
        spoken = capsys.readouterr()
        return spoken.out, spoken.err

    return call


def test_a_table_is_learnt_and_judged_beside_what_a_step_alone_tells(place: Path, said: Any) -> None:
    figures = json.loads(said("evaluate", place / "run", "--json")[0])
    assert figures["accuracy"] > 0.85
    assert set(figures["baselines"]) == {"majority", "linear"}
    assert figures["series"] == 12
    assert set(figures["classes"]) == {"move", "rest"}
    assert {"accuracy", "balanced_accuracy", "log_loss"} <= set(figures["intervals"])
    out, _ = said("evaluate", place / "run")
    assert "balanced accuracy" in out
    assert (place / "run" / "evaluation" / "confusion.png").exists()
    assert (place / "run" / "evaluation" / "reliability.png").exists()


def test_new_courses_are_judged_and_a_single_one_too(place: Path, said: Any) -> None:
    assert json.loads(said("evaluate", place / "run", place / "new.csv", "--json")[0])["series"] == 3
    one = json.loads(said("evaluate", place / "run", place / "one.csv", "--json")[0])
    assert one["series"] == 1
    assert "intervals" not in one  # nothing tells how sure the figures of one short series are


def test_every_step_is_predicted_with_its_time(place: Path, said: Any) -> None:
    said("predict", place / "run", place / "new.csv", "--out", "told.csv")
    told = pl.read_csv("told.csv")
    rows = pl.read_csv(place / "new.csv")
    assert told.columns == ["input", "step", "when", "prediction", "probability"]
    assert told["when"].to_list() == rows["when"].to_list()
    assert told["step"].to_list()[:3] == [1, 2, 3]
    assert int((told["prediction"] == rows["activity"]).sum()) > 0.8 * len(rows)
    assert bool((told["probability"] >= 0.5).all())  # the likelier of two
    assert told["input"][0].endswith("new.csv, who 100")


def test_several_files_are_predicted_one_after_the_other(place: Path, said: Any) -> None:
    both = json.loads(said("predict", place / "run", place / "new.csv", place / "one.csv", "--json")[0])
    alone = json.loads(said("predict", place / "run", place / "one.csv", "--json")[0])
    end = both[-len(alone) :]
    assert [(row["step"], row["when"], row["prediction"]) for row in end] == [
        (row["step"], row["when"], row["prediction"]) for row in alone
    ]


def test_the_card_tells_what_the_model_does(place: Path) -> None:
    card = (place / "run" / "model" / "README.md").read_text()
    assert "tells the class of every step of series of 2 channels" in card
    assert ff.load(place / "run").schema.aim == "labels"


def test_without_the_task_the_message_names_it(place: Path, said: Any) -> None:
    words = ["train", "rnn", place / "steps.csv", "--id", "who", "--time", "when", "--target", "activity"]
    _, err = said(*words, *QUICK, code=3)
    assert "--task label" in err


def test_one_course_is_learnt_in_pieces(said: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    state = (np.arange(700) // 9) % 2
    rows = [f"{t},{random.normal(2 * now):.3f},{'on' if now else 'off'}" for t, now in enumerate(state)]
    (tmp_path / "course.csv").write_text("\n".join(["time,x,state", *rows]))
    words = ["train", "rnn", "course.csv", "--time", "time", "--target", "state", "--task", "label", "--out", "run"]
    said(*words, *SMALL, *QUICK)
    figures = json.loads(said("evaluate", "run", "--json")[0])
    assert figures["count"] == 140
    assert figures["accuracy"] > 0.8
    told = json.loads(said("predict", "run", "course.csv", "--json")[0])
    assert [row["step"] for row in told] == list(range(1, 701))
