"""Learning from unlabelled examples: the loss is its formula, and without a sure example it changes nothing."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fourfold.data.dataset import Batch, Dataset, Unlabelled
from fourfold.data.unlabelled import Companions
from fourfold.engine.loop import Outcome, Trainer
from fourfold.errors import UsageError
from fourfold.families import create
from fourfold.families.cnn.consistency import semi_supervised, unnoticed
from fourfold.families.cnn.objective import classification
from fourfold.families.cnn.settings import CnnSettings
from fourfold.families.contract import Losses
from fourfold.runtime import one_thread, start
from fourfold.settings import Facts

from .reference import softmax

QUICK: dict[str, Any] = {"preset": "small", "width": 4, "epochs": 2, "batch_size": 12, "label_smoothing": 0.0}


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def beside(digits: Dataset) -> Dataset:
    """40 labelled digits and 100 unlabelled ones."""
    unlabelled = replace(digits.train.select(torch.arange(100, 200)), y=None)
    return replace(digits, train=digits.train.select(torch.arange(40)), unlabelled=unlabelled)


class Itself(nn.Module):
    """A classifier whose logits are its inputs, scaled by its one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, lengths: Tensor | None = None, random: torch.Generator | None = None) -> Tensor:
        return self.scale * x


def batch_of(seed: int) -> Batch:
    """4 labelled examples and 8 unlabelled ones of 3 numbers."""
    random = torch.Generator().manual_seed(seed)
    x, weak, strong = (2 * torch.randn(n, 3, generator=random) for n in (4, 8, 8))
    y = torch.randint(0, 3, (4,), generator=random)
    return Batch(x, None, y, torch.arange(4), Unlabelled(weak, strong, None))


def loss_of(batch: Batch, weight: float, confidence: float, network: nn.Module | None = None) -> Losses:
    networks = {"classifier": network or Itself()}
    return semi_supervised(networks, batch, torch.Generator(), classification, weight, confidence)


@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.3, 2.0]), st.sampled_from([0.0, 0.5, 0.8, 1.0]))
@settings(deadline=None)
def test_the_loss_is_its_formula(seed: int, weight: float, confidence: float) -> None:
    batch = batch_of(seed)
    assert batch.y is not None
    assert batch.unlabelled is not None
    said = [softmax(row) for row in batch.x.tolist()]
    supervised = sum(-math.log(row[y]) for row, y in zip(said, batch.y.tolist(), strict=True)) / 4
    terms, sure = [], 0
    for weak, strong in zip(batch.unlabelled.weak.tolist(), batch.unlabelled.strong.tolist(), strict=True):
        first = softmax(weak)
        if max(first) > confidence:
            sure += 1
            terms.append(-math.log(softmax(strong)[first.index(max(first))]))
    losses = loss_of(batch, weight, confidence)
    assert losses.total.item() == pytest.approx(supervised + weight * sum(terms) / 8, rel=1e-4)
    assert losses.logged["unlabelled_loss"].item() == pytest.approx(sum(terms) / 8, rel=1e-4)
    assert losses.logged["confident"].item() == sure / 8


def test_no_gradient_goes_through_the_weak_view() -> None:
    batch, network = batch_of(0), Itself()
    assert batch.unlabelled is not None
    weak, strong = batch.unlabelled.weak.requires_grad_(), batch.unlabelled.strong.requires_grad_()
    loss_of(batch, 1.0, 0.5, network).total.backward()  # type: ignore[no-untyped-call]
    assert weak.grad is None
    assert strong.grad is not None
    assert bool(strong.grad.any())


@pytest.mark.parametrize("size", [1, 3, 4])
def test_parts_of_a_batch_come_to_the_loss_and_the_gradient_of_the_whole(size: int) -> None:
    whole, parted = Itself(), Itself()
    loss_of(batch_of(1), 1.5, 0.6, whole).total.backward()  # type: ignore[no-untyped-call]
    parts = list(batch_of(1).parts(size))
    assert [len(part) for part in parts] == {1: [1, 1, 1, 1], 3: [3, 1], 4: [4]}[size]
    for part in parts:
        (loss_of(part, 1.5, 0.6, parted).total * (len(part) / 4)).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(parted.scale.grad, whole.scale.grad)


def test_a_norm_sees_unlabelled_examples_but_does_not_remember_them() -> None:
    norm = nn.BatchNorm1d(3)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)) + 5
    told = unnoticed(norm, x)
    torch.testing.assert_close(told.mean(0), torch.zeros(3), atol=1e-5, rtol=0)  # by the moments of the batch
    assert norm.running_mean is not None
    assert norm.running_mean.tolist() == [0.0] * 3
    assert norm.num_batches_tracked == torch.tensor(0)
    told.square().sum().backward()  # type: ignore[no-untyped-call]
    assert norm.weight.grad is not None


def outcome(dataset: Dataset, **values: Any) -> Outcome:
    chosen = CnnSettings.resolve(**{**QUICK, **values})
    return Trainer(create(dataset.schema, chosen), replace(dataset, validation=None), start("cpu")).fit()


def equal(a: Outcome, b: Outcome) -> bool:
    pairs = zip(
        a.networks["classifier"].state_dict().values(), b.networks["classifier"].state_dict().values(), strict=True
    )
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("augment", ["default", "mixup,cutmix,translate"])
def test_where_nobody_is_sure_it_is_supervised_training_to_the_bit(beside: Dataset, augment: str) -> None:
    supervised = outcome(replace(beside, unlabelled=None), augment=augment)
    assert equal(supervised, outcome(beside, augment=augment, unlabelled="more", confidence=1.0))
    assert not equal(supervised, outcome(beside, augment=augment, unlabelled="more", confidence=0.0))


def test_what_it_learns_depends_on_the_seed_alone(beside: Dataset) -> None:
    first = outcome(beside, unlabelled="more", confidence=0.2)
    torch.rand(10)  # what others draw from the global generator is nothing to us
    assert equal(first, outcome(beside, unlabelled="more", confidence=0.2))


def test_the_memory_that_is_tried_is_that_of_the_unlabelled_examples_too(
    beside: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Batch] = []
    monkeypatch.setattr("fourfold.engine.loop.fit_batch", lambda stepper, batch, tell: seen.append(batch))
    outcome(beside, unlabelled="more", unlabelled_ratio=5, epochs=1)
    assert seen[0].unlabelled is not None
    assert len(seen[0].unlabelled.strong) == 5 * len(seen[0]) == 60


def test_the_last_epoch_is_kept_and_smoothing_is_left_out(beside: Dataset) -> None:
    chosen = CnnSettings.resolve("small", unlabelled="more")
    assert create(beside.schema, chosen).monitor is None
    assert chosen.label_smoothing == 0
    assert CnnSettings.resolve("small", unlabelled="more", label_smoothing=0.2).label_smoothing == 0.2


@pytest.mark.parametrize("task", ["regress", "tag"])
def test_numbers_and_tags_are_refused(task: str) -> None:
    with pytest.raises(UsageError, match=r"unlabelled = 'more': .*teach classes alone; leave it out, or --task"):
        CnnSettings.resolve("small", task=task, unlabelled="more")


def test_the_steps_are_enough_for_them_where_the_data_choose() -> None:
    few = Facts(kind="image", examples=100, shape=(1, 28, 28))
    chosen = CnnSettings.resolve(unlabelled="more").suited(few)
    assert (chosen.preset, chosen.label_smoothing) == ("small", 0)
    assert chosen.epochs * 2 >= 2000 > (chosen.epochs - 1) * 2


def test_companions_are_a_function_of_the_step(beside: Dataset) -> None:
    chosen = CnnSettings.resolve(**QUICK, unlabelled="more", augment="default,flip")
    trainer = Trainer(create(beside.schema, chosen), beside, start("cpu"))
    assert isinstance(trainer.companions, Companions)
    plain = trainer.train.gather(torch.arange(12))
    late, early = (trainer.beside(plain, step).unlabelled for step in (5, 1))
    again = trainer.beside(plain, 5).unlabelled
    assert late is not None
    assert early is not None
    assert again is not None
    assert torch.equal(late.strong, again.strong)
    assert torch.equal(late.weak, again.weak)
    assert not torch.equal(late.weak, early.weak)
    assert not torch.equal(late.weak, late.strong)
