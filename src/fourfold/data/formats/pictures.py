"""Pictures to and from files: decoding one or many, tiling many into a grid, writing.

Shapes: n pictures, c channels (1 grey, 3 colour), h height, w width.
"""

import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Literal, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ...errors import DataError, StorageError
from ..progress import untold
from .places import Place, size_of
from .text_files import listing
from .zips import too_large

T = TypeVar("T")
Fit = Literal["crop", "pad"]
Allocate = Callable[[tuple[int, ...]], np.ndarray]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
LARGEST = 89_478_485  # pixels; beyond it Pillow, too, suspects a decompression bomb

SMALL = 4_096  # bytes
STEP = 256  # pictures between two words on progress
AHEAD = 64  # pictures that wait, decoded, for their turn
SEEN = 64  # pixels that a picture takes in a grid if whole enlargement allows it


def decode(path: Place, channels: int | None = None, size: int | None = None, fit: Fit = "crop") -> np.ndarray:
    """A picture file as uint8 (c, h, w): upright by its EXIF, transparency over white.

    A GIF gives its first frame; 16-bit grey is scaled to 8 bits. A palette counts as
    colour, whatever is in it.
    channels: None keeps the file's own; 3 makes grey into colour; 1 takes a colour file
    only if its channels are equal. size: the side of a square that the picture is brought
    to: "crop" fills it and cuts what is over, "pad" shows all, with black beside it. For
    many files use `decode_all`: this one touches the process's warning filters.
    Raises: DataError naming the file, if it cannot be read, exceeds the pixel cap or is
    in colour where grey is asked for.
    """
    with warnings.catch_warnings(action="ignore"):  # Pillow warns of what is judged here anyway
        found = _attempt(path, channels, size, fit)
    if isinstance(found, str):
        raise DataError(f"{path}: {found}; remove or replace it")
    return found


def bytes_of(shape: tuple[int, ...]) -> np.ndarray:
    """An array of zero bytes, in memory."""
    return np.zeros(shape, dtype=np.uint8)


def decode_all(
    files: Sequence[Place],
    size: int | None = None,
    fit: Fit = "crop",
    expected: tuple[int, ...] | None = None,
    allocate: Allocate = bytes_of,
    progress: Callable[[str, int, int], None] = untold,
) -> tuple[np.ndarray, dict[int, str]]:
    """Many picture files as uint8 (n, c, h, w), decoded in threads where that is faster, in their order.

    files: at least one. If one is in colour, all become colour. expected: the (c, h, w)
    that each must have. allocate: makes the array for a shape, filled with zeros.
    Returns: the pictures, zeros where a file cannot be used, and why, by place.
    Raises: DataError for a picture of another size than the first one or the expected
    (before the rest is decoded), or if no file can be used.
    """
    x: np.ndarray | None = None
    first, failures = 0, dict[int, str]()
    attempt = partial(_attempt, channels=expected[0] if expected else None, size=size, fit=fit)
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(os.cpu_count()) as pool:
        results = map(attempt, files) if _small(files) else _ahead(pool, attempt, files)
        for place, picture in enumerate(results):
            if place % STEP == 0:
                progress("pictures", place, len(files))
            if isinstance(picture, str):
                failures[place] = picture
                continue
            if x is None:
                x, first = allocate((len(files), *picture.shape)), place
            _compare(files[place], picture, x, files[first], expected)
            if len(picture) > x.shape[1]:
                x = _in_colour(x, place, allocate)
            x[place] = picture
    progress("pictures", len(files), len(files))
    if x is None:
        told = [f"{files[place]}: {why}" for place, why in failures.items()]
        raise DataError(f"no picture can be used: {listing(told)}; remove or replace them")
    return x, failures


def _ahead(pool: ThreadPoolExecutor, attempt: Callable[[Place], T], files: Sequence[Place]) -> Iterator[T]:
    """What `attempt` makes of each file, in their order, a few of them ahead of who asks."""
    waiting: deque[Future[T]] = deque()
    try:
        for file in files:
            waiting.append(pool.submit(attempt, file))
            if len(waiting) == AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _in_colour(x: np.ndarray, count: int, allocate: Allocate) -> np.ndarray:
    """The first `count` grey pictures of x as colour ones, in an array of their own."""
    wide = allocate((len(x), 3, *x.shape[2:]))
    for start in range(0, count, STEP):
        wide[start : min(start + STEP, count)] = x[start : min(start + STEP, count)]
    return wide


def tile(x: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Many pictures as one grid, white between them; about as many rows as columns by default.

    x: (n, c, h, w) with n at least 1, uint8 or float in [0, 1] (what lies outside is clipped).
    gap: pixels. Returns: uint8 (height, width, c).
    """
    n, c, h, w = x.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    if x.dtype != np.uint8:
        x = (x.clip(0, 1) * 255).round().astype(np.uint8)
    grid = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, c), 255, dtype=np.uint8)
    for place, picture in enumerate(x):
        top, left = place // columns * (h + gap), place % columns * (w + gap)
        grid[top : top + h, left : left + w] = picture.transpose(1, 2, 0)
    return grid


def write_grid(path: str | os.PathLike[str], x: np.ndarray, columns: int | None = None) -> None:
    """Write many pictures (n, c, h, w) as one PNG, small ones enlarged so that they can be seen.

    The rest is as in `tile`. Raises: StorageError if the file cannot be written.
    """
    zoom = max(1, SEEN // max(x.shape[2:]))
    write_png(path, tile(x.repeat(zoom, axis=2).repeat(zoom, axis=3), columns))


def recolour(x: np.ndarray, channels: int) -> np.ndarray:
    """Pictures (n, c, h, w) with so many channels where that loses nothing, else as they are."""
    if x.shape[1] == 1 and channels == 3:
        return x.repeat(3, axis=1)
    if x.shape[1] == 3 and channels == 1 and (x == x[:, :1]).all():
        return np.ascontiguousarray(x[:, :1])
    return x


def write_png(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Write a picture, uint8 (h, w, c) with c 1 or 3, as `tile` gives it.

    Raises: StorageError if the file cannot be written.
    """
    try:
        Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(path, format="PNG")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from None


def _attempt(path: Place, channels: int | None, size: int | None, fit: Fit) -> np.ndarray | str:
    """The picture, or why it cannot be used."""
    try:
        return _decode(path, channels, size, fit)
    except ValueError as error:
        return str(error)


def _small(paths: Sequence[Place]) -> bool:
    """Whether the files are too small for threads, which then wait for each other most of the time.

    6,000 pictures of 32 x 32 took 1.8 s in two threads and 1.0 s in one.
    """
    sizes = []
    for path in paths[:16]:
        with suppress(OSError):  # decoding will tell
            sizes.append(size_of(path))
    return max(sizes, default=0) < SMALL


def _decode(path: Place, channels: int | None, size: int | None, fit: Fit) -> np.ndarray:
    """See `decode`. Raises: ValueError with the reason, without the path."""
    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise ValueError(f"{image.width} x {image.height} pixels, more than {LARGEST:,}")
            if too_large(size_of(path), image.width * image.height * len(image.getbands())):
                raise ValueError(f"{image.width} x {image.height} pixels in {size_of(path):,} bytes; is it a bomb?")
            ImageOps.exif_transpose(image, in_place=True)
            picture = _plain(image)
        if size is not None:
            square = ImageOps.pad if fit == "pad" else ImageOps.fit
            picture = square(picture, (size, size), Image.Resampling.LANCZOS)
        x_hwc = np.array(picture)
    except UnidentifiedImageError:
        raise ValueError(f"its content is no {', '.join(FORMATS)}") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
        raise ValueError(f"cannot be read ({error})") from None
    x = x_hwc[None] if x_hwc.ndim == 2 else np.ascontiguousarray(x_hwc.transpose(2, 0, 1))
    if channels is not None:
        x = recolour(x[None], channels)[0]
        if len(x) != channels:
            raise ValueError("in colour, where grey is asked for; convert it to grey")
    return x


def _plain(image: Image.Image) -> Image.Image:
    """The picture in mode L or RGB."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(((np.array(image, dtype=np.uint32) + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits; save it with 8 or 16")
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)


def _compare(file: Place, picture: np.ndarray, x: np.ndarray, first: Place, expected: tuple[int, ...] | None) -> None:
    if expected and picture.shape != expected:
        raise DataError(
            f"{file}: {_size(picture.shape)} pixels, where the model takes {_size(expected)}; resize it to these"
        )
    if picture.shape[1:] != x.shape[2:]:
        raise DataError(
            f"{file} has {_size(picture.shape)} pixels but {first} has {_size(x.shape[1:])}; "
            "bring all to one size with --size N"
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} x {shape[1]}"
