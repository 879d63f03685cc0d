"""Data sets of the hub's library: what it saved is what is read, whatever kind of data it is."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold.data.dataset import Examples, Request
from fourfold.data.formats.frames import Frame, kind_of
from fourfold.data.formats.places import Zipped, read_bytes
from fourfold.data.schema import Schema
from fourfold.data.sources import hub, images, tables
from fourfold.data.store import LEAST
from fourfold.errors import DataError
from fourfold.settings import Reading

datasets = pytest.importorskip("datasets")

DIGITS = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
PICTURES = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["zero", "one"])})
SENTENCES = [f"a text of some length, the {number}th of all" for number in range(4)]
TEXTS = {"text": SENTENCES, "label": [0, 1, 1, 0]}
TEXT = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})


def pictures(x: np.ndarray = DIGITS, labels: list[int] | None = None) -> Any:
    columns = {"image": [Image.fromarray(each) for each in x], "label": labels or [0, 1] * (len(x) // 2)}
    return datasets.Dataset.from_dict(columns, PICTURES)


def save(path: Path, **splits: Any) -> str:
    """A folder as the library writes it, under the name by which it is opened."""
    datasets.disable_progress_bars()
    data = splits[""] if "" in splits else datasets.DatasetDict(splits)
    data.save_to_disk(path)
    return f"hf:{path}"


def declare(path: Path, **features: dict[str, str]) -> None:
    """Have a saved split say that its columns are of other types of the library."""
    info = path / "dataset_info.json"
    told = json.loads(info.read_text())
    info.write_text(json.dumps(told | {"features": told["features"] | features}))


def values(part: Examples) -> np.ndarray:
    assert isinstance(part.x, torch.Tensor)
    return part.x.numpy()


def load(name: str, **reading: Any) -> dict[str, Frame]:
    return hub.load_all(name, Request(Reading(**reading)))


def test_pictures(tmp_path: Path) -> None:
    name = save(tmp_path / "digits", train=pictures(), test=pictures(DIGITS[:2]))
    frames = load(name)
    assert kind_of(frames["train"], Request()) == "image"
    content = images.from_frames(frames, Request())
    assert list(content.splits) == ["train", "test"]
    assert content.classes == ("one", "zero")
    train = content.splits["train"]
    assert (values(train)[:, 0] == DIGITS).all()
    assert train.y is not None
    assert train.y.tolist() == [1, 0] * 3
    assert train.names[2] == f"{name}/train/3.png"


STORED = datasets.Features({"file": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}})


def test_sounds_are_bytes_under_their_rows(tmp_path: Path) -> None:
    stored = {"file": [{"bytes": b"RIFF1", "path": "a.wav"}, {"bytes": b"RIFF22", "path": None}, None]}
    name = save(tmp_path / "a", train=datasets.Dataset.from_dict(stored, STORED))
    declare(tmp_path / "a/train", file={"_type": "Audio"})
    frame = load(name)["train"]
    assert kind_of(Frame(frame.path, frame.rows[:2], {"file": frame.cells["file"][:2]}), Request()) == "sound"
    assert frame.text("file").to_list() == ["train/1.wav", "train/2.wav", ""]
    files = [frame.path.parent / file for file in frame.text("file")[:2]]
    assert [read_bytes(file) for file in files] == [b"RIFF1", b"RIFF22"]
    assert isinstance(files[1], Zipped)
    assert files[1].size() == 6


def test_texts(tmp_path: Path) -> None:
    frames = load(save(tmp_path / "texts", train=datasets.Dataset.from_dict(TEXTS, TEXT)))
    assert kind_of(frames["train"], Request()) == "text"
    assert frames["train"].text("text").to_list() == SENTENCES
    assert frames["train"].labels("label") == ["no", "yes", "yes", "no"]
    assert frames["train"].where(1) == f"hf:{tmp_path}/texts/train, row 2"


def test_numbers(tmp_path: Path) -> None:
    columns = {"a": [1.5, -2.0, 1e-3], "b": [3, 4, 5], "kind": ["x", "y", "x"]}
    name = save(tmp_path / "numbers", **{"": datasets.Dataset.from_dict(columns)})
    content = tables.from_frames(load(name), Request())
    train = content.splits["train"]
    assert (content.columns, content.classes) == (("a", "b"), ("x", "y"))
    assert values(train).tolist() == np.array([[1.5, 3], [-2, 4], [1e-3, 5]], np.float32).tolist()


def test_columns_of_all_types(tmp_path: Path) -> None:
    cells: Mapping[str, tuple[str, Any, Any, Any]] = {  # type, a value, how it and a missing one are read
        "large": ("int64", 2**60 + 1, 2**60 + 1, None),
        "share": ("float32", 0.5, 0.5, None),
        "true": ("bool", True, "true", ""),
        "text": ("large_string", " a ", "a", ""),
        "day": ("date32", date(2020, 2, 29), "2020-02-29", ""),
        "hour": ("timestamp[s, tz=Asia/Tokyo]", datetime(2020, 2, 29, tzinfo=UTC), "2020-02-29T00:00:00", ""),
        "money": ("decimal128(9, 2)", Decimal("1.25"), 1.25, None),
    }
    types = {name: datasets.Value(cell[0]) for name, cell in cells.items()}
    types |= {"list": datasets.List(datasets.Value("int64")), "bytes": datasets.Value("binary")}
    rows = {name: [cell[1], None] for name, cell in cells.items()} | {"list": [[1], [2, 3]], "bytes": [b"x", b"y"]}
    frame = load(save(tmp_path / "a", train=datasets.Dataset.from_dict(rows, datasets.Features(types))))["train"]
    found = {name: frame.cells[name].to_list() for name in frame.columns}
    assert found == {name: list(cell[2:]) for name, cell in cells.items()}
    [remark] = frame.remarks
    assert (remark.name, remark.count) == ("columns", 2)
    assert remark.examples[0].startswith("list (")


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "dev"])
def test_splits_by_their_names(tmp_path: Path, validation: str) -> None:
    data = datasets.Dataset.from_dict(TEXTS, TEXT)
    frames = load(save(tmp_path / "a", **{"test": data, validation: data, "train": data, "unsupervised": data}))
    assert list(frames) == ["train", "validation", "test"]
    [remark] = frames["train"].remarks
    assert (remark.name, remark.count, remark.examples) == ("splits", 1, ("unsupervised",))


def test_a_test_without_labels_is_left_out_of_training(tmp_path: Path) -> None:
    name = save(tmp_path / "a", train=pictures(), test=pictures(DIGITS[:2], [-1, -1]))
    frames = load(name)
    assert list(frames) == ["train"]
    assert [remark.name for remark in frames["train"].remarks] == ["unlabelled"]
    schema = Schema(kind="image", shape=(1, 28, 28), classes=("one", "zero"))
    asked = hub.load_all(name, Request(schema=schema))
    assert asked["test"].columns == ("image",)
    assert images.from_frames({"train": asked["test"]}, Request(schema=schema)).splits["train"].y is None


def test_one_of_several_columns_of_pictures(tmp_path: Path) -> None:
    masks = datasets.Features({"image": datasets.Image(), "mask": datasets.Image()})
    columns = {"image": [Image.fromarray(DIGITS[0])], "mask": [Image.fromarray(DIGITS[1])]}
    name = save(tmp_path / "a", train=datasets.Dataset.from_dict(columns, masks))
    with pytest.raises(DataError, match=r"which of image, mask are the examples\? Name it with --path"):
        load(name)
    content = images.from_frames(load(name, path="mask"), Request(Reading(path="mask")))
    assert (values(content.splits["train"])[0, 0] == DIGITS[1]).all()


def test_what_has_no_train_is_named(tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict(TEXTS, TEXT)
    with pytest.raises(DataError, match=r"hf:.*a: holds test, but no train"):
        load(save(tmp_path / "a", test=data))
    with pytest.raises(DataError, match=r"hf:.*b: a second validation split, dev, beside val"):
        load(save(tmp_path / "b", train=data, val=data, dev=data))


def test_pictures_that_lie_elsewhere_are_not_looked_for(tmp_path: Path) -> None:
    stored = {"file": [{"bytes": b"x", "path": None}, {"bytes": None, "path": "/etc/passwd"}]}
    name = save(tmp_path / "a", train=datasets.Dataset.from_dict(stored, STORED))
    declare(tmp_path / "a/train", file={"_type": "Image"})
    with pytest.raises(DataError, match=r"a/train, row 2, column 'file': a file of its own; save it with save_to_disk"):
        load(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:", "no folder that save_to_disk wrote"),  # the current one
        ("hf:mnist", "such as hf:ylecun/mnist, with its owner"),
        ("hf:pandas", "with its owner"),  # a format of the library, which would read the current folder
        ("hf:./nothing/here", "no such folder"),
        ("hf:a/b/c/d", "no such folder"),
        ("hf:nobody/nothing", "hf:nobody/nothing: not in this machine's cache.*unset HF_HUB_OFFLINE"),
    ],
)
def test_names_that_lead_nowhere(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=message):
        load(name)


def test_other_folders_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    (tmp_path / "script.py").write_text("raise SystemExit")
    with pytest.raises(DataError, match="files of other kinds are named without hf:"):
        load(f"hf:{tmp_path}")


@pytest.mark.parametrize("split", ["../train", "/etc", "a::https://example.org/x", 7])
def test_splits_that_lead_out_are_not_followed(tmp_path: Path, split: object) -> None:
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": [split]}))
    with pytest.raises(DataError, match="names splits that are no plain words"):
        load(f"hf:{tmp_path}")


@pytest.mark.parametrize("file", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 99, b"[" * 100_000, b'{"splits": 1}'])
def test_damaged_folders_are_named(tmp_path: Path, file: str, content: bytes) -> None:
    name = save(tmp_path / "a", train=datasets.Dataset.from_dict(TEXTS, TEXT))
    (tmp_path / "a/train" / file).write_bytes(content)
    with pytest.raises(DataError, match=rf"hf:{tmp_path}/a: cannot be opened"):
        load(name)


def test_offsets_that_lead_out_are_seen(tmp_path: Path) -> None:
    name = save(tmp_path / "a", train=datasets.Dataset.from_dict(TEXTS, TEXT))
    file = tmp_path / "a/train/data-00000-of-00001.arrow"
    lengths = np.cumsum([0, *map(len, SENTENCES)]).astype("<i4").tobytes()
    wrong = lengths[:-4] + np.array([1 << 30], "<i4").tobytes()
    whole = file.read_bytes()
    assert whole.count(lengths) == 1
    file.write_bytes(whole.replace(lengths, wrong))
    with pytest.raises(DataError, match="cannot be opened"):
        load(name)


def test_old_libraries_ran_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.__version__", "3.6.0")
    with pytest.raises(DataError, match=r"datasets 3\.6\.0 is too old to be safe: pip install"):
        load(f"hf:{tmp_path}")


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(DataError, match=r'pip install "fourfold\[hub\]"'):
        load("hf:a/b")


def test_names_that_are_the_hub_s() -> None:
    assert hub.matches("hf:a/b")
    assert hub.matches(Path("hf:a/b"))
    assert not hub.matches("a/b")
    assert not hub.matches("a/hf:b")


def test_data_that_changed_are_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))
    for value in (1, 2):
        name = save(tmp_path / f"saved{value}", train=pictures(np.full((LEAST, 8, 8), value, np.uint8)))
        (tmp_path / "data").unlink(missing_ok=True)
        (tmp_path / "data").symlink_to(name.removeprefix("hf:"))
        content = images.from_frames(load(f"hf:{tmp_path}/data"), Request())
        assert (values(content.splits["train"]) == value).all()
