"""From a path to a dataset: what is held out, what is fitted, what a batch holds."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold import data
from fourfold.data.audit.findings import require_classes
from fourfold.data.dataset import Content, Dataset, Examples
from fourfold.data.feed import Resident, in_order
from fourfold.data.fitting import moments
from fourfold.data.samples import SAMPLES
from fourfold.data.schema import Schema
from fourfold.data.split import fold, groups, hold_out, split
from fourfold.errors import DataError, UsageError
from fourfold.families import settings_of
from fourfold.settings import Settings

CPU = torch.device("cpu")


def opened(what: Any, family: str = "autoencoder", **values: Any) -> Dataset:
    return data.open(what, settings_of(family).resolve(**values))


def labelled(counts: list[int]) -> Examples:
    y = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    return Examples(torch.rand(len(y), 3), [str(i) for i in range(len(y))], y)


def settings_with(**values: Any) -> Settings:
    return settings_of("cnn").resolve(**values)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.floats(0.01, 0.9), st.integers(0, 2**62))
def test_every_class_is_held_out_in_its_share(counts: list[int], share: float, seed: int) -> None:
    examples = labelled(counts)
    outside = hold_out(groups(examples, None, seed, "test"), share)
    assert examples.y is not None
    for label, count in enumerate(counts):
        held = int((examples.y[torch.tensor(outside, dtype=torch.int64)] == label).sum())
        assert held == min(round(share * count), count - 1)
    assert hold_out(groups(examples, None, seed, "test"), share) == outside


@settings(deadline=None)
@given(st.lists(st.integers(4, 60), min_size=2, max_size=4), st.integers(0, 1000))
def test_a_share_of_train_is_part_of_a_larger_one_and_leaves_the_judges_alone(counts: list[int], seed: int) -> None:
    content = Content("table", {"train": labelled(counts)})
    before: set[str] = set()
    whole, held = split(content, settings_with(seed=seed))
    for share in (1 / 16, 1 / 4, 1 / 2, 1.0):
        parts, cut = split(content, settings_with(seed=seed, share=share))
        assert cut == held
        assert all(parts[name].names == whole[name].names for name in ("validation", "test") if name in whole)
        train = parts["train"]
        assert before <= set(train.names) <= set(whole["train"].names)
        before = set(train.names)
        assert train.y is not None
        assert whole["train"].y is not None
        kept, there = (torch.bincount(y, minlength=len(counts)) for y in (train.y, whole["train"].y))
        assert all(abs(k - max(share * n, 1)) <= 1 for k, n in zip(kept.tolist(), there.tolist(), strict=True))


@settings(deadline=None)
@given(st.integers(20, 200), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 1000))
def test_splits_share_no_example_and_lose_none(size: int, validation: float, test: float, seed: int) -> None:
    whole = labelled([size, size // 2])
    asked = settings_with(seed=seed, validation=validation, test=test)
    parts, cut = split(Content("table", {"train": whole}), asked)
    names = [set(part.names) for part in parts.values()]
    assert all(not a & b for a, b in itertools.combinations(names, 2))
    assert set().union(*names) == set(whole.names)
    for name, places in cut.items():
        assert [whole.names[i] for i in places] == list(parts[name].names)


@settings(deadline=None)
@given(st.lists(st.integers(1, 25), min_size=1, max_size=3), st.integers(2, 6))
def test_folds_share_nothing_and_are_everything(counts: list[int], total: int) -> None:
    queues = groups(labelled(counts), None, 0, "test")
    folds = [fold(queues, f"{number}/{total}") for number in range(1, total + 1)]
    assert sorted(itertools.chain(*folds)) == list(range(sum(counts)))
    assert max(map(len, folds)) - min(map(len, folds)) <= 1


def test_a_fold_is_the_test_split(tmp_path: Path) -> None:
    sizes = [len(part) for which in ("1/5", "2/5") if (part := opened("cancer", fold=which).test) is not None]
    assert sizes == [114, 114]
    with pytest.raises(DataError, match="--fold: the data bring a test split of their own"):
        opened("mnist", fold="1/5")
    for wrong in ("0/5", "6/5", "1/1", "a"):
        with pytest.raises(UsageError, match="fold = "):
            settings_with(fold=wrong)


def test_the_order_of_examples_does_not_matter() -> None:
    whole = labelled([50, 30])
    mixed = whole.select(torch.randperm(80))
    for name in ("test", "validation"):
        sides = [split(Content("table", {"train": part}), settings_with())[0][name] for part in (whole, mixed)]
        assert set(sides[0].names) == set(sides[1].names)


def test_equal_examples_and_groups_stay_together(tmp_path: Path) -> None:
    x = torch.rand(30, 3).repeat(4, 1)
    parts, _ = split(Content("table", {"train": Examples(x, [str(i % 30) for i in range(120)])}), settings_with())
    sides = [set(part.names) for part in parts.values()]
    assert all(not a & b for a, b in itertools.combinations(sides, 2))
    rows = "\n".join(f"{i}.5,{i % 7},p{i // 6}" for i in range(120))
    (tmp_path / "visits.csv").write_text(f"a,b,patient\n{rows}\n")
    dataset = opened(tmp_path / "visits.csv", group="patient")
    assert dataset.schema.columns == ("a", "b")
    patients = [set(part.fields["patient"]) for part in dataset.splits.values()]
    assert sum(map(len, patients)) == 20
    assert len(set().union(*patients)) == 20
    with pytest.raises(DataError, match="no column 'patien'; did you mean 'patient'"):
        opened(tmp_path / "visits.csv", group="patien")
    with pytest.raises(DataError, match="no column 'speaker' to split by"):
        opened("vowels", "rnn", group="speaker")


def test_splits_that_the_data_bring_stay_as_they_are() -> None:
    dataset = opened("mnist")
    assert {name: len(part) for name, part in dataset.splits.items()} == {
        "train": 10801,
        "validation": 1199,
        "test": 2000,
    }
    assert "test" not in dataset.held_out
    assert dataset.test is not None
    assert dataset.test.names[0].endswith("t10k-images-idx3-ubyte.gz[0]")


def test_the_seed_and_the_content_decide_the_split() -> None:
    first, same, other = (opened("cancer", seed=seed) for seed in (0, 0, 1))
    assert first.held_out == same.held_out
    assert first.fingerprint == same.fingerprint
    assert first.held_out != other.held_out
    assert first.fingerprint != other.fingerprint


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_opens(name: str) -> None:
    dataset = opened(name)
    assert dataset.schema.classes is not None
    assert len(dataset.train) > 100
    assert dataset.source == name


def test_figures_are_fitted_on_train_alone() -> None:
    dataset = opened("cancer")
    assert dataset.schema.mean is not None
    assert dataset.schema.std is not None
    x = dataset.train.loaded.double().numpy()
    np.testing.assert_allclose(dataset.schema.mean, x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(dataset.schema.std, x.std(0), rtol=1e-6)
    assert dataset.test is not None
    everything = torch.cat([part.loaded for part in dataset.splits.values()]).double().numpy()
    assert not np.allclose(dataset.schema.mean, everything.mean(0), rtol=1e-6)


def test_moments_do_not_count_the_padding() -> None:
    x = torch.randn(4, 9, 2)
    lengths = torch.tensor([9, 3, 1, 5])
    values = torch.cat([one[:length] for one, length in zip(x, lengths.tolist(), strict=True)])
    padded = torch.where(torch.arange(9)[:, None] < lengths[:, None, None], x, 1e6)
    mean, std = moments(Examples(padded, [""] * 4, lengths=lengths))
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(std, values.std(0, correction=0), rtol=1e-5)


def test_a_constant_column_becomes_zero() -> None:
    mean, std = moments(Examples(torch.tensor([[1.0, 5.0], [2.0, 5.0]]), ["", ""]))
    schema = Schema(kind="table", shape=(2,), mean=mean, std=std)
    prepared = schema.prepare(torch.tensor([[1.0, 5.0], [2.0, 5.0]]))
    assert prepared.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    torch.testing.assert_close(schema.restore(prepared), torch.tensor([[1.0, 5.0], [2.0, 5.0]]))


def test_bytes_become_shares_of_255() -> None:
    schema = Schema(kind="image", shape=(1, 1, 3))
    x = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    assert schema.prepare(x).flatten().tolist() == pytest.approx([0.0, 0.2, 1.0])
    assert x.flatten().tolist() == [0, 51, 255]


def test_a_batch_is_as_long_as_its_longest_and_zero_beyond_each() -> None:
    dataset = opened("vowels", "rnn")
    resident = Resident(dataset.train, dataset.schema, CPU)
    assert dataset.train.lengths is not None
    index = torch.tensor([5, 0, 17])
    batch = resident.gather(index)
    lengths = dataset.train.lengths[index]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == lengths.tolist()
    assert batch.x.shape == (3, int(lengths.max()), 12)
    for row, place in enumerate(index.tolist()):
        length = int(lengths[row])
        torch.testing.assert_close(batch.x[row, :length], dataset.schema.prepare(dataset.train.loaded[place, :length]))
        assert not batch.x[row, length:].any()


def test_gathering_is_preparing_what_was_read() -> None:
    dataset = opened("mnist")
    resident = Resident(dataset.train, dataset.schema, CPU)
    index = torch.tensor([9, 9, 3])
    torch.testing.assert_close(resident.gather(index).x, dataset.train.loaded[index].float() / 255)
    whole = torch.cat([batch.index for batch in in_order(resident, 1000)])
    assert torch.equal(whole, torch.arange(len(dataset.train)))


def test_inputs_are_joined_and_padded() -> None:
    schema = opened("vowels", "rnn").schema
    short, long = np.ones((2, 4, 12), np.float32), np.ones((1, 9, 12), np.float32)
    joined = data.join([data.read_inputs(short, schema), data.read_inputs(long, schema)])
    assert joined.lengths is not None
    assert joined.lengths.tolist() == [4, 4, 9]
    assert joined.x.shape == (3, 9, 12)
    assert joined.loaded.sum() == 12 * 17


def test_a_class_without_training_examples_is_named(tmp_path: Path) -> None:
    header = "@univariate true\n@classLabel true up down flat\n@data\n"
    (tmp_path / "d.ts").write_text(header + "1,2:up\n2,1:down\n" * 5)
    with pytest.raises(DataError, match="no example of class flat in the training split"):
        require_classes(opened(tmp_path / "d.ts", "rnn"))


@pytest.mark.parametrize("name", ["mnist", "vowels", "cancer"])
def test_a_size_that_nothing_can_have_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="--size 84: picture files are resized, and these data are none"):
        opened(name, size=84)
    if name == "mnist":
        assert opened(name, size=28).schema.shape == (1, 28, 28)
