"""What is fitted on the training split, and only there: the schema."""

import hashlib
from dataclasses import replace
from typing import Any

import torch

from ..settings import Reading
from .columns import fit_columns, recode
from .content import blocks, digests, known, sample
from .dataset import Content, Examples
from .finding import Finding
from .schema import Schema
from .targets import fit_answers
from .timeline import in_pieces
from .vocabulary import Vocabulary, encode_parts, fit_vocabulary

Parts = dict[str, Examples]

MARKED = 1 << 24  # bytes of a file that stand for all of it in a fingerprint


def fit(content: Content, parts: Parts, reading: Reading) -> tuple[Schema, Parts, tuple[Finding, ...]]:
    """The schema of some content, its figures fitted on the training split.

    Returns: also the splits under it, and what there is to tell.
    """
    remarks: tuple[Finding, ...] = ()
    if content.ordered and content.aim == "labels":  # one course is too few examples, however long it is
        parts = in_pieces(parts)
    match content.kind:
        case "image":
            figures: dict[str, Any] = {"shape": tuple(parts["train"].x.shape[1:])}
        case "table":
            figures, parts = _fit_table(content, parts, reading)
        case "text":
            figures, parts, remarks = _fit_texts(parts, reading)
        case "series" | "sound":
            figures = _fit_series(parts["train"])
    schema = Schema(
        kind=content.kind,
        columns=content.columns,
        reading=reading.model_copy(update={"kind": content.kind, **content.decided}),
        **fit_answers(content.aim, content.classes, parts["train"].y),
        **figures,
    )
    return schema, parts, remarks


def _fit_table(content: Content, parts: Parts, reading: Reading) -> tuple[dict[str, Any], Parts]:
    # Arrays may be too large for memory; a table of columns is not, and each of its rows may hold another category.
    x = parts["train"].loaded if content.columns else sample(parts["train"]).loaded
    columns = content.columns or tuple(map(str, range(x.shape[1])))
    found = fit_columns(x, columns, content.levels, reading.impute)
    figures = {
        "shape": (len(found.mean),),
        "levels": found.levels,
        "fill": found.fill,
        "mean": found.mean,
        "std": found.std,
    }
    if found.levels == content.levels:
        return figures, parts
    return figures, {
        name: replace(part, x=recode(part.loaded, columns, content.levels, found.levels))
        for name, part in parts.items()
    }


def _fit_texts(parts: Parts, reading: Reading) -> tuple[dict[str, Any], Parts, tuple[Finding, ...]]:
    texts = parts["train"].texts
    assert texts is not None
    vocabulary = fit_vocabulary(texts, reading)
    encoded, cut = encode_parts(parts, Vocabulary(vocabulary), reading.longest)
    figures = {"shape": (), "vocabulary": vocabulary, "lengths": _lengths(encoded["train"])}
    return figures, encoded, (cut,) if cut else ()


def _fit_series(train: Examples) -> dict[str, Any]:
    mean, std = moments(train)
    return {"shape": (train.x.shape[-1],), "lengths": _lengths(train), "mean": mean, "std": std}


def _lengths(train: Examples) -> tuple[int, int]:
    """The shortest and the longest."""
    every = torch.tensor([train.x.shape[1]]) if train.lengths is None else train.lengths
    return int(every.min()), int(every.max())


def moments(part: Examples) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel; the padded part of a series is not counted.

    A channel that never changes gets 1 as its deviation, so that it becomes 0 throughout.
    Of examples in a file those of `sample` count.
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


def fingerprint(parts: Parts) -> str:
    """SHA-256 of the examples, labels and lengths of every split, in order.

    Of examples in a file whose content is not known the evenly spaced ones of `sample` count.
    """
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(f"{name} {tuple(part.x.shape)} {part.x.dtype}".encode())
        for content in digests(part if known(part) else sample(part, MARKED)):
            digest.update(content)
        for tensor in (part.y, part.lengths):
            if tensor is not None:
                digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
