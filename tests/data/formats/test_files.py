"""Which files hold examples, and what folders, names and tables tell of them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fourfold import data
from fourfold.data.dataset import Dataset, Request
from fourfold.data.formats.files import Listing, any_below, find, keep_readable
from fourfold.data.formats.places import place
from fourfold.errors import DataError, UsageError
from fourfold.settings import DataSettings, Reading

PATTERN = "{label}_{speaker}_{index}.png"


def put(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 6), number % 256).save(path)
    return folder


def named(folder: Path) -> Path:
    """Two classes, three speakers, five takes each."""
    return put(folder, *(f"{k}_{who}_{i}.png" for k in "ab" for who in ("ann", "bob", "cyd") for i in range(5)))


def opened(source: Path, **settings: Any) -> Dataset:
    return data.open(source, DataSettings(**settings))


def test_names_tell_classes_and_fields(tmp_path: Path) -> None:
    request = Request(Reading(pattern=PATTERN), fields=("speaker",))
    listing = find(named(tmp_path), {".png"}, request)["train"]
    assert listing.labels == ["a"] * 15 + ["b"] * 15
    assert listing.fields == {"speaker": (["ann"] * 5 + ["bob"] * 5 + ["cyd"] * 5) * 2}
    request = Request(Reading(pattern=PATTERN, target="speaker"))
    assert find(tmp_path, {".png"}, request)["train"].labels == listing.fields["speaker"]


def test_a_pattern_may_span_folders_and_leave_the_class_to_them(tmp_path: Path) -> None:
    put(tmp_path, "cat/ann/1.png", "dog/bob/2.png")
    listing = find(tmp_path, {".png"}, Request(Reading(pattern="{who}/{number}.png"), fields=("who",)))["train"]
    assert (listing.labels, listing.fields) == (["cat", "dog"], {"who": ["ann", "bob"]})


@pytest.mark.parametrize(
    ("reading", "fields", "message"),
    [
        ({"pattern": "{label}-{index}.png"}, (), r"a_ann_0\.png: its name is not as --pattern"),
        ({"pattern": PATTERN}, ("talker",), r"has no \{talker\}; did you mean 'speaker'"),
        ({"pattern": PATTERN, "target": "speakr"}, (), r"has no \{speakr\}; did you mean 'speaker'"),
    ],
)
def test_patterns_that_do_not_fit_are_named(
    tmp_path: Path, reading: dict[str, str], fields: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        find(named(tmp_path), {".png"}, Request(Reading(**reading), fields=fields))


def test_one_speaker_left_out(tmp_path: Path) -> None:
    dataset = opened(named(tmp_path), pattern=PATTERN, group="speaker", fold="2/3", validation=0)
    speakers = {name: set(part.fields["speaker"]) for name, part in dataset.splits.items()}
    assert len(speakers["test"]) == 1
    assert len(speakers["train"]) == 2
    assert not speakers["test"] & speakers["train"]


def test_the_test_on_named_values(tmp_path: Path) -> None:
    dataset = opened(named(tmp_path), pattern=PATTERN, test_on="index=0,1", validation=0)
    assert dataset.test is not None
    assert set(dataset.test.fields["index"]) == {"0", "1"}
    assert set(dataset.train.fields["index"]) == {"2", "3", "4"}
    with pytest.raises(DataError, match="--test-on: no example has index '7'; valid: 0, 1, 2, 3, 4"):
        opened(tmp_path, pattern=PATTERN, test_on="index=7")
    with pytest.raises(UsageError, match="is written index=0,1"):
        opened(tmp_path, pattern=PATTERN, test_on="index")


def listed(folder: Path, rows: str) -> Path:
    put(folder, *(f"p/{number}.png" for number in range(12)))
    (folder / "list.csv").write_text(rows)
    return folder / "list.csv"


def test_a_table_lists_files_their_classes_and_splits(tmp_path: Path) -> None:
    parts = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    rows = [f"p/{number}.png,{'xy'[number % 2]},{part}" for number, part in enumerate(parts)]
    dataset = opened(listed(tmp_path, "\n".join(["file,kind,part", *rows])), split="part")
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 8, "validation": 2, "test": 2}
    assert dataset.schema.classes == ("x", "y")
    assert dataset.train.loaded[:, 0, 0, 0].tolist() == list(range(8))
    assert dataset.train.y is not None
    assert torch.equal(dataset.train.y, torch.arange(8) % 2)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ("file,part\np/1.png,train\np/2.png,half\n", {"split": "part"}, r"p/2\.png: 'half' is no split; valid: train"),
        ("file,a,b\np/1.png,x,y\n", {}, r"list\.csv: which of a, b is the class\? Name it with --target"),
        ("file,kind\np/1.png,x\n,y\n", {"path": "file"}, r"list\.csv, row 3: no path in column 'file'"),
        ("file,kind\np/1.png,x\np/77.png,y\n", {}, r"1 of 2 files cannot be used: .*77\.png: cannot be read"),
    ],
)
def test_tables_that_list_badly_are_named(tmp_path: Path, rows: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(listed(tmp_path, rows), **settings)


def test_one_in_a_hundred_is_left_out_and_told(tmp_path: Path) -> None:
    listing = Listing([tmp_path / f"{n}.png" for n in range(200)], ["x"] * 200, {"who": [str(n) for n in range(200)]})
    kept, finding = keep_readable(listing, {3: "is torn", 7: "is torn"}, Request())
    assert len(kept.files) == len(kept.labels or ()) == 198
    assert kept.fields["who"][3] == "4"
    assert finding is not None
    assert (finding.severity, finding.count) == ("warning", 2)
    assert finding.examples[0] == f"{tmp_path / '3.png'}: is torn"
    with pytest.raises(DataError, match=r"3 of 200 files cannot be used: .*3\.png: is torn; .*remove or replace"):
        keep_readable(listing, {3: "is torn", 7: "is torn", 9: "is torn"}, Request())


def test_left_out_files_are_told_of_by_the_data_set(tmp_path: Path) -> None:
    put(tmp_path, *(f"{'ab'[number % 2]}/{number:03}.png" for number in range(199)))
    (tmp_path / "a/bad.png").write_text("no picture")
    dataset = opened(tmp_path)
    assert sum(map(len, dataset.splits.values())) == 199
    [remark] = dataset.remarks
    assert remark.name == "unreadable"
    assert "a/bad.png: its content is no PNG" in remark.examples[0]


def test_what_is_asked_about_is_never_left_out(tmp_path: Path) -> None:
    schema = opened(put(tmp_path, *(f"{'ab'[number % 2]}/{number:03}.png" for number in range(150)))).schema
    (tmp_path / "a/bad.png").write_text("no picture")
    with pytest.raises(DataError, match=r"1 of 151 files cannot be used: .*bad\.png"):
        data.read(tmp_path, Request(schema=schema))


def test_an_archive_is_read_as_its_folder(tmp_path: Path) -> None:
    put(tmp_path / "photos", *(f"{'ab'[number % 2]}/{number:03}.png" for number in range(40)))
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "photos")
    folder, archive = opened(tmp_path / "photos"), opened(tmp_path / "packed.zip")
    assert folder.fingerprint == archive.fingerprint
    assert folder.schema == archive.schema
    assert archive.train.names[0].startswith(f"{tmp_path / 'packed.zip'}/photos/a/")
    assert any_below(place(tmp_path / "packed.zip"), {".png"})


def test_pictures_and_sounds_in_one_folder_are_asked_about(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png")
    (tmp_path / "a/1.wav").touch()
    with pytest.raises(DataError, match="holds pictures and sounds; tell which of them to read with --kind"):
        opened(tmp_path)
    assert len(data.read(tmp_path, Request(Reading(kind="image"))).splits["train"]) == 1
