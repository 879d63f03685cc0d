"""Sound files: class folders, split folders, names by a pattern, a flat folder, or those that a table names."""

from collections.abc import Mapping

from ...settings import Reading
from ..dataset import Content, Examples, Request
from ..files import Listing, any_below, find, keep_readable, listed
from ..finding import Finding
from ..frames import Frame
from ..places import Place
from ..sounds import SUFFIXES, commonest_rate, spectra
from . import check_kind, classify, known_classes

HIGHEST = 192_000  # samples a second, the most that `Reading.rate` takes
USUAL = 16_000


def matches(path: Place, request: Request) -> bool:
    """Whether this is a sound file, or a folder with one somewhere below it."""
    return any_below(path, SUFFIXES)


def read(path: Place, request: Request) -> Content:
    """The log-mel spectra of the sounds at `path`, in the order of their paths.

    All are brought to one rate: what is asked for, or else the one that most files of train
    have. A file in a hundred that cannot be read is left out, and told of.
    Raises: DataError naming files if more cannot be read, for classes that train (or the
    request's schema) lacks, or folders without sounds.
    """
    check_kind(path, "sound", request)
    return _content(find(path, SUFFIXES, request), request)


def from_frames(frames: Mapping[str, Frame], request: Request) -> Content:
    """The sounds that tables name, likewise."""
    check_kind(frames["train"].path, "sound", request)
    remarks = tuple(remark for frame in frames.values() for remark in frame.remarks)
    return _content({split: listed(frame, SUFFIXES, request) for split, frame in frames.items()}, request, remarks)


def _content(found: Mapping[str, Listing], request: Request, remarks: tuple[Finding, ...] = ()) -> Content:
    rate = _rate(found["train"].files, request.reading)
    files = [file for listing in found.values() for file in listing.files]
    x, lengths, failures = spectra(files, rate, request.reading.mels, request.progress)
    kept: dict[str, Listing] = {}
    start = 0
    for split, listing in found.items():
        end = start + len(listing.files)
        reasons = {place - start: reason for place, reason in failures.items() if start <= place < end}
        kept[split], finding = keep_readable(listing, reasons, request)
        remarks += (finding,) if finding else ()
        start = end
    classes = known_classes(kept["train"].labels, request)
    splits: dict[str, Examples] = {}
    start = 0
    for split, listing in kept.items():
        names = [str(file) for file in listing.files]
        rows = slice(start, start + len(names))
        y = classify(listing.labels, classes, names)
        splits[split] = Examples(x[rows], names, y, lengths[rows], listing.fields)
        start = rows.stop
    return Content("sound", splits, classes, decided={"rate": rate}, remarks=remarks)


def _rate(files: list[Place], reading: Reading) -> int:
    """The rate that is asked for, or decided by train. Where no file tells one, decoding will tell why."""
    return reading.rate or min(commonest_rate(files) or USUAL, HIGHEST)
