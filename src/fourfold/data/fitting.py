"""What is fitted on the training split, and only there: the schema."""

import hashlib

import torch

from ..settings import DataSettings
from .content import blocks, digests, known, sample
from .dataset import Content, Examples
from .schema import Schema


def fit(content: Content, parts: dict[str, Examples], settings: DataSettings) -> tuple[Schema, dict[str, Examples]]:
    """The schema of some content, its figures fitted on the training split, and the splits under it."""
    train = parts["train"]
    mean = std = lengths = None
    if content.kind != "image":
        mean, std = moments(train)
    if content.kind == "series":
        every = train.lengths if train.lengths is not None else torch.tensor([train.x.shape[1]])
        lengths = (int(every.min()), int(every.max()))
    schema = Schema(
        kind=content.kind,
        shape=tuple(train.x.shape[1:]) if content.kind == "image" else (train.x.shape[-1],),
        lengths=lengths,
        classes=content.classes,
        columns=content.columns,
        mean=mean,
        std=std,
        reading=settings.reading.model_copy(update={"kind": content.kind, **content.decided}),
    )
    return schema, parts


def fingerprint(parts: dict[str, Examples]) -> str:
    """SHA-256 of the examples, labels and lengths of every split, in order.

    Of examples in a file whose content is not known the evenly spaced ones of `sample` count.
    """
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(f"{name} {tuple(part.x.shape)} {part.x.dtype}".encode())
        for content in digests(part if known(part) else sample(part)):
            digest.update(content)
        for tensor in (part.y, part.lengths):
            if tensor is not None:
                digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def moments(part: Examples) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel or column; the padded part of a series is not counted.

    A channel that never changes gets 1 as its deviation, so that it becomes 0 throughout.
    Of examples in a file as many as SEEN allows are looked at, evenly spaced.
    """
    part = sample(part)
    shift = part.x[0].reshape(-1, part.x.shape[-1])[0].double()  # so that the squares are of a size with the variance
    count, total, squares = 0, torch.zeros_like(shift), torch.zeros_like(shift)
    for start, block in blocks(part.x):
        values = block.double()
        if part.lengths is not None:
            values = values[torch.arange(block.shape[1]) < part.lengths[start : start + len(block), None]]
        values = values.reshape(-1, block.shape[-1]) - shift
        count, total, squares = count + len(values), total + values.sum(0), squares + values.square().sum(0)
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    std = torch.where(std > 1e-12, std, torch.ones_like(std))
    return tuple((mean + shift).tolist()), tuple(std.tolist())
