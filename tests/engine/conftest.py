"""A few digits, and quick ways to train on them again and again."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from fourfold.data.dataset import Dataset

from .training import FAMILIES, left, train


@pytest.fixture(scope="module")
def swift() -> Iterator[None]:
    """Threads that wait for each other, and for a disk, take longer than these trainings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def few(digits: Dataset) -> Dataset:
    """32 digits to train on, 20 to choose by."""
    assert digits.validation is not None
    parts = digits.train.select(torch.arange(32)), digits.validation.select(torch.arange(20))
    return replace(digits, train=parts[0], validation=parts[1], fingerprint="few")


@pytest.fixture(scope="module")
def undisturbed(few: Dataset, swift: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a training of each family leaves that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for family in FAMILIES:
        train(few, family, folder / family)
    return {family: left(folder / family) for family in FAMILIES}
