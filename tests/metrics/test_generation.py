"""Distances of clouds of features, against known Gaussians and plain loops."""

import pytest
import torch
from torch import Tensor

from fourfold.metrics import generation
from fourfold.metrics.generation import frechet, kernel_distance, nearest, precision_recall


def cloud(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(x: Tensor, mean: Tensor, cov: Tensor) -> Tensor:
    """x (n, d) brought to have exactly this mean and covariance."""
    centred = x - x.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(centred.T @ centred / (len(x) - 1)), centred.T, upper=False
    )
    brought: Tensor = (torch.linalg.cholesky(cov) @ white).T + mean
    return brought


def test_frechet_of_known_gaussians() -> None:
    """With covariances that commute it is |Δμ|² + Σ (σa - σb)² over their common axes."""
    turn = torch.linalg.qr(cloud(5, 5)).Q
    a, b = torch.tensor([1.0, 2, 3, 4, 5]).double(), torch.tensor([2.0, 2, 1, 9, 0.5]).double()
    mean = torch.tensor([0.0, 3, 0, 4, 0]).double()
    x = with_moments(cloud(60, 5, 1), torch.zeros(5).double(), turn * a**2 @ turn.T)
    y = with_moments(cloud(50, 5, 2), mean, turn * b**2 @ turn.T)
    assert frechet(x, y) == pytest.approx(25 + float((a - b).square().sum()))
    assert frechet(y, x) == pytest.approx(frechet(x, y))


def test_frechet_of_a_cloud_and_itself_is_nothing_even_if_it_is_flat() -> None:
    flat = cloud(30, 3) @ cloud(3, 40, 1)  # 40 features of rank 3, of 30 examples
    assert frechet(flat, flat) == pytest.approx(0, abs=1e-9)
    assert frechet(flat, flat + 0.5) == pytest.approx(40 * 0.25, rel=1e-9)
    assert frechet(flat, 2 * flat) == pytest.approx(float(flat.mean(0).square().sum() + flat.var(0).sum()), rel=1e-9)


def test_kernel_distance_is_the_sum_over_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "BLOCK", 30)  # some rows at a time
    a, b = cloud(9, 4), cloud(7, 4, 1) + 0.5

    def kernel(x: Tensor, y: Tensor) -> float:
        return (float(x @ y) / 4 + 1) ** 3

    aa = [kernel(a[i], a[j]) for i in range(9) for j in range(9) if i != j]
    bb = [kernel(b[i], b[j]) for i in range(7) for j in range(7) if i != j]
    ab = [kernel(x, y) for x in a for y in b]
    expected = sum(aa) / len(aa) + sum(bb) / len(bb) - 2 * sum(ab) / len(ab)
    assert kernel_distance(a, b) == pytest.approx(expected)


def test_kernel_distance_has_no_bias() -> None:
    """Of clouds of one kind it is as often below zero as above, however few there are."""
    found = torch.tensor([kernel_distance(cloud(20, 3, 2 * i), cloud(20, 3, 2 * i + 1)) for i in range(200)])
    assert abs(float(found.mean())) < 3 * float(found.std()) / 200**0.5
    assert kernel_distance(cloud(20, 3), cloud(20, 3, 1) + 1) > 10 * float(found.std())


@pytest.mark.parametrize("block", [50, 1 << 22])
def test_precision_and_recall_are_those_of_their_definition(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(generation, "BLOCK", block)
    real, made = cloud(40, 2), 0.5 * cloud(30, 2, 1) + 0.3

    def inside(points: Tensor, centres: Tensor) -> float:
        reach = [sorted(float((c - o).norm()) for o in centres)[3] for c in centres]
        hits = [any(float((p - c).norm()) <= r for c, r in zip(centres, reach, strict=True)) for p in points]
        return sum(hits) / len(hits)

    assert precision_recall(real, made) == pytest.approx((inside(made, real), inside(real, made)))


def test_one_good_picture_again_and_again_is_precise_and_recalls_nothing() -> None:
    real = cloud(300, 2)
    precision, recall = precision_recall(real, real[:1] + 1e-3 * cloud(300, 2, 1))
    assert precision == 1
    assert recall < 0.05
    assert precision_recall(real, real + 100) == (0, 0)
    assert precision_recall(real, real) == (1, 1)


def test_the_nearest_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "BLOCK", 50)
    points, others = cloud(10, 3), cloud(20, 3, 1)
    away, places = nearest(points, others)
    for point, distance, place in zip(points, away, places, strict=True):
        distances = (others - point).norm(dim=1)
        assert int(place) == int(distances.argmin())
        assert float(distance) == pytest.approx(float(distances.min()))
