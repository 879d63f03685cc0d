"""Texts: files come back as they were written, columns are found, and what is no text is named."""

import contextlib
import random
import tracemalloc
import zipfile
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Content, Request
from fourfold.data.formats.frames import Frame, load_all
from fourfold.data.formats.places import place
from fourfold.data.schema import Schema
from fourfold.data.sources import texts
from fourfold.data.sources.texts import from_frames, matches, read
from fourfold.errors import DataError
from fourfold.settings import Reading
from tests.data.damage import damaged

WINDOWS = "naïve “quotes” – 5 €".encode("cp1252")


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def schema(**reading: str) -> Schema:
    return Schema(kind="text", shape=(), classes=("bad", "good"), reading=Reading(kind="text", **reading))


def frame(columns: dict[str, list[str]], path: str = "a.csv") -> Frame:
    """A table as it comes from a file; row 1 is its header."""
    cells = {name: pl.Series(name, column, pl.String) for name, column in columns.items()}
    return Frame(Path(path), list(range(2, 2 + len(next(iter(columns.values()))))), cells)


def told(content: Content, split: str = "train") -> list[str]:
    found = content.splits[split].texts
    assert found is not None
    return list(found)


def labels(content: Content, split: str = "train") -> list[str] | None:
    y = content.splits[split].y
    return None if y is None else [(content.classes or ())[place] for place in y.tolist()]


# Files


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path / "good/b.txt", "fine")
    put(tmp_path / "good/sub/a.TXT", "well\r\ndone\n")
    put(tmp_path / "bad/1.txt", "\n  awful ")
    put(tmp_path / "bad/notes.md", "no text of ours")
    assert matches(tmp_path, Request())
    content = read(tmp_path, Request())
    part = content.splits["train"]
    assert (content.kind, content.classes, content.remarks) == ("text", ("bad", "good"), ())
    assert part.names == [str(tmp_path / name) for name in ("bad/1.txt", "good/b.txt", "good/sub/a.TXT")]
    assert told(content) == ["awful", "fine", "well\ndone"]
    assert labels(content) == ["bad", "good", "good"]
    assert (part.loaded.shape, part.loaded.dtype) == ((3, 0), torch.int32)


def test_split_folders_and_flat_ones(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        put(tmp_path / f"all/{split}/good/1.txt", f"{split} good")
        put(tmp_path / f"all/{split}/bad/1.txt", f"{split} bad")
    content = read(tmp_path / "all", Request())
    assert list(content.splits) == ["train", "validation", "test"]
    assert told(content, "validation") == ["val bad", "val good"]
    assert labels(content, "test") == ["bad", "good"]
    flat = read(tmp_path / "all/train/good", Request())
    assert (told(flat), flat.classes, flat.splits["train"].y) == (["train good"], None, None)


def test_names_tell_fields(tmp_path: Path) -> None:
    put(tmp_path / "good_anna.txt", "a")
    put(tmp_path / "bad_bert.txt", "b")
    content = read(tmp_path, Request(Reading(pattern="{label}_{author}.txt"), fields=("author",)))
    assert labels(content) == ["bad", "good"]
    assert content.splits["train"].fields == {"author": ["bert", "anna"]}


def test_an_archive_is_read_in_place(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("texts/good/1.txt", "fine")
        archive.writestr("texts/bad/1.txt", WINDOWS)
    root = place(tmp_path / "a.zip")
    assert matches(root, Request())
    content = read(root, Request())
    assert told(content) == [WINDOWS.decode("cp1252"), "fine"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_are_plain(tmp_path: Path, encoding: str) -> None:
    text = "naïve 中文 🙂 שלום"
    put(tmp_path / "1.txt", text.encode(encoding))
    content = read(tmp_path, Request())
    assert told(content) == [text]
    assert content.remarks == ()


def test_another_encoding_is_told_once(tmp_path: Path) -> None:
    put(tmp_path / "1.txt", WINDOWS)
    put(tmp_path / "2.txt", b"two lines\n" + WINDOWS)
    put(tmp_path / "3.txt", "naïve")
    content = read(tmp_path, Request())
    assert told(content)[0] == WINDOWS.decode("cp1252")
    [remark] = content.remarks
    assert (remark.severity, remark.name, remark.count) == ("note", "encoding", 2)
    assert "Windows-1252" in remark.what
    assert remark.examples == (f"{tmp_path}/1.txt, row 1", f"{tmp_path}/2.txt, row 2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"1\.txt: it is empty"),
        (b" \r\n\t", r"1\.txt: it is empty"),
        (b"\xef\xbb\xbf", r"1\.txt: it is empty"),
        (b"\xff\xfe", r"1\.txt: it is empty"),
        (b"fine\n\x81\x8d", r"1\.txt: row 2: not UTF-8, nor Windows-1252"),
        (b"\xff\xfea", r"1\.txt: row 1: not UTF-16"),
        (b"zeros after a crash" + bytes(100), r"1\.txt: row 1: a NUL character"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"1\.txt: row 3: a NUL character"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    put(tmp_path / "good/1.txt", content)
    with pytest.raises(DataError, match=message):
        read(tmp_path, Request())
    with pytest.raises(DataError, match=message):
        read(tmp_path / "good/1.txt", Request(schema=schema()))


def test_a_few_that_cannot_be_read_are_left_out_and_told(tmp_path: Path) -> None:
    for number in range(200):
        put(tmp_path / f"{('good', 'bad')[number % 2]}/{number:03}.txt", "" if number == 31 else f"text {number}")
    content = read(tmp_path, Request())
    assert told(content) == [f"text {number}" for number in [*range(1, 200, 2), *range(0, 200, 2)] if number != 31]
    assert len(content.splits["train"].names) == len(labels(content) or []) == 199
    [remark] = content.remarks
    assert (remark.severity, remark.name, remark.count) == ("warning", "unreadable", 1)
    assert remark.examples == (f"{tmp_path}/bad/031.txt: it is empty",)
    for number in (33, 35):
        put(tmp_path / f"bad/{number:03}.txt", b"\0")
    with pytest.raises(DataError, match=r"3 of 200 files cannot be used: .*031\.txt: it is empty; .*033\.txt"):
        read(tmp_path, Request())


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "1.txt").open("wb") as stream:
        stream.truncate(10**12)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"1\.txt: .*1,000,000,000,000 bytes; a text has at most"):
        read(tmp_path, Request())
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_progress_is_told(tmp_path: Path) -> None:
    for name in ("train/1.txt", "train/2.txt", "test/1.txt"):
        put(tmp_path / name, "a")
    steps: list[tuple[str, int, int]] = []
    read(tmp_path, Request(progress=lambda *step: steps.append(step)))
    assert steps == [("texts", done, 3) for done in (0, 2, 2, 3)]


def test_one_file_is_a_text_to_ask_about_and_none_to_train_on(tmp_path: Path) -> None:
    path = put(tmp_path / "1.txt", "fine\n\nindeed")
    assert told(read(path, Request(schema=schema()))) == ["fine\n\nindeed"]
    with pytest.raises(DataError, match=r"1\.txt: a file is one text; to train, give a folder"):
        read(path, Request())


def test_a_class_that_train_lacks(tmp_path: Path) -> None:
    put(tmp_path / "odd/1.txt", "a")
    with pytest.raises(DataError, match=r"odd/1\.txt: unknown class 'odd'; valid: bad, good"):
        read(tmp_path, Request(schema=schema()))


def test_notes_beside_a_table_are_no_texts(tmp_path: Path) -> None:
    put(tmp_path / "README.txt", "about the table")
    assert matches(tmp_path, Request())
    put(tmp_path / "data.csv", "a,b\n1,2\n")
    assert not matches(tmp_path, Request())


def test_other_kinds_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "1.txt", "a")
    with pytest.raises(DataError, match="--kind image is asked for"):
        read(tmp_path, Request(Reading(kind="image")))
    with pytest.raises(DataError, match="trained on image data"):
        read(tmp_path, Request(schema=Schema(kind="image", shape=(1, 4, 4))))


@given(content=st.binary(max_size=200))
@settings(max_examples=250, deadline=None)
def test_random_bytes_are_a_text_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = put(tmp_path_factory.getbasetemp() / "random.txt", content)
    with contextlib.suppress(DataError):
        [text] = told(read(path, Request(schema=schema())))
        assert text == text.strip() != ""
        text.encode()  # no lone surrogates


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@given(data=st.data())
@settings(max_examples=70, deadline=None)
def test_damage_never_escapes(tmp_path_factory: pytest.TempPathFactory, encoding: str, data: st.DataObject) -> None:
    path = put(tmp_path_factory.getbasetemp() / "damaged.txt", damaged("naïve “quotes” – 5 €\n".encode(encoding), data))
    with contextlib.suppress(DataError):
        assert told(read(path, Request(schema=schema())))[0].encode()


# Tables

REVIEWS = {
    "id": ["r1", "r2", "r3", "r4"],
    "review": ["a fine film indeed", "an awful one", "fine", "so awful that I left"],
    "mood": ["good", "bad", "good", "bad"],
}


def test_the_longest_column_is_the_text_and_the_only_other_one_the_class() -> None:
    columns = {name: REVIEWS[name] for name in ("review", "mood")}
    content = from_frames({"train": frame(columns)}, Request())
    part = content.splits["train"]
    assert told(content) == REVIEWS["review"]
    assert labels(content) == REVIEWS["mood"]
    assert part.names == [f"a.csv, row {row}" for row in (2, 3, 4, 5)]
    assert content.decided == {"text": "review", "target": "mood"}
    assert (part.loaded.shape, part.loaded.dtype) == ((4, 0), torch.int32)


@pytest.mark.parametrize("name", sorted(texts.TARGETS))
def test_a_class_is_known_by_its_name(name: str) -> None:
    columns = REVIEWS | {name.title(): REVIEWS["mood"]}
    content = from_frames({"train": frame(columns)}, Request())
    assert content.decided == {"text": "review", "target": name.title()}


def test_what_is_asked_for_goes_before_what_is_found() -> None:
    reading = Reading(text="id", target="mood")
    content = from_frames({"train": frame(REVIEWS | {"label": ["x", "y", "x", "y"]})}, Request(reading))
    assert (told(content), labels(content)) == (REVIEWS["id"], REVIEWS["mood"])


def test_several_other_columns_are_no_class() -> None:
    content = from_frames({"train": frame(REVIEWS)}, Request())
    assert (content.classes, content.decided["target"]) == (None, None)
    assert told(content) == REVIEWS["review"]


def test_a_column_that_never_repeats_is_no_class() -> None:
    columns = {name: REVIEWS[name] for name in ("id", "review")}
    assert from_frames({"train": frame(columns)}, Request()).classes is None


def test_fields_are_neither_text_nor_class() -> None:
    columns = REVIEWS | {"author": ["a very long name of a person"] * 3 + ["another one"]}
    content = from_frames({"train": frame(columns)}, Request(Reading(target="mood"), fields=("author", "id")))
    assert content.decided == {"text": "review", "target": "mood"}
    assert content.splits["train"].fields == {"author": columns["author"], "id": columns["id"]}


def test_classes_may_repeat_longer_than_texts() -> None:
    columns = {"review": ["ok", "no", "hm", "ah"], "opinion": ["quite a positive opinion", "rather a negative one"] * 2}
    assert from_frames({"train": frame(columns)}, Request()).decided == {"text": "review", "target": "opinion"}


@pytest.mark.parametrize(
    ("columns", "reading", "message"),
    [
        (REVIEWS | {"review": ["a", "", "c", "d"]}, Reading(text="review"), r"row 3, column 'review' \(''\): no text"),
        (REVIEWS | {"review": ["a", "b", "c", "\u2003"]}, Reading(text="review"), r"row 5, column 'review'.*: no text"),
        (REVIEWS | {"mood": ["good", "", "bad", "bad"]}, Reading(target="mood"), r"row 3, column 'mood'.*no class"),
        (REVIEWS, Reading(text="reviews"), "no column 'reviews'; did you mean 'review'"),
        (REVIEWS, Reading(target="moods"), "no column 'moods'; did you mean 'mood'"),
        ({"a": ["1", "2"], "b": ["x", "x"]}, Reading(target="b"), r"no column of texts that differ.*--text: a, b"),
        (REVIEWS | {"label": ["x"] * 4, "class": ["x"] * 4}, Reading(), "which of label, class is the class?"),
        (REVIEWS, Reading(kind="series"), "--kind series is asked for"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(columns: dict[str, list[str]], reading: Reading, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_frames({"train": frame(columns)}, Request(reading))


def test_words_for_missing_numbers_are_texts() -> None:
    content = from_frames(
        {"train": frame(REVIEWS | {"review": ["NA", "?", "null", "nan"]})}, Request(Reading(text="review"))
    )
    assert told(content) == ["NA", "?", "null", "nan"]


def test_splits_of_tables() -> None:
    test = frame({"mood": ["bad"], "review": ["no"]}, "test.csv")
    content = from_frames({"train": frame(REVIEWS), "test": test}, Request(Reading(target="mood")))
    assert (told(content, "test"), labels(content, "test")) == (["no"], ["bad"])
    bare = frame({"review": ["no", "no"]}, "test.csv")
    assert (
        from_frames({"train": frame(REVIEWS), "test": bare}, Request(Reading(target="mood"))).splits["test"].y is None
    )
    odd = frame({"review": ["no"], "mood": ["odd"]}, "test.csv")
    with pytest.raises(DataError, match=r"test\.csv, row 2: unknown class 'odd'"):
        from_frames({"train": frame(REVIEWS), "test": odd}, Request(Reading(target="mood")))
    with pytest.raises(DataError, match=r"test\.csv: no column 'review'"):
        from_frames({"train": frame(REVIEWS), "test": frame({"text": ["no"]}, "test.csv")}, Request())


def test_a_model_is_asked_by_the_column_it_was_trained_on() -> None:
    columns = REVIEWS | {"notes": ["much longer than any of the reviews is, and different"] * 4}
    content = from_frames({"train": frame(columns)}, Request(schema=schema(text="review", target="mood")))
    assert (told(content), labels(content)) == (REVIEWS["review"], REVIEWS["mood"])
    bare = from_frames(
        {"train": frame({"review": ["same", "same"]})}, Request(schema=schema(text="review", target="mood"))
    )
    assert (told(bare), bare.splits["train"].y) == (["same", "same"], None)
    with pytest.raises(DataError, match="no column 'review'"):
        from_frames({"train": frame({"texts": ["a"]})}, Request(schema=schema(text="review")))


def test_a_model_of_files_is_asked_by_a_table() -> None:
    columns = {"comment": ["same thing", "same thing", "same thing"], "label": ["good", "bad", "good"]}
    content = from_frames({"train": frame(columns)}, Request(schema=schema()))
    assert (told(content), labels(content)) == (columns["comment"], columns["label"])


def test_tables_of_files(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", 'mood,text\ngood,"one, and\ntwo"\nbad,three\ngood,four\n')
    content = from_frames(load_all(path), Request())
    assert told(content) == ["one, and\ntwo", "three", "four"]
    assert content.splits["train"].names == [f"{path}, row {row}" for row in (2, 4, 5)]


def test_half_a_character_in_json_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"text": "fine", "label": "x"}\n{"text": "\\ud83d", "label": "y"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, row 2"):
        from_frames(load_all(path), Request(Reading(kind="text")))


def test_one_text_may_be_very_long(tmp_path: Path) -> None:
    chance = random.Random(0)
    rows = [f"{chance.choice(['good', 'bad'])},text {number}" for number in range(1000)]
    rows[500] = "bad," + "long " * 1_000_000
    content = from_frames(load_all(put(tmp_path / "a.csv", "label,text\n" + "\n".join(rows) + "\n")), Request())
    assert len(told(content)[500]) == 4_999_999
