"""The search for nearly equal examples: what was planted is found, and all pairs compared one by one agree."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fourfold.data.audit import audit, nearness
from fourfold.data.audit.nearness import Sketch, nearest, sketches, tolerance
from fourfold.data.dataset import Dataset, Examples
from fourfold.data.schema import Kind, Schema
from tests.data.audit.test_audit import clean, dataset, examples, found

PLANTS: dict[str, tuple[Kind, Callable[[Tensor], Tensor]]] = {
    "noise": ("image", lambda x: (x.float() + 4 * torch.randn(x.shape)).round().clamp(0, 255).byte()),
    "brighter": ("image", lambda x: x // 2 + 90),
    "less contrast": ("image", lambda x: (x.float() * 0.6).byte()),
    "one pixel": ("image", lambda x: torch.where(torch.arange(x.shape[-1]) == 3, x, x + (x < 255))),
    "series": ("series", lambda x: x + 0.005 * torch.randn(x.shape)),
    "rounded series": ("series", lambda x: (x * 50).round() / 50),
    "table": ("table", lambda x: x + 0.005 * torch.randn(x.shape)),
    "rounded table": ("table", lambda x: (x * 50).round() / 50),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_nearly_equal_examples_are_found(plant: str) -> None:
    torch.manual_seed(0)
    kind, change = PLANTS[plant]
    data = clean(kind)
    assert data.test is not None
    data.test.loaded[5:15] = change(data.train.loaded[25:35])
    result = audit(data)
    assert [finding.name for finding in result.findings] == ["near-duplicates"]
    near = result.findings[0]
    assert (near.severity, near.count) == ("warning", 10)
    assert all(b.index - a.index == 20 and (a.split, b.split) == ("test", "train") for a, b in near.places)
    assert not result.fatal


def test_tables_of_few_columns_that_vary_are_close_by_chance_and_not_compared() -> None:
    data = clean("table")
    assert data.test is not None
    data.test.loaded[5] = data.train.loaded[25] + 0.001
    assert found(audit(data), "near-duplicates")
    for part in data.splits.values():
        part.loaded[:, 5:] = 1
    assert not found(audit(data), "near-duplicates")


def test_a_search_that_would_take_too_long_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    data = clean("table")
    assert data.test is not None
    train = replace(data.train, x=data.train.loaded[:1] + 1e-5 * torch.randn(120, 8))
    test = replace(data.test, x=data.train.loaded[:1] + 1e-5 * torch.randn(40, 8))
    crowd = replace(data, train=train, test=test, validation=None)
    assert not found(audit(crowd), "crowded")
    monkeypatch.setattr(nearness, "MOST", 27 * 100)
    crowded = found(audit(crowd), "crowded")[0]
    assert (crowded.severity, crowded.count) == ("note", 40)


# Against all pairs, one by one


def hash_by_formula(picture: np.ndarray) -> list[bool]:
    """Signs of the 63 lowest frequencies of a grey picture, each a sum over all pixels."""
    height, width = picture.shape
    signs = []
    for u, v in itertools.product(range(8), range(8)):
        down = np.cos(math.pi * u * (np.arange(height) + 0.5) / height)
        across = np.cos(math.pi * v * (np.arange(width) + 0.5) / width)
        signs.append(bool((picture * np.outer(down, across)).sum() > 0))
    return signs[1:]


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt(float(np.mean((a - b) ** 2)))


def closest(pairs: list[tuple[int, int, float]]) -> dict[int, tuple[int, float]]:
    """For each second the first that is nearest, and how far it is."""
    best: dict[int, tuple[int, float]] = {}
    for first, second, distance in sorted(pairs, key=lambda pair: pair[2]):
        best.setdefault(second, (first, distance))
    return best


def sketched(first: Examples, second: Examples, schema: Schema) -> tuple[Sketch, Sketch]:
    both = sketches([first, second], schema)
    assert both is not None
    return both[0], both[1]


def searched(data: Dataset) -> tuple[dict[int, tuple[int, float]], float]:
    """What the search finds, without regard to equal ones."""
    assert data.test is not None
    near = nearest(*sketched(data.train, data.test, data.schema), np.arange(len(data.train)), np.arange(len(data.test)))
    assert near.crowded == 0
    triples = zip(near.first.tolist(), near.second.tolist(), near.distance.tolist(), strict=True)
    return {second: (first, distance) for first, second, distance in triples}, near.tolerance


def test_pictures_agree_with_all_pairs(digits: Dataset) -> None:
    assert digits.test is not None
    random = torch.Generator().manual_seed(0)
    x = digits.train.loaded[:100].float()
    strength = torch.linspace(0, 30, 100)[:, None, None, None]
    x = (x + strength * torch.randn(x.shape, generator=random)).round().clamp(0, 255).byte()
    data = replace(digits, test=replace(digits.test, x=x))
    result, most = searched(data)
    first, second = (part.loaded[:, 0].numpy().astype(float) for part in (data.train, replace(digits.test, x=x)))
    hashes = [np.array([hash_by_formula(picture - picture.mean()) for picture in part]) for part in (first, second)]
    standard = [np.array([(p - p.mean()) / p.std() for p in part]) for part in (first, second)]
    pairs = [
        (i, j, distance)
        for i, j in itertools.product(range(len(first)), range(len(second)))
        if (hashes[0][i] != hashes[1][j]).sum() <= 7 and (distance := apart(standard[0][i], standard[1][j])) <= most
    ]
    expected = closest(pairs)
    assert 20 < len(expected) < 100
    assert {j: i for j, (i, _) in expected.items()} == {j: i for j, (i, _) in result.items()}
    for j, (_, distance) in result.items():
        assert distance == pytest.approx(expected[j][1], rel=1e-3, abs=1e-5)


def test_hashes_meet_up_to_seven_different_bits_wherever_these_are() -> None:
    random = np.random.default_rng(0)
    signs = random.integers(0, 2, (300, 63)) * 2 - 1
    signs[200:] = signs[:100]
    signs[200:, :2] *= -1  # so that several of the first are as near, and the first of them is taken
    signs[:50, 9] *= -1
    other = signs[:200].copy()
    for j in range(200):
        other[j, random.permutation(63)[: j % 12]] *= -1
    same = torch.randint(0, 256, (1, 1, 9, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)

    def sketch(bits: np.ndarray) -> Sketch:
        size = len(bits)  # features too small to tell the pictures, which are all the same, apart
        features = (bits * 1e-4).astype(np.float32)
        return Sketch(same.expand(size, 1, 9, 9), np.full(size, 81), features, np.ones(size, dtype=bool))

    near = nearest(sketch(signs), sketch(other), np.arange(300), np.arange(200))
    expected = {}
    for j in range(200):
        alike = np.flatnonzero((signs != other[j]).sum(1) <= 7)
        if len(alike):
            expected[j] = int(alike[0])
    assert dict(zip(near.second.tolist(), near.first.tolist(), strict=True)) == expected
    assert len(expected) < 200


def test_series_of_different_lengths_are_never_nearly_equal() -> None:
    x = torch.randn(10, 12, generator=torch.Generator().manual_seed(0))
    features, usable = np.zeros((10, 8), dtype=np.float32), np.ones(10, dtype=bool)
    whole = Sketch(x, np.full(10, 12), features, usable)
    half = Sketch(x, np.where(np.arange(10) < 4, 12, 8), features, usable)
    near = nearest(whole, half, np.arange(10), np.arange(10))
    assert near.second.tolist() == near.first.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("shape", [(9,), (30, 2)])
def test_series_and_tables_agree_with_all_pairs(shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    train = torch.randn(200, *shape, generator=random)
    strength = torch.linspace(0, 0.04, 100).reshape(100, *(1 for _ in shape))
    test = train[:100] + strength * torch.randn(100, *shape, generator=random)
    data = dataset(examples(train, "train"), examples(test, "test"))
    result, most = searched(data)
    first, second = (data.schema.prepare(x).flatten(1).double().numpy() for x in (train, test))
    pairs = [(i, j, apart(first[i], second[j])) for i, j in itertools.product(range(200), range(100))]
    expected = closest([pair for pair in pairs if pair[2] <= most])
    assert 30 < len(expected) < 100
    assert {j: i for j, (i, _) in expected.items()} == {j: i for j, (i, _) in result.items()}
    for j, (_, distance) in result.items():
        assert distance == pytest.approx(expected[j][1], rel=1e-3, abs=1e-5)


def test_photographs_may_be_further_apart_than_pictures_that_are_alike_by_nature(digits: Dataset) -> None:
    def given(first: Examples, second: Examples, schema: Schema) -> float:
        return tolerance(*sketched(first, second, schema), np.arange(len(first)), np.arange(len(second)))

    scenes = [torch.rand(400, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    smooth = [examples(interpolate(scene, size=32, mode="bilinear"), "") for scene in scenes]
    assert digits.test is not None
    alike = given(digits.train, digits.test, digits.schema)
    different = given(smooth[0], smooth[1], Schema(kind="image", shape=(3, 32, 32)))
    least, greatest = nearness.PICTURES
    assert least <= alike < different <= greatest
