"""Unlabelled examples: read under the labelled ones' schema, apart from what judges, everybody in turn."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fourfold.data.augment import views
from fourfold.data.dataset import Batch, Dataset
from fourfold.data.progress import untold
from fourfold.data.schema import Schema
from fourfold.data.unlabelled import marked, turns, with_unlabelled
from fourfold.errors import DataError
from fourfold.runtime import one_thread


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    with one_thread():
        yield


def folder(place: Path, pictures: np.ndarray[Any, Any], classes: tuple[str, ...] = ()) -> Path:
    """Pictures in a folder, dealt out to class folders if classes are named."""
    for number, picture in enumerate(pictures):
        inside = place / (classes[number % len(classes)] if classes else "")
        inside.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(inside / f"{number}.png")
    return place


@pytest.fixture(scope="module")
def pictures(digits: Dataset) -> np.ndarray[Any, Any]:
    """Thirty digits of the training split."""
    return digits.train.loaded[:30, 0].numpy()


def read(dataset: Dataset, place: Path | str) -> Dataset:
    return with_unlabelled(dataset, str(place), untold)


def contents(dataset: Dataset) -> torch.Tensor:
    assert dataset.unlabelled is not None
    return dataset.unlabelled.loaded


# Whose turn it is


@given(st.integers(1, 60), st.integers(1, 25), st.integers(1, 30), st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_everybody_has_a_turn_before_anybody_has_two(size: int, count: int, steps: int, seed: int) -> None:
    taken = torch.cat([turns(step * count, count, size, seed) for step in range(steps)])
    for one in torch.split(taken, size):
        assert len(set(one.tolist())) == len(one)
    assert set(taken.tolist()) <= set(range(size))


@given(st.integers(1, 60), st.integers(0, 500), st.integers(1, 50))
@settings(deadline=None)
def test_turns_do_not_depend_on_how_many_are_taken_at_once(size: int, start: int, count: int) -> None:
    one_by_one = [int(turns(start + more, 1, size, 3)) for more in range(count)]
    assert turns(start, count, size, 3).tolist() == one_by_one


def test_passes_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(turns(one * 50, 50, 50, seed).tolist()) for seed in range(4) for one in range(4)]
    assert len(set(orders)) == 16


# What is read


def test_labels_are_not_read(digits: Dataset, pictures: np.ndarray[Any, Any], tmp_path: Path) -> None:
    """Neither folders of other classes nor arrays' labels, shuffled or unknown, change what is there."""
    plain = read(digits, folder(tmp_path / "plain", pictures))
    assert plain.unlabelled is not None
    assert plain.unlabelled.y is None
    by_class = read(digits, folder(tmp_path / "classes", pictures, ("3", "no digit")))
    assert sorted(map(bytes, contents(by_class).numpy())) == sorted(map(bytes, contents(plain).numpy()))
    marks = set()
    for number, labels in enumerate((np.arange(30) % 10, (np.arange(30) + 1) % 10, np.full(30, "none"))):
        np.savez(tmp_path / f"{number}.npz", x=pictures, y=labels)
        marks.add(marked(read(digits, tmp_path / f"{number}.npz")))
    assert len(marks) == 1


def test_all_splits_are_read(digits: Dataset, pictures: np.ndarray[Any, Any], tmp_path: Path) -> None:
    y = np.zeros(15, np.int64)
    np.savez(tmp_path / "both.npz", x_train=pictures[:15], y_train=y, x_test=pictures[15:], y_test=y)
    assert torch.equal(contents(read(digits, tmp_path / "both.npz"))[:, 0], torch.from_numpy(pictures))


def test_what_is_held_out_is_left_out_and_told(digits: Dataset, pictures: np.ndarray[Any, Any], tmp_path: Path) -> None:
    """Also where bytes are compared with floats."""
    assert digits.test is not None
    assert digits.validation is not None
    held = np.concatenate([digits.test.loaded[:3, 0].numpy(), digits.validation.loaded[5:7, 0].numpy()])
    np.savez(tmp_path / "bytes.npz", x=np.concatenate([held, pictures]))
    np.savez(tmp_path / "floats.npz", x=np.concatenate([held, pictures])[:, None].astype(np.float32) / 255)
    for name in ("bytes.npz", "floats.npz"):
        dataset = read(digits, tmp_path / name)
        assert len(contents(dataset)) == 30
        [told] = dataset.remarks
        assert (told.count, told.severity) == (5, "note")
        assert told.what == "unlabelled examples that are left out, since they are in validation or test too"
        assert told.examples[0].endswith("x[0]")


def test_only_held_out_examples_are_none(digits: Dataset, tmp_path: Path) -> None:
    assert digits.test is not None
    np.savez(tmp_path / "test.npz", x=digits.test.loaded[:, 0].numpy())
    with pytest.raises(DataError, match=r"test\.npz: all 100 examples are held out of mnist as well; name others"):
        read(digits, tmp_path / "test.npz")


def test_grey_pictures_become_colour_where_that_is_learnt(
    digits: Dataset, pictures: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    colour = replace(digits, schema=digits.schema.model_copy(update={"shape": (3, 28, 28)}), validation=None, test=None)
    assert contents(read(colour, folder(tmp_path / "grey", pictures))).shape == (30, 3, 28, 28)


def test_what_cannot_be_read_is_refused_by_name(
    digits: Dataset, pictures: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "1.txt").write_text("no picture")
    folder(tmp_path / "small", pictures[:, :20, :20])
    damaged = folder(tmp_path / "damaged", pictures)
    (damaged / "7.png").write_bytes(b"no picture")
    for name, message in {
        "nowhere": r"nowhere: no such file or folder, nor a sample",
        "empty": r"empty: an empty folder; put pictures",
        "words": r"words: this is text data, but the model was trained on image data",
        "small": r"0\.png: 20 x 20 pixels, where the model takes 28 x 28; resize",
        "damaged": r"7\.png: .*; remove or replace",
    }.items():
        with pytest.raises(DataError, match=rf"^--unlabelled: .*{message}"):
            read(digits, tmp_path / name)


# The mark of all data


def test_the_mark_is_that_of_all_examples(digits: Dataset, pictures: np.ndarray[Any, Any], tmp_path: Path) -> None:
    first, second = (folder(tmp_path / str(number), pictures[:number]) for number in (29, 30))
    alone, some, more = (marked(each) for each in (digits, read(digits, first), read(digits, second)))
    assert alone == digits.fingerprint
    assert len({alone, some, more}) == 3
    assert marked(read(replace(digits, fingerprint="others"), first)) != some


# Views


@pytest.mark.parametrize(
    ("asked", "weak", "strong"),
    [
        ("none", set(), {"scale", "rotate", "translate", "cutout"}),
        ("default", {"translate"}, {"scale", "rotate", "translate", "cutout"}),
        ("flip,mixup,cutmix,colour", {"flip"}, {"flip", "scale", "rotate", "translate", "colour", "cutout"}),
    ],
)
def test_views_are_of_what_is_asked_for_and_what_is_safe(asked: str, weak: set[str], strong: set[str]) -> None:
    schema = Schema(kind="image", shape=(1, 8, 8), classes=("a", "b"))
    assert tuple(map(set, (each.names for each in views(asked, schema)))) == (weak, strong)


def test_sounds_have_views_too() -> None:
    schema = Schema(kind="sound", shape=(8,), classes=("a", "b"), lengths=(20, 20), mean=(0.0,) * 8, std=(1.0,) * 8)
    plain = Batch(torch.ones(4, 20, 8), None, None, torch.arange(4))
    weak, strong = (view.apply(plain, 0, 0).x for view in views("default", schema))
    assert torch.equal(weak, plain.x)
    assert not torch.equal(strong, plain.x)
