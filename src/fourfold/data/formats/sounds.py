"""Sounds from files: decoded, mixed to one channel, brought to one rate, seen as log-mel spectra.

libsndfile decodes. What it passes over in silence is judged here: formats that nobody asked
for, files that are cut short, pages of an Ogg file that are damaged. Nothing a header says
is believed: memory grows with the samples that are really there.
"""

import io
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from ...errors import DataError
from ..progress import Progress
from .logmel import log_mel
from .places import Place, read_bytes, size_of
from .resample import resample

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus"})
MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS")  # libsndfile would try two dozen formats more
RATES = range(1_000, 768_001)  # samples a second
MOST_CHANNELS = 64
LARGEST = 1 << 30  # bytes of a sound's samples, as float32
LOUDEST = 2.0**32  # times full scale; floats that are really whole numbers of 32 bits stay below it
UNKNOWN = 0x7FFF0000  # bytes; who writes a WAV into a pipe promises so many or more

HEAD = 1 << 16  # bytes that tell the rate of nearly every file
BLOCK = 1 << 20  # samples that are worked on at once
TOGETHER = 1 << 20  # bytes of files that are one piece of work for a thread


def spectra(files: Sequence[Place], rate: int, mels: int, progress: Progress) -> Iterator[Tensor | str]:
    """The log-mel spectrum of each sound file in their order, float32 (frames, mels), or why it has none.

    Decoded in threads. progress: told "sounds", how many are done and of how many.
    Raises: DataError if soundfile is not installed.
    """
    _soundfile()
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for bundle in pool.map(partial(_spectra, rate=rate, mels=mels), _bundles(files)):
                yield from bundle
                done += len(bundle)
                progress("sounds", done, len(files))
        finally:
            pool.shutdown(cancel_futures=True)


def commonest_rate(files: Sequence[Place]) -> int | None:
    """The rate that most files have, the higher one of two; None if none of them tells one.

    Raises: DataError if soundfile is not installed.
    """
    _soundfile()
    rates = Counter(rate for file in files if (rate := _rate(file)) in RATES)
    return max(rates, key=lambda rate: (rates[rate], rate), default=None)


def decode(data: bytes, rate: int) -> np.ndarray:
    """The samples of a WAV, FLAC or Ogg file as one channel at `rate`: float32 (n,), full scale at 1.

    Several channels give their mean. Raises: DataError, whose message is the reason alone.
    """
    _check_whole(data)
    try:
        with _soundfile().SoundFile(_Bytes(data)) as sound:
            _check_header(sound.samplerate, sound.channels, sound.frames, rate)
            x, old = _mono(sound), sound.samplerate
    except (DataError, MemoryError):
        raise
    except Exception as error:  # besides its own errors, whatever the wrapper trips over in a damaged header
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise DataError(f"cannot be decoded ({reason})") from None
    return resample(x, old, rate)


# Files


def _bundles(files: Sequence[Place]) -> Iterator[list[Place]]:
    """The files in their order, small ones together, so that threads do not wait for each other most of the time."""
    bundle: list[Place] = []
    size = 0
    for file in files:
        bundle.append(file)
        size += size_of(file) if file.is_file() else 0
        if size >= TOGETHER:
            yield bundle
            bundle, size = [], 0
    if bundle:
        yield bundle


def _spectra(files: Sequence[Place], rate: int, mels: int) -> list[Tensor | str]:
    """The spectrum of each file, or why it has none."""
    sounds = [_attempt(file, rate) for file in files]
    found = iter(log_mel([sound for sound in sounds if not isinstance(sound, str)], rate, mels))
    return [sound if isinstance(sound, str) else next(found) for sound in sounds]


def _attempt(file: Place, rate: int) -> np.ndarray | str:
    try:
        return decode(read_bytes(file), rate)
    except DataError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _rate(file: Place) -> int | None:
    """The rate that a file's header tells; all of the file is read only if its head does not do."""
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
        for data in (head, b"" if len(head) < HEAD else read_bytes(file)):
            if rate := _told_rate(data):
                return rate
    except (OSError, ValueError):  # decoding will tell
        pass
    return None


def _told_rate(data: bytes) -> int | None:
    if not data.startswith(MAGIC):
        return None
    try:
        with _soundfile().SoundFile(_Bytes(data)) as sound:
            return int(sound.samplerate)
    except Exception:  # as in `decode`
        return None


# Decoding


class _Bytes(io.BytesIO):
    """Bytes in which a place that a damaged header makes up cannot be reached, and no error is printed for it."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with suppress(ValueError, OverflowError):
            return super().seek(offset, whence)
        return self.tell()


def _soundfile() -> ModuleType:
    try:
        return import_module("soundfile")
    except (ImportError, OSError) as error:  # OSError: it is there, but libsndfile is not
        raise DataError(f'sounds are read by soundfile ({error}); pip install "fourfold[audio]"') from None


def _check_header(rate: int, channels: int, frames: int, wanted: int) -> None:
    """Raises: DataError if a sound is not to be decoded, by what its header says."""
    if rate not in RATES:
        raise DataError(f"{rate:,} samples a second, where {RATES.start:,} to {RATES.stop - 1:,} are read")
    if channels > MOST_CHANNELS:
        raise DataError(f"{channels} channels, more than {MOST_CHANNELS}")
    if not frames:
        raise DataError("it holds no samples")
    if max(frames * channels, frames * wanted // rate) * 4 > LARGEST:
        raise DataError(f"its header promises {frames:,} samples of {channels} channels; cut it into pieces")


def _mono(sound: Any) -> np.ndarray:
    """All samples of an open sound file, the mean of its channels."""
    blocks: list[np.ndarray] = []
    while len(block := sound.read(BLOCK // sound.channels, dtype="float32", always_2d=True)):
        if not (np.abs(block) <= LOUDEST).all():
            raise DataError("some of its samples are NaN, infinite or absurdly large")
        blocks.append(block.mean(axis=1, dtype=np.float64).astype(np.float32))
    frames = sum(map(len, blocks))
    if frames != sound.frames:
        raise DataError(f"its header promises {sound.frames:,} samples but there are {frames:,}; is it complete?")
    return np.concatenate(blocks)


def _check_whole(data: bytes) -> None:
    """Raises: DataError if a file is no sound, or is not whole though libsndfile would take it so.

    A FLAC file's frames have checksums, which libsndfile looks at.
    """
    if not data.startswith(MAGIC):
        raise DataError("empty" if not data else "its content is no WAV, FLAC or Ogg")
    if data.startswith(b"OggS"):
        _check_ogg(data)
    elif not data.startswith(b"fLaC"):
        _check_wav(data)


def _check_wav(data: bytes) -> None:
    """Raises: DataError if the chunk of samples is shorter than its head says."""
    order: Any = "big" if data.startswith(b"RIFX") else "little"
    start = 12
    while start + 8 <= len(data):
        size = int.from_bytes(data[start + 4 : start + 8], order)
        if data[start : start + 4] == b"data":
            rest = len(data) - start - 8
            if rest < size < UNKNOWN:
                raise DataError(f"cut short: {rest:,} of {size:,} bytes of samples are there")
            return
        start += 8 + size + size % 2


REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _check_ogg(data: bytes) -> None:
    """Raises: DataError unless every page (RFC 3533) is there, whole and unchanged.

    A page: "OggS", version, flags, 8 bytes of position, 4 each of the stream's number, the
    page's and a checksum, the number of segments, a byte for the size of each, the segments.
    """
    start = 0
    expected: dict[bytes, int] = {}
    while start < len(data):
        sizes = data[start + 27 : start + 27 + data[start + 26]] if start + 26 < len(data) else b""
        end = start + 27 + len(sizes) + sum(sizes)
        page = data[start:end]
        if not page.startswith(b"OggS") or len(page) < 27 or len(sizes) < page[26] or end > len(data):
            raise DataError(f"damaged or cut short at byte {start:,}")
        number = int.from_bytes(page[18:22], "little")
        if number != expected.get(page[14:18], number) or _checksum(page) != int.from_bytes(page[22:26], "little"):
            raise DataError(f"damaged: its page at byte {start:,} is not as it was written")
        expected[page[14:18]] = number + 1
        start = end


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32, in which the page's own counts as 0: zlib's with all bits reversed, from 0 and not inverted."""
    plain = (page[:22] + bytes(4) + page[26:]).translate(REVERSED)
    return int(f"{zlib.crc32(plain, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)
