"""Nearly equal examples of two splits.

Nearly equal are examples whose root mean square difference, in standard deviations, is
at most a tolerance: pictures each after its own mean is taken off and its own deviation
is made 1, so that brightness and contrast do not count; series of the same length and
tables under the figures of the training split.

All pairs would take too long, so both searches first compare the lowest frequencies of
a discrete cosine transform. It is an orthonormal projection, so what is further apart
there than the tolerance is so altogether. Pictures meet where the signs of these 63
numbers, a perceptual hash (Zauner, 2010), differ in at most 7 bits, which is looked up
by the four quarters of the hash, one of which then differs in at most one bit (Norouzi,
Punjani and Fleet, 2012: multi-index hashing). Series and tables meet where the three
numbers that vary most, rounded to the tolerance, differ by at most one; that misses none.

Shapes: n examples, d values of one, k features, m pairs.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from ..content import BLOCK, blocks
from ..dataset import Examples
from ..schema import Schema, as_floats

Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
Features = NDArray[np.float32]
Distances = NDArray[np.float32]

VECTORS = 0.02  # standard deviations: the tolerance of series and tables
PICTURES = (0.15, 0.3)  # of pictures, least and greatest; see `tolerance`
HAMMING = 7  # bits of 63
LEAST = 6  # values: with fewer, examples are close by chance
SIDE = 8  # frequencies a direction
MOST = 1 << 27  # candidate pairs that one search looks at, some ten seconds
CHUNK = 1 << 16  # pairs
SLACK = 1.001  # for rounding


def own(part: Examples) -> Tensor:
    """What is no padding of series that differ in length, bool (n, time)."""
    assert part.lengths is not None
    return torch.arange(part.x.shape[1]) < part.lengths[:, None]


@dataclass(frozen=True)
class Sketch:
    """What the search for nearly equal examples knows of a split.

    x: pictures as they are, or standardised series and tables (n, d), zero past their own
    values. values: how many an example has, (n,). features: float32 (n, k), never further
    apart than the examples. usable: whether an example takes part, bool (n,); a picture of
    one colour has no contrast to compare.
    """

    x: Tensor
    values: Whole
    features: Features
    usable: Flags

    def rows(self, index: Whole) -> Tensor:
        """Standardised examples, float32 (m, d)."""
        rows = self.x[torch.from_numpy(index)]
        return _standardise(as_floats(rows)).flatten(1) if rows.dim() == 4 else rows


def sketches(parts: Sequence[Examples], schema: Schema) -> list[Sketch] | None:
    """A sketch of each part; None if examples have so few values that they are close by chance."""
    if schema.kind == "image":
        return [_sketch_pictures(part.loaded) for part in parts]
    width = max(part.x.shape[1] for part in parts)
    rows = [_vectors(part, schema, width) for part in parts]
    if schema.kind == "table":  # a column that never changes would only make the others count less
        low, high = (torch.stack([torch.aminmax(x, dim=0)[end] for x in rows]) for end in (0, 1))
        rows = [x[:, high.amax(0) > low.amin(0)] for x in rows]
    if rows[0].shape[1] < LEAST:
        return None
    return [_sketch_vectors(x, part, schema) for x, part in zip(rows, parts, strict=True)]


def _vectors(part: Examples, schema: Schema, width: int) -> Tensor:
    x = schema.prepare(part.loaded)
    if part.lengths is not None:
        x = torch.where(own(part)[:, :, None], x, 0)
    return pad(x, (0, 0, 0, width - x.shape[1])).flatten(1) if x.dim() == 3 else x


def _sketch_vectors(x: Tensor, part: Examples, schema: Schema) -> Sketch:
    values = np.full(len(x), x.shape[1]) if part.lengths is None else part.lengths.numpy() * schema.shape[0]
    features = torch.zeros(len(x), SIDE)
    for count in np.unique(values).tolist():
        own = torch.from_numpy(values == count)
        waves = _waves(count)
        features[own, : len(waves)] = x[own, :count] @ waves.T / math.sqrt(count)
    return Sketch(x, values, features.numpy(), values >= LEAST)


def _sketch_pictures(x: Tensor) -> Sketch:
    down, across = _waves(x.shape[2]), _waves(x.shape[3])
    features = torch.zeros(len(x), SIDE * SIDE - 1)
    usable = torch.zeros(len(x), dtype=torch.bool)
    for start, block in blocks(x):
        pictures = as_floats(block)
        usable[start : start + len(block)] = pictures.flatten(1).amax(1) > pictures.flatten(1).amin(1)
        grey = _standardise(pictures).mean(1)
        spectrum = (down @ grey @ across.T).flatten(1)[:, 1:] / math.sqrt(x.shape[2] * x.shape[3])
        features[start : start + len(block), : spectrum.shape[1]] = spectrum
    return Sketch(x, np.full(len(x), x[0].numel()), features.numpy(), usable.numpy())


def _standardise(x: Tensor) -> Tensor:
    """Pictures float (n, c, h, w), each with mean 0 and deviation 1."""
    x = x - x.mean((1, 2, 3), keepdim=True)
    return x / x.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-9)


def _waves(size: int) -> Tensor:
    """The lowest frequencies of the orthonormal cosine transform, float32 (at most SIDE, size)."""
    frequency = torch.arange(min(SIDE, size), dtype=torch.float64)[:, None]
    waves = torch.cos(math.pi * frequency * (torch.arange(size) + 0.5) / size) * math.sqrt(2 / size)
    waves[0] /= math.sqrt(2)
    return waves.float()


def tolerance(a: Sketch, b: Sketch, places_a: Whole, places_b: Whole) -> float:
    """How far apart, in standard deviations, nearly equal examples of two splits may be.

    Pictures that are alike by nature, such as written digits, are given less than
    photographs: three quarters of what parts the closest twentieth from their nearest
    neighbours, by the features of the first thousands. On MNIST that gives 0.15 and two
    pairs of thin ones; on 6,000 pictures of CIFAR-10 0.3 and two pairs, both real.
    """
    if a.x.dim() != 4:
        return VECTORS
    least, greatest = PICTURES
    some_a, some_b = torch.from_numpy(a.features[places_a[:4096]]), torch.from_numpy(b.features[places_b[:1024]])
    if not len(some_a) or not len(some_b):
        return least
    return min(max(least, 0.75 * float(torch.cdist(some_a, some_b).amin(0).quantile(0.05))), greatest)


@dataclass(frozen=True)
class Near:
    """Nearly equal examples of two splits: their places, and how far apart they are.

    crowded: how many were not compared with all that they resemble, there being too many.
    """

    first: Whole
    second: Whole
    distance: Distances
    tolerance: float
    crowded: int


def nearest(a: Sketch, b: Sketch, places_a: Whole, places_b: Whole) -> Near:
    """For each place of b the nearest of those of a, if one is nearly equal; the first of equally near ones.

    The result is in the order of places_b.
    """
    places_a, places_b = places_a[a.usable[places_a]], places_b[b.usable[places_b]]
    most = tolerance(a, b, places_a, places_b)
    best = np.full(len(places_b), np.inf, dtype=np.float32)
    partner = np.zeros(len(places_b), dtype=np.int64)
    crowded = np.zeros(len(places_b), dtype=bool)
    features = a.features[places_a], b.features[places_b]
    meetings = _alike(*features, crowded) if a.x.dim() == 4 else _neighbours(*features, most, crowded)
    for met_a, met_b in meetings:
        close = np.square(features[0][met_a] - features[1][met_b]).sum(1) <= (SLACK * most) ** 2
        close &= a.values[places_a[met_a]] == b.values[places_b[met_b]]
        i, j = met_a[close], met_b[close]
        _keep_best(best, partner, i, j, _distances(a, b, places_a[i], places_b[j]))
    found = best <= most
    return Near(places_a[partner[found]], places_b[found], best[found], most, int(crowded.sum()))


def _keep_best(best: Distances, partner: Whole, i: Whole, j: Whole, distance: Distances) -> None:
    """Put pairs (i, j) that are nearer than the `best` of j, or as near and earlier, into `best` and `partner`."""
    order = np.lexsort((i, distance, j))
    own, first = np.unique(j[order], return_index=True)
    i, distance = i[order][first], distance[order][first]
    nearer = (distance < best[own]) | ((distance == best[own]) & (i < partner[own]))
    best[own[nearer]], partner[own[nearer]] = distance[nearer], i[nearer]


def _distances(a: Sketch, b: Sketch, first: Whole, second: Whole) -> Distances:
    """Root mean square differences (m,) of pairs of examples that have equally many values."""
    distance = np.empty(len(first), dtype=np.float32)
    size = max(1, BLOCK // (4 * a.x[0].numel()))
    for start in range(0, len(first), size):
        piece = slice(start, start + size)
        squares = (a.rows(first[piece]) - b.rows(second[piece])).square().sum(1)
        distance[piece] = (squares / torch.from_numpy(a.values[first[piece]])).sqrt().numpy()
    return distance


def _alike(a: Features, b: Features, crowded: Flags) -> Iterator[tuple[Whole, Whole]]:
    """Pairs of pictures whose hashes differ in at most HAMMING bits; some come more than once."""
    hashes_a, hashes_b = _hashes(a), _hashes(b)
    quarters_a, quarters_b = (hashes.view(np.uint16).reshape(-1, 4).astype(np.int64) for hashes in (hashes_a, hashes_b))
    flips = [0, *(1 << bit for bit in range(16))]
    for quarter in range(4):
        sought = [quarters_b[:, quarter] ^ flip for flip in flips]
        for i, j in _meetings(quarters_a[:, quarter], sought, MOST // (4 * len(flips)), crowded):
            same = np.bitwise_count(hashes_a[i] ^ hashes_b[j]) <= HAMMING
            yield i[same], j[same]


def _hashes(features: Features) -> NDArray[np.uint64]:
    """Signs of 63 features as uint64 (n,); each quarter has frequencies from all over."""
    bits = np.zeros((len(features), 64), dtype=bool)
    bits[:, 1:] = features > 0
    mixed = bits.reshape(-1, 16, 4).transpose(0, 2, 1).reshape(-1, 64)
    return np.packbits(mixed, axis=1).view(np.uint64)[:, 0]


def _neighbours(a: Features, b: Features, tolerance: float, crowded: Flags) -> Iterator[tuple[Whole, Whole]]:
    """Pairs that differ by at most `tolerance` in each of three features, and some that differ by more."""
    widest = np.argsort(-np.concatenate([a, b]).std(0), kind="stable")[:3]
    base = 1 << 21
    weights = np.array([base**2, base, 1])

    def keys(features: Features) -> Whole:
        cells = np.floor(features[:, widest] / (SLACK * tolerance)).clip(-base // 4, base // 4)
        joined: Whole = cells.astype(np.int64) @ weights
        return joined

    keys_b = keys(b)
    sought = [keys_b + np.array(step) @ weights for step in itertools.product((-1, 0, 1), repeat=3)]
    return _meetings(keys(a), sought, MOST // len(sought), crowded)


def _meetings(keys: Whole, several: Sequence[Whole], most: int, crowded: Flags) -> Iterator[tuple[Whole, Whole]]:
    """Pairs (i, j) with keys[i] == sought[j], for each `sought` of several, in pieces of about CHUNK.

    Where one `sought` makes more than `most` pairs, those j that meet the most are left
    out and marked in `crowded`.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for sought in several:
        low = np.searchsorted(ordered, sought)
        count = np.searchsorted(ordered, sought, side="right") - low
        ascending = np.sort(count)
        afforded = int(np.searchsorted(np.cumsum(ascending), most, side="right"))
        if afforded < len(count):
            crowded |= count >= ascending[afforded]
            count[count >= ascending[afforded]] = 0
        ends = np.cumsum(count)
        start = 0
        while start < len(count):
            stop = int(np.searchsorted(ends, (ends[start - 1] if start else 0) + CHUNK, side="right"))
            stop = max(stop, start + 1)
            own = count[start:stop]
            within = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own, own)
            if len(within):
                yield order[np.repeat(low[start:stop], own) + within], np.repeat(np.arange(start, stop), own)
            start = stop
