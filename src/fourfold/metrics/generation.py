"""How far generated examples are from real ones, told from their features (n, d).

Two clouds of features are compared, whatever made them; figures of different features or
different counts must not be compared with each other. All is computed in float64.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 1 << 22  # distances held at a time


def frechet(a: Tensor, b: Tensor) -> float:
    """The squared Fréchet distance of the Gaussians with the moments of a (n, d) and b (m, d).

    |μa - μb|² + tr(A + B - 2 (A^½ B A^½)^½), with the covariances A and B over n - 1. The roots
    come from eigenvalues of symmetric matrices, so that features which hang on each other (a
    singular covariance) do no harm. Larger for fewer examples. (Dowson and Landau, 1982.)
    """
    a, b = a.double(), b.double()
    cov_a, cov_b = _covariance(a), _covariance(b)
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * _roots(values)) @ vectors.T
    cross = _roots(torch.linalg.eigvalsh(root @ cov_b @ root)).sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return max(float(apart + cov_a.trace() + cov_b.trace() - 2 * cross), 0.0)


def _roots(values: Tensor) -> Tensor:
    """The roots of eigenvalues, without those that are nothing but rounding: of them the root would be felt."""
    noise = values.abs().max() * len(values) * torch.finfo(values.dtype).eps
    return torch.where(values > noise, values, 0).sqrt()


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """The squared maximum mean discrepancy of a (n, d) and b (m, d), without bias: around 0 if they are alike.

    With the kernel (x·y/d + 1)³ of Bińkowski et al. (arXiv 1801.01401), over all pairs.
    """
    a, b = a.double(), b.double()
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _kernel(a.square().sum(1), a.shape[1]).sum()) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _kernel(b.square().sum(1), b.shape[1]).sum()) / (m * (m - 1))
    return float(within_a + within_b - 2 * _kernel_sum(a, b) / (n * m))


def _kernel(products: Tensor, size: int) -> Tensor:
    return (products / size + 1) ** 3


def _kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([_kernel(rows @ b.T, a.shape[1]).sum() for rows in _blocks(a, b)]).sum()


def precision_recall(real: Tensor, generated: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """How much of what is generated could be real, and how much of what is real could be generated.

    A point belongs to a cloud if it is no farther from one of its points than that one's k-th
    nearest neighbour in the cloud. real (n, d), generated (m, d), both of more than k points.
    Returns: precision and recall (Kynkäänniemi et al., arXiv 1904.06991).
    """
    real, generated = real.double(), generated.double()
    return _inside(generated, real, neighbours), _inside(real, generated, neighbours)


def _inside(points: Tensor, cloud: Tensor, neighbours: int) -> float:
    # One neighbour more is asked for, since each point is its own nearest one.
    near = [_distances(rows, cloud).kthvalue(neighbours + 1, dim=1).values for rows in _blocks(cloud, cloud)]
    reach = torch.cat(near)
    inside = [(_distances(rows, cloud) <= reach).any(dim=1) for rows in _blocks(points, cloud)]
    return float(torch.cat(inside).double().mean())


def nearest(points: Tensor, cloud: Tensor) -> tuple[Tensor, Tensor]:
    """Which of `cloud` (m, d) is nearest to each of `points` (n, d). Returns: distances (n,), places int64 (n,)."""
    points, cloud = points.double(), cloud.double()
    found = [_distances(rows, cloud).min(dim=1) for rows in _blocks(points, cloud)]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (n, m), by products: in float64 they lose nothing that matters, and are ten times as fast."""
    return torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist")


def _blocks(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """The rows of a, so many at a time that their distances to b fit."""
    yield from torch.split(a, max(BLOCK // len(b), 1))
