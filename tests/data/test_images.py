"""Picture folders: the layouts that are known, and what is said of the others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold.data.dataset import Request
from fourfold.data.schema import Schema
from fourfold.data.sources.images import matches, read
from fourfold.errors import DataError
from fourfold.settings import Reading


def picture(path: Path, value: int = 0, size: tuple[int, int] = (6, 4), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)
    return path


def schema(shape: tuple[int, int, int] = (1, 4, 6), classes: tuple[str, ...] | None = ("cat", "dog")) -> Schema:
    return Schema(kind="image", shape=shape, classes=classes)


def test_class_folders(tmp_path: Path) -> None:
    paths = [tmp_path / "dog/1.png", tmp_path / "cat/sub/b.png", tmp_path / "cat/a.PNG"]
    for value, path in enumerate(paths):
        picture(path, value)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "cat/Thumbs.db").touch()
    (tmp_path / ".cache").mkdir()
    picture(tmp_path / ".cache/1.png")
    assert matches(tmp_path, Request())
    content = read(tmp_path, Request())
    train = content.splits["train"]
    assert content.kind == "image"
    assert content.classes == ("cat", "dog")
    assert list(content.splits) == ["train"]
    assert train.names == [str(paths[2]), str(paths[1]), str(paths[0])]
    assert train.x.shape == (3, 1, 4, 6)
    assert train.x.dtype == torch.uint8
    assert train.loaded[:, 0, 0, 0].tolist() == [2, 1, 0]
    assert train.y is not None
    assert train.y.tolist() == [0, 0, 1]


def test_path_is_spelt_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "photos/cat/1.png")
    monkeypatch.chdir(tmp_path)
    assert read(Path("photos"), Request()).splits["train"].names == ["photos/cat/1.png"]


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_split_folders(tmp_path: Path, validation: str) -> None:
    for value, name in enumerate(["train/cat/1.png", "train/dog/1.png", f"{validation}/dog/1.png", "test/cat/1.png"]):
        picture(tmp_path / name, value)
    content = read(tmp_path, Request())
    assert list(content.splits) == ["train", "validation", "test"]
    assert content.classes == ("cat", "dog")
    labels = {split: part.y.tolist() for split, part in content.splits.items() if part.y is not None}
    assert labels == {"train": [0, 1], "validation": [1], "test": [0]}
    assert [part.loaded[0, 0, 0, 0].item() for part in content.splits.values()] == [0, 2, 3]


def test_flat_folders_are_unlabelled(tmp_path: Path) -> None:
    for name in ("train/1.png", "train/2.png", "test/1.png"):
        picture(tmp_path / name)
    for path, count in ((tmp_path / "train", 2), (tmp_path, 2)):
        content = read(path, Request())
        assert content.classes is None
        assert content.splits["train"].y is None
        assert len(content.splits["train"]) == count


def test_single_file(tmp_path: Path) -> None:
    path = picture(tmp_path / "1.png", 9)
    content = read(path, Request())
    assert matches(path, Request())
    assert content.splits["train"].names == [str(path)]
    assert (content.splits["train"].loaded == 9).all()


def test_trains_may_be_a_class(tmp_path: Path) -> None:
    for name in ("bus", "car", "train"):
        picture(tmp_path / name / "1.png")
    assert read(tmp_path, Request()).classes == ("bus", "car", "train")


def test_numbered_classes_go_by_value(tmp_path: Path) -> None:
    for name in ("10", "9", "2"):
        picture(tmp_path / name / "1.png")
    assert read(tmp_path, Request()).classes == ("2", "9", "10")


def test_one_colour_picture_makes_all_colour(tmp_path: Path) -> None:
    picture(tmp_path / "train/a/1.png", 50)
    picture(tmp_path / "test/a/1.png", 70, mode="RGB")
    content = read(tmp_path, Request())
    assert content.splits["train"].loaded[0, :, 0, 0].tolist() == [50, 50, 50]
    assert content.splits["test"].loaded[0, :, 0, 0].tolist() == [70, 0, 0]


def test_size_makes_all_sizes_one(tmp_path: Path) -> None:
    picture(tmp_path / "a/1.png", size=(6, 4))
    picture(tmp_path / "a/2.png", size=(30, 40))
    assert read(tmp_path, Request(Reading(size=8))).splits["train"].x.shape == (2, 1, 8, 8)


def test_schema_brings_pictures_into_its_shape(tmp_path: Path) -> None:
    picture(tmp_path / "dog/1.png", 5)
    content = read(tmp_path, Request(schema=schema((3, 4, 6))))
    train = content.splits["train"]
    assert train.x.shape == (1, 3, 4, 6)
    assert train.y is not None
    assert train.y.tolist() == [1]
    assert content.classes == ("cat", "dog")
    resized = schema((3, 2, 2)).model_copy(update={"reading": Reading(size=2)})
    assert read(tmp_path, Request(schema=resized)).splits["train"].x.shape == (1, 3, 2, 2)
    assert read(tmp_path, Request(schema=schema(classes=None))).splits["train"].y is None


def two_sizes(folder: Path) -> None:
    picture(folder / "a/1.png", size=(6, 4))
    picture(folder / "a/2.png", size=(6, 5))


def text_named_png(folder: Path) -> None:
    picture(folder / "a/1.png")
    (folder / "a/2.png").write_text("no picture")


def hidden_junk(folder: Path) -> None:
    picture(folder / "a/1.png")
    (folder / "a/._1.png").write_text("a file that some systems leave")


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    hidden_junk(tmp_path)
    assert len(read(tmp_path, Request()).splits["train"]) == 1


def empty(folder: Path) -> None:
    folder.mkdir(exist_ok=True)


def empty_class(folder: Path) -> None:
    picture(folder / "a/1.png")
    (folder / "b").mkdir()


def beside_classes(folder: Path) -> None:
    picture(folder / "a/1.png")
    picture(folder / "2.png")


def new_class(folder: Path) -> None:
    picture(folder / "train/a/1.png")
    picture(folder / "test/b/1.png")


def no_train(folder: Path) -> None:
    picture(folder / "val/a/1.png")
    picture(folder / "test/a/1.png")


def class_beside_splits(folder: Path) -> None:
    picture(folder / "train/a/1.png")
    picture(folder / "test/a/1.png")
    picture(folder / "dog/1.png")


def two_validations(folder: Path) -> None:
    for name in ("train", "val", "valid"):
        picture(folder / name / "a/1.png")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_sizes, r"2\.png has 6 x 5 pixels but .*1\.png has 6 x 4; .*--size"),
        (text_named_png, r"1 of 2 files cannot be used: .*a/2\.png: its content is no PNG"),
        (empty, r"data: nothing to read here; names end in \.bmp"),
        (empty_class, r"data/b: a class folder with nothing to read"),
        (beside_classes, r"2\.png: a file beside class folders"),
        (new_class, r"test/b/1\.png: unknown class 'b'"),
        (no_train, r"without train"),
        (class_beside_splits, r"data/dog: stands beside"),
        (two_validations, r"data/valid: a second validation split"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_folders_are_named(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(DataError, match=message):
        read(tmp_path / "data", Request())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (schema((1, 5, 6)), r"1\.png: 6 x 4 pixels, where the model takes 6 x 5"),
        (schema(classes=("cats", "dogs")), r"1\.png: unknown class 'cat'; did you mean 'cats'"),
        (Schema(kind="table", shape=(3,)), r"this is image data, but the model was trained on table data"),
    ],
)
def test_what_breaks_the_schema_is_named(tmp_path: Path, given: Schema, message: str) -> None:
    picture(tmp_path / "cat/1.png")
    with pytest.raises(DataError, match=message):
        read(tmp_path, Request(schema=given))


def test_colour_where_the_model_takes_grey(tmp_path: Path) -> None:
    path = picture(tmp_path / "1.png", 9, mode="RGB")
    with pytest.raises(DataError, match=r"1\.png: in colour"):
        read(path, Request(schema=schema()))


def test_first_size_that_differs_stops_the_reading(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(40):
        noise = random.integers(0, 256, (64 + number, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number:02}.png")
    with pytest.raises(DataError, match=r"01\.png has 64 x 65 pixels but .*00\.png has 64 x 64"):
        read(tmp_path, Request())


@pytest.mark.parametrize("name", ["a.txt", "a.npy", "folder"])
def test_other_things_do_not_match(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/notes.txt").touch()
    assert not matches(tmp_path / name, Request())
