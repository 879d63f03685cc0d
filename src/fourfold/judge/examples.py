"""Examples as judges take them."""

import torch
from torch import Tensor

from ..data.dataset import Examples
from ..data.feed import feed, in_order
from ..data.schema import Schema
from ..engine.evaluate import BATCH_SIZE


def evenly(examples: Examples, most: int) -> Examples:
    """At most so many of the examples, evenly spaced; all of them if they are no more."""
    if len(examples) <= most:
        return examples
    return examples.select(torch.arange(most) * len(examples) // most)


def prepared(examples: Examples, schema: Schema) -> Tensor:
    """Examples of one size as the networks take them, on the CPU."""
    return torch.cat([batch.x for batch in in_order(feed(examples, schema, torch.device("cpu")), BATCH_SIZE)])
