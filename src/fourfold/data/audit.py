"""The audit: what is here, and what is wrong with it, before anyone trains on it.

It computes on what is in memory, and its result turns into plain JSON. A fatal finding
makes what a test says worthless, a warning may, a note is worth knowing. The order in
which examples stand changes nothing but their places.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from .dataset import Dataset, Examples
from .duplicates import duplicate_findings
from .findings import Finding, Severity, blank_findings, class_findings, constant_findings, group_findings
from .nearness import own
from .schema import Kind


@dataclass(frozen=True)
class Part:
    """A split in figures: its examples, and those of each class (None without labels)."""

    count: int
    classes: dict[str, int] | None


@dataclass(frozen=True)
class Audit:
    """What a data set holds, and the findings on it, the gravest first.

    lengths: the shortest, the median and the longest series. low, high: the range of all
    values, as they are stored. balance: the largest class of train over the smallest that
    has examples. constant: the share of columns, channels or pixels that never change in train.
    """

    source: str
    kind: Kind
    shape: tuple[int, ...]
    splits: dict[str, Part]
    lengths: tuple[float, float, float] | None
    low: float
    high: float
    balance: float | None
    constant: float
    findings: tuple[Finding, ...]

    @property
    def fatal(self) -> bool:
        """Whether a finding is fatal."""
        return any(finding.severity == "fatal" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The audit as plain JSON."""
        return asdict(self) | {"fatal": self.fatal}


def audit(dataset: Dataset) -> Audit:
    """What `dataset` holds and what is wrong with it.

    The 70,000 pictures of MNIST take three seconds on one core, and twice the memory of
    the data for that time; so do series and tables.
    """
    splits = {name: _count(part, dataset.schema.classes) for name, part in dataset.splits.items()}
    classes = {name: part.classes for name, part in splits.items() if part.classes is not None}
    present = [count for count in classes.get("train", {}).values() if count]
    ranges = [(float(x.min()), float(x.max())) for x in map(_values, dataset.splits.values())]
    constant = _constant(dataset)
    findings = [
        *duplicate_findings(dataset),
        *class_findings(classes),
        *group_findings(dataset),
        *blank_findings(dataset),
        *constant_findings(dataset, constant),
    ]
    return Audit(
        source=dataset.source,
        kind=dataset.schema.kind,
        shape=dataset.schema.shape,
        splits=splits,
        lengths=_lengths(dataset),
        low=min(low for low, _ in ranges),
        high=max(high for _, high in ranges),
        balance=max(present) / min(present) if present else None,
        constant=float(constant.double().mean()),
        findings=tuple(sorted(findings, key=lambda finding: get_args(Severity).index(finding.severity))),
    )


def _count(part: Examples, classes: Sequence[str] | None) -> Part:
    if part.y is None or classes is None:
        return Part(len(part), None)
    counts = torch.bincount(part.y, minlength=len(classes)).tolist()
    return Part(len(part), dict(zip(classes, counts, strict=True)))


def _values(part: Examples) -> Tensor:
    """All values but the padding; those of series that have any come as (any, channels)."""
    return part.x if part.lengths is None else part.x[own(part)]


def _lengths(dataset: Dataset) -> tuple[float, float, float] | None:
    if dataset.schema.kind != "series":
        return None
    parts = dataset.splits.values()
    every = np.concatenate([np.full(len(p), p.x.shape[1]) if p.lengths is None else p.lengths.numpy() for p in parts])
    return float(every.min()), float(np.median(every)), float(every.max())


def _constant(dataset: Dataset) -> Tensor:
    """Which columns, channels or pixels never change in train, bool (…)."""
    x = _values(dataset.train)
    if dataset.schema.kind == "series":
        x = x.flatten(0, -2)
    return x.amax(0) == x.amin(0)
