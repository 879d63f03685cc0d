"""Examples in a file: the same rows as in memory, the same batches, and memory that stays flat."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold import data
from fourfold.data import feed
from fourfold.data.content import sample
from fourfold.data.dataset import Dataset, Request
from fourfold.data.formats import array_files
from fourfold.data.mapped import Mapped, Numbered, read_array
from fourfold.data.order import batches
from fourfold.errors import DataError
from fourfold.families import settings_of

CPU = torch.device("cpu")


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of a kilobyte count as too large for memory."""
    monkeypatch.setattr(array_files, "LARGE", 1000)
    monkeypatch.setattr(feed, "memory", lambda: 4000)


def opened(path: Path, **settings: Any) -> Dataset:
    return data.open(path, settings_of("autoencoder").resolve(**settings))


@given(st.lists(st.integers(0, 19), max_size=30), st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_rows_are_those_of_the_array(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], start: int, stop: int
) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32)
    path = tmp_path_factory.mktemp("mapped") / "x.npy"
    np.save(path, x)
    whole = Mapped.open(path, path.stat().st_size - x.nbytes, x.dtype, x.shape)
    index = torch.tensor(rows, dtype=torch.int64)
    part = whole.select(index)
    assert part.shape == (len(rows), 3, 2)
    np.testing.assert_array_equal(part[:].numpy(), x[rows])
    np.testing.assert_array_equal(whole[start:stop].numpy(), x[start:stop])
    np.testing.assert_array_equal(part.select(torch.arange(len(rows)).flip(0))[:].numpy(), x[rows][::-1])
    if rows:
        np.testing.assert_array_equal(part[0].numpy(), x[rows[0]])


def test_a_file_that_is_too_short_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(bytes(100))
    with pytest.raises(DataError, match=r"x\.npy: shorter than its header promises"):
        Mapped.open(tmp_path / "x.npy", 20, np.dtype(np.uint8), (9, 9))


def test_what_is_read_does_not_change_with_the_file_s_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.data.mapped.KEPT", 1 << 16)
    x = np.random.default_rng(0).integers(0, 256, (4000, 100), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr("fourfold.data.mapped.LARGE", 1000)
    mapped = read_array(tmp_path / "x.npy")
    assert isinstance(mapped, Mapped)
    read = torch.cat([mapped[index] for index in torch.split(torch.randperm(4000), 50)])
    assert read.double().mean() == x.mean()


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [((60, 8, 9), np.uint8, "auto"), ((60, 8, 9, 3), np.uint8, "auto"), ((60, 3, 8, 9), np.float32, "auto")],
)
def test_a_split_in_a_file_gives_the_batches_of_one_in_memory(
    tmp_path: Path, small_is_large: None, shape: tuple[int, ...], dtype: type, kind: str
) -> None:
    random = np.random.default_rng(0)
    x: np.ndarray = (random.random(shape) * (255 if dtype is np.uint8 else 1)).astype(dtype)
    (tmp_path / "large").mkdir()
    np.save(tmp_path / "large/x_train.npy", x)
    np.save(tmp_path / "large/y_train.npy", np.arange(60) % 3)
    np.save(tmp_path / "large/x_test.npy", x[:20])
    np.save(tmp_path / "large/y_test.npy", np.arange(20) % 3)
    there = opened(tmp_path / "large", validation=0.0)
    assert isinstance(there.train.x, Mapped)
    here = data.open((x, np.arange(60) % 3), settings_of("autoencoder").resolve(validation=0.0, test=0.0))
    assert there.schema == here.schema
    streamed = feed.feed(there.train, there.schema, CPU)
    assert isinstance(streamed, feed.Streamed)
    resident = feed.Resident(here.train, here.schema, CPU)
    pieces = list(torch.split(torch.randperm(60, generator=torch.Generator().manual_seed(0)), 7))
    for ours, plain in zip(streamed.batches(pieces), resident.batches(pieces), strict=True):
        assert torch.equal(ours.x, plain.x)
        assert torch.equal(ours.index, plain.index)
        assert ours.y is not None
        assert plain.y is not None
        assert torch.equal(ours.y, plain.y)


def test_a_large_array_is_split_by_place_each_class_by_its_share(tmp_path: Path, small_is_large: None) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((1000, 4)).astype(np.float32))
    np.save(tmp_path / "y.npy", np.repeat([0, 1], [900, 100]))
    dataset = opened(tmp_path, test=0.2, validation=0.1)
    counts = {
        name: torch.bincount(part.y, minlength=2).tolist()
        for name, part in dataset.splits.items()
        if part.y is not None
    }
    assert counts == {"train": [648, 72], "validation": [72, 8], "test": [180, 20]}
    names = [set(part.names) for part in dataset.splits.values()]
    assert len(set().union(*names)) == 1000
    assert dataset.fingerprint == opened(tmp_path, test=0.2, validation=0.1).fingerprint
    assert set(opened(tmp_path, test=0.2, seed=1).splits["test"].names) != names[2]


def test_a_sample_is_evenly_spaced(tmp_path: Path, small_is_large: None) -> None:
    np.save(tmp_path / "x.npy", np.arange(4000, dtype=np.float32).reshape(1000, 4))
    part = data.read(tmp_path / "x.npy", Request()).splits["train"]
    assert sample(part, 16 * 11).loaded[:, 0].tolist() == [4 * (i * 999 // 10) for i in range(11)]


def test_idx_files_stay_in_their_file(tmp_path: Path, small_is_large: None) -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 9), dtype=np.uint8)
    head = bytes((0, 0, 8, 3)) + b"".join(size.to_bytes(4, "big") for size in x.shape)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(head + x.tobytes())
    part = data.read(tmp_path, Request()).splits["train"]
    assert isinstance(part.x, Mapped)
    assert (part.loaded[:, 0].numpy() == x).all()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(head + x.tobytes() + b"?")
    with pytest.raises(DataError, match="promises 4,320 bytes of values but there are 4,321"):
        data.read(tmp_path, Request())


def test_bad_rows_in_a_file_are_named_where_they_are_looked_at(tmp_path: Path, small_is_large: None) -> None:
    x = np.ones((1000, 4), dtype=np.float32)
    x[0, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match=r"x\.npy\[0\]: NaN"):
        opened(tmp_path / "x.npy")


def test_names_are_made_when_asked_for() -> None:
    names = Numbered("x", range(10**12))
    assert names[10**11] == "x[100000000000]"
    some = Numbered("x", range(10)).select(torch.tensor([7, 2, 5]))
    assert list(some) == ["x[7]", "x[2]", "x[5]"]
    assert list(some[1:]) == ["x[2]", "x[5]"]


@given(st.integers(1, 3000), st.integers(0, 2**62), st.integers(0, 5), st.integers(1, 700))
@settings(max_examples=60, deadline=None)
def test_a_long_order_is_a_permutation_in_pieces(size: int, seed: int, epoch: int, batch_size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fourfold.data.order.LISTED", 0)
        patch.setattr("fourfold.data.order.CHUNK", 1000)
        pieces = list(batches(size, seed, epoch, batch_size))
        patch.setattr("fourfold.data.order.CHUNK", 64)
        assert torch.equal(torch.cat(list(batches(size, seed, epoch, batch_size))), torch.cat(pieces))
    assert [len(piece) for piece in pieces[:-1]] == [batch_size] * (len(pieces) - 1)
    assert torch.equal(torch.cat(pieces).sort().values, torch.arange(size))


def test_a_long_order_is_shuffled_and_its_memory_does_not_grow() -> None:
    size = 10**12
    first = next(batches(size, 0, 1, 1000))
    assert torch.equal(first, next(batches(size, 0, 1, 1000)))
    assert not torch.equal(first, next(batches(size, 0, 2, 1000)))
    assert len(set(first.tolist())) == 1000
    assert abs(float(first.double().mean()) / size - 0.5) < 0.05
    assert abs(float(torch.corrcoef(torch.stack([first[:-1], first[1:]]).double())[0, 1])) < 0.15


SPARSE = """
import resource, sys, time
from pathlib import Path
import numpy as np, torch
from fourfold import data
from fourfold.data import feed
from fourfold.data.order import batches
from fourfold.families import settings_of
path = Path(sys.argv[1]) / "x.npy"
with path.open("wb") as file:
    header = {"descr": "|u1", "fortran_order": False, "shape": (1_600_000, 64, 64, 1)}
    np.lib.format.write_array_header_1_0(file, header)
    file.truncate(file.tell() + 1_600_000 * 64 * 64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.perf_counter()
feed.memory = lambda: 4_000_000_000
dataset = data.open(path, settings_of("autoencoder").resolve())
print(time.perf_counter() - started)
split = feed.feed(dataset.train, dataset.schema, torch.device("cpu"))
for place, batch in enumerate(split.batches(batches(len(split), 0, 1, 256))):
    if place == 500:
        break
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, type(split).__name__)
"""


def test_a_set_of_six_gigabytes_opens_at_once_and_takes_little_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPARSE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    seconds, memory, kind = done.stdout.split()
    assert kind == "Streamed"
    assert float(seconds) < 10
    assert float(memory) < 600
