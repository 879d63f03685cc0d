"""From texts to a network that writes on, on the command line, and how texts become passages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fourfold as ff
from fourfold.cli import main
from fourfold.data.dataset import Examples
from fourfold.data.sources.texts import BLOCK, BLOCKS, passages
from fourfold.data.vocabulary import PADDING, Vocabulary, fit_vocabulary
from fourfold.families.rnn.settings import RnnSettings
from fourfold.runtime import one_thread
from fourfold.settings import Reading

SMALL = ["--hidden-size", "8", "--embedding-size", "4", "--epochs", "1", "--longest", "20", "--quiet"]
LINES = [f"line {i} of {'some' if i % 2 else 'many'} lines" for i in range(60)]


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread: small networks' threads would wait for each other."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "lines.csv"
    path.write_text("\n".join(["label,text", *(f"{('a', 'b')[i % 2]},{line}" for i, line in enumerate(LINES))]))
    return path


@pytest.fixture(scope="module")
def writer(table: Path) -> Path:
    out = table.parent / "run"
    assert main(["train", "rnn", str(table), "--task", "write", *SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command line in an empty folder. Returns: its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return call


# Commands


def test_texts_are_printed_and_are_the_same_for_the_same_seed(writer: Path, run: Any) -> None:
    words = ("generate", writer, "--prompt", "line 1", "-n", "3", "--length", "30", "--temperature", "0.8")
    code, out, _ = run(*words, "--top-k", "4", "--seed", "2", "--json")
    texts = json.loads(out)["texts"]
    assert code == 0
    assert len(texts) == 3
    assert all(text.startswith("line 1") and len(text) <= 36 for text in texts)
    assert texts == ff.load(writer).write("line 1", count=3, length=30, temperature=0.8, top_k=4, seed=2)
    assert run(*words, "--top-k", "4", "--seed", "2")[1] == "\n---\n".join(texts) + "\n"
    assert json.loads(run(*words, "--top-k", "4", "--json")[1])["texts"] != texts
    assert list(Path().iterdir()) == []


def test_texts_are_written_to_files(writer: Path, run: Any) -> None:
    words = ("generate", writer, "-n", "3", "--length", "25", "--json")
    texts = json.loads(run(*words)[1])["texts"]
    assert json.loads(run(*words, "--out", "t.jsonl")[1]) == {"out": "t.jsonl", "texts": texts}
    assert [json.loads(line)["text"] for line in Path("t.jsonl").read_text().splitlines()] == texts
    assert run("generate", writer, "-n", "3", "--length", "25", "--out", "t.txt")[1] == "t.txt: 3 texts\n"
    assert Path("t.txt").read_text() == "\n---\n".join(texts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--film", "9"), "makes texts, and those are for pictures; leave it out"),
        (("--class", "a"), "--class"),
        (("--truncation", "0.5"), "--truncation"),
        (("--out", "t.png"), ".jsonl (a line a text)"),
        (("--temperature", "0"), "it is above 0; top_k = 1"),
        (("--top-k", "-1"), "0 for all pieces"),
        (("--length", "0"), "at least 1 text of 1 piece"),
        (("--prompt", "Ω"), "no text of train has 'Ω'"),
    ],
)
def test_a_mistake_is_named_with_its_mend(writer: Path, run: Any, words: tuple[str, ...], message: str) -> None:
    code, _, err = run("generate", writer, *words)
    assert code == 2
    assert message in err
    assert list(Path().iterdir()) == []


def test_flags_for_texts_are_refused_where_pictures_are_made(run: Any) -> None:
    x = np.random.default_rng(0).integers(0, 255, (40, 16, 16), dtype=np.uint8)
    ff.train("gan", x, preset="dcgan", out="gan", quiet=True, width=1, latent_size=2, epochs=1, kind="image")
    for flag, value in (("--prompt", "a"), ("--temperature", "1"), ("--top-k", "3"), ("--length", "9")):
        code, _, err = run("generate", "gan", flag, value)
        assert code == 2
        assert f"{flag}: gan makes pictures, and those are for texts; leave it out" in err


def test_a_writer_is_judged_without_labels_also_on_other_texts(writer: Path, run: Any, tmp_path: Path) -> None:
    code, out, _ = run("evaluate", writer, "--json")
    own = json.loads(out)
    assert code == 0
    assert own["split"] == "test"
    assert own["bits_per_character"] > 1
    (tmp_path / "other.txt").write_text("\n".join(LINES))
    code, out, _ = run("evaluate", writer, tmp_path / "other.txt", "--json")
    other = json.loads(out)
    pieces = sum(map(len, LINES)) + len(LINES)
    assert (other["split"], other["count"]) == ("all", -(-pieces // 20))
    assert other["perplexity"] == pytest.approx(np.exp(other["loss"]))
    code, _, err = run("predict", writer, tmp_path / "other.txt")
    assert code == 2
    assert "cannot predict" in err


def test_the_card_tells_how_to_ask(writer: Path) -> None:
    card = (writer / "model" / "README.md").read_text()
    assert "goes on with texts of pieces (characters)" in card
    assert "fourfold generate . --prompt" in card


# Data


def test_one_long_text_is_cut_by_time(run: Any, tmp_path: Path) -> None:
    text = "".join(f"{i} " for i in range(2000)) + "ω"
    (tmp_path / "book.txt").write_text(text)
    code, _, err = run("train", "rnn", "book.txt", *SMALL)
    assert code == 3
    assert "for --task write" in err
    words = ("train", "rnn", "book.txt", "--task", "write", "--test", "0.25", "--validation", "0.2")
    assert run(*words, *SMALL, "--out", "run")[0] == 0
    dataset = ff.load("run").own_data()
    said = {
        name: Vocabulary(dataset.schema.vocabulary or "").decode(part.loaded[:, 1:].flatten())
        for name, part in dataset.splits.items()
    }
    assert said["train"] + said["validation"] == text[: round(0.75 * len(text))]
    assert said["test"] == text[round(0.75 * len(text)) : -1] + "\N{REPLACEMENT CHARACTER}"  # train has no ω
    assert dataset.test is not None
    assert dataset.test.names[0] == f"book.txt, characters 6,669 to {len(text):,}, passage 1".replace(
        "book.txt", str(tmp_path / "book.txt")
    )
    code, _, err = run(*words, "--fold", "1/3", *SMALL)
    assert code == 3
    assert "one series or text is cut by time" in err


def test_a_folder_of_texts_whatever_their_classes(run: Any, tmp_path: Path) -> None:
    for i, line in enumerate(LINES[:20]):
        path = tmp_path / "texts" / ("good", "bad")[i % 2] / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line)
    assert run("train", "rnn", "texts", "--preset", "write", *SMALL, "--out", "run")[0] == 0
    schema = ff.load("run").schema
    assert (schema.classes, schema.counts) == (None, None)


def test_what_is_no_text_is_refused(run: Any) -> None:
    code, _, err = run("train", "rnn", "vowels", "--task", "write", "--kind", "auto", *SMALL)
    assert code == 3
    assert "--task write goes on with texts, and this is series data" in err


def texts(*several: str) -> Examples:
    return Examples(torch.zeros(len(several), 0, dtype=torch.int32), list(several), texts=several)


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_every_piece_is_told_once_after_the_one_before_it(kind: Any) -> None:
    several = ["naïve 中文 🙂 " * 9, "a", "one two three four " * 700]
    vocabulary = Vocabulary(fit_vocabulary(several, Reading(vocabulary=kind, vocabulary_size=300, longest=99_999)))
    cut = passages(texts(*several), vocabulary, 7)
    assert cut.lengths is not None
    told: dict[str, list[int]] = {}
    for name, row, length in zip(cut.names, cut.loaded.tolist(), cut.lengths.tolist(), strict=True):
        before = told.setdefault(name.partition(", passage")[0], [PADDING])
        assert row[0] == before[-1]
        assert 2 <= length <= 8
        before += row[1:length]
    assert [vocabulary.decode(pieces) for pieces in told.values()] == several
    assert all(pieces[-1] == PADDING and PADDING not in pieces[1:-1] for pieces in told.values())


def test_passages_of_other_texts_are_no_duplicates() -> None:
    vocabulary = Vocabulary(fit_vocabulary(["abc"], Reading(vocabulary="characters")))
    cut = passages(texts("aaaab", "aaaac", "aaaab"), vocabulary, 4)
    assert cut.digests is not None
    marks = [bytes(mark) for mark in cut.digests]
    assert marks[:2] == marks[4:]
    assert len(set(marks)) == 4


def test_long_texts_are_cut_between_words() -> None:
    for text in ("word and " * 2000, "x" * 10_000, "\n\n one", "中" * 5000 + " 文"):
        blocks = BLOCKS.findall(text)
        assert "".join(blocks) == text
        assert max(map(len, blocks)) <= BLOCK
    assert all(block.startswith(" ") for block in BLOCKS.findall("word and " * 2000)[1:])


def test_the_vocabulary_knows_all_of_a_long_text(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("a" * 9000 + "b" * 9000)
    dataset = ff.data.open(tmp_path / "book.txt", RnnSettings.resolve("write", longest=10, test=0.1))
    assert json.loads(dataset.schema.vocabulary or "")["characters"] == "ab"
    assert dataset.schema.reading.longest == 10
