"""The article's formulas, written with loops over plain Python numbers."""

import math
from collections.abc import Callable

Matrix = list[list[float]]


def convolution(x: Matrix, w: Matrix) -> Matrix:
    """y[i,j] = Σ_m Σ_n x[i+m, j+n] · w[m,n], where the kernel lies wholly inside."""
    k = len(w)
    return [
        [sum(x[i + m][j + n] * w[m][n] for m in range(k) for n in range(k)) for j in range(len(x[0]) - k + 1)]
        for i in range(len(x) - k + 1)
    ]


def max_pool(x: Matrix) -> Matrix:
    return [
        [max(x[2 * i + m][2 * j + n] for m in range(2) for n in range(2)) for j in range(len(x[0]) // 2)]
        for i in range(len(x) // 2)
    ]


def affine(w: Matrix, x: list[float], b: list[float]) -> list[float]:
    return [sum(w[i][j] * x[j] for j in range(len(x))) + b[i] for i in range(len(w))]


def recurrence(
    x: Matrix, w: Matrix, u: Matrix, b: list[float], v: Matrix, c: list[float], activation: Callable[[float], float]
) -> tuple[Matrix, Matrix]:
    """h_t = activation(W x_t + U h_{t-1} + b) and y_t = V h_t + c, for every t."""
    h = [0.0] * len(b)
    states, outputs = [], []
    for x_t in x:
        wx, uh = affine(w, x_t, b), affine(u, h, [0.0] * len(b))
        h = [activation(p + q) for p, q in zip(wx, uh, strict=True)]
        states.append(h)
        outputs.append(affine(v, h, c))
    return states, outputs


def relu(a: float) -> float:
    return max(a, 0.0)


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def softmax(a: list[float]) -> list[float]:
    powers = [math.exp(v - max(a)) for v in a]
    return [p / sum(powers) for p in powers]
