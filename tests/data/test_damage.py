"""Every loader, given rubbish: random bytes, and valid files that were cut, changed or grown.

Each case gives data or a DataError, never another error, within two seconds and half a
gigabyte. FOURFOLD_DAMAGE sets the number of cases a loader.
"""

import contextlib
import gzip
import io
import os
import resource
import time
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fourfold import data
from fourfold.data.dataset import Request
from fourfold.errors import DataError
from tests.data.damage import damaged

CASES = int(os.environ.get("FOURFOLD_DAMAGE", "500"))
SECONDS, MEGABYTES = 2.0, 512

TABLE = "age,kind,height\n" + "".join(f"{n},{['cat', 'dog'][n % 2]},{n / 7:.3f}\n" for n in range(9))
SERIES = "@problemName x\n@univariate false\n@classLabel true a b\n@data\n1,2.5,3:4,5,6:a\n1,2:3,4:b\n"


def picture(kind: str) -> Callable[[], bytes]:
    def make() -> bytes:
        stream = io.BytesIO()
        x = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
        Image.fromarray(x).save(stream, kind)
        return stream.getvalue()

    return make


def array(kind: str) -> Callable[[], bytes]:
    def make() -> bytes:
        stream = io.BytesIO()
        x = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        if kind == "npz":
            np.savez(stream, x=x, y=np.arange(5))
        else:
            np.save(stream, x)
        return stream.getvalue()

    return make


def idx() -> bytes:
    return bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (3, 2, 2)) + bytes(range(12))


def parquet() -> bytes:
    stream = io.BytesIO()
    pl.read_csv(io.StringIO(TABLE)).write_parquet(stream)
    return stream.getvalue()


def sound() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.random.default_rng(0).integers(-999, 999, 900, dtype=np.int16).tobytes())
    return stream.getvalue()


def packed_sound(kind: str, subtype: str) -> Callable[[], bytes]:
    def make() -> bytes:
        import soundfile

        stream = io.BytesIO()
        soundfile.write(stream, np.random.default_rng(0).normal(size=(900, 1)) / 9, 8000, subtype, format=kind)
        return stream.getvalue()

    return make


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(3):
            file.writestr(f"p/{'ab'[number % 2]}/{number}.png", picture("PNG")())
    return stream.getvalue()


LOADERS: dict[str, Callable[[], bytes]] = {
    **{f"x.{kind.lower()}": picture(kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")},
    "train-images-idx3-ubyte": idx,
    "train-images-idx3-ubyte.gz": lambda: gzip.compress(idx()),
    "x.npy": array("npy"),
    "x.npz": array("npz"),
    "x.ts": SERIES.encode,
    "x.ts.gz": lambda: gzip.compress(SERIES.encode()),
    "x.csv": TABLE.encode,
    "x.tsv.gz": lambda: gzip.compress(TABLE.replace(",", "\t").encode()),
    "x.jsonl": lambda: pl.read_csv(io.StringIO(TABLE)).write_ndjson().encode(),
    "x.parquet": parquet,
    "texts.csv": lambda: b"review,label\n" + b"".join(b"a long review of a film %d,yes\n" % n for n in range(9)),
    "x.wav": sound,
    "x.flac": packed_sound("FLAC", "PCM_16"),
    "x.ogg": packed_sound("OGG", "VORBIS"),
    "x.zip": archive,
}


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE", "off")


@pytest.mark.parametrize("name", LOADERS)
def test_rubbish_gives_data_or_a_named_error(tmp_path: Path, name: str) -> None:
    valid = LOADERS[name]()
    path = tmp_path / name
    path.write_bytes(valid)
    assert len(data.read(path, Request()).splits["train"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @given(st.data())
    @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def attempt(draw: st.DataObject) -> None:
        path.write_bytes(
            draw.draw(st.binary(max_size=300)) if draw.draw(st.integers(0, 9)) == 0 else damaged(valid, draw)
        )
        started = time.perf_counter()
        with contextlib.suppress(DataError):
            data.read(path, Request())
        assert time.perf_counter() - started < SECONDS

    attempt()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES
