"""The sources: each knows one way in which data lie on a disk, and reads it as `Content`.

A source offers `matches(path, request)`, which looks at names and at most at the head of a
table, and `read(path, request)`, which raises a `DataError` that names file and row. Here is
what they share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ..dataset import Content, Examples, Request
from ..finding import Finding
from ..formats.files import Listing, keep_readable
from ..formats.places import Place
from ..mapped import Mapped
from ..schema import Kind
from ..targets import answers, known_names


def check_kind(path: Place, kind: Kind, request: Request) -> None:
    """Raises: DataError if another kind is asked for than what lies at `path`."""
    if request.schema is not None and request.schema.kind != kind:
        raise DataError(f"{path}: this is {kind} data, but the model was trained on {request.schema.kind} data")
    if request.kind not in ("auto", kind):
        raise DataError(f"{path}: this is {kind} data, and --kind {request.kind} is asked for")


def wanted(kind: Kind, request: Request) -> bool:
    """Whether files of this kind are what is asked for; a model is told what it is asked about instead."""
    return request.schema is not None or request.kind in ("auto", kind)


@dataclass(frozen=True)
class Decoded:
    """Files of several splits, one after the other, as arrays.

    x: (n, …), zeros where a file cannot be used. failures: why, by place. digests: uint8
    (n, 16). lengths: int64 (n,), of what has some.
    """

    x: Tensor | Mapped
    failures: Mapping[int, str]
    digests: np.ndarray
    lengths: Tensor | None = None


def as_content(
    kind: Kind,
    found: Mapping[str, Listing],
    decoded: Decoded,
    request: Request,
    told: Sequence[Finding] = (),
    decided: Mapping[str, Any] | None = None,
) -> Content:
    """Files of each split and what was decoded of them as content, without those few that cannot be read."""
    classes = known_names(found["train"].labels, request)
    splits: dict[str, Examples] = {}
    remarks = list(told)
    start = 0
    for split, listing in found.items():
        stop = start + len(listing.files)
        own = {place - start: why for place, why in decoded.failures.items() if start <= place < stop}
        kept, remark = keep_readable(listing, own, request)
        remarks += [remark] if remark else []
        names = [str(file) for file in kept.files]
        rows = torch.tensor([place for place in range(start, stop) if place not in decoded.failures])
        x = decoded.x
        splits[split] = Examples(
            x=x.select(rows) if isinstance(x, Mapped) else x[rows] if own else x[start:stop],
            names=names,
            y=answers(kept.labels, classes, names, request.aim),
            lengths=None if decoded.lengths is None else decoded.lengths[rows],
            fields=kept.fields,
            digests=decoded.digests[rows.numpy()],
        )
        start = stop
    return Content(kind, splits, classes, decided=decided or {}, remarks=tuple(remarks))
