"""Files of codes: what goes in comes out, no larger than promised, and damage is told."""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import fourfold as ff
from fourfold.compress import MAGIC, Quantised, compare, compress, decompress, fingerprint
from fourfold.errors import DataError, UsageError
from fourfold.model import Model
from fourfold.runtime import one_thread

FLOATS = st.floats(-1e6, 1e6, width=32)


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread: small networks' threads would wait for each other."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def rows() -> np.ndarray[Any, Any]:
    """200 rows of eight columns on a bent plane."""
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 200, 1))
    return np.concatenate([a, b, a * b, a - b, a + b, a**2, b**2, 3 * a], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def model(rows: Any, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("run") / "run"
    return ff.train("autoencoder", rows, preset="dense", latent_size=3, epochs=3, out=folder, quiet=True)


@given(arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 5)), elements=FLOATS), st.integers(1, 8))
def test_codes_come_back_within_half_a_step(codes: Any, bits: int) -> None:
    back = Quantised.of(codes, bits).codes()
    step = (codes.max(0).astype(np.float64) - codes.min(0)) / (2**bits - 1)
    assert (np.abs(back - codes.astype(np.float64)) <= step / 2 + 1e-6 * np.abs(codes).max() + 1e-30).all()


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(DataError, match="not a finite number"):
        Quantised.of(np.array([[np.nan, 1.0]], dtype=np.float32), 8)


@pytest.mark.parametrize("bits", [1, 5, 8])
def test_a_file_decodes_to_what_the_quantised_codes_do(model: Model, rows: Any, bits: int) -> None:
    content = compress(model, model.read(rows), bits)
    expected = model.decode(Quantised.of(np.asarray(model.encode(rows)), bits).codes())
    np.testing.assert_array_equal(decompress(model, content), expected)
    again = ff.load(model.run or "")
    np.testing.assert_allclose(decompress(again, content), expected, rtol=1e-6)


def test_fewer_bits_make_a_smaller_file(model: Model, rows: Any) -> None:
    sizes = [len(compress(model, model.read(rows), bits)) for bits in (2, 4, 8)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


def test_the_fingerprint_is_that_of_the_folder(model: Model) -> None:
    assert model.run is not None
    assert fingerprint(model) == json.loads((model.run / "model" / "model.json").read_text())["sha256"]


def test_the_comparison_measures_what_comes_out(model: Model, rows: Any) -> None:
    examples = model.read(rows)
    content = compress(model, examples)
    figures = compare(model, examples, content, model.own_data())
    std = np.array(model.schema.std)
    assert figures["mse"] == pytest.approx(float((((decompress(model, content) - rows) / std) ** 2).mean()), rel=1e-3)
    assert figures["ratio"] == pytest.approx(rows.nbytes / len(content))
    assert figures["principal"]["fitted_on"] == "train"
    assert figures["principal"]["mse"] < 0.3  # three directions hold most of a bent plane
    assert figures["mse"] > figures["principal"]["mse"]  # after three epochs
    assert "it loses to 3 principal components" in figures["verdict"]
    alone = compare(model, examples, content, None)
    assert alone["principal"]["fitted_on"] == "the examples themselves"


def test_bits_that_cannot_be(model: Model, rows: Any) -> None:
    for bits in (0, 9):
        with pytest.raises(UsageError, match="1 to 8"):
            compress(model, model.read(rows), bits)


def test_another_model_is_told(model: Model, rows: Any, tmp_path: Path) -> None:
    content = compress(model, model.read(rows))
    other = ff.train("autoencoder", rows, preset="dense", latent_size=3, epochs=1, out=tmp_path / "o", quiet=True)
    with pytest.raises(DataError, match="coded by another model"):
        decompress(other, content, "a.ffz")


def changed(content: bytes, **values: Any) -> bytes:
    """A file whose header says other things."""
    size = struct.unpack("<I", content[4:8])[0]
    header = {**json.loads(content[8 : 8 + size]), **values}
    words = json.dumps(header).encode()
    return MAGIC + struct.pack("<I", len(words)) + words + content[8 + size :]


def test_damage_is_told_and_nothing_large_is_made(model: Model, rows: Any) -> None:
    content = compress(model, model.read(rows))
    bomb = zlib.compress(bytes(100_000_000))
    start = 8 + struct.unpack("<I", content[4:8])[0]
    damaged = {
        b"": "no file of codes",
        b"PK" + content[2:]: "no file of codes",
        content[:30]: "its header claims",
        MAGIC + struct.pack("<I", 1 << 31) + content: "its header claims",
        content[:8] + b"x" + content[9:]: "its header cannot be read",
        changed(content, format="fourfold-codes-9"): "its header cannot be read",
        changed(content, bits=9): "its header cannot be read",
        changed(content, surprise=1): "its header cannot be read",
        changed(content, count=10**12): "cannot be right",
        changed(content, low=[0.0]): "cannot be right",
        changed(content, count=199): "does not hold the",
        changed(content, count=201): "does not hold the",
        content[:-9]: "damaged",
        content[:start] + bytes(9) + content[start:]: "cannot be unpacked",
        changed(content[:start], packing="zlib") + bomb: "does not hold the",
    }
    for each, told in damaged.items():
        with pytest.raises(DataError, match=rf"a\.ffz: .*{told}"):
            decompress(model, each, "a.ffz")


def test_series_are_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 9, 2)).astype(np.float32)
    model = ff.train("autoencoder", x, preset="sequence", epochs=1, kind="series", out=tmp_path / "s", quiet=True)
    with pytest.raises(UsageError, match="series data differ in length"):
        compress(model, model.read(x))
