"""A linear model of what a text has, whatever the order: its pieces and its pairs of neighbours.

Shapes: n batch, t time, m features of a text, b rows, k classes.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from ..blocks import dropout

BUCKETS = 1 << 18  # rows that pairs share, at most; with a quarter of them movie reviews lose a point
NUMBERS = 1 << 22  # in all of these rows: many classes get fewer
FACTORS = 0x9E3779B1, 0x85EBCA6B  # odd, of 32 bits (Knuth's golden ratio; MurmurHash3): no product leaves int64
NONE = -1  # the place of a feature that is past a text's end


class Wide(nn.Module):
    """Σ over the pieces and pairs that a text has, each counted once, of a learnt row; from rows of zeros.

    That presence tells more than counts, and that pairs help, is Wang and Manning's finding (ACL 2012). A piece has a
    row of its own; pairs share theirs by a hash (fastText's way, arXiv 1607.01759). Dropout of features keeps rare
    ones from telling a text by heart.
    """

    def __init__(self, pieces: int, classes: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.buckets = max(min(BUCKETS, NUMBERS // classes), 1)
        self.rows_bk = nn.Parameter(torch.zeros(pieces + self.buckets, classes))
        self.bias_k = nn.Parameter(torch.zeros(classes))  # classes are not equally common

    def forward(
        self,
        ids_nt: Tensor,
        lengths_n: Tensor | None = None,
        share: float = 0.0,
        random: torch.Generator | None = None,
    ) -> Tensor:
        """Scores (n, k) of texts, int (n, t). share: of the features, that a training step hides."""
        places_nm = self.places(ids_nt.long(), lengths_n).sort(dim=1).values
        counted_nm = places_nm != NONE
        counted_nm[:, 1:] &= places_nm[:, 1:] != places_nm[:, :-1]
        shown_nm = dropout(counted_nm.to(self.rows_bk.dtype), share, random)
        rows_nmk = embedding(places_nm.clamp(min=0), self.rows_bk)
        scores_nk: Tensor = self.bias_k + (rows_nmk * shown_nm[:, :, None]).sum(dim=1)
        return scores_nk

    def places(self, ids_nt: Tensor, lengths_n: Tensor | None) -> Tensor:
        """The row of each piece and of each pair, int64 (n, 2t - 1); NONE past a text's end."""
        first, second = FACTORS
        mixed_nt = ids_nt[:, :-1] * first + ids_nt[:, 1:] * second
        pairs_nt = self.pieces + (mixed_nt ^ (mixed_nt >> 15)) % self.buckets
        if lengths_n is None:
            return torch.cat((ids_nt, pairs_nt), dim=1)
        past_nt = torch.arange(ids_nt.shape[1], device=ids_nt.device) >= lengths_n[:, None]
        return torch.cat((ids_nt.masked_fill(past_nt, NONE), pairs_nt.masked_fill(past_nt[:, 1:], NONE)), dim=1)
