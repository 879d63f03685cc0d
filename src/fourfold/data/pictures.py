"""Pictures to and from files: decoding one or many, tiling many into a grid, writing.

Shapes: n pictures, c channels (1 grey, 3 colour), h height, w width.
"""

import math
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DataError, StorageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
LARGEST = 89_478_485  # pixels; beyond it Pillow, too, suspects a decompression bomb

SMALL = 4_096  # bytes
SEEN = 64  # pixels that a picture takes in a grid if whole enlargement allows it


def decode(path: str | os.PathLike[str], channels: int | None = None, size: int | None = None) -> np.ndarray:
    """A picture file as uint8 (c, h, w): upright by its EXIF, transparency over white.

    A GIF gives its first frame; 16-bit grey is scaled to 8 bits. A palette counts as
    colour, whatever is in it.
    channels: None keeps the file's own; 3 makes grey into colour; 1 takes a colour file
    only if its channels are equal. size: the short side is resized to it and the middle
    square is kept. For many files use `decode_all`: this one touches the process's
    warning filters.
    Raises: DataError naming the file, if it cannot be read, exceeds the pixel cap or is
    in colour where grey is asked for.
    """
    with warnings.catch_warnings(action="ignore"):  # Pillow warns of what is judged here anyway
        return _decode(path, channels, size)


def decode_all(paths: Sequence[Path], size: int | None = None, expected: tuple[int, ...] | None = None) -> np.ndarray:
    """Many picture files as uint8 (n, c, h, w), decoded in threads where that is faster, in their order.

    paths: at least one. If one is in colour, all become colour. expected: the (c, h, w)
    that each must have.
    Raises: DataError naming the first files that cannot be used and their number, or two
    files of different sizes (at the first such pair, before the rest is decoded).
    """
    pictures: list[np.ndarray] = []
    failures: list[DataError] = []
    attempt = partial(_attempt, channels=expected[0] if expected else None, size=size)
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(os.cpu_count()) as pool:
        first: tuple[Path, np.ndarray] | None = None
        results = map(attempt, paths) if _small(paths) else pool.map(attempt, paths)
        try:
            for path, result in zip(paths, results, strict=True):
                if isinstance(result, DataError):
                    failures.append(result)
                    continue
                first = first or (path, result)
                _compare(path, result, first, expected)
                pictures.append(result)
        finally:
            pool.shutdown(cancel_futures=True)
    if failures:
        raise _summary(failures, len(paths))
    return _stack(pictures)


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


def _attempt(path: Path, channels: int | None, size: int | None) -> np.ndarray | DataError:
    try:
        return _decode(path, channels, size)
    except DataError as error:
        return error


def _small(paths: Sequence[Path]) -> bool:
    """Whether the files are too small for threads, which then wait for each other most of the time.

    6,000 pictures of 32 x 32 took 1.8 s in two threads and 1.0 s in one.
    """
    return max((path.stat().st_size for path in paths[:16] if path.exists()), default=0) < SMALL


def _decode(path: str | os.PathLike[str], channels: int | None, size: int | None) -> np.ndarray:
    try:
        with Path(path).open("rb") as file, Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise ValueError(f"{image.width} x {image.height} pixels, more than {LARGEST:,}")
            picture = _plain(ImageOps.exif_transpose(image))
        if size is not None:
            picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
        x_hwc = np.array(picture)
    except UnidentifiedImageError:
        raise DataError(f"{path}: its content is no {', '.join(FORMATS)}; remove or replace it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); remove or replace it") from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
        raise DataError(f"{path}: cannot be read ({error}); remove or replace it") from None
    x = x_hwc[None] if x_hwc.ndim == 2 else np.ascontiguousarray(x_hwc.transpose(2, 0, 1))
    if channels is not None:
        x = recolour(x[None], channels)[0]
        if len(x) != channels:
            raise DataError(f"{path}: in colour, where grey is asked for; convert it to grey")
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
    return image.convert(mode)


def _compare(path: Path, x: np.ndarray, first: tuple[Path, np.ndarray], expected: tuple[int, ...] | None) -> None:
    if expected and x.shape != expected:
        raise DataError(f"{path}: {_size(x.shape)} pixels, where the model takes {_size(expected)}; resize it to these")
    if x.shape[1:] != first[1].shape[1:]:
        raise DataError(
            f"{path} has {_size(x.shape)} pixels but {first[0]} has {_size(first[1].shape)}; "
            "bring all to one size with --size N"
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} x {shape[1]}"


def _summary(failures: list[DataError], total: int) -> DataError:
    if total == 1:
        return failures[0]
    rest = len(failures) - 5
    lines = [str(error) for error in failures[:5]] + ([f"and {rest} more"] if rest > 0 else [])
    return DataError(f"{len(failures)} of {total} pictures cannot be used: " + "; ".join(lines))


def _stack(pictures: list[np.ndarray]) -> np.ndarray:
    """All in one array; each is freed as it is copied, so that memory holds them once."""
    channels = max(len(x) for x in pictures)
    stacked = np.empty((len(pictures), channels, *pictures[0].shape[1:]), dtype=np.uint8)
    while pictures:
        picture = pictures.pop()
        stacked[len(pictures)] = picture
    return stacked
