"""Principal components, against the singular value decomposition of all examples."""

import pytest
import torch

from fourfold.data.dataset import Dataset
from fourfold.judge import principal
from fourfold.judge.examples import evenly, prepared
from fourfold.judge.principal import fit_principal
from fourfold.metrics.reconstruction import error_per_example


def test_nothing_of_that_size_gives_back_more(digits: Dataset) -> None:
    x = prepared(digits.train, digits.schema).flatten(1).double()
    mean = x.mean(0)
    directions = torch.linalg.svd(x - mean, full_matrices=False).Vh[:16].T
    best = float(((x - mean) @ directions @ directions.T + mean - x).square().mean())
    fitted = fit_principal(digits.train, digits.schema, 16)
    back = fitted.reconstruct(prepared(digits.train, digits.schema))
    assert back.shape == (400, 1, 28, 28)
    error = float(error_per_example(prepared(digits.train, digits.schema), back).mean())
    assert error == pytest.approx(best, rel=1e-3)
    torch.testing.assert_close(fitted.directions.T @ fitted.directions, torch.eye(16), atol=1e-5, rtol=0)


def test_as_many_components_as_there_are_give_all_back(digits: Dataset) -> None:
    few = evenly(digits.train, 20)
    x = prepared(few, digits.schema)
    fitted = fit_principal(few, digits.schema, 500)
    assert fitted.directions.shape == (784, 20)
    torch.testing.assert_close(fitted.reconstruct(x), x, atol=1e-4, rtol=0)


def test_more_of_them_give_back_more_and_the_same_again(digits: Dataset) -> None:
    x = prepared(digits.train, digits.schema)
    fits = [fit_principal(digits.train, digits.schema, size) for size in (1, 4, 16, 16)]
    errors = [float(error_per_example(x, fit.reconstruct(x)).mean()) for fit in fits]
    assert errors[0] > errors[1] > errors[2] == errors[3]


def test_large_data_are_learnt_from_in_part(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(principal, "HELD", 100 * 784)
    assert fit_principal(digits.train, digits.schema, 8).learnt_from == 100


def test_evenly_takes_from_all_over(digits: Dataset) -> None:
    chosen = evenly(digits.train, 7)
    assert list(chosen.names) == [digits.train.names[400 * i // 7] for i in range(7)]
    assert evenly(digits.train, 400) is digits.train
