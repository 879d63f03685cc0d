"""The store: decoded once, under a key of content; whole or not there; bounded; two processes agree."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fourfold.data import store
from fourfold.data.dataset import Request
from fourfold.data.sources.images import read
from fourfold.errors import UsageError
from fourfold.settings import Reading


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number in range(80):
        path = tmp_path / f"photos/{'ab'[number % 2]}/{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "entries").iterdir())


def told(path: Path, **reading: Any) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """The pictures, and all that was told of progress."""
    words: list[tuple[str, int, int]] = []
    request = Request(Reading(**reading), progress=lambda *word: words.append(word))
    return read(path, request).splits["train"].loaded.numpy().copy(), words


def test_a_second_start_decodes_nothing(photos: Path, cache: Path) -> None:
    first, words = told(photos)
    assert words[-1] == ("pictures", 80, 80)
    again, words = told(photos)
    assert words == []
    np.testing.assert_array_equal(first, again)
    assert len(entries(cache)) == 1


def test_nothing_is_kept_if_so_wished(photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _ = told(photos)
    shutil.rmtree(cache)
    monkeypatch.setenv("FOURFOLD_CACHE", "off")
    np.testing.assert_array_equal(told(photos)[0], kept)
    assert told(photos)[1]
    assert not cache.exists()


def test_a_moved_or_copied_folder_is_known(photos: Path, tmp_path: Path) -> None:
    told(photos)
    shutil.copytree(photos, tmp_path / "copy")
    assert told(tmp_path / "copy")[1] == []


@pytest.mark.parametrize("change", ["content", "another", "one less", "size", "name"])
def test_what_changes_the_arrays_changes_the_key(photos: Path, cache: Path, change: str) -> None:
    first, _ = told(photos)
    reading: dict[str, Any] = {}
    match change:
        case "content":
            Image.new("RGB", (8, 8), "red").save(photos / "a/000.png")
        case "another":
            Image.new("RGB", (8, 8), "red").save(photos / "a/999.png")
        case "one less":
            (photos / "a/000.png").unlink()
        case "size":
            reading = {"size": 4}
        case "name":
            (photos / "a/000.png").rename(photos / "a/998.png")  # the last of its class now
    second, words = told(photos, **reading)
    assert words
    assert len(entries(cache)) == 2
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_a_change_that_keeps_size_and_time_is_seen(photos: Path) -> None:
    """Files are known by the time of their inode's change as well, which nobody sets back."""
    picture = photos / "a/000.png"
    told(photos)
    time.sleep(store.SETTLED + 0.1)
    told(photos)  # settled: from now on the files are known by their state
    state = picture.stat()
    other = sorted(photos.rglob("*.png"), key=lambda path: path.stat().st_size == state.st_size)[-1]
    assert other != picture
    assert other.stat().st_size == state.st_size
    picture.write_bytes(other.read_bytes())
    os.utime(picture, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert told(photos)[1]


@pytest.mark.parametrize("damage", ["short", "lost", "no json"])
def test_a_damaged_entry_is_made_anew(photos: Path, cache: Path, damage: str) -> None:
    first, _ = told(photos)
    [entry] = entries(cache)
    match damage:
        case "short":
            os.truncate(entry / "x0.npy", 1000)
        case "lost":
            (entry / "digests.npy").unlink()
        case "no json":
            (entry / "entry.json").write_text("{")
    again, words = told(photos)
    assert words
    np.testing.assert_array_equal(first, again)
    assert told(photos)[1] == []


def made_of(count: int, text: str, folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    files = [folder / f"{number}.txt" for number in range(count)]
    for file in files:
        file.write_text(text)
    return files


def filler(size: int) -> Callable[[Path], dict[str, int]]:
    def make(folder: Path) -> dict[str, int]:
        (folder / "x").write_bytes(bytes(size))
        return {"size": size}

    return make


def keep(folder: Path, facts: Any) -> Path:
    return folder


def test_the_oldest_goes_when_the_store_is_full(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE_GB", "0.0025")  # two of a megabyte
    folders = []
    for number in range(3):
        files = made_of(store.LEAST, str(number), tmp_path / str(number))
        folders.append(store.stored(files, {}, filler(1_000_000), keep, lambda *word: None))
        os.utime(folders[-1] / store.DESCRIPTION, (number, number))
        if number == 1:  # the first is used again, so the second is the oldest
            assert store.stored(made_of(store.LEAST, "0", tmp_path / "0"), {}, filler(0), keep, print) == folders[0]
    assert [folder.exists() for folder in folders] == [True, False, True]


def test_a_size_that_is_no_number_is_refused(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE_GB", "much")
    with pytest.raises(UsageError, match="FOURFOLD_CACHE_GB=much: a number of gigabytes"):
        told(photos)


def test_few_files_are_not_kept(photos: Path, cache: Path) -> None:
    for path in [*sorted((photos / "a").iterdir())[5:], *sorted((photos / "b").iterdir())[5:]]:
        path.unlink()
    told(photos)
    assert not cache.exists()


def test_a_store_that_cannot_be_written_costs_only_time(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE", "/proc/nowhere")
    assert len(told(photos)[0]) == 80


def test_a_file_that_is_gone_and_comes_back_is_another_content(tmp_path: Path) -> None:
    """Whoever decodes tells of it; the store only must not take one for the other."""
    files = [*made_of(store.LEAST, "", tmp_path / "f"), tmp_path / "gone.txt"]
    without = store.stored(files, {}, filler(1), keep, lambda *word: None)
    files[-1].write_text("here")
    assert store.stored(files, {}, filler(2), keep, lambda *word: None) != without


PROCESS = """
import sys, time
from pathlib import Path
from fourfold.data import store
files = sorted(Path(sys.argv[1]).iterdir())
def make(folder):
    print("makes", flush=True)
    time.sleep(float(sys.argv[2]))
    (folder / "x").write_bytes(b"whole")
    return {}
print(store.stored(files, {}, make, lambda folder, facts: (folder / "x").read_bytes().decode(), print), flush=True)
"""


def start(folder: Path, seconds: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def test_of_two_processes_one_decodes_and_the_other_waits(tmp_path: Path) -> None:
    made_of(store.LEAST, "", tmp_path / "f")
    both = [start(tmp_path / "f", 0.5) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert sorted(output.count("makes") for output in outputs) == [0, 1]
    assert all("whole" in output for output in outputs)


def test_an_entry_whose_maker_was_killed_is_made_by_the_next(tmp_path: Path, cache: Path) -> None:
    made_of(store.LEAST, "", tmp_path / "f")
    killed = start(tmp_path / "f", 60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "makes\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    output = start(tmp_path / "f", 0).communicate(timeout=60)[0]
    assert output.split() == ["makes", "whole"]
    facts = [json.loads((entry / store.DESCRIPTION).read_text()) for entry in entries(cache)]
    assert [set(each) for each in facts] == [{"facts", "sizes"}]
