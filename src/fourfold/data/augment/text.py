"""What may be done to whole batches of texts without changing what they tell.

n texts, t pieces. ids: int (n, t). inside: bool (n, t), before the end of each text. u: numbers
in [0, 1), one a piece. Pure; padding stays as it is, and more of it changes nothing.
"""

import torch
from torch import Tensor

from ..vocabulary import UNKNOWN

# Of a text's pieces: the share that Wei and Zou recommend for their random deletion ("EDA", arXiv 1901.11196). A piece
# is hidden, not deleted, as in the blank noising of Xie et al. (arXiv 1703.02573), so that lengths and places stay.
DROP = 0.1


def drop(ids: Tensor, inside: Tensor, u: Tensor) -> Tensor:
    """Texts of which a share of the pieces has become the unknown piece, but never all pieces of one."""
    most = torch.where(inside, u, 0).amax(dim=1, keepdim=True)  # of each text's pieces this one stays
    return torch.where(inside & (u < DROP) & (u < most), UNKNOWN, ids)
