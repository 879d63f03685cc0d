"""Picture files: class folders, split folders, a flat folder, a single file or those that a table names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from numpy.lib.format import open_memmap

from ..content import digests as contents
from ..dataset import Content, Examples, Request
from ..finding import Finding
from ..formats.files import Listing, any_below, find, listed
from ..formats.frames import Frame
from ..formats.pictures import SUFFIXES, decode_all
from ..formats.places import Place
from ..mapped import read_array
from ..store import Facts, stored
from . import Decoded, as_content, check_kind, wanted


def matches(path: Place, request: Request) -> bool:
    """Whether this is a picture file, or a folder with one somewhere below it."""
    return wanted("image", request) and any_below(path, SUFFIXES)


def read(path: Place, request: Request) -> Content:
    """The pictures at `path`, all of one size, in the order of their paths.

    If one picture is in colour, all become colour.
    Raises: DataError naming files that cannot be read, sizes that differ, classes that
    train (or the request's schema) lacks, or folders without pictures.
    """
    check_kind(path, "image", request)
    return _content(find(path, SUFFIXES, request), request)


def from_frames(frames: Mapping[str, Frame], request: Request) -> Content:
    """The pictures that tables name, likewise."""
    check_kind(frames["train"].path, "image", request)
    remarks = [remark for frame in frames.values() for remark in frame.remarks]
    return _content({split: listed(frame, SUFFIXES, request) for split, frame in frames.items()}, request, remarks)


def _content(found: Mapping[str, Listing], request: Request, told: Sequence[Finding] = ()) -> Content:
    files = [file for listing in found.values() for file in listing.files]
    return as_content("image", found, pictures(files, request), request, told)


def pictures(files: Sequence[Place], request: Request) -> Decoded:
    """Picture files as uint8 (n, c, h, w), from the store where they are in it, mapped if they are large."""
    expected = request.schema.shape if request.schema else None
    size, fit = request.reading.size, request.reading.fit

    def make(folder: Path) -> dict[str, Any]:
        made: list[np.ndarray] = []

        def allocate(shape: tuple[int, ...]) -> np.ndarray:
            made.append(open_memmap(folder / f"x{len(made)}.npy", "w+", np.uint8, shape))
            return made[-1]

        x, failures = decode_all(files, size, fit, expected, allocate, request.progress)
        for number in range(len(made) - 1):  # grey ones, before one in colour came
            (folder / f"x{number}.npy").unlink()
        every = Examples(torch.from_numpy(x), ())
        np.save(folder / "digests.npy", np.frombuffer(b"".join(contents(every)), np.uint8).reshape(-1, 16))
        return {"x": f"x{len(made) - 1}.npy", "failures": failures}

    def use(folder: Path, facts: Facts) -> Decoded:
        failures = {int(place): str(why) for place, why in facts["failures"].items()}
        return Decoded(read_array(folder / facts["x"]), failures, np.load(folder / "digests.npy"))

    recipe = {"pictures": [size, fit, expected], "pillow": PIL.__version__}
    return stored(files, recipe, make, use, request.progress)
