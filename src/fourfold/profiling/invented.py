"""Random examples under a schema: what stands for data that cannot be opened where only the cost of a step is asked."""

import torch
from torch import Tensor

from ..data.dataset import UNTOLD, Examples
from ..data.schema import Schema
from ..data.vocabulary import Vocabulary


def invented(schema: Schema, count: int, random: torch.Generator) -> Examples:
    """So many random examples of the kind, shape, lengths and answers that the schema tells.

    As a source would bring them: pictures as bytes, categories as places of their levels.
    """
    lengths = None
    if schema.lengths is not None:
        shortest, longest = schema.lengths
        lengths = torch.randint(shortest, longest + 1, (count,), generator=random)
        lengths[0] = longest  # as in the training data, one of them is
    y = None
    if schema.classes is not None:
        steps = (schema.lengths[1],) if schema.stepwise and schema.lengths else ()
        y = torch.randint(0, len(schema.classes), (count, *steps), generator=random)
        if lengths is not None and steps:
            y = y.masked_fill(torch.arange(steps[0]) >= lengths[:, None], UNTOLD)
    elif schema.names is not None:
        y = torch.randint(0, 2, (count, len(schema.names)), generator=random).float()
    return Examples(_x(schema, count, random), [f"random {i}" for i in range(count)], y, lengths)


def _x(schema: Schema, count: int, random: torch.Generator) -> Tensor:
    steps = () if schema.lengths is None else (schema.lengths[1],)
    if schema.kind == "image":
        return torch.randint(0, 256, (count, *schema.shape), generator=random, dtype=torch.uint8)
    if schema.vocabulary is not None:
        size = Vocabulary(schema.vocabulary).size
        return torch.randint(0, size, (count, *steps), generator=random, dtype=torch.int32)
    if schema.columns is None:
        return torch.randn(count, *steps, *schema.shape, generator=random)
    columns = [
        torch.randint(0, len(schema.levels[name]), (count,), generator=random).float()
        if name in schema.levels
        else torch.randn(count, generator=random)
        for name in schema.columns
    ]
    return torch.stack(columns, dim=1)
