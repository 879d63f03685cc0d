"""`fourfold inspect` and its page, as people and scripts use them."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fourfold import cli, data
from fourfold.data.audit import audit
from fourfold.families import settings_of
from fourfold.report.inspection import write_page
from tests.cli.test_commands import Spoken

NASTY = "<img src=x onerror=\"alert(1)\"> & 'é' \u202e\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `fourfold inspect` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> Spoken:
        code = cli.main(["inspect", *(str(word) for word in words)])
        spoken = capsys.readouterr()
        return Spoken(code, spoken.out, spoken.err)

    return call


@pytest.fixture
def leaky(tmp_path: Path) -> str:
    """Pictures with a test that holds three of train under the other label."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (60, 9, 9), dtype=np.uint8), np.arange(60) % 2
    other = random.integers(0, 256, (20, 9, 9), dtype=np.uint8)
    other[2:5] = x[2:5]
    np.savez(tmp_path / "leaky.npz", x_train=x, y_train=y, x_test=other, y_test=(np.arange(20) + 1) % 2)
    return "leaky.npz"


@pytest.fixture
def walks(tmp_path: Path) -> str:
    """Series with a test that holds one of train, nearly."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 40, 2)).cumsum(1).astype(np.float32)
    other = random.normal(size=(20, 40, 2)).cumsum(1).astype(np.float32)
    other[7] = x[30] + 0.01
    np.savez(tmp_path / "walks.npz", x_train=x, x_test=other)
    return "walks.npz"


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(Path(path).read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_clean_data_end_with_0(run: Any) -> None:
    spoken = run("cancer")
    assert spoken.code == 0
    assert "nothing is wrong" in spoken.err
    lines = [line.split("\t") for line in spoken.out.splitlines()]
    assert ["kind", "table"] in lines
    assert ["class", "train", "validation", "test"] in lines
    assert ["all", "410", "46", "113"] in lines


def test_a_leak_ends_with_3_after_everything_is_told(run: Any, leaky: str) -> None:
    spoken = run(leaky)
    assert spoken.code == 3
    assert "examples of test that are in train too" in spoken.out
    assert "--allow duplicates" in spoken.out
    assert "duplicates\tleaky.npz:x_test[2] = leaky.npz:x_train[2]" in spoken.out
    assert "Traceback" not in spoken.err


def test_json_is_the_audit_itself_fatal_or_not(run: Any, leaky: str) -> None:
    for name, code in ((leaky, 3), ("vowels", 0)):
        spoken = run(name, "--json")
        assert spoken.code == code
        dataset = data.open(name, settings_of("autoencoder").resolve())
        assert spoken.json == json.loads(json.dumps(audit(dataset).as_dict()))
        assert spoken.json["fatal"] is (code == 3)


def test_the_options_reach_the_data(run: Any, tmp_path: Path) -> None:
    document = run("cancer", "--test", "0.5", "--validation", "0", "--json").json
    assert {name: part["count"] for name, part in document["splits"].items()} == {"train": 285, "test": 284}
    (tmp_path / "people.csv").write_text(
        "who,a,b,sick\n" + "".join(f"{i // 3},{i * i % 97},{i * 7 % 31},{i % 2}\n" for i in range(90))
    )
    parts = run("people.csv", "--target", "sick", "--group", "who", "--json").json
    assert parts["shape"] == [2]
    assert set(parts["splits"]["train"]["classes"]) == {"0", "1"}
    assert not [finding for finding in parts["findings"] if finding["name"] == "torn-groups"]
    np.save("x.npy", np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32))
    assert run("x.npy", "--json").json["kind"] == "table"
    assert run("x.npy", "--kind", "series", "--json").json["lengths"] == [12, 12, 12]


def test_size_and_seed_reach_the_data(run: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(random.integers(0, 256, (20, 16 + i, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    assert run(".").code == 3
    assert run(".", "--size", "8", "--json").json["shape"] == [3, 8, 8]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("nowhere", 3, "nowhere: no such file"),
        ("cancer --validation 1.5", 2, "validation = 1.5"),
        ("cancer --target sex", 3, "no column 'sex'"),
        ("cancer --html page.pdf", 2, ".html (a page) can be written"),
        ("cancer --html nowhere/page.html", 2, "no folder nowhere"),
        ("cancer --htm", 2, "--html"),
    ],
)
def test_a_mistake_is_named_with_its_mend(run: Any, words: str, code: int, message: str) -> None:
    spoken = run(*words.split())
    assert spoken.code == code
    assert message in " ".join(spoken.err.split())
    assert spoken.out == ""
    assert list(Path().iterdir()) == []


def test_the_page_shows_what_was_found_and_needs_nothing_else(run: Any, leaky: str, walks: str) -> None:
    assert run(leaky, "--validation", "0", "--html", "page.html").code == 3
    page = Page("page.html")
    assert "Examples of test that are in train too: 3" in page.text
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) >= 6
    assert all((attributes["src"] or "").startswith("data:image/png;base64,") for attributes in images)
    assert run(walks, "--html", "lines.html").code == 0
    lines = Page("lines.html")
    assert lines.count("svg") == 2
    assert lines.count("polyline") == 4
    assert run("cancer", "--html", "table.html").code == 0
    assert "Nothing is wrong" in Page("table.html").text
    for each in (page, lines):
        assert not {"script", "link", "iframe", "object", "a"} & {tag for tag, _ in each.tags}
        assert not [name for _, attributes in each.tags for name in attributes if name.startswith("on")]
    for path in ("page.html", "lines.html", "table.html"):
        assert not re.search(r"https?:|url\(|@import", Path(path).read_text())


def test_a_page_is_of_the_same_bytes_each_time(run: Any, leaky: str) -> None:
    for name in ("a.html", "b.html"):
        run(leaky, "--html", name, "--quiet")
    assert Path("a.html").read_bytes() == Path("b.html").read_bytes()


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label in (NASTY, "plain"):
        folder = tmp_path / label
        folder.mkdir()
        for i in range(20):
            Image.fromarray(random.integers(0, 256, (9, 9), dtype=np.uint8)).save(folder / f"{i}.png")
    for name in ("0.png", "\udcff.png"):  # the second is not UTF-8
        Image.new("L", (9, 9)).save(tmp_path / NASTY / name)
    dataset = data.open(tmp_path, settings_of("autoencoder").resolve())
    write_page(audit(dataset), dataset, tmp_path / "page.html")
    page = Page(str(tmp_path / "page.html"))
    assert page.count("img") >= 2
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "<img src=x onerror=" in page.text
    assert "\u202e" not in page.text
    assert r"\udcff" in page.text


def test_augmentations_are_shown(run: Any) -> None:
    spoken = run("mnist", "--augment", "default,cutout", "--preview", "look.png", "--json")
    assert spoken.code == 0
    with Image.open("look.png") as grid:
        assert grid.size == (8 * 56 + 7 * 2, 8 * 56 + 7 * 2)
    assert run("mnist", "--augment", "jitter").code == 2
    assert run("vowels", "--augment", "default").code == 2


def cards(folder: Path, count: int) -> Path:
    for number in range(count):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (12, 12), number).save(folder / "ab"[number % 2] / f"{number}.png")
    return folder


def test_much_to_read_is_told_and_all_can_be_silenced(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fourfold.report.progress.MANY", 3)
    cards(tmp_path / "cards", 20)
    assert "reading 20 pictures" in run("cards").err
    assert run("cards", "--quiet").err == ""


def test_every_training_begins_with_a_glance_at_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cards(tmp_path / "cards", 12)
    Image.new("L", (12, 12), 0).save("cards/b/again.png")  # as a/0.png
    assert cli.main(["train", "cnn", "cards", "--epochs", "1", "--out", "run", "--validation", "0"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "warning: 2 classes with fewer than 10 examples in train" in told
    found = json.loads(Path("run/audit.json").read_text())
    assert {"small-classes", "repeats", "conflicts"} >= {finding["name"] for finding in found} >= {"small-classes"}


def test_what_is_missing_is_shown_where_training_refuses(run: Any, tmp_path: Path) -> None:
    rows = "".join(f"{n},{'' if n == 3 else n / 7},{'ab'[n % 2]}\n" for n in range(40))
    (tmp_path / "t.csv").write_text(f"x,y,label\n{rows}")
    spoken = run("t.csv", "--json")
    assert spoken.code == 3
    [missing] = [finding for finding in spoken.json["findings"] if finding["name"] == "missing"]
    assert (missing["severity"], missing["count"], missing["examples"]) == ("fatal", 1, ["y: 1"])
    spoken = run("t.csv", "--json", "--impute", "median")
    assert spoken.code == 0
    assert "missing" in [finding["name"] for finding in spoken.json["findings"]]


def test_texts_and_sounds_are_shown_on_the_page(run: Any, tmp_path: Path) -> None:
    rows = [f"a film of {n} hours in the rain,{['no', 'yes'][n % 2]}" for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows, *(f"{row.upper()}" for row in rows[:30])]))
    assert run("t.csv", "--html", "page.html", "--vocabulary", "characters").code == 0
    assert "<blockquote>" in Path("page.html").read_text(encoding="utf-8")
