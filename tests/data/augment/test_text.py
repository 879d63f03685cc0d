"""Token dropout: by its rule, a fixed share, never a whole text, and padding neither matters nor changes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from fourfold.data.augment.text import DROP, drop
from fourfold.data.counter import uniform
from fourfold.data.vocabulary import UNKNOWN


def some(lengths: Tensor, time: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Texts of such lengths, int32 (n, time), with no unknown piece; where they are; and numbers for each piece."""
    random = torch.Generator().manual_seed(0)
    inside = torch.arange(time) < lengths[:, None]
    ids = torch.randint(2, 1000, inside.shape, generator=random, dtype=torch.int32)
    return torch.where(inside, ids, 0), inside, uniform(0, 0, torch.arange(len(lengths)), 14, time)


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8), seed=st.integers(0, 9), low=st.booleans())
def test_drop_is_that_of_the_plain_rule(lengths: list[int], seed: int, low: bool) -> None:
    ids, inside, _ = some(torch.tensor(lengths))
    u = torch.rand(ids.shape, generator=torch.Generator().manual_seed(seed))
    u = u * DROP if low else u  # so low that all would go
    found = drop(ids, inside, u)
    assert found.dtype == ids.dtype
    for row, length in enumerate(lengths):
        most = max(u[row, :length].tolist())
        for place in range(40):
            number = float(u[row, place])
            hidden = place < length and number < DROP and number < most
            assert found[row, place] == (UNKNOWN if hidden else ids[row, place])
        assert (found[row, :length] != UNKNOWN).any()


def test_the_share_is_as_stated() -> None:
    ids, inside, u = some(torch.full((500,), 200), 200)
    assert float((drop(ids, inside, u) == UNKNOWN).float().mean()) == pytest.approx(DROP, abs=0.003)


def test_a_text_of_one_piece_stays() -> None:
    ids, inside, u = some(torch.ones(500, dtype=torch.int64))
    assert torch.equal(drop(ids, inside, u), ids)


def test_padding_does_not_matter_nor_change() -> None:
    lengths = torch.tensor([40, 3, 1, 17, 40, 2])
    ids, inside, u = some(lengths)
    found = drop(ids, inside, u)
    assert torch.equal(found[~inside], ids[~inside])
    assert (found == UNKNOWN).any()
    wide = drop(pad(ids, (0, 25)), pad(inside, (0, 25)), uniform(0, 0, torch.arange(6), 14, 65))
    assert torch.equal(wide, pad(found, (0, 25)))


def test_nothing_given_is_changed() -> None:
    given_ids, inside, u = some(torch.full((20,), 40))
    before = given_ids.clone()
    drop(given_ids, inside, u)
    assert torch.equal(given_ids, before)
