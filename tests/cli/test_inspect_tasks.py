"""`fourfold inspect` of data that are for another task than to tell classes apart: numbers, tags, courses, texts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fourfold import cli, data
from fourfold.cli.inspect import TASKS
from fourfold.data.audit import audit
from fourfold.data.audit.told import BARS
from fourfold.families import settings_of
from fourfold.runtime import one_thread
from tests.cli.test_commands import Spoken

ROWS = 200


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `fourfold inspect` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Spoken:
        code = cli.main(["inspect", *words])
        spoken = capsys.readouterr()
        return Spoken(code, spoken.out, spoken.err)

    return call


@pytest.fixture
def houses(tmp_path: Path) -> np.ndarray[Any, Any]:
    """A table of numbers with what is to be learnt: a price, an area that never changes, and what there is."""
    random = np.random.default_rng(0)
    rooms = random.normal(size=(ROWS, 3))
    price = 1000 * rooms[:, 0] + 5000
    price[7] = -999_999  # as some write that it is missing
    there = [
        "|".join(name for name, on in zip(("bath", "yard"), row[:2] > 0, strict=True) if on) or "|" for row in rooms
    ]
    rare = ["|attic" if row in (3, 150) else "" for row in range(ROWS)]
    lines = [
        f"{a},{b},{c},{p},5,{tags}{more}" for (a, b, c), p, tags, more in zip(rooms, price, there, rare, strict=True)
    ]
    (tmp_path / "houses.csv").write_text("\n".join(["a,b,c,price,area,has", *lines]))
    return price


def test_numbers_are_told_by_their_spread(run: Any, houses: np.ndarray[Any, Any]) -> None:
    words = ("houses.csv", "--task", "regress", "--target", "price", "--test", "0", "--validation", "0")
    document = run(*words, "--json").json
    (told,) = document["numbers"]["price"].values()
    expected = {"low": houses.min(), "high": houses.max(), "mean": houses.mean(), "deviation": houses.std()}
    assert {name: told[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert told["median"] == pytest.approx(np.sort(houses)[ROWS // 2])
    assert told["histogram"] == np.histogram(houses, BARS)[0].tolist()
    assert document["splits"]["train"]["classes"] is None
    (odd,) = [each for each in document["findings"] if each["name"] == "far-numbers"]
    assert odd["examples"] == ["houses.csv, row 9: -999999"]
    lines = [line.split("\t") for line in run(*words).out.splitlines()]
    head = lines.index(["number", "split", "lowest", "median", "highest", "mean", "deviation", "spread"])
    assert lines[head + 1][:3] == ["price", "train", "-999999"]
    assert len(lines[head + 1][-1].strip()) == BARS


def test_splits_share_the_range_of_their_histograms(run: Any, houses: np.ndarray[Any, Any]) -> None:
    splits = run("houses.csv", "--task", "regress", "--target", "price", "--json").json["numbers"]["price"]
    together = np.sum([each["histogram"] for each in splits.values()], axis=0)
    assert splits.keys() == {"train", "validation", "test"}
    assert together.tolist() == np.histogram(houses, BARS)[0].tolist()


def test_a_number_that_never_changes_or_lies_outside_of_train_is_told(run: Any, tmp_path: Path) -> None:
    lines = [f"{i},{i * i % 37},{i},5,{'test' if i >= 90 else 'train'}" for i in range(100)]
    (tmp_path / "grows.csv").write_text("\n".join(["a,b,grows,same,part", *lines]))
    words = ("--task", "regress", "--target", "grows,same", "--split", "part", "--validation", "0", "--json")
    findings = {each["name"]: each for each in run("grows.csv", *words).json["findings"]}
    assert findings["constant-target"]["examples"] == ["same: 5"]
    assert findings["outside-range"]["count"] == 10
    assert "grows lies outside of train's range" in findings["outside-range"]["what"]


def test_a_missing_number_is_named_with_its_row(run: Any, tmp_path: Path) -> None:
    (tmp_path / "gap.csv").write_text(
        "a,b,price\n" + "".join(f"{i},{i % 7},{i if i != 4 else ''}\n" for i in range(60))
    )
    spoken = run("gap.csv", "--task", "regress", "--target", "price")
    assert spoken.code == 3
    assert "row 6" in spoken.err
    assert "no finite number" in spoken.err


def test_tags_are_counted_in_place_of_classes(run: Any, houses: np.ndarray[Any, Any]) -> None:
    words = ("houses.csv", "--task", "tag", "--target", "has", "--validation", "0", "--test", "0")
    spoken = run(*words, "--json")
    text = Path("houses.csv").read_text()
    expected = {name: text.count(name) for name in ("attic", "bath", "yard")}
    assert spoken.json["splits"]["train"]["tags"] == expected
    (few,) = [each for each in spoken.json["findings"] if each["name"] == "small-tags"]
    assert few["examples"] == ["attic: 2"]
    lines = [line.split("\t") for line in run(*words).out.splitlines()]
    assert ["tag", "train"] in lines
    assert ["bath", str(expected["bath"])] in lines


def test_a_page_draws_numbers_and_names_tags(run: Any, houses: np.ndarray[Any, Any]) -> None:
    assert run("houses.csv", "--task", "regress", "--target", "price,area", "--html", "page.html").code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<h2>Numbers</h2>" in page
    assert page.count("<rect") == BARS * 2 * 3  # two numbers, three splits
    assert "price · validation" in page
    assert run("houses.csv", "--task", "tag", "--target", "has", "--html", "tags.html").code in (0, 3)
    tagged = Path("tags.html").read_text(encoding="utf-8")
    assert "<th>tag</th>" in tagged
    assert "<h2>Numbers</h2>" not in tagged


def test_equal_pictures_are_captioned_by_what_is_told_of_them(run: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 9, 9), dtype=np.uint8)
    x[50] = x[3]
    y = np.arange(60, dtype=np.float32) / 2
    np.savez(tmp_path / "few.npz", x_train=x[:45], y_train=y[:45], x_test=x[45:], y_test=y[45:])
    assert run("few.npz", "--task", "regress", "--html", "page.html").code == 3
    assert "test · y 25" in Path("page.html").read_text(encoding="utf-8")


@pytest.fixture
def course(tmp_path: Path) -> str:
    t = np.arange(180)
    y = np.sin(2 * np.pi * t / 12) + np.random.default_rng(0).normal(size=180) / 10
    lines = [f"{2000 + i // 12}-{i % 12 + 1:02d}-01,{v:.4f}" for i, v in enumerate(y)]
    (tmp_path / "sales.csv").write_text("\n".join(["date,sales", *lines]))
    return "sales.csv"


def test_a_course_is_read_as_training_reads_it(run: Any, course: str) -> None:
    for flags, settings in (
        ((), {}),
        (("--horizon", "6"), {"horizon": 6}),
        (("--validation", "0.1"), {"validation": 0.1}),  # the default elsewhere, not for this task
        (("--context", "30", "--season", "12"), {"context": 30, "season": 12}),
    ):
        expected = audit(data.open(course, settings_of("rnn").resolve(task="forecast", **settings)))
        assert run(course, "--task", "forecast", *flags, "--json").json == json.loads(json.dumps(expected.as_dict()))


def test_texts_are_cut_into_passages_to_write(run: Any, tmp_path: Path) -> None:
    words = [f"a line of words, number {i}: {i * i}" for i in range(300)]
    (tmp_path / "book.txt").write_text("\n".join(words))
    document = run("book.txt", "--task", "write", "--longest", "40", "--test", "0.2", "--json").json
    assert document["kind"] == "text"
    assert document["lengths"][-1] == 41  # the last step of a passage is only to be told


def test_what_is_normal_alone_trains(run: Any) -> None:
    parts = run("cancer", "--task", "detect", "--target", "diagnosis", "--normal", "benign", "--json").json["splits"]
    judged = parts["test"]["classes"]
    assert judged["malignant"] > 0
    assert parts["train"]["count"] + parts["validation"]["count"] == 357 - judged["benign"]  # none of the malignant


def test_flags_of_another_task_and_unknown_tasks_are_refused(run: Any) -> None:
    for words, message in (
        (("--horizon", "3"), "--horizon is for --task forecast"),
        (("--task", "tag", "--normal", "benign"), "--normal is for --task detect"),
        (("--task", "regres"), "no task 'regres'; did you mean 'regress'"),
    ):
        spoken = run("cancer", *words)
        assert spoken.code == 2
        assert message in spoken.err


def test_every_task_of_every_family_may_be_named() -> None:
    assert TASKS.keys() >= {"classify", "regress", "tag", "forecast", "write", "reconstruct", "detect", "generate"}
