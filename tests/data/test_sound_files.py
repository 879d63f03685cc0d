"""Sound folders and tables: what is read of them, at which rate, and what is left out or refused."""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from torch.testing import assert_close

from fourfold.data.content import digests
from fourfold.data.dataset import Content, Examples, Request
from fourfold.data.formats import frames
from fourfold.data.formats.logmel import frame_count, log_mel
from fourfold.data.formats.places import place
from fourfold.data.formats.sounds import decode
from fourfold.data.schema import Schema
from fourfold.data.sources import sounds
from fourfold.data.sources.sounds import from_frames, matches, read
from fourfold.errors import DataError
from fourfold.settings import Reading

PATTERN = "{label}_{speaker}_{index}.wav"


@pytest.fixture(autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path_factory.mktemp("store")))


def encoded(samples: int = 800, rate: int = 8000, channels: int = 1, seed: int = 0) -> bytes:
    x = np.random.default_rng(seed).uniform(-0.5, 0.5, samples)
    stream = io.BytesIO()
    soundfile.write(stream, x[:, None].repeat(channels, axis=1), rate, format="WAV")
    return stream.getvalue()


def put(path: Path, data: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded() if data is None else data)
    return path


def plain(data: bytes, rate: int = 8000, mels: int = 64) -> Tensor:
    return log_mel([decode(data, rate)], rate, mels)[0]


def row(part: Examples, index: int) -> Tensor:
    assert part.lengths is not None
    return part.loaded[index, : int(part.lengths[index])]


def check_digests(part: Examples) -> None:
    """What is known of the content is what would be found out."""
    assert part.digests is not None
    found = Examples(part.x, part.names, lengths=part.lengths)
    assert [bytes(digest) for digest in part.digests] == list(digests(found))


def listed(path: Path, request: Request) -> Content:
    return from_frames(frames.load_all(place(path)), request)


def test_class_folders(tmp_path: Path) -> None:
    lengths = {"dog/1.wav": 900, "cat/sub/b.wav": 500, "cat/a.WAV": 2000, "dog/2.flac": 0}
    for seed, (name, samples) in enumerate(lengths.items()):
        put(tmp_path / name, encoded(samples or 700, seed=seed))
    (tmp_path / "notes.txt").touch()
    assert matches(tmp_path, Request())
    content = read(tmp_path, Request(Reading(mels=20)))
    train = content.splits["train"]
    assert (content.kind, content.classes, list(content.splits)) == ("sound", ("cat", "dog"), ["train"])
    names = ["cat/a.WAV", "cat/sub/b.wav", "dog/1.wav", "dog/2.flac"]
    assert train.names == [str(tmp_path / name) for name in names]
    assert train.y is not None
    assert train.y.tolist() == [0, 0, 1, 1]
    assert train.lengths is not None
    assert train.lengths.dtype == torch.int64
    assert train.lengths.tolist() == [frame_count(samples, 8000) for samples in (2000, 500, 900, 700)]
    assert train.x.shape == (4, int(train.lengths.max()), 20)
    for index, name in enumerate(names):
        assert_close(row(train, index), plain((tmp_path / name).read_bytes(), mels=20), rtol=1e-6, atol=0)
        assert not train.loaded[index, int(train.lengths[index]) :].any()
    check_digests(train)


def test_split_folders_and_flat_ones(tmp_path: Path) -> None:
    for seed, name in enumerate(["train/b/1.wav", "train/a/1.wav", "val/b/1.wav", "test/a/1.wav"]):
        put(tmp_path / name, encoded(600 + seed, seed=seed))
    content = read(tmp_path, Request())
    labels = {split: part.y.tolist() for split, part in content.splits.items() if part.y is not None}
    assert labels == {"train": [0, 1], "validation": [1], "test": [0]}
    assert_close(row(content.splits["test"], 0), plain(encoded(603, seed=3)), rtol=1e-6, atol=0)
    flat = read(tmp_path / "train/a", Request())
    assert flat.classes is None
    assert flat.splits["train"].y is None
    assert flat.splits["train"].lengths is not None


def test_names_by_a_pattern_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "digits.zip", "w") as archive:
        for name in ("7_anna_0", "3_anna_0", "3_ben_0"):
            archive.writestr(f"digits/{name}.wav", encoded(700 + ord(name[0])))
    content = read(place(tmp_path / "digits.zip"), Request(Reading(pattern=PATTERN), fields=("speaker",)))
    train = content.splits["train"]
    assert content.classes == ("3", "7")
    assert train.y is not None
    assert train.y.tolist() == [0, 0, 1]
    assert train.fields == {"speaker": ["anna", "ben", "anna"]}
    assert_close(row(train, 2), plain(encoded(700 + ord("7"))), rtol=1e-6, atol=0)


def test_a_table_names_them(tmp_path: Path) -> None:
    for name in ("sounds/1.wav", "sounds/2.wav", "3.wav"):
        put(tmp_path / name)
    (tmp_path / "list.csv").write_text(
        "file,who,speaker\nsounds/2.wav,x,anna\n3.wav,y,ben\nsounds/1.wav,x,ben\n", encoding="utf-8"
    )
    content = listed(tmp_path / "list.csv", Request(Reading(path="file", target="who"), fields=("speaker",)))
    train = content.splits["train"]
    assert [Path(name).name for name in train.names] == ["2.wav", "3.wav", "1.wav"]
    assert train.y is not None
    assert train.y.tolist() == [0, 1, 0]
    assert train.fields == {"speaker": ["anna", "ben", "ben"]}


def test_many_channels_equal_one(tmp_path: Path) -> None:
    put(tmp_path / "a/1.wav", encoded())
    put(tmp_path / "b/1.wav", encoded(channels=2))
    train = read(tmp_path, Request()).splits["train"]
    assert torch.equal(row(train, 0), row(train, 1))


@pytest.mark.parametrize(
    ("rates", "asked", "rate"),
    [
        ([8000, 8000, 11_025], None, 8000),
        ([8000, 11_025, 11_025, 8000], None, 11_025),
        ([8000, 11_025, 11_025], 8000, 8000),
        ([384_000], None, 192_000),
    ],
)
def test_the_rate_is_that_of_most_in_train(tmp_path: Path, rates: list[int], asked: int | None, rate: int) -> None:
    contents = [encoded(rate // 10, rate, seed=seed) for seed, rate in enumerate(rates)]
    for number, data in enumerate(contents):
        put(tmp_path / f"train/{number}.wav", data)
    for number in range(9):
        put(tmp_path / f"test/{number}.wav", encoded(rate=22_050))
    content = read(tmp_path, Request(Reading(rate=asked, mels=20)))
    assert content.decided == {"rate": rate}
    for index, data in enumerate(contents):
        assert_close(row(content.splits["train"], index), plain(data, rate, 20), rtol=1e-6, atol=0)


def test_a_schema_decides(tmp_path: Path) -> None:
    data = encoded(rate=16_000)
    put(tmp_path / "dog/1.wav", data)
    schema = Schema(
        kind="sound", shape=(20,), classes=("cat", "dog"), reading=Reading(kind="sound", rate=8000, mels=20)
    )
    content = read(tmp_path, Request(schema=schema))
    train = content.splits["train"]
    assert content.classes == ("cat", "dog")
    assert train.y is not None
    assert train.y.tolist() == [1]
    assert_close(row(train, 0), plain(data, 8000, 20), rtol=1e-6, atol=0)
    single = read(tmp_path / "dog/1.wav", Request(schema=schema)).splits["train"]
    assert single.y is None
    assert torch.equal(row(single, 0), row(train, 0))


def hundred(folder: Path, bad: int) -> None:
    """A hundred sounds in two classes, the first few of them damaged."""
    for number in range(100):
        data = encoded()[:-1] if number < bad else encoded(400 + number, seed=number)
        put(folder / f"{'ab'[number % 2]}/{number:03}.wav", data)


def test_one_in_a_hundred_is_left_out_and_told_of(tmp_path: Path) -> None:
    hundred(tmp_path, 1)
    for _ in ("decoded", "from the store"):
        content = read(tmp_path, Request(Reading(mels=8)))
        train = content.splits["train"]
        assert len(train) == len(train.names) == 99
        assert train.y is not None
        assert train.y.tolist() == [0] * 49 + [1] * 50
        assert_close(row(train, 0), plain(encoded(402, seed=2), mels=8), rtol=1e-6, atol=0)
        check_digests(train)
        (remark,) = content.remarks
        assert (remark.severity, remark.name, remark.count) == ("warning", "unreadable", 1)
        assert remark.examples[0].startswith(f"{tmp_path / 'a/000.wav'}: cut short: 1,599 of 1,600 bytes")


def test_each_split_leaves_out_its_own(tmp_path: Path) -> None:
    hundred(tmp_path / "train", 0)
    hundred(tmp_path / "test", 1)
    content = read(tmp_path, Request(Reading(mels=8)))
    assert {split: len(part) for split, part in content.splits.items()} == {"train": 100, "test": 99}
    assert [remark.examples[0].split(":")[0] for remark in content.remarks] == [str(tmp_path / "test/a/000.wav")]
    assert_close(row(content.splits["test"], 0), plain(encoded(402, seed=2), mels=8), rtol=1e-6, atol=0)
    for part in content.splits.values():
        check_digests(part)


def test_more_is_an_error_that_names_them(tmp_path: Path) -> None:
    hundred(tmp_path, 2)
    with pytest.raises(DataError, match=r"2 of 100 files cannot be used: .*a/000\.wav: cut short.*b/001\.wav: cut sh"):
        read(tmp_path, Request())


def test_a_second_start_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hundred(tmp_path, 0)
    told: list[tuple[str, int, int]] = []
    request = Request(Reading(mels=8), progress=lambda *what: told.append(what))
    first = read(tmp_path, request).splits["train"]
    assert told[-1] == ("sounds", 100, 100)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "soundfile", None)
        second = read(tmp_path, request).splits["train"]
    assert torch.equal(first.loaded, second.loaded)
    assert_close(first.lengths, second.lengths)
    other = read(tmp_path, Request(Reading(mels=9))).splits["train"]
    assert other.x.shape[2] == 9


def test_one_endless_sound_does_not_take_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        put(tmp_path / f"{number}.wav", encoded(2000 if number == 2 else 300))
    taken = 4 * 4 * frame_count(2000, 8000) * 8
    monkeypatch.setattr(sounds, "PADDED", taken)
    read(tmp_path, Request(Reading(mels=8)))
    monkeypatch.setattr(sounds, "PADDED", taken - 1)
    with pytest.raises(DataError, match=r"2\.wav: so long that all, padded to it, exceed .* cut it"):
        read(tmp_path, Request(Reading(mels=8)))


@pytest.mark.parametrize("data", [b"", b"RIFF", encoded(0), encoded()[:-9], b"text"])
def test_a_single_bad_file_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"1\.wav: .*; remove or replace it"):
        read(put(tmp_path / "1.wav", data), Request())


@pytest.mark.parametrize("packed", [False, True])
def test_a_table_may_name_what_is_not_there(tmp_path: Path, packed: bool) -> None:
    table = b"path,label\n1.wav,x\nnone.wav,y\n"
    put(tmp_path / "data/1.wav")
    put(tmp_path / "data/list.csv", table)
    if packed:
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for file in (tmp_path / "data").iterdir():
                archive.write(file, f"data/{file.name}")
    with pytest.raises(DataError, match=r"1 of 2 files cannot be used: .*none\.wav: cannot be read \(No such file"):
        listed(tmp_path / ("data.zip" if packed else "data/list.csv"), Request())


def test_another_kind_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "1.wav")
    with pytest.raises(DataError, match="this is sound data, and --kind series is asked for"):
        read(tmp_path, Request(Reading(kind="series")))
    with pytest.raises(DataError, match="the model was trained on image data"):
        read(tmp_path, Request(schema=Schema(kind="image", shape=(1, 4, 4))))


def test_without_soundfile_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "1.wav")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    for reading in (Reading(), Reading(rate=8000)):
        with pytest.raises(DataError, match=r'pip install "fourfold\[audio\]"'):
            read(tmp_path, Request(reading))


@pytest.mark.parametrize("name", ["a.txt", "a.mp3", "folder"])
def test_other_things_do_not_match(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/notes.txt").touch()
    assert not matches(tmp_path / name, Request())
