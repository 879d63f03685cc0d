"""Augmentation: each time an example is trained on, it is a little different.

Whole batches at once, on the device. What happens to an example is a function of (seed,
step, index): neither its place in the batch nor its companions matter, and a resumed run
sees the same. Mixup and cutmix alone look at a companion, the example before it in the
batch (the last one for the first), which a shuffled order makes a random one.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ...errors import UsageError, nearest
from ..counter import normal, uniform
from ..dataset import Batch
from ..schema import THINGS, Kind, Schema
from . import pictures, series
from .text import drop

Draw = Callable[[int, int], Tensor]  # from a stream and a count: random numbers (n, count)

# What can be asked for, in the order in which it is done, whatever the order of asking.
NAMES: dict[Kind, tuple[str, ...]] = {
    "image": (*pictures.GEOMETRY, "colour", "cutout", "mixup", "cutmix"),
    "series": ("warp", "scaling", "jitter", "mask"),
    "sound": ("warp", "voice", "jitter", "mask", "bands"),
    "text": ("drop",),
    "table": (),
}

# Only what is safe to do to data that nobody has looked at. Left out: flip (but see `default_names`);
# colour (ripe or unripe); crop and cutout, mask and warp (a small part, or the time that it takes,
# may be what tells the class); mixup and cutmix (they make a network's probabilities less sure).
# Sounds are masked all the same, since what they tell lies in many frames and bands (SpecAugment, arXiv 1904.08779),
# and get other voices: new ones are what most of them are asked about (not where the class is who speaks, or a pitch).
DEFAULTS: dict[Kind, tuple[str, ...]] = {
    "image": ("scale", "rotate", "translate"),
    "series": ("scaling", "jitter"),
    "sound": ("voice", "mask", "bands"),
    "text": ("drop",),
    "table": (),
}

# Of unlabelled examples the network says what they are in a view that shows nearly all (of what is asked for
# FixMatch's, arXiv 2001.07685), and learns it in one that takes something away, which the defaults do not.
WEAK = ("flip", "translate")
STRONGER: dict[Kind, tuple[str, ...]] = {
    "image": ("cutout",),
    "series": ("mask",),
    "sound": ("bands",),
    "text": (),
    "table": (),
}

# Every operation has a stream of its own, so that it does the same whatever else is asked for.
# The numbers are part of what a seed means: a new operation takes the next one.
STREAMS = {
    "flip": 0,
    "crop": 1,
    "scale": 2,
    "rotate": 3,
    "translate": 4,
    "colour": 5,
    "cutout": 6,
    "mixup": 7,
    "cutmix": 8,
    "mixup or cutmix": 9,
    "warp": 10,
    "scaling": 11,
    "jitter": 12,
    "mask": 13,
    "drop": 14,
    "bands": 15,
    "voice": 16,
}


def default_names(schema: Schema) -> tuple[str, ...]:
    """The augmentations that suit data of this kind; colour pictures are flipped as well.

    Those are mostly photographs, whose mirror images are photographs; grey ones may be
    digits or text, whose mirror images are not.
    """
    flip = ("flip",) if schema.kind == "image" and schema.shape[0] == 3 else ()
    return flip + DEFAULTS[schema.kind]


def asked(text: str, schema: Schema) -> tuple[str, ...]:
    """The names that a setting spells: "none", or names parted by commas, "default" standing for `default_names`."""
    if text.strip() == "none":
        return ()
    names: list[str] = []
    for word in text.split(","):
        names += default_names(schema) if word.strip() == "default" else [word.strip()]
    return tuple(names)


class Augmentation:
    """Some augmentations of one kind of data, in any order.

    Raises: UsageError, with the nearest valid name, for a name that is unknown or is of
    another kind of data.
    """

    def __init__(self, names: Iterable[str], schema: Schema) -> None:
        self.names = frozenset(names)
        self.kind = schema.kind
        self.classes = len(schema.classes or ())
        for name in sorted(self.names):
            _require(name, self.kind)

    @torch.no_grad()
    def apply(self, batch: Batch, seed: int, step: int) -> Batch:
        """The batch as step `step` sees it; the one given stays as it is.

        Mixup and cutmix turn y, if there is one, into probabilities, float32 (n, classes), and
        mix numbers and tags as they are; all else leaves it as it is. Nothing here waits for the device.
        """
        if not self.names:
            return batch
        if self.kind in ("series", "sound"):
            return replace(batch, x=self._vary_series(batch, seed, step))
        if self.kind == "text":
            inside, _ = _inside(batch)
            pieces = uniform(seed, step, batch.index, STREAMS["drop"], batch.x.shape[1])
            return replace(batch, x=drop(batch.x, inside, pieces))
        draw = partial(uniform, seed, step, batch.index)
        x = self._vary_pictures(batch.x, draw)
        if not self.names & {"mixup", "cutmix"}:
            return replace(batch, x=x)
        labels = batch.y
        if labels is not None and not labels.is_floating_point():
            labels = (labels[:, None] == torch.arange(self.classes, device=x.device)).float()
        x, y = pictures.mix(x, labels, self._weight(draw, *x.shape[2:]))
        return replace(batch, x=x, y=y)

    def _vary_pictures(self, x: Tensor, draw: Draw) -> Tensor:
        moves = [
            move(draw(STREAMS[name], 4), *x.shape[2:]) for name, move in pictures.GEOMETRY.items() if name in self.names
        ]
        if moves:
            x = pictures.resample(x, *moves)
        if "colour" in self.names:
            x = pictures.recolour(x, draw(STREAMS["colour"], 3))
        if "cutout" in self.names:
            x = pictures.cut_out(x, draw(STREAMS["cutout"], 2))
        return x

    def _weight(self, draw: Draw, height: int, width: int) -> Tensor:
        """The weight of each picture's own pixels, (n, 1, h, w); if both ways are asked for, a coin decides."""
        if "cutmix" not in self.names:
            return pictures.mixup_weight(draw(STREAMS["mixup"], 1), height, width)
        boxed = pictures.cutmix_weight(draw(STREAMS["cutmix"], 3), height, width)
        if "mixup" not in self.names:
            return boxed
        even = pictures.mixup_weight(draw(STREAMS["mixup"], 1), height, width)
        coin = draw(STREAMS["mixup or cutmix"], 1)[:, :, None, None]
        return torch.where(coin < 0.5, even, boxed)

    def _vary_series(self, batch: Batch, seed: int, step: int) -> Tensor:
        x = batch.x
        time, channels = x.shape[1:]
        inside, lengths = _inside(batch)
        inside = inside[:, :, None]
        draw: Draw = partial(uniform, seed, step, batch.index)
        draw_normal: Draw = partial(normal, seed, step, batch.index)
        if "warp" in self.names:
            x = series.warp(x, inside, lengths, draw(STREAMS["warp"], series.WAVES))
        if "voice" in self.names:
            x = series.voice(x, inside, draw(STREAMS["voice"], 1))
        if "scaling" in self.names:
            x = series.scaling(x, inside, draw_normal(STREAMS["scaling"], channels))
        if "jitter" in self.names:
            x = series.jitter(x, inside, draw_normal(STREAMS["jitter"], time * channels))
        if "mask" in self.names:
            x = series.mask(x, inside, lengths, draw(STREAMS["mask"], 2))
        if "bands" in self.names:
            x = series.mask_bands(x, inside, draw(STREAMS["bands"], 2))
        return x


def views(text: str, schema: Schema) -> tuple[Augmentation, Augmentation]:
    """The weak and the strong view of unlabelled examples, under the setting that `asked` reads; none is mixed."""
    names = set(asked(text, schema)) - {"mixup", "cutmix"}
    strong = names | set(DEFAULTS[schema.kind]) | set(STRONGER[schema.kind])
    return Augmentation(names & set(WEAK), schema), Augmentation(strong, schema)


def _inside(batch: Batch) -> tuple[Tensor, Tensor]:
    """What comes before the end of each series or text, bool (n, t), and their lengths, float (n, 1)."""
    time = batch.x.shape[1]
    lengths = torch.full_like(batch.index, time) if batch.lengths is None else batch.lengths
    lengths = lengths[:, None].float()
    return torch.arange(time, device=batch.x.device) < lengths, lengths


def _require(name: str, kind: Kind) -> None:
    valid = NAMES[kind]
    if name in valid:
        return
    if not valid:
        raise UsageError(f"augment = {name!r}: there is no augmentation of {THINGS[kind]}; leave it out")
    others = [THINGS[other] for other, names in NAMES.items() if name in names]
    problem = f"it is for {others[0]}, and these are {THINGS[kind]}" if others else "unknown"
    raise UsageError(f"augment = {name!r}: {problem}; {nearest(name, [*valid, 'default', 'none'])}")
