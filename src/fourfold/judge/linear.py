"""The plain model that a network has to beat: a linear one, on what the network was given.

Of classes multinomial logistic regression, of tags a logistic one each, of numbers ridge regression.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import (
    adaptive_avg_pool2d,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
    pad,
)

from ..data.dataset import Batch, Dataset, Examples
from ..data.feed import feed, in_order
from ..data.schema import Aim, Schema
from ..data.vocabulary import Vocabulary
from ..engine.evaluate import BATCH_SIZE
from ..runtime import one_thread
from .examples import evenly

SIDE = 32  # pixels; larger pictures are averaged down to it
WIDEST = 4096  # numbers of a series that are taken as they are
WORK = 10**8  # products of a pass over train: fewer examples are learnt from where it would be more
FEWEST = 1000  # of those examples
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of the squared weights, the strongest first
STEPS = 20  # for each penalty, from where the one before it ended
HELD = 5  # without a validation split every fifth example of train chooses
LOSSES: dict[Aim, Callable[[Tensor, Tensor], Tensor]] = {
    "classes": cross_entropy,
    "tags": binary_cross_entropy_with_logits,
    "numbers": mse_loss,
}


@dataclass(frozen=True)
class Linear:
    """A fitted model: described x · weights are logits, or standardised numbers."""

    kind: str  # what it sees, in words
    weights: Tensor
    centre: Tensor
    scale: float
    whole: int | None
    penalty: float
    learnt_from: int

    def log_probabilities(self, examples: Examples, schema: Schema) -> Tensor:
        """Log-probabilities (n, classes), float64."""
        return torch.log_softmax(self._outputs(examples, schema), dim=1)

    def tell(self, examples: Examples, schema: Schema) -> Tensor:
        """Probabilities (n, tags), or numbers (n, targets) in their own units, float64."""
        outputs = self._outputs(examples, schema)
        return outputs.sigmoid() if schema.aim == "tags" else schema.in_units(outputs)

    def _outputs(self, examples: Examples, schema: Schema) -> Tensor:
        x = _standardised(describe(examples, schema, self.whole), self.centre, self.scale)
        return (x @ self.weights).double()


def fit_linear(dataset: Dataset) -> Linear:
    """A linear model of train, its penalty chosen on validation; the same for the same data.

    L-BFGS on all examples at once (Liu and Nocedal, 1989), from the strongest penalty on,
    until a weaker one no longer helps.
    """
    schema, train = dataset.schema, dataset.train
    assert schema.names is not None
    whole = _whole(dataset)
    validation = dataset.validation
    if validation is None:
        places = torch.arange(len(train))
        validation = train.select(places[places % HELD == 0]) if len(train) >= HELD else train
        train = train.select(places[places % HELD != 0]) if len(train) >= HELD else train
    probe = describe(train.select(torch.arange(1)), schema, whole)
    width = schema.lengths[1] if probe.is_sparse and schema.lengths else probe.shape[1]
    most = max(WORK // (width * len(schema.names)), FEWEST)
    train = evenly(train, most)
    x = describe(train, schema, whole)
    centre, scale = _moments(x)
    x, held = _standardised(x, centre, scale), _standardised(describe(validation, schema, whole), centre, scale)
    with one_thread():  # so that the weights do not depend on how many there are
        weights, penalty = _path(x, _learnt(train, schema), held, _learnt(validation, schema), schema)
    return Linear(_words(schema, whole), weights, centre, scale, whole, penalty, len(train))


def _learnt(examples: Examples, schema: Schema) -> Tensor:
    """What the linear model learns of examples: classes, tags as they are, numbers standardised."""
    assert examples.y is not None
    return schema.standardise(examples.y) if schema.aim == "numbers" else examples.y


def _path(x: Tensor, y: Tensor, held: Tensor, held_y: Tensor, schema: Schema) -> tuple[Tensor, float]:
    """The weights and the penalty that do best on what is held out."""
    miss, outputs = LOSSES[schema.aim], len(schema.names or ())
    best, kept, weights = float("inf"), (torch.zeros(x.shape[1], outputs), PENALTIES[0]), None
    for penalty in PENALTIES:
        weights = _fit(x, y, miss, penalty, torch.zeros(x.shape[1], outputs) if weights is None else weights)
        loss = float(miss(held @ weights, held_y))
        if loss >= best:
            break
        best, kept = loss, (weights, penalty)
    return kept


def _fit(x: Tensor, y: Tensor, miss: Callable[[Tensor, Tensor], Tensor], penalty: float, start: Tensor) -> Tensor:
    """Weights (d, outputs) that minimise the mean loss and the penalty; the last row, a bias, is free."""
    weights = start.clone().requires_grad_()
    search = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        total = miss(x @ weights, y) + penalty / 2 * weights[:-1].square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    search.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()


def describe(examples: Examples, schema: Schema, whole: int | None) -> Tensor:
    """Examples as rows (n, d), float32, sparse for texts.

    Pictures by their pixels, tables by their columns, series of `whole` steps by all values,
    others by each channel's mean and deviation over time, texts by log(1 + count) of each
    piece, as a direction.
    """
    with torch.no_grad():
        split = feed(examples, schema, torch.device("cpu"))
        return torch.cat([_describe(batch, schema, whole) for batch in in_order(split, BATCH_SIZE)])


def _describe(batch: Batch, schema: Schema, whole: int | None) -> Tensor:
    if schema.vocabulary is not None:
        return _bags(batch, Vocabulary(schema.vocabulary).size)
    x = batch.x
    if schema.kind == "image":
        height, width = x.shape[2:]
        x = adaptive_avg_pool2d(x, (min(height, SIDE), min(width, SIDE))) if max(height, width) > SIDE else x
    elif schema.kind in ("series", "sound") and x.shape[1] != whole:
        lengths = torch.full((len(x), 1), x.shape[1]) if batch.lengths is None else batch.lengths[:, None]
        mean = x.sum(1) / lengths  # what stands in the padding is zero
        return torch.cat([mean, (x.square().sum(1) / lengths - mean.square()).clamp(min=0).sqrt()], dim=1)
    return x.flatten(1)


def _bags(batch: Batch, size: int) -> Tensor:
    n, t = batch.x.shape
    lengths = torch.full((n,), t) if batch.lengths is None else batch.lengths
    inside = torch.arange(t) < lengths[:, None]
    rows = torch.arange(n)[:, None].expand(n, t)[inside]
    counts = _sparse(torch.stack([rows, batch.x[inside].long()]), torch.ones(len(rows)), (n, size))
    places, logs = counts.indices(), counts.values().log1p()
    norms = torch.zeros(n).index_add(0, places[0], logs.square()).sqrt()
    return _sparse(places, logs / norms[places[0]], (n, size))


def _sparse(places: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A sparse matrix; values of the same place are added."""
    return torch.sparse_coo_tensor(places, values, shape, check_invariants=True).coalesce()


def _whole(dataset: Dataset) -> int | None:
    """The number of steps of every series, if they are alike and short enough to be taken as they are."""
    steps = dataset.train.x.shape[1] if dataset.schema.kind in ("series", "sound") else 0
    alike = all(part.lengths is None and part.x.shape[1] == steps for part in dataset.splits.values())
    return steps if steps and alike and steps * dataset.schema.shape[0] <= WIDEST else None


def _moments(x: Tensor) -> tuple[Tensor, float]:
    """The mean row, and the root of the mean squared length of what remains; of texts, which are directions, none."""
    if x.is_sparse:
        return torch.zeros(()), 1.0
    centre = x.mean(0)
    return centre, max(float((x - centre).square().sum(1).mean().sqrt()), 1e-12)


def _standardised(x: Tensor, centre: Tensor, scale: float) -> Tensor:
    """Rows of length about 1, with a last column of ones for the bias."""
    if x.is_sparse:
        n = len(x)
        ones = _sparse(torch.stack([torch.arange(n), torch.zeros(n).long()]), torch.ones(n), (n, 1))
        return torch.cat([x, ones], dim=1).coalesce()
    return pad((x - centre) / scale, (0, 1), value=1.0)


def _words(schema: Schema, whole: int | None) -> str:
    if schema.kind == "image":
        return "pixels" if max(schema.shape[1:]) <= SIDE else f"pixels, averaged down to {SIDE} a side"
    named = {"text": "counts of the pieces", "table": "columns"}
    unlike = "each channel's mean and deviation over time"
    return named.get(schema.kind, "all values" if whole else unlike)
