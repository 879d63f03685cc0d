"""The audit: what was planted is found, and nothing else is."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fourfold.data.audit import Audit, audit
from fourfold.data.audit.duplicates import identify
from fourfold.data.audit.nearness import own
from fourfold.data.dataset import Dataset, Examples
from fourfold.data.finding import Finding, Spot
from fourfold.data.fitting import moments
from fourfold.data.schema import Kind, Schema

KINDS: tuple[Kind, ...] = ("image", "series", "table")
CLASSES = ("no", "yes")


def noise(kind: Kind, count: int, seed: int) -> Tensor:
    """Random examples with nothing wrong: pictures in bytes, series, rows of a table."""
    random = torch.Generator().manual_seed(seed)
    match kind:
        case "image":
            return torch.randint(0, 256, (count, 1, 12, 10), generator=random, dtype=torch.uint8)
        case "series":
            return torch.randn(count, 20, 2, generator=random)
        case _:
            return torch.randn(count, 8, generator=random)


def examples(x: Tensor, name: str, y: Tensor | None = None, lengths: Tensor | None = None) -> Examples:
    labels = torch.arange(len(x)) % 2 if y is None else y
    return Examples(x, [f"{name}[{i}]" for i in range(len(x))], labels, lengths)


def dataset(
    train: Examples, test: Examples, validation: Examples | None = None, classes: tuple[str, ...] = CLASSES
) -> Dataset:
    x = train.loaded
    kind: Kind = "image" if x.dim() == 4 else "series" if x.dim() == 3 else "table"
    mean, std = (None, None) if kind == "image" else moments(train)
    shape = tuple(x.shape[1:]) if kind == "image" else (x.shape[-1],)
    columns = tuple(f"column {i}" for i in range(x.shape[1])) if kind == "table" else None
    schema = Schema(kind=kind, shape=shape, classes=classes, columns=columns, mean=mean, std=std)
    return Dataset(schema, train, validation, test, source="planted", fingerprint="", held_out={})


def clean(kind: Kind) -> Dataset:
    parts = [examples(noise(kind, count, seed), name) for seed, (name, count) in enumerate(SIZES.items())]
    return dataset(parts[0], parts[1], parts[2])


SIZES = {"train": 120, "test": 40, "validation": 30}


def found(result: Audit, name: str) -> list[Finding]:
    return [finding for finding in result.findings if finding.name == name]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_wrong_with_clean_data(kind: Kind) -> None:
    result = audit(clean(kind))
    assert result.findings == ()
    assert not result.fatal
    assert {name: part.count for name, part in result.splits.items()} == SIZES
    assert result.splits["train"].classes == {"no": 60, "yes": 60}
    assert result.balance == 1.0
    assert result.constant == 0.0
    assert result.lengths == ((20, 20, 20) if kind == "series" else None)
    parts = clean(kind).splits.values()
    assert result.low == min(float(part.loaded.min()) for part in parts)
    assert result.high == max(float(part.loaded.max()) for part in parts)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_examples_are_found_across_splits_and_within_one(kind: Kind) -> None:
    data = clean(kind)
    assert data.test is not None
    assert data.validation is not None
    for target, source in ((3, 9), (11, 10), (12, 10)):
        data.test.loaded[target] = data.train.loaded[source]
    data.validation.loaded[5] = data.train.loaded[7]
    data.train.loaded[50] = data.train.loaded[60] = data.train.loaded[70]
    result = audit(data)
    assert result.fatal
    across = {finding.what: finding for finding in found(result, "duplicates")}
    leak = across["examples of test that are in train too"]
    assert (leak.severity, leak.count) == ("fatal", 3)
    assert leak.examples == ("test[3] = train[9]", "test[11] = train[10]", "test[12] = train[10]")
    assert leak.places[0] == (Spot("test", 3), Spot("train", 9))
    assert "--allow duplicates" in leak.mend
    second = across["examples of validation that are in train too"]
    assert (second.severity, second.examples) == ("warning", ("validation[5] = train[7]",))
    within = {finding.what.split()[2]: finding for finding in found(result, "repeats")}
    assert within["train"].count == 2
    assert within["train"].examples == ("train[50] = train[60] and 1 more",)
    assert within["test"].examples == ("test[11] = test[12]",)
    assert result.findings[0] is leak
    assert not found(result, "near-duplicates")


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_examples_changes_no_finding(kind: Kind) -> None:
    data = clean(kind)
    assert data.test is not None
    assert data.test.y is not None
    data.test.loaded[0:9] = data.train.loaded[30:39]
    data.test.y[0:4] = 1 - data.test.y[0:4]
    data.train.loaded[90:99] = data.train.loaded[80:89]
    data.test.loaded[20:29] = data.train.loaded[40:49] // 2 + 60 if kind == "image" else data.train.loaded[40:49] + 0.01

    def shuffled(part: Examples, seed: int) -> Examples:
        return part.select(torch.randperm(len(part), generator=torch.Generator().manual_seed(seed)))

    other = replace(data, train=shuffled(data.train, 1), test=shuffled(data.test, 2))
    first, second = audit(data), audit(other)
    assert [replace(finding, places=()) for finding in first.findings] == [
        replace(finding, places=()) for finding in second.findings
    ]
    assert {finding.name for finding in first.findings} == {"duplicates", "conflicts", "near-duplicates", "repeats"}
    for finding in second.findings:
        for group, text in zip(finding.places, finding.examples, strict=True):
            assert all(other.splits[place.split].names[place.index] in text for place in group)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=4), min_size=1, max_size=30), st.integers(1, 29))
def test_series_are_equal_up_to_their_own_length(series: list[list[int]], cut: int) -> None:
    x = torch.full((len(series), 5, 1), math.inf)
    for row, values in enumerate(series):
        x[row, : len(values), 0] = torch.tensor(values)
    lengths = torch.tensor([len(values) for values in series])
    whole = Examples(x, [""] * len(series), lengths=lengths)
    parts = [whole.select(torch.arange(len(series))[:cut]), whole.select(torch.arange(len(series))[cut:])]
    ids = np.concatenate(identify(parts))
    for i, j in itertools.combinations(range(len(series)), 2):
        assert (ids[i] == ids[j]) == (series[i] == series[j])


def test_zeros_of_either_sign_and_bytes_and_their_shares_are_equal() -> None:
    zeros = Examples(torch.tensor([[0.0, 1.0], [-0.0, 1.0]]), ["a", "b"])
    first, second = identify([zeros])[0]
    assert first == second
    x = noise("image", 50, 0)
    shares = torch.from_numpy((x.numpy() / 255).astype(np.float32))
    in_bytes, in_floats = identify([Examples(x, [""] * 50), Examples(shares, [""] * 50)])
    assert in_bytes.tolist() == in_floats.tolist()
    assert len(set(in_bytes.tolist())) == 50


def ragged(lengths: list[int], seed: int) -> Examples:
    own_lengths = torch.tensor(lengths)
    x = torch.randn(len(lengths), max(lengths), 2, generator=torch.Generator().manual_seed(seed))
    part = examples(x, f"part{seed}", lengths=own_lengths)
    return replace(part, x=torch.where(own(part)[:, :, None], x, 0))


def test_the_padding_is_neither_compared_nor_counted() -> None:
    train, test = ragged([5 + i % 9 for i in range(60)], 0), ragged([4 + i % 12 for i in range(30)], 1)
    assert train.lengths is not None
    assert test.lengths is not None
    test.lengths[3], test.loaded[3] = 7, 0
    test.loaded[3, :7] = train.loaded[11, :7]  # train[11] is 7 long
    test.lengths[4], test.loaded[4] = 6, 0
    test.loaded[4, :6] = train.loaded[2, :6]  # its beginning is another series
    test.lengths[6], test.loaded[6] = 9, 0
    test.loaded[6, :9] = train.loaded[13, :9] + 0.01
    wild_train, wild_test = (replace(p, x=torch.where(own(p)[:, :, None], p.loaded, 1e9)) for p in (train, test))
    results = [audit(dataset(train, test)), audit(dataset(wild_train, wild_test))]
    assert results[0] == results[1]
    assert results[0].lengths == (4, float(np.median([*train.lengths, *test.lengths])), 15)
    assert [(finding.name, finding.examples[0].split(" (")[0]) for finding in results[0].findings] == [
        ("duplicates", "part1[3] = part0[11]"),
        ("near-duplicates", "part1[6] ≈ part0[13]"),
    ]


def test_labels_that_contradict_each_other_are_found() -> None:
    data = clean("table")
    assert data.test is not None
    data.test.loaded[4] = data.train.loaded[11]  # no against yes
    data.test.loaded[6] = data.train.loaded[12]  # no, both
    data.train.loaded[20] = data.train.loaded[31]
    conflict = found(audit(data), "conflicts")[0]
    assert (conflict.severity, conflict.count) == ("warning", 2)
    assert set(conflict.examples) == {"test[4] (no) = train[11] (yes)", "train[20] (no) = train[31] (yes)"}


def test_columns_that_never_change_are_named() -> None:
    data = clean("table")
    data.train.loaded[:, 2] = 5
    data.train.loaded[:, 6] = -1
    result = audit(data)
    constant = found(result, "constant")[0]
    assert (constant.severity, constant.count) == ("note", 2)
    assert constant.examples == ("column 2", "column 6")
    assert result.constant == 2 / 8
    channels = clean("series")
    channels.train.loaded[:, :, 1] = 3
    assert found(audit(channels), "constant")[0].examples == ("number 2",)
    pictures = clean("image")
    pictures.train.loaded[:, :, :3] = 0
    result = audit(pictures)
    assert result.constant == pytest.approx(3 / 12)
    assert not found(result, "constant")


@pytest.mark.parametrize("kind", ["image", "series"])
def test_examples_that_hold_nothing_are_named(kind: Kind) -> None:
    data = clean(kind)
    assert data.test is not None
    data.train.loaded[8] = 7
    data.test.loaded[2] = 9  # pictures of one colour are alike however they are standardised, but are not compared
    result = audit(data)
    assert [finding.name for finding in result.findings] == ["blank"]
    assert result.findings[0].examples == ("test[2]", "train[8]")


@pytest.mark.parametrize(
    ("train", "test", "names"),
    [
        ([60, 60], [3, 1], []),
        ([60, 6], [3, 1], ["small-classes"]),
        ([100, 10], [3, 1], []),
        ([101, 10], [3, 1], ["imbalance"]),
        ([101, 9], [3, 1], ["small-classes", "imbalance"]),
        ([60, 0], [3, 1], ["missing-classes", "one-class"]),
        ([60, 60], [3, 0], ["missing-classes"]),
    ],
)
def test_classes(train: list[int], test: list[int], names: list[str]) -> None:
    def part(counts: list[int], name: str, seed: int) -> Examples:
        y = torch.repeat_interleave(torch.arange(2), torch.tensor(counts))
        return examples(noise("table", len(y), seed), name, y)

    result = audit(dataset(part(train, "train", 0), part(test, "test", 1)))
    assert [finding.name for finding in result.findings] == names
    assert result.balance == max(train) / min(count for count in train if count)
    assert result.fatal == (train[1] == 0)
    assert all(set(finding.examples) & {"yes", "no", f"yes: {train[1]}"} for finding in result.findings)


def test_groups_that_stand_in_two_splits_are_named() -> None:
    data = clean("table")
    assert data.test is not None
    train = replace(data.train, fields={"patient": [f"patient {i % 20}" for i in range(120)]})
    test = replace(data.test, fields={"patient": [f"patient {18 + i % 20}" for i in range(40)]})
    assert data.validation is not None
    validation = replace(data.validation, fields={"patient": [f"patient {40 + i}" for i in range(30)]})
    torn = audit(replace(data, train=train, validation=validation, test=test, group="patient")).findings
    assert [(finding.name, finding.count, finding.examples) for finding in torn] == [
        ("torn-groups", 2, ("patient 18", "patient 19"))
    ]


def test_data_without_labels_or_test() -> None:
    data = clean("table")
    bare = Dataset(data.schema, replace(data.train, y=None), None, None, "", "", {})
    result = audit(bare)
    assert result.findings == ()
    assert result.balance is None
    assert result.splits["train"].classes is None


def test_an_audit_is_plain_json() -> None:
    data = clean("series")
    assert data.test is not None
    data.test.loaded[3] = data.train.loaded[9]
    result = audit(data)
    document = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert document["fatal"] is True
    assert document["findings"][0]["examples"] == ["test[3] = train[9]"]
    assert document["findings"][0]["places"] == [[{"split": "test", "index": 3}, {"split": "train", "index": 9}]]
