"""What a model tells of examples in figures: numbers, tags, or a class for every step; as arrays and as tables.

Shapes: n examples, t time, k classes or other names.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .data.dataset import Examples
from .data.feed import feed, in_order
from .data.gaps import word
from .data.schema import Schema
from .engine.evaluate import BATCH_SIZE, asking
from .families.contract import Labeller
from .metrics.tagging import HALF

Array = np.ndarray[Any, Any]


def tell_steps(family: Labeller, networks: Mapping[str, nn.Module], schema: Schema, examples: Examples) -> Tensor:
    """Probabilities (n, t, k) of the classes of every step, on the CPU; zeros past a series' own end."""
    device, steps = next(next(iter(networks.values())).parameters()).device, examples.x.shape[1]
    with asking(networks):
        said = [family.label(networks, batch).cpu() for batch in in_order(feed(examples, schema, device), BATCH_SIZE)]
    return torch.cat([pad(part, (0, 0, 0, steps - part.shape[1])) for part in said])


def told_table(schema: Schema, examples: Examples, told: Array) -> pl.DataFrame:
    """A row an input: a column for each number; of tags those that are likely, and the probability of each.

    Where steps have classes: a row a step.
    """
    if schema.aim == "labels":
        return step_table(schema, examples, told)
    names = list(examples.names)
    if schema.targets is not None:
        return pl.DataFrame({"input": names, **{name: told[:, i] for i, name in enumerate(schema.targets)}})
    assert schema.tags is not None
    likely = [[schema.tags[i] for i in np.flatnonzero(row >= HALF)] for row in told]
    shares = {f"p({name})": told[:, i] for i, name in enumerate(schema.tags)}
    return pl.DataFrame({"input": names, "tags": ["|".join(tags) for tags in likely], **shares})


def step_table(schema: Schema, examples: Examples, told: Array) -> pl.DataFrame:
    """A row a step, from (n, t, k): the input, the step from 1, its time if known, its likeliest class, how likely."""
    assert schema.classes is not None
    count, steps, _ = told.shape
    ends = np.full(count, steps) if examples.lengths is None else examples.lengths.numpy()
    inside = np.arange(steps) < ends[:, None]
    said = told[inside]
    columns: dict[str, Any] = {
        "input": np.repeat(np.array(examples.names, dtype=object), ends).tolist(),
        "step": (np.nonzero(inside)[1] + 1),
    }
    if examples.times is not None:
        columns[schema.reading.time or "time"] = [word(time) for times in examples.times for time in times]
    columns["prediction"] = [schema.classes[place] for place in said.argmax(1).tolist()]
    return pl.DataFrame(columns | {"probability": said.max(1)})
