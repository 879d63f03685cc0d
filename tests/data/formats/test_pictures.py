"""Pictures: what is written is what is read, and what cannot be read is named."""

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fourfold.data.formats.pictures import LARGEST, SUFFIXES, decode, decode_all, tile, write_png
from fourfold.errors import DataError, StorageError

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
COLOUR = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp"])
def test_lossless_files_give_back_what_was_written(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", Image.fromarray(COLOUR), **options)
    assert (decode(path) == COLOUR.transpose(2, 0, 1)).all()
    if suffix != ".webp":  # which has no grey
        path = save(tmp_path / f"b{suffix}", Image.fromarray(GREY))
        assert (decode(path) == GREY[None]).all()


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_suffix_is_read(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", Image.new("RGB", (16, 8), (200, 100, 50)))
    x = decode(path, 3)
    assert x.shape == (3, 8, 16)
    assert np.abs(x.astype(int) - np.array([200, 100, 50])[:, None, None]).max() < 8


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(GREY > 100), np.where(GREY > 100, 255, 0)[None]),
        (Image.fromarray(GREY.astype(np.uint16) * 257), GREY[None]),
        (Image.fromarray(np.dstack([GREY, np.full_like(GREY, 255)]), "LA"), GREY[None]),
        (Image.fromarray(np.dstack([GREY, np.zeros_like(GREY)]), "LA"), np.full((1, 5, 7), 255)),
        (Image.fromarray(GREY).convert("P"), GREY[None].repeat(3, axis=0)),
        (Image.fromarray(np.dstack([COLOUR, np.full_like(GREY, 255)])), COLOUR.transpose(2, 0, 1)),
        (Image.fromarray(np.dstack([COLOUR, np.zeros_like(GREY)])), np.full((3, 5, 7), 255)),
    ],
    ids=["1", "I;16", "LA", "LA-clear", "P", "RGBA", "RGBA-clear"],
)
def test_modes_become_grey_or_colour(tmp_path: Path, image: Image.Image, expected: np.ndarray) -> None:
    x = decode(save(tmp_path / "a.png", image))
    assert x.dtype == np.uint8
    assert x.shape == expected.shape
    assert (x == expected).all()


def test_cmyk_becomes_colour(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", Image.new("CMYK", (4, 4), (0, 255, 255, 0)))
    assert decode(path)[:, 0, 0].tolist() == [255, 0, 0]


def test_transparent_palette_lies_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    path = save(tmp_path / "a.png", image, transparency=bytes([0, 255]))
    assert decode(path)[:, 0].T.tolist() == [[255, 255, 255], [40, 50, 60]]


def test_gif_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert decode(path)[:, 0, 0].tolist() == [255, 0, 0]


def test_exif_turns_the_picture_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is on the right
    path = save(tmp_path / "a.png", Image.fromarray(GREY), exif=exif)
    assert (decode(path)[0] == np.rot90(GREY, -1)).all()


def test_grey_becomes_colour_and_back(tmp_path: Path) -> None:
    grey = save(tmp_path / "grey.png", Image.fromarray(GREY))
    equal = save(tmp_path / "equal.png", Image.fromarray(GREY).convert("RGB"))
    assert (decode(grey, 3) == GREY).all()
    assert (decode(equal, 1) == GREY[None]).all()
    assert decode(equal).shape == (3, 5, 7)
    colour = save(tmp_path / "colour.png", Image.fromarray(COLOUR))
    with pytest.raises(DataError, match=r"colour\.png: in colour"):
        decode(colour, 1)


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (7, 30), (20, 20)])
def test_size_keeps_the_middle(tmp_path: Path, width: int, height: int) -> None:
    image = Image.new("L", (width, height), 0)
    box = (width // 2 - 3, height // 2 - 3, width // 2 + 3, height // 2 + 3)
    image.paste(255, box)
    x = decode(save(tmp_path / "a.png", image), size=10)
    assert x.shape == (1, 10, 10)
    assert x[0, 5, 5] > 200


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    x = decode(save(tmp_path / "a.png", Image.fromarray(stripes)), size=8)
    assert np.abs(x.astype(int) - 127).max() < 20


def text(path: Path) -> None:
    path.write_text("no picture")


def truncated(path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, "PNG")
    path.write_bytes(stream.getvalue()[:4000])


def other_format(path: Path) -> None:
    Image.fromarray(COLOUR).save(path, "PPM")


def wide(path: Path) -> None:
    Image.new("1", (LARGEST // 1000 + 1, 1000)).save(path, "PNG")


def bomb(path: Path) -> None:
    Image.new("1", (2 * LARGEST // 1000 + 1, 1000)).save(path, "PNG")


def floats(path: Path) -> None:
    Image.fromarray(GREY.astype(np.float32)).save(path, "TIFF")


def nothing(path: Path) -> None:
    path.touch()


def missing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize("make", [text, truncated, other_format, wide, bomb, floats, nothing, missing])
def test_what_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "bad.png")
    with pytest.raises(DataError, match=r"bad\.png: "):
        decode(tmp_path / "bad.png")


def test_warning_filters_are_left_as_they_were(tmp_path: Path) -> None:
    before = list(warnings.filters)
    paths = [save(tmp_path / f"{i}.png", Image.fromarray(COLOUR)) for i in range(20)]
    decode_all(paths)
    decode(paths[0])
    assert list(warnings.filters) == before


@pytest.mark.parametrize("side", [8, 64])  # below and above what threads are worth
def test_many_keep_their_order_and_share_channels(tmp_path: Path, side: int) -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(20)]
    paths = [save(tmp_path / f"{i:02}.png", Image.fromarray(picture)) for i, picture in enumerate(pictures)]
    grey = save(tmp_path / "grey.png", Image.fromarray(pictures[0][:, :, 0]))
    x, failures = decode_all([grey, *paths])
    assert not failures
    assert (x[1:] == np.stack(pictures).transpose(0, 3, 1, 2)).all()
    assert (x[0] == pictures[0][:, :, 0]).all()


def test_many_bad_files_are_counted(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", Image.fromarray(GREY))
    bad = [tmp_path / f"bad{i}.png" for i in range(7)]
    for path in bad:
        path.write_text("no picture")
    x, failures = decode_all([*bad, good])
    assert list(failures) == list(range(7))
    assert not x[:7].any()
    assert (x[7, 0] == GREY).all()
    with pytest.raises(DataError, match=r"no picture can be used: .*bad0\.png: .*bad4\.png: .*and 2 more") as raised:
        decode_all(bad)
    assert "bad5" not in str(raised.value)


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_damage_never_escapes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    stream = io.BytesIO()
    Image.fromarray(COLOUR).save(stream, data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])))
    content = bytearray(stream.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "a.png"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(DataError):
        assert decode(path).shape[0] in (1, 3)


@pytest.mark.parametrize(
    ("n", "columns", "grid"), [(1, None, (1, 1)), (5, None, (2, 3)), (9, None, (3, 3)), (5, 2, (3, 2))]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_tile_places_every_picture(n: int, columns: int | None, grid: tuple[int, int], channels: int) -> None:
    x = np.random.default_rng(0).integers(0, 256, (n, channels, 4, 6), dtype=np.uint8)
    tiled = tile(x, columns, gap=3)
    assert tiled.shape == (grid[0] * 7 - 3, grid[1] * 9 - 3, channels)
    for place in range(n):
        row, column = divmod(place, grid[1])
        assert (tiled[row * 7 : row * 7 + 4, column * 9 : column * 9 + 6] == x[place].transpose(1, 2, 0)).all()
    assert (tile(x.astype(np.float32) / 255, columns, gap=3) == tiled).all()


@pytest.mark.parametrize("picture", [GREY[:, :, None], COLOUR])
def test_written_png_is_read_back(tmp_path: Path, picture: np.ndarray) -> None:
    write_png(tmp_path / "a.png", picture)
    assert (decode(tmp_path / "a.png") == picture.transpose(2, 0, 1)).all()


def test_a_png_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"a\.png"):
        write_png(tmp_path / "missing" / "a.png", COLOUR)
