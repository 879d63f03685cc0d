"""The audit: what is here, and what is wrong with it, before anyone trains on it.

It computes on what is in memory, and its result turns into plain JSON. A fatal finding
makes what a test says worthless, a warning may, a note is worth knowing. The order in
which examples stand changes nothing but their places.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from ...runtime import one_thread
from ..content import known, sample
from ..dataset import UNTOLD, Dataset, Examples
from ..finding import Finding, Severity
from ..schema import Kind, Schema
from .duplicates import equal_findings, near_findings
from .findings import blank_findings, class_findings, constant_findings, group_findings, missing_findings
from .nearness import own
from .told import Spread, number_findings, spreads, tag_counts, tag_findings


@dataclass(frozen=True)
class Part:
    """A split in figures: its examples, and those, or the steps, of each class (None without labels)."""

    count: int
    classes: dict[str, int] | None
    tags: dict[str, int] | None = None  # examples with each tag


@dataclass(frozen=True)
class Audit:
    """What a data set holds, and the findings on it, the gravest first.

    lengths: the shortest, the median and the longest series, sound or text. low, high: the
    range of all values, as they are stored, None for texts. balance: the largest class of train over the smallest that
    has examples. constant: the share of columns, channels or pixels that never change in train. numbers: how each
    number that is to be learnt is spread, by name and split.
    """

    source: str
    kind: Kind
    shape: tuple[int, ...]
    splits: dict[str, Part]
    lengths: tuple[float, float, float] | None
    low: float | None
    high: float | None
    balance: float | None
    constant: float | None
    findings: tuple[Finding, ...]
    numbers: dict[str, dict[str, Spread]] = field(default_factory=dict)

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
    the data for that time; so do series and tables. One core is all that it takes: its many
    small steps would mostly wait for a second one, and without end where that is not free.
    """
    with one_thread():
        return _audit(dataset)


def _audit(dataset: Dataset) -> Audit:
    splits = {name: _part(part, dataset.schema) for name, part in dataset.splits.items()}
    classes = {name: part.classes for name, part in splits.items() if part.classes is not None}
    tags = {name: part.tags for name, part in splits.items() if part.tags is not None}
    present = [count for count in classes.get("train", {}).values() if count]
    low, high = _range(dataset)
    constant = None if dataset.schema.kind == "text" else _constant(dataset)
    findings = [
        *dataset.remarks,
        *equal_findings(dataset),
        *near_findings(dataset),
        *class_findings(classes),
        *tag_findings(tags),
        *number_findings(dataset),
        *group_findings(dataset),
        *blank_findings(dataset),
        *missing_findings(dataset),
        *(() if constant is None else constant_findings(dataset, constant)),
    ]
    return Audit(
        source=dataset.source,
        kind=dataset.schema.kind,
        shape=dataset.schema.shape,
        splits=splits,
        lengths=_lengths(dataset),
        low=low,
        high=high,
        balance=max(present) / min(present) if present else None,
        constant=None if constant is None else float(constant.double().mean()),
        findings=_by_severity(findings),
        numbers=spreads(dataset),
    )


def unfilled(found: Audit) -> Audit:
    """The audit of data that were read with --impute, for somebody who did not ask for that: training refuses them."""
    mend = "fill these values, remove their rows, or choose what stands there with --impute"
    findings = [
        replace(finding, severity="fatal", what="missing values", mend=mend)
        if finding.name in ("missing", "imputed")
        else finding
        for finding in found.findings
    ]
    return replace(found, findings=_by_severity(findings))


def brief(dataset: Dataset) -> tuple[Finding, ...]:
    """The findings that take no time: what the source told, equal examples, classes and groups."""
    every = dataset.splits
    counts = {name: _count(part, dataset.schema.classes).classes for name, part in every.items()}
    return _by_severity(
        [
            *dataset.remarks,
            *(equal_findings(dataset) if all(map(known, every.values())) else ()),
            *class_findings({name: classes for name, classes in counts.items() if classes is not None}),
            *number_findings(dataset),
            *group_findings(dataset),
        ]
    )


def in_memory(dataset: Dataset) -> Dataset:
    """The dataset for an audit: of each split that stays in a file, examples from all over it, and a word on that."""
    parts = {name: sample(part) for name, part in dataset.splits.items()}
    if all(len(part) == len(dataset.splits[name]) for name, part in parts.items()):
        return dataset
    counts = tuple(f"{name}: {len(part):,} of {len(dataset.splits[name]):,}" for name, part in parts.items())
    what = "splits too large for memory, of which evenly spaced examples were looked at"
    remark = Finding("note", "sampled", what, len(counts), counts, "know that rare faults may be missed")
    remarks = (*dataset.remarks, remark)
    train, validation, test = (parts.get(name) for name in ("train", "validation", "test"))
    assert train is not None
    return replace(dataset, train=train, validation=validation, test=test, remarks=remarks)


def _by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: get_args(Severity).index(finding.severity)))


def _part(part: Examples, schema: Schema) -> Part:
    return replace(_count(part, schema.classes), tags=tag_counts(part, schema.tags))


def _count(part: Examples, classes: Sequence[str] | None) -> Part:
    if part.y is None or classes is None:
        return Part(len(part), None)
    counts = torch.bincount(part.y[part.y != UNTOLD], minlength=len(classes)).tolist()
    return Part(len(part), dict(zip(classes, counts, strict=True)))


def _values(part: Examples) -> Tensor:
    """All values but the padding; those of series that have any come as (any, channels)."""
    return part.loaded if part.lengths is None else part.loaded[own(part)]


def _range(dataset: Dataset) -> tuple[float, float] | tuple[None, None]:
    """The least and the greatest of all values that are there."""
    if dataset.schema.kind == "text":
        return None, None
    every = [_values(part) for part in dataset.splits.values()]
    every = [x[~x.isnan()] if x.is_floating_point() else x for x in every]
    return min(float(x.min()) for x in every if x.numel()), max(float(x.max()) for x in every if x.numel())


def _lengths(dataset: Dataset) -> tuple[float, float, float] | None:
    if dataset.schema.kind not in ("series", "sound", "text"):
        return None
    parts = dataset.splits.values()
    every = np.concatenate([np.full(len(p), p.x.shape[1]) if p.lengths is None else p.lengths.numpy() for p in parts])
    return float(every.min()), float(np.median(every)), float(every.max())


def _constant(dataset: Dataset) -> Tensor:
    """Which columns, channels or pixels never change in train, bool (…)."""
    x = _values(dataset.train)
    if dataset.schema.kind in ("series", "sound"):
        x = x.flatten(0, -2)
    return x.amax(0) == x.amin(0)
