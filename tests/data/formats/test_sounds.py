"""Sound files: every encoding as it was written, and one reason for whatever is damaged or lies."""

import io
import resource
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from fourfold.data.formats import sounds
from fourfold.data.formats.logmel import log_mel
from fourfold.data.formats.resample import resample
from fourfold.data.formats.sounds import MAGIC, commonest_rate, decode, spectra
from fourfold.data.progress import untold
from fourfold.errors import DataError
from tests.data.damage import damaged

BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
LOSSLESS = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32")),
    *(("WAVEX", subtype) for subtype in ("PCM_16", "PCM_24")),
    ("RF64", "PCM_16"),
    *(("FLAC", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24")),
]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("WAV", "ULAW"), ("WAV", "MS_ADPCM")]


def encoded(x: np.ndarray, form: str = "WAV", subtype: str = "PCM_16", rate: int = 8000, endian: str = "FILE") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, x, rate, format=form, subtype=subtype, endian=endian)
    return stream.getvalue()


def wave(samples: int = 3000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """A sine a channel, and a little noise; below full scale. (n,) or (n, channels)."""
    x: np.ndarray = 0.6 * np.sin(np.arange(samples)[:, None] * 0.05 * np.arange(1, channels + 1))
    x += np.random.default_rng(seed).uniform(-0.1, 0.1, x.shape)
    return x[:, 0] if channels == 1 else x


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("form", "subtype"), LOSSLESS)
def test_whole_numbers_come_back_to_the_bit(form: str, subtype: str) -> None:
    whole = np.random.default_rng(0).integers(-(2**31), 2**31, 3000).astype(np.int32)
    whole &= -1 << (32 - BITS[subtype])
    x = decode(encoded(whole, form, subtype), 8000)
    assert x.dtype == np.float32
    assert np.array_equal(x, (whole / 2**31).astype(np.float32))


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_come_back_beyond_full_scale_too(subtype: str) -> None:
    x = (3 * wave()).astype(np.float32)
    assert np.array_equal(decode(encoded(x, subtype=subtype), 8000), x)


def test_the_other_byte_order() -> None:
    data = encoded(wave(), endian="BIG")
    assert data.startswith(b"RIFX")
    assert np.array_equal(decode(data, 8000), decode(encoded(wave()), 8000))


@pytest.mark.parametrize(("form", "subtype"), LOSSY)
def test_lossy_ones_come_back_alike(form: str, subtype: str) -> None:
    x = decode(encoded(wave(), form, subtype), 8000)
    assert len(x) >= 3000
    assert np.corrcoef(x[:3000], wave())[0, 1] > 0.95


@pytest.mark.parametrize(("form", "subtype"), [*LOSSLESS, *LOSSY, ("WAV", "FLOAT")])
def test_blocks_do_not_show(form: str, subtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(wave(20_000, 2), form, subtype)
    whole = decode(data, 8000)
    monkeypatch.setattr(sounds, "BLOCK", 7001)
    assert np.array_equal(decode(data, 8000), whole)


@pytest.mark.parametrize("channels", [2, 3, 64])
def test_mono_equals_itself_in_many_channels(channels: int) -> None:
    alone = decode(encoded(wave(), subtype="FLOAT"), 8000)
    assert np.array_equal(decode(encoded(wave()[:, None].repeat(channels, 1), subtype="FLOAT"), 8000), alone)


def test_channels_give_their_mean() -> None:
    x = wave(channels=2).astype(np.float32)
    np.testing.assert_allclose(decode(encoded(x, subtype="FLOAT"), 8000), x.mean(axis=1), rtol=0, atol=1e-7)


@pytest.mark.parametrize("rate", [4000, 8000, 16_000])
def test_it_is_brought_to_the_rate(rate: int) -> None:
    x = wave().astype(np.float32)
    assert np.array_equal(decode(encoded(x, subtype="FLOAT"), rate), resample(x, 8000, rate))


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def lying_wav(size: int, channels: int = 1, rate: int = 8000) -> bytes:
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
    return b"RIFF" + struct.pack("<I", 36 + size % 2**31) + b"WAVE" + head + b"data" + struct.pack("<I", size)


def lying_flac(frames: int) -> bytes:
    data = encoded(wave(), "FLAC")
    told = int.from_bytes(data[18:26], "big") >> 36 << 36 | frames
    return data[:18] + told.to_bytes(8, "big") + data[26:]


def with_odd_chunk(data: bytes) -> bytes:
    """A WAV with 5 bytes of remarks before its samples, and the byte that makes them even."""
    place = data.index(b"data")
    return data[:place] + struct.pack("<4sI6s", b"LIST", 5, b"INFO?") + data[place:]


def mended(data: bytes) -> bytes:
    """An Ogg file with right checksums, so that what is wrong in its pages reaches the decoder."""
    content, start = bytearray(data), 0
    while len(content) > start + 27:
        sizes = content[start + 27 : start + 27 + content[start + 26]]
        end = start + 27 + len(sizes) + sum(sizes)
        content[start + 22 : start + 26] = sounds._checksum(bytes(content[start:end])).to_bytes(4, "little")
        start = end
    return bytes(content)


VORBIS = encoded(wave(60_000, 2), "OGG", "VORBIS")
LAST = VORBIS.rindex(b"OggS")
PAGE = VORBIS.index(b"OggS", len(VORBIS) // 2)
NEXT_PAGE = VORBIS.index(b"OggS", PAGE + 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"^empty$"),
        (b"ID3 and so on", "no WAV, FLAC or Ogg"),
        (encoded(wave(), "AIFF"), "no WAV, FLAC or Ogg"),
        (b"RIFF", "cannot be decoded"),
        (encoded(wave())[:-1], r"cut short: 5,999 of 6,000 bytes of samples"),
        (encoded(wave(), endian="BIG")[:-100], r"cut short: 5,900 of 6,000 bytes"),
        (with_odd_chunk(encoded(wave()))[:-2], r"cut short: 5,998 of 6,000 bytes"),
        (encoded(wave())[:40], "cannot be decoded"),
        (lying_wav(2_000_000_000), "cut short: 0 of 2,000,000,000"),
        (encoded(np.zeros(0)), "holds no samples"),
        (encoded(wave(), rate=999), "999 samples a second, where 1,000 to 768,000"),
        (encoded(wave(), rate=768_001), "768,001 samples a second"),
        (encoded(np.zeros((9, 65))), "65 channels, more than 64"),
        (encoded(np.array([0.0, np.nan]), subtype="FLOAT"), "NaN"),
        (encoded(np.array([0.0, -np.inf]), subtype="FLOAT"), "infinite"),
        (encoded(np.array([0.0, 1e300]), subtype="DOUBLE"), "absurdly large"),
        (encoded(wave(), "FLAC")[:-9], "cannot be decoded"),
        (flipped(encoded(wave(), "FLAC"), 1000), "cannot be decoded"),
        (lying_flac(2**36 - 1), "promises 68,719,476,735 samples"),
        (lying_flac(0), "promises"),
        (lying_flac(3001), "cannot be decoded|promises"),
        (VORBIS[:-1], "cut short"),
        (VORBIS[: PAGE + 20], f"cut short at byte {PAGE:,}"),
        (flipped(VORBIS, PAGE + 300), f"its page at byte {PAGE:,} is not as it was written"),
        (VORBIS[:PAGE] + VORBIS[NEXT_PAGE:], f"its page at byte {PAGE:,} is not as it was written"),
        (VORBIS + b"OggS", "damaged or cut short"),
        (mended(VORBIS[: LAST + 6] + struct.pack("<q", 99_000) + VORBIS[LAST + 14 :]), "promises 99,000 samples but"),
    ],
)
def test_what_is_damaged_or_lies_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(data, 8000)


def test_what_the_rate_would_make_of_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "LARGEST", 4 * 3000)
    assert len(decode(encoded(wave()), 8000)) == 3000
    with pytest.raises(DataError, match="cut it into pieces"):
        decode(encoded(wave()), 16_000)
    with pytest.raises(DataError, match="cut it into pieces"):
        decode(encoded(wave(channels=2)), 8000)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFF0000])
def test_a_wav_from_a_pipe_does_not_know_its_size(size: int) -> None:
    data = encoded(wave())
    place = data.index(b"data") + 4
    assert np.array_equal(decode(data[:place] + struct.pack("<I", size) + data[place + 4 :], 8000), decode(data, 8000))


VALID = [
    encoded(wave(400), "WAV", "PCM_16"),
    encoded(wave(200, 2), "WAV", "FLOAT"),
    encoded(wave(600), "WAV", "IMA_ADPCM"),
    encoded(wave(200, 2), "WAVEX", "PCM_24"),
    encoded(wave(2000), "FLAC", "PCM_16"),
    encoded(wave(900), "OGG", "VORBIS"),
    encoded(wave(900), "OGG", "OPUS"),
]


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from([1000, 8000, 192_000]))
def test_damage_gives_samples_or_a_reason(data: st.DataObject, rate: int) -> None:
    valid = data.draw(st.sampled_from(VALID))
    content = damaged(valid, data)
    if content.startswith(b"OggS") and data.draw(st.booleans()):
        content = mended(content)
    whatever = st.builds(bytes.__add__, st.sampled_from(MAGIC), st.binary(max_size=300))
    content = data.draw(st.one_of(st.just(content), st.just(content), whatever))
    start, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        x = decode(content, rate)
    except DataError:
        pass
    else:
        assert x.dtype == np.float32
        assert x.ndim == 1
        assert x.size
        assert np.isfinite(x).all()
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 512 * 1024


# Many files


def test_spectra_are_those_of_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "TOGETHER", 5000)
    contents = [encoded(wave(50 + 170 * i, seed=i), rate=8000 if i % 3 else 11025) for i in range(30)]
    contents[4], contents[17] = b"RIFF", b""
    files = [put(tmp_path / f"{i}.wav", content) for i, content in enumerate(contents)]
    files[9] = tmp_path / "none.wav"
    told: list[tuple[str, int, int]] = []
    found = list(spectra(files, 8000, 20, lambda *what: told.append(what)))
    assert [place for place, x in enumerate(found) if isinstance(x, str)] == [4, 9, 17]
    assert "No such file" in str(found[9])
    for content, x in zip(contents, found, strict=True):
        if not isinstance(x, str):
            assert_close(x, log_mel([decode(content, 8000)], 8000, 20)[0], rtol=1e-6, atol=0)
    assert {(what, total) for what, _, total in told} == {("sounds", 30)}
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert told[-1][1] == 30
    assert len(told) > 5


def test_the_commonest_rate(tmp_path: Path) -> None:
    rates = [8000, 16_000, 8000, 44_100, 16_000]
    files = [put(tmp_path / f"{i}.wav", encoded(wave(99), rate=rate)) for i, rate in enumerate(rates)]
    assert commonest_rate(files) == 16_000
    assert commonest_rate(files[:3]) == 8000
    assert commonest_rate([put(tmp_path / "bad.wav", b"RIFF"), tmp_path / "none.wav"]) is None
    odd = put(tmp_path / "odd.wav", encoded(wave(99), rate=999))
    assert commonest_rate([odd, odd, odd, files[3]]) == 44_100


@pytest.mark.parametrize(("form", "subtype"), [*LOSSLESS, *LOSSY])
def test_a_rate_is_told_by_the_head_or_by_the_whole(
    form: str, subtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path / "a", encoded(wave(), form, subtype, 24_000))
    for head in (1 << 16, 600, 10):
        monkeypatch.setattr(sounds, "HEAD", head)
        assert commonest_rate([file]) == 24_000


def test_without_soundfile_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(tmp_path / "a.wav", encoded(wave()))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    for call in (lambda: list(spectra([file], 8000, 20, untold)), lambda: commonest_rate([file])):
        with pytest.raises(DataError, match=r'pip install "fourfold\[audio\]"'):
            call()
