"""Augmentation as a whole: what an example's changes depend on, what stays as it was, what is refused."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from fourfold.data.augment import DEFAULTS, NAMES, STREAMS, Augmentation, asked, default_names
from fourfold.data.dataset import Batch
from fourfold.data.schema import Schema
from fourfold.errors import UsageError

CLASSES = ("oak", "ash", "elm", "fir")
MIXING = ("mixup", "cutmix")
COLOUR = Schema(kind="image", shape=(3, 12, 10), classes=CLASSES)
GREY = Schema(kind="image", shape=(1, 12, 10))
SERIES = Schema(kind="series", shape=(3,))
TABLE = Schema(kind="table", shape=(3,))

Case = tuple[Schema, tuple[str, ...]]

ALONE: list[Case] = [(COLOUR, (name,)) for name in NAMES["image"] if name not in MIXING]
ALONE += [(GREY, ("colour",)), (COLOUR, tuple(name for name in NAMES["image"] if name not in MIXING))]
ALONE += [(SERIES, (name,)) for name in NAMES["series"]] + [(SERIES, NAMES["series"])]
ALL: list[Case] = [*ALONE, *((COLOUR, (name,)) for name in MIXING), (COLOUR, MIXING), (COLOUR, NAMES["image"])]


def of(schema: Schema, size: int = 8) -> Batch:
    """Some examples, each unlike the others; the series differ in length."""
    random = torch.Generator().manual_seed(0)
    index = torch.randperm(1000, generator=random)[:size]
    y = torch.arange(size) % len(CLASSES)
    if schema.kind == "image":
        return Batch(torch.rand(size, *schema.shape, generator=random), None, y, index)
    lengths = torch.tensor([30, 7, 1, 12, 30, 2, 25, 19]).repeat(size)[:size]
    x = torch.randn(size, 30, *schema.shape, generator=random)
    return Batch(torch.where(torch.arange(30)[:, None] < lengths[:, None, None], x, 0), lengths, y, index)


def select(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some rows of a batch, padded no further than they need."""
    assert batch.y is not None
    lengths = None if batch.lengths is None else batch.lengths[list(rows)]
    x = batch.x[list(rows)]
    x = x if lengths is None else x[:, : int(lengths.max())]
    return Batch(x, lengths, batch.y[list(rows)], batch.index[list(rows)])


@pytest.mark.parametrize(("schema", "names"), ALONE)
def test_place_and_companions_change_nothing(schema: Schema, names: tuple[str, ...]) -> None:
    batch, augmentation = of(schema), Augmentation(names, schema)
    whole = augmentation.apply(batch, 5, 77).x
    for rows in ([row] for row in range(8)):
        one = augmentation.apply(select(batch, rows), 5, 77).x
        torch.testing.assert_close(one[0], whole[rows[0], : one.shape[1]])
    turned = augmentation.apply(select(batch, range(7, -1, -1)), 5, 77).x
    torch.testing.assert_close(turned, whole.flip(0))


@pytest.mark.parametrize("names", [("mixup",), ("cutmix",), MIXING, NAMES["image"]])
def test_mixing_looks_at_the_example_before(names: tuple[str, ...]) -> None:
    batch, augmentation = of(COLOUR), Augmentation(names, COLOUR)
    whole = augmentation.apply(batch, 5, 77)
    pair = augmentation.apply(select(batch, [2, 3]), 5, 77)
    assert whole.y is not None
    assert pair.y is not None
    torch.testing.assert_close(pair.x[1], whole.x[3])
    torch.testing.assert_close(pair.y[1], whole.y[3])


@pytest.mark.parametrize(("schema", "names"), ALL)
def test_seed_and_step_decide(schema: Schema, names: tuple[str, ...]) -> None:
    batch, augmentation = of(schema), Augmentation(names, schema)
    first, again = (augmentation.apply(batch, 5, 77).x for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(Augmentation(names[::-1], schema).apply(batch, 5, 77).x, first)
    assert not torch.equal(first, batch.x)
    assert not torch.equal(augmentation.apply(batch, 5, 78).x, first)
    assert not torch.equal(augmentation.apply(batch, 6, 77).x, first)
    elsewhere = replace(batch, index=batch.index + 1)
    assert not torch.equal(augmentation.apply(elsewhere, 5, 77).x, first)


@pytest.mark.parametrize(("schema", "names"), ALL)
def test_all_else_stays_as_it_was(schema: Schema, names: tuple[str, ...]) -> None:
    batch = of(schema)
    before = batch.x.clone()
    made = Augmentation(names, schema).apply(batch, 5, 77)
    assert torch.equal(batch.x, before)
    assert made.x.shape == batch.x.shape
    assert made.x.dtype == torch.float32
    assert made.index is batch.index
    assert made.lengths is batch.lengths
    if schema.kind == "image":
        assert made.x.min() >= 0
        assert made.x.max() <= 1
    if not set(names) & set(MIXING):
        assert made.y is batch.y


def test_an_operation_does_the_same_whatever_else_is_done() -> None:
    white = replace(of(COLOUR), x=torch.ones(8, 3, 12, 10))
    alone = Augmentation(("cutout",), COLOUR).apply(white, 1, 2).x
    among = Augmentation(("flip", "colour", "cutout"), COLOUR).apply(white, 1, 2).x
    assert torch.equal(alone == 0, among == 0)
    assert set(STREAMS) >= {name for names in NAMES.values() for name in names}
    assert len(set(STREAMS.values())) == len(STREAMS)


def test_nothing_asked_nothing_done() -> None:
    for schema in (COLOUR, SERIES, TABLE):
        batch = of(schema)
        assert Augmentation((), schema).apply(batch, 0, 0) is batch


@pytest.mark.parametrize(("schema", "names"), ALL)
def test_nothing_waits_for_the_device(schema: Schema, names: tuple[str, ...]) -> None:
    batch = of(schema)
    assert batch.y is not None
    lengths = None if batch.lengths is None else batch.lengths.to("meta")
    # Tensors on this device have no values: to read one is an error.
    there = Batch(batch.x.to("meta"), lengths, batch.y.to("meta"), batch.index.to("meta"))
    made = Augmentation(names, schema).apply(there, 5, 77)
    assert made.x.is_meta
    assert made.x.shape == batch.x.shape


@pytest.mark.parametrize(
    ("names", "schema", "message"),
    [
        (["cutot"], COLOUR, "augment = 'cutot': unknown; did you mean 'cutout'"),
        (["flip", "rainbow"], COLOUR, "augment = 'rainbow': unknown; valid: colour, crop, cutmix"),
        (["jitter"], COLOUR, "'jitter': it is for series, and these are pictures; valid: "),
        (["scale"], SERIES, "'scale': it is for pictures, and these are series; did you mean 'scaling'"),
        (["flip"], TABLE, "'flip': there is no augmentation of rows of a table; leave it out"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_its_mend(names: list[str], schema: Schema, message: str) -> None:
    with pytest.raises(UsageError) as error:
        Augmentation(names, schema)
    assert message in str(error.value)


def test_defaults_suit_their_data() -> None:
    assert default_names(GREY) == DEFAULTS["image"]
    assert default_names(COLOUR) == ("flip", *DEFAULTS["image"])
    assert "flip" not in DEFAULTS["image"]
    for schema in (GREY, COLOUR, SERIES, TABLE):
        assert Augmentation(default_names(schema), schema).names == set(default_names(schema))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("none", ()),
        ("default", default_names(COLOUR)),
        ("flip", ("flip",)),
        ("rotate, cutout", ("rotate", "cutout")),
        ("default,cutout", (*default_names(COLOUR), "cutout")),
        ("flip,", ("flip", "")),
    ],
)
def test_a_setting_spells_names(text: str, names: tuple[str, ...]) -> None:
    assert asked(text, COLOUR) == names


@pytest.mark.parametrize(
    ("text", "message"), [("defaults", "did you mean 'default'"), ("flip,", "'': unknown; valid: ")]
)
def test_a_setting_that_spells_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Augmentation(asked(text, COLOUR), COLOUR)
