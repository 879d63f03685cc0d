"""One thing that an audit, or a source that reads files, has to tell."""

import re
from dataclasses import dataclass
from typing import Literal

Severity = Literal["fatal", "warning", "note"]

FEW = 5  # examples that a finding shows


@dataclass(frozen=True)
class Spot:
    """Where an example stands."""

    split: str
    index: int


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    name: what scripts look for. count: how many examples, classes or columns `what` is
    about. examples: the first few in words; places: where these stand, a group for each,
    if they are examples of the data.
    """

    severity: Severity
    name: str
    what: str
    count: int
    examples: tuple[str, ...]
    mend: str
    places: tuple[tuple[Spot, ...], ...] = ()


def natural(name: str) -> tuple[str, str]:
    """The key that sorts names by the numbers in them: row 9 before row 10."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(20), name), name
