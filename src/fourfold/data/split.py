"""Which examples train, which choose, which judge: held-out splits where the data bring none."""

import torch
from torch import Tensor

from ..errors import DataError
from ..runtime import generator
from .dataset import Content, Examples

ORDER = ("train", "validation", "test")


def split(
    content: Content, seed: int, validation: float, test: float
) -> tuple[dict[str, Examples], dict[str, list[int]]]:
    """The splits "train", "validation" and "test", the last two where they are or are asked for.

    What the data bring stays as it is. A missing test split is cut from train first, then
    a missing validation split from the rest, each class by class.

    validation, test: shares in [0, 1) of what they are cut from; 0 cuts nothing.
    Returns: the splits, and for each one that was cut the places of its examples in the
    train that the data brought. Raises: DataError if a split is empty.
    """
    parts = dict(content.splits)
    whole = parts["train"]
    rest = torch.arange(len(whole))
    cut: dict[str, list[int]] = {}
    for name, share in (("test", test), ("validation", validation)):
        if name not in parts and share > 0:
            inside, outside = hold_out(whole.select(rest), share, seed, name)
            if len(outside):
                parts[name], cut[name] = whole.select(rest[outside]), rest[outside].tolist()
                rest = rest[inside]
    if cut:
        parts["train"] = whole.select(rest)
    for name, part in parts.items():
        if not len(part):
            raise DataError(f"the {name} split is empty; give more data or a smaller --validation or --test")
    return {name: parts[name] for name in ORDER if name in parts}, cut


def hold_out(examples: Examples, share: float, seed: int, name: str) -> tuple[Tensor, Tensor]:
    """Places (inside, outside) with `share` of every class outside, as nearly as whole numbers allow.

    Without labels all examples count as one class. Each class keeps at least one example
    inside. Both come in ascending order. A function of the labels and the other arguments.
    """
    random = generator(seed, "split", name)
    labels = torch.zeros(len(examples), dtype=torch.int64) if examples.y is None else examples.y
    chosen = torch.zeros(len(examples), dtype=torch.bool)
    for label in torch.unique(labels).tolist():
        members = (labels == label).nonzero().squeeze(1)
        taken = min(round(share * len(members)), len(members) - 1)
        chosen[members[torch.randperm(len(members), generator=random)[:taken]]] = True
    return (~chosen).nonzero().squeeze(1), chosen.nonzero().squeeze(1)
