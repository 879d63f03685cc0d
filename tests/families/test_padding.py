"""What stands past the end of an example changes nothing: no loss, no prediction, no metric."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from fourfold.data.augment import NAMES, Augmentation
from fourfold.data.dataset import Batch, Examples
from fourfold.data.feed import Resident, Streamed, feed
from fourfold.data.schema import Kind, Schema
from fourfold.data.vocabulary import fit_vocabulary
from fourfold.engine.evaluate import evaluate
from fourfold.families import FAMILIES, create
from fourfold.families.autoencoder.settings import AutoencoderSettings
from fourfold.families.contract import Classifier
from fourfold.runtime import generator
from fourfold.settings import AUTO, Reading

CPU = torch.device("cpu")
LONGEST = 24
WORK = [
    (family, preset, kind)
    for family, kinds in {"rnn": ("series", "sound", "text"), "cnn": ("sound",)}.items()
    for preset in FAMILIES[family].presets
    if preset not in (AUTO, "forecast", "write")  # windows are of one length, and a writer tells no classes
    for kind in kinds
]


def schema_of(kind: Kind) -> Schema:
    if kind == "text":
        vocabulary = fit_vocabulary(["one two three four"], Reading(vocabulary="characters"))
        return Schema(kind=kind, shape=(), lengths=(1, LONGEST), classes=("a", "b", "c"), vocabulary=vocabulary)
    figures = {"mean": (0.5,) * 12, "std": (2.0,) * 12}
    return Schema(kind=kind, shape=(12,), lengths=(1, LONGEST), classes=("a", "b", "c"), **figures)


def some(kind: Kind) -> Examples:
    random = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, LONGEST + 1, (40,), generator=random)
    lengths[0] = LONGEST
    if kind == "text":
        x = torch.randint(1, 9, (40, LONGEST), generator=random, dtype=torch.int32)
    else:
        x = torch.randn(40, LONGEST, 12, generator=random)
    return Examples(x, [""] * 40, torch.randint(0, 3, (40,), generator=random), lengths)


def with_rubbish(examples: Examples, more: int) -> Examples:
    """Padded further, and numbers past the lengths that would show if anybody read them."""
    x = examples.loaded
    x = pad(x, (*(0, 0) * (x.dim() - 2), 0, more))
    assert examples.lengths is not None
    outside = torch.arange(x.shape[1]) >= examples.lengths[:, None]
    rubbish: Tensor = torch.full_like(x, 8 if x.dim() == 2 else 1e6)
    return replace(examples, x=torch.where(outside if x.dim() == 2 else outside[:, :, None], rubbish, x))


@pytest.mark.parametrize(("family", "preset", "kind"), WORK)
@pytest.mark.parametrize("more", [0, 17])
def test_padding_changes_no_loss_no_prediction_and_no_metric(family: str, preset: str, kind: Kind, more: int) -> None:
    schema = schema_of(kind)
    only_of_texts = {} if kind == "text" or preset != "text" else {"wide": False}
    made = create(schema, FAMILIES[family].resolve(preset, **only_of_texts))
    networks = made.build(generator(0, "weights"))
    plain, padded = (Resident(part, schema, CPU) for part in (some(kind), with_rubbish(some(kind), more)))
    index = torch.tensor([5, 0, 31, 7])
    (phase,) = made.phases()
    losses = [phase.loss(networks, part.gather(index), generator(0)).total for part in (plain, padded)]
    assert torch.equal(*losses)
    assert isinstance(made, Classifier)
    assert torch.equal(*(made.predict(networks, part.gather(index)) for part in (plain, padded)))
    assert evaluate(made, networks, plain) == evaluate(made, networks, padded)
    streamed = Streamed(with_rubbish(some(kind), more), schema, CPU)
    assert evaluate(made, networks, streamed) == evaluate(made, networks, plain)


@pytest.mark.parametrize("kind", ["series", "sound", "text"])
def test_padding_changes_no_augmentation(kind: Kind) -> None:
    schema = schema_of(kind)
    augmentation = Augmentation(NAMES[kind], schema)
    parts = [feed(part, schema, CPU) for part in (some(kind), with_rubbish(some(kind), 9))]
    batches = [augmentation.apply(part.gather(torch.tensor([0, 3, 9])), 0, 1) for part in parts]
    assert torch.equal(batches[0].x, batches[1].x)
    assert not torch.equal(batches[0].x, parts[0].gather(torch.tensor([0, 3, 9])).x)


@pytest.mark.parametrize("task", ["reconstruct", "detect"])
def test_an_autoencoder_reads_nothing_past_an_end_be_it_infinite(task: str) -> None:
    schema = Schema(kind="series", shape=(3,), lengths=(2, 12), mean=(0.0,) * 3, std=(1.0,) * 3)
    family: Any = create(schema, AutoencoderSettings.resolve("sequence", task=task))
    networks = family.build(generator(0, "weights"))
    lengths = torch.tensor([2, 5, 9, 12])
    inside = (torch.arange(12) < lengths[:, None])[:, :, None]
    x = torch.where(inside, torch.randn(4, 12, 3, generator=generator(0, "x")), 0)
    clean = Batch(x, lengths, None, torch.arange(4))
    endless = replace(clean, x=torch.where(inside, x, torch.inf))
    with torch.no_grad():
        assert torch.equal(family.encode(networks, clean), family.encode(networks, endless))
        assert family.evaluate(networks, [clean]) == family.evaluate(networks, [endless])
        (phase,) = family.phases()
        losses = [phase.loss(networks, batch, generator(0, "loss")).total for batch in (clean, endless)]
    assert torch.equal(*losses)
