"""Numbers and tags as data: every source tells the same, bad ones are named, and their scale is train's alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fourfold.data as data
from fourfold.data.audit import audit, brief
from fourfold.data.augment import Augmentation
from fourfold.data.dataset import Batch, Dataset
from fourfold.data.schema import Schema
from fourfold.errors import DataError
from fourfold.families.cnn.settings import CnnSettings
from fourfold.families.rnn.settings import RnnSettings
from fourfold.profiling.invented import invented
from fourfold.runtime import generator
from fourfold.settings import Settings

FILES = 12
SERIES = "@univariate true\n@equalLength false\n@targetlabel true\n@data\n1,2,3:0.5\n2,3:-1e3\n4,5,6,7:2\n"


def opened(path: Any, task: str = "regress", family: type[Settings] = CnnSettings, **values: Any) -> Dataset:
    return data.open(path, family.resolve(task=task, test=0.0, validation=0.0, **values))


def told(found: Dataset) -> list[list[float]]:
    y = found.train.y
    assert y is not None
    assert y.dtype == torch.float32
    return [list(map(float, row)) for row in y.tolist()]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Different pictures, and a table to be written beside them."""
    for i in range(FILES):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return tmp_path


def table(folder: Path, **columns: list[Any]) -> Path:
    """A table that names a picture a row."""
    names = ["file", *columns]
    rows = [[f"{i}.png", *row] for i, row in enumerate(zip(*columns.values(), strict=True))]
    path = folder / "list.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in [names, *rows]))
    return path


PRICES = [i * 1.5 - 3 for i in range(FILES)]
AREAS = [10**6 / (i + 1) for i in range(FILES)]


def test_columns_of_numbers_are_told_as_they_are_named(pictures: Path) -> None:
    path = table(pictures, price=PRICES, noise=[7] * FILES, area=AREAS)
    found = opened(path, target="area, price")
    assert found.schema.targets == ("area", "price")
    assert (found.schema.aim, found.schema.names, found.schema.classes) == ("numbers", ("area", "price"), None)
    np.testing.assert_allclose(told(found), np.stack((AREAS, PRICES), axis=1), rtol=1e-7)
    moved = opened(table(pictures, area=AREAS, price=PRICES), target="price,area")
    np.testing.assert_array_equal(np.array(told(found))[:, ::-1], told(moved))


def test_a_target_may_have_a_comma_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "walks.csv"
    path.write_text(
        'id,t,x,"speed, mean"\n' + "".join(f"{i},{t},{t * i},{i / 2}\n" for i in range(4) for t in range(3))
    )
    found = opened(path, family=RnnSettings, id="id", target="speed, mean")
    assert found.schema.targets == ("speed, mean",)
    assert told(found) == [[0.0], [0.5], [1.0], [1.5]]


@pytest.mark.parametrize("mark", ["|", ";", " ; "])
def test_tags_are_parted_by_what_parts_them(pictures: Path, mark: str) -> None:
    cells = [mark.join(["red", "round"]), "red", mark] * (FILES // 3)
    found = opened(table(pictures, kinds=cells), "tag", target="kinds")
    assert (found.schema.tags, found.schema.counts) == (("red", "round"), (FILES * 2 // 3, FILES // 3))
    assert told(found) == [[1, 1], [1, 0], [0, 0]] * (FILES // 3)


def test_columns_of_truths_say_the_same_as_a_column_of_tags(pictures: Path) -> None:
    here = [[i % 2, i % 3 == 0] for i in range(FILES)]
    cells = ["|".join(name for name, there in zip(("a", "b"), row, strict=True) if there) or "|" for row in here]
    one = opened(table(pictures, kinds=cells), "tag", target="kinds")
    several = opened(table(pictures, a=[row[0] for row in here], b=[row[1] for row in here]), "tag", target="a,b")
    assert one.schema.tags == several.schema.tags == ("a", "b")
    assert told(one) == told(several)


BAD: list[tuple[str, dict[str, list[Any]], str, str]] = [
    (
        "regress",
        {"price": [*PRICES[:-1], ""]},
        "price",
        r"list\.csv, row 13, column 'price' \(''\): no finite number; corr",
    ),
    ("regress", {"price": ["inf", *PRICES[1:]]}, "price", r"row 2, column 'price' \('inf'\): no finite"),
    ("regress", {"price": ["1e300", *PRICES[1:]]}, "price", r"list\.csv, row 2, column 'price' \('1e300'\): no finite"),
    ("regress", {"price": PRICES}, "prise", r"no column 'prise'; did you mean 'price'\?"),
    ("regress", {"price": PRICES}, "", r"list\.csv: --task regress needs --target: one column.*it holds file; price"),
    ("tag", {"kinds": ["a|b", *["a"] * 10, ""]}, "kinds", r"row 13, column 'kinds' \(''\): no tags; .* is written \|"),
    ("tag", {"kinds": ["a", "b"] * 6}, "kinds", r"list\.csv: the column 'kinds' has one tag a row; part several by \|"),
    ("tag", {"a": [0, 2] * 6, "b": [0] * 12}, "a,b", r"row 3, column 'a' \('2'\).*neither 0 nor 1"),
    ("classify", {"price": PRICES}, "price", r"list\.csv: the target 'price' is a quantity.*--task regress"),
]


@pytest.mark.parametrize(("task", "columns", "target", "message"), BAD, ids=[case[3] for case in BAD])
def test_what_is_no_answer_is_named(
    pictures: Path, task: str, columns: dict[str, list[Any]], target: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        opened(table(pictures, **columns), task, target=target or None)


def test_a_series_tells_one_number(tmp_path: Path) -> None:
    path = tmp_path / "walks.csv"
    path.write_text("id,t,x,speed\na,0,1,2.5\na,1,2,2.5\nb,0,1,7\nb,1,9,8\n")
    with pytest.raises(DataError, match=r"row 5: class of .* is '8\.0', but '7\.0' in row 4"):
        opened(path, family=RnnSettings, id="id", target="speed")


def test_a_ts_file_tells_numbers(tmp_path: Path) -> None:
    path = tmp_path / "walks.ts"
    path.write_text(SERIES)
    found = opened(path, family=RnnSettings)
    assert (found.schema.targets, told(found)) == (("y",), [[0.5], [-1000.0], [2.0]])
    with pytest.raises(DataError, match=r"walks\.ts, row 3: .* --task regress"):
        opened(path, "classify", RnnSettings)


def test_folders_and_names_tell_numbers(pictures: Path) -> None:
    for i in range(FILES):
        folder = pictures / "ages" / f"{i % 3}.5"
        folder.mkdir(parents=True, exist_ok=True)
        (pictures / f"{i}.png").rename(folder / f"{i}_{2 * i}.png")
    assert sorted(told(opened(pictures / "ages"))) == [[0.5]] * 4 + [[1.5]] * 4 + [[2.5]] * 4
    named = opened(pictures / "ages", pattern="{index}_{label}.png")
    assert sorted(told(named)) == [[2.0 * i] for i in range(FILES)]
    (pictures / "ages" / "0.5").rename(pictures / "ages" / "young")
    with pytest.raises(DataError, match=r"0_0\.png: 'young' is no number; correct it, or leave out --task regress"):
        opened(pictures / "ages")


X = np.random.default_rng(0).random((FILES, 1, 12, 12))


@pytest.mark.parametrize(
    ("task", "y", "names", "expected"),
    [
        ("regress", np.arange(FILES), ("y",), [[float(i)] for i in range(FILES)]),
        ("regress", np.ones((FILES, 2)) * [1, 2.5], ("y0", "y1"), [[1, 2.5]] * FILES),
        ("tag", np.eye(FILES, 3), ("y0", "y1", "y2"), np.eye(FILES, 3).tolist()),
        ("tag", np.array(["a|b", "b", ""] * 4), ("a", "b"), [[1, 1], [0, 1], [0, 0]] * 4),
    ],
    ids=["number", "numbers", "truths", "words"],
)
def test_arrays_tell_numbers_and_tags(
    task: str, y: np.ndarray, names: tuple[str, ...], expected: list[list[float]]
) -> None:
    found = opened((X, y), task)
    assert (found.schema.names, told(found)) == (names, expected)


@pytest.mark.parametrize(
    ("task", "y", "message"),
    [
        ("regress", np.where(np.arange(FILES) == 3, np.nan, 1.0), r"\(labels\)\[3\]: nan for 'y': NaN"),
        ("regress", np.array(["a"] * FILES), r"accepted: numbers, \(n,\) or \(n, targets\)"),
        ("regress", np.ones(3), "3 labels for the 12 examples"),
        ("tag", np.eye(FILES, 2) * 0.5, r"\(labels\)\[0\]: 0\.5 for 'y0', where 1 means"),
        ("classify", np.linspace(0, 1, FILES), r"\[1\]: 0\.09.* is no class; .* --task regress"),
        ("classify", np.eye(FILES, 2), r"accepted: one whole number.*--task tag, for numbers --task regress"),
    ],
    ids=["nan", "words", "too few", "halves", "fractions", "several"],
)
def test_arrays_that_tell_no_answer_are_refused(task: str, y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened((X, y), task)


def test_a_model_is_asked_by_its_own_names(pictures: Path) -> None:
    schema = opened(table(pictures, kinds=["a|b;c", "b;c"] * 6), "tag", target="kinds").schema
    assert schema.tags == ("a", "b;c")
    asked = table(pictures, kinds=["b;c"] * FILES)
    y = data.read_inputs(asked, schema).y
    assert y is not None
    assert y.tolist() == [[0.0, 1.0]] * FILES
    with pytest.raises(DataError, match=r"0\.png: unknown tag 'd'; valid: a, b;c"):
        data.read_inputs(table(pictures, kinds=["d"] * FILES), schema)
    assert data.read_inputs(table(pictures, other=["d"] * FILES), schema).y is None
    numbers = opened(table(pictures, price=PRICES, area=AREAS), target="price,area").schema
    with pytest.raises(DataError, match="no column 'area'"):
        data.read_inputs(table(pictures, price=PRICES), numbers)


def test_the_scale_is_that_of_train_alone() -> None:
    x = np.random.default_rng(1).random((60, 1, 12, 12))
    y = np.stack((np.arange(60) * 7.0 + 1e4, np.full(60, 3.0)), axis=1)
    found = data.open((x, y), CnnSettings.resolve(task="regress"))
    assert found.train.y is not None
    assert len(found.splits) == 3
    own = found.train.y.double().numpy()
    mean, std = found.schema.target_mean, found.schema.target_std
    np.testing.assert_allclose(np.array(mean), own.mean(0))
    np.testing.assert_allclose(np.array(std), [own[:, 0].std(), 1.0])  # what never changes is not divided by nothing
    z = found.schema.standardise(found.train.y)
    np.testing.assert_allclose(z.numpy(), (own - own.mean(0)) / [own[:, 0].std(), 1.0], atol=1e-4)
    np.testing.assert_allclose(found.schema.in_units(z).numpy(), own, rtol=1e-6)


def test_what_is_told_does_not_decide_the_split() -> None:
    x = np.random.default_rng(1).random((60, 1, 12, 12))
    settings = CnnSettings.resolve(task="regress")
    first, second = (data.open((x, y), settings) for y in (np.arange(60), np.arange(60) % 4))
    assert first.held_out == second.held_out
    assert [len(part) for part in first.splits.values()] == [43, 5, 12]


def test_schemas_of_before_still_load() -> None:
    before = '{"kind": "image", "shape": [1, 12, 12], "classes": ["a", "b"], "counts": [3, 4]}'
    schema = Schema.model_validate_json(before)
    assert (schema.aim, schema.names, schema.targets, schema.tags) == ("classes", ("a", "b"), None, None)
    assert Schema.model_validate(json.loads(schema.model_dump_json())) == schema


@pytest.mark.parametrize("names", [{"targets": ("a", "b")}, {"tags": ("a", "b")}, {"classes": ("a", "b")}])
def test_invented_examples_have_answers(names: dict[str, Any]) -> None:
    y = invented(Schema(kind="image", shape=(1, 8, 8), **names), 30, generator(0)).y
    assert y is not None
    assert (y.shape, y.dtype) == (((30,), torch.int64) if "classes" in names else ((30, 2), torch.float32))
    assert set(y.flatten().tolist()) == {0, 1}


@pytest.mark.parametrize("task", ["regress", "tag"])
def test_an_audit_finds_no_classes_in_numbers_and_tags(task: str) -> None:
    x = np.random.default_rng(1).random((40, 1, 12, 12))
    x[1] = x[0]  # equal examples may well have different answers
    found = opened((x, np.eye(40, 2)), task)
    assert {finding.name for finding in brief(found)} == {"repeats"}
    assert audit(found).splits["train"].classes is None


def test_mixup_mixes_numbers_as_it_mixes_pictures() -> None:
    x = torch.rand(6, 1, 8, 8)
    y = x.mean((1, 2, 3))[:, None] * 10  # linear in the pictures, and so must remain
    batch = Batch(x, None, y, torch.arange(6))
    mixed = Augmentation(["mixup"], Schema(kind="image", shape=(1, 8, 8), targets=("y",))).apply(batch, 0, 1)
    assert mixed.y is not None
    assert not torch.equal(mixed.y, y)
    torch.testing.assert_close(mixed.y, mixed.x.mean((1, 2, 3))[:, None] * 10)
