"""Sound files: class folders, split folders, names by a pattern, a flat folder, or those that a table names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

from ...errors import DataError
from ..content import digests as contents
from ..dataset import Content, Examples, Request
from ..finding import Finding
from ..formats.files import Listing, any_below, find, listed
from ..formats.frames import Frame
from ..formats.places import Place
from ..formats.sounds import SUFFIXES, commonest_rate, spectra
from ..mapped import read_array
from ..store import Facts, stored
from . import Decoded, as_content, check_kind, wanted

HIGHEST = 192_000  # samples a second, the most that `Reading.rate` takes
USUAL = 16_000
PADDED = 1 << 35  # bytes of all spectra, padded to the longest
FORMAT = 2  # of the figures in a spectrum; another number, and the store makes them anew


def matches(path: Place, request: Request) -> bool:
    """Whether this is a sound file, or a folder with one somewhere below it."""
    return wanted("sound", request) and any_below(path, SUFFIXES)


def read(path: Place, request: Request) -> Content:
    """The log-mel spectra of the sounds at `path`, in the order of their paths.

    All are brought to one rate: what is asked for, or else the one that most files of train
    have. One file in a hundred that cannot be read is left out, and told of.
    Raises: DataError naming files if more cannot be read, for classes that train (or the
    request's schema) lacks, or folders without sounds.
    """
    check_kind(path, "sound", request)
    return _content(find(path, SUFFIXES, request), request)


def from_frames(frames: Mapping[str, Frame], request: Request) -> Content:
    """The sounds that tables name, likewise."""
    check_kind(frames["train"].path, "sound", request)
    remarks = [remark for frame in frames.values() for remark in frame.remarks]
    return _content({split: listed(frame, SUFFIXES, request) for split, frame in frames.items()}, request, remarks)


def _content(found: Mapping[str, Listing], request: Request, told: Sequence[Finding] = ()) -> Content:
    rate = request.reading.rate or _rate(found["train"].files, request)
    files = [file for listing in found.values() for file in listing.files]
    return as_content("sound", found, features(files, rate, request), request, told, {"rate": rate})


def features(files: Sequence[Place], rate: int, request: Request) -> Decoded:
    """Log-mel spectra as float32 (n, frames, mels), zero past their lengths, from the store where they are in it.

    Raises: DataError if one is so long that all, padded to it, exceed PADDED bytes.
    """
    mels = request.reading.mels

    def make(folder: Path) -> dict[str, Any]:
        lengths = np.zeros(len(files), np.int64)
        digests = np.zeros((len(files), 16), np.uint8)
        failures: dict[int, str] = {}
        with (folder / "loose").open("wb") as loose:  # until the longest is known
            for place, x in enumerate(spectra(files, rate, mels, request.progress)):
                if isinstance(x, str):
                    failures[place] = x
                    continue
                lengths[place] = len(x)
                digests[place] = np.frombuffer(next(contents(Examples(x[None], ()))), np.uint8)
                loose.write(x.numpy().data)
        if 4 * len(files) * int(lengths.max()) * mels > PADDED:
            longest = files[int(lengths.argmax())]
            raise DataError(f"{longest}: so long that all, padded to it, exceed {PADDED:,} bytes; cut it into pieces")
        _pad(folder / "loose", folder / "x.npy", lengths, mels)
        np.save(folder / "lengths.npy", lengths)
        np.save(folder / "digests.npy", digests)
        return {"failures": failures}

    def use(folder: Path, facts: Facts) -> Decoded:
        failures = {int(place): str(why) for place, why in facts["failures"].items()}
        lengths = torch.from_numpy(np.load(folder / "lengths.npy"))
        return Decoded(read_array(folder / "x.npy"), failures, np.load(folder / "digests.npy"), lengths)

    return stored(files, {"sounds": [FORMAT, rate, mels]}, make, use, request.progress)


def _pad(loose: Path, padded: Path, lengths: np.ndarray, mels: int) -> None:
    """Turn a file of spectra, one after the other, into an array (n, frames, mels); what is not written is 0."""
    x = open_memmap(padded, "w+", np.float32, (len(lengths), max(1, int(lengths.max())), mels))
    with loose.open("rb") as stream:
        for row, length in zip(x, lengths.tolist(), strict=True):
            row[:length] = np.frombuffer(stream.read(4 * length * mels), np.float32).reshape(length, mels)
    loose.unlink()


def _rate(files: Sequence[Place], request: Request) -> int:
    """The rate that most files have, from the store where it is known; where no file tells one, decoding will tell why.

    One that `Reading.rate` could not be given is brought down to what it could.
    """

    def make(folder: Path) -> dict[str, Any]:
        return {"rate": min(commonest_rate(files) or USUAL, HIGHEST)}

    return stored(files, {"rate of sounds": FORMAT}, make, lambda _, facts: int(facts["rate"]), request.progress)
