"""Writing: what piece of a text comes next, and texts made of such pieces.

Shapes: n batch, t time, f features, h hidden units, g gates, p pieces of the vocabulary, l layers. An example is a
passage: a piece to begin with and all that follow it. Piece 0 begins a text and ends it.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...data.dataset import Batch
from ...data.schema import Schema
from ...data.vocabulary import PADDING, UNKNOWN, Vocabulary
from ...errors import DataError, UsageError
from ..blocks import dropout, glorot_
from ..contract import Losses, Metrics, Monitor, Networks, Phase
from .networks import Embedding
from .reader import Recurrent
from .recurrence import IN_PLACE, _gru_step, _lstm_step
from .settings import RnnSettings
from .truncation import kind_of, truncated

ROOM = 1 << 24  # logits that judging holds at once
IGNORED = -100  # a target that cross_entropy leaves out
OTHERS = ("bidirectional", "convolution", "center", "step_dropout", "wide", "label_smoothing", "members", "augment")

State = tuple[Tensor, Tensor]  # a layer's (h_nh, its LSTM cells)


def advanced(cell: nn.Module, x_nf: Tensor, state: State) -> State:
    """The state of a cell one step on; no gradient goes through it."""
    (h_nh, kept_nh), (w_gf, u_gh, b_g, *c_g) = state, cell.parameters()
    gates_ng, kind = torch.addmm(b_g, x_nf, w_gf.t()), kind_of(cell)
    if kind == "lstm":
        return _lstm_step(gates_ng, h_nh, kept_nh, u_gh.t())
    if kind == "gru":
        both = 2 * h_nh.shape[1]
        gates_ng[:, :both] += c_g[0][:both]
        return _gru_step(gates_ng, h_nh, u_gh.t(), c_g[0][both:])[0], kept_nh
    return IN_PLACE[kind](gates_ng.addmm_(h_nh, u_gh.t())), kept_nh


# The network


class LanguageModel(nn.Module):
    """Scores of what comes next after each piece, from that and all before it: embedding, cells, a dense layer.

    The embedding starts at N(0, 1), torch's default: from the smaller numbers of a classifier's a cell takes epochs to
    read anything (3.55 against 3.23 bits a character after three epochs of short messages). It is not tied to the
    output: for characters it is a small part of the weights.
    """

    def __init__(self, pieces: int, settings: RnnSettings, random: torch.Generator) -> None:
        super().__init__()
        self.share = settings.dropout
        self.enter = Embedding(pieces, settings.embedding_size, random)
        nn.init.normal_(self.enter.rows_pf, generator=random)
        self.recurrent = Recurrent(settings.embedding_size, settings, random)
        self.output = nn.Linear(self.recurrent.width, pieces)
        glorot_(self, random)

    def forward(self, ids_nt: Tensor, lengths_n: Tensor | None = None, random: torch.Generator | None = None) -> Tensor:
        """Logits (n, t, p). random: makes dropout; without it nothing is hidden."""
        x_ntf = dropout(self.enter(ids_nt), self.share, random)
        logits_ntp: Tensor = self.output(dropout(self.recurrent(x_ntf, lengths_n, random), self.share, random))
        return logits_ntp

    def begin(self, count: int) -> list[State]:
        """The state of every layer before the first piece of so many texts."""
        zeros_nh = self.output.weight.new_zeros(count, self.output.in_features)
        return [(zeros_nh, zeros_nh)] * len(self.recurrent.there)

    def step(self, ids_n: Tensor, state_l: list[State]) -> tuple[Tensor, list[State]]:
        """Logits (n, p) of what follows one piece more of each text, and the state after it."""
        x_nf, after_l = self.enter(ids_n), list[State]()
        for cell, state in zip(self.recurrent.there, state_l, strict=True):
            after_l.append(advanced(cell, x_nf, state))
            x_nf = after_l[-1][0]
        return self.output(x_nf), after_l


def parted(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Passages as the pieces that are read (n, t), how many of each (n,), and what follows them, int64 (n, t).

    Past a passage's end the target is IGNORED.
    """
    assert batch.lengths is not None
    lengths_n, targets_nt = batch.lengths - 1, batch.x[:, 1:].long()
    past_nt = torch.arange(targets_nt.shape[1], device=targets_nt.device) >= lengths_n[:, None]
    return batch.x[:, :-1], lengths_n, targets_nt.masked_fill(past_nt, IGNORED)


def writing(networks: Networks, batch: Batch, random: torch.Generator | None = None) -> Losses:
    """-log p(piece | all before it in its passage), in nats, as a mean over all pieces of the batch.

    Each piece weighs the same, so that a batch computed in parts weighs its parts' pieces by their passages.
    """
    read_nt, lengths_n, targets_nt = parted(batch)
    logits_ntp = networks["writer"](read_nt, lengths_n, random)
    return Losses(cross_entropy(logits_ntp.flatten(0, 1), targets_nt.flatten(), ignore_index=IGNORED), {})


def chosen(logits_np: Tensor, chance_n: Tensor, temperature: float, top_k: int) -> Tensor:
    """The piece of each row that a number in [0, 1) falls on: int64 (n,).

    Likelier pieces lie lower, among the `top_k` likeliest alone (0: all), with shares softmax(logits / temperature).
    The unknown piece stands for nothing that could be written.
    """
    logits_np = logits_np.double()
    logits_np[:, UNKNOWN] = -torch.inf
    count = logits_np.shape[1]
    best_nk, ids_nk = logits_np.topk(min(top_k or count, count))
    reached_nk = ((best_nk - best_nk[:, :1]) / temperature).softmax(1).cumsum(1)
    place_n1 = (reached_nk <= chance_n[:, None] * reached_nk[:, -1:]).sum(1, keepdim=True)
    return ids_nk.gather(1, place_n1).squeeze(1)


# The family


class Writing:
    """Texts to what may follow them. Labels are ignored; examples are passages, each from a state of zeros."""

    monitor: Monitor | None = Monitor("loss", "lower")
    channels_last = False

    def __init__(self, schema: Schema, settings: RnnSettings) -> None:
        if schema.kind != "text" or schema.vocabulary is None:
            raise DataError(f"--task write takes texts, and this is {schema.kind} data; leave the task out")
        fields = type(settings).model_fields
        for name in OTHERS:
            if getattr(settings, name) != fields[name].default:
                raise UsageError(f"--{name.replace('_', '-')}: a network that writes has no such thing; leave it out")
        if settings.cell == "none":
            raise UsageError("--cell none: a network that writes needs a cell; take gru or lstm")
        self.schema = schema
        self.settings = settings
        self.vocabulary = Vocabulary(schema.vocabulary)

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "writer"."""
        model = LanguageModel(self.vocabulary.size, self.settings, random)
        return {"writer": truncated(model, self.settings.truncate)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase("write", ("writer",), writing),)

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Figures a piece, and bits a character, by which vocabularies compare; the end of a text counts as a piece."""
        nats, right, pieces, characters, count = 0.0, 0, 0, 0, 0
        for batch in batches:
            count += len(batch)
            characters += self._characters(batch)
            for part in batch.parts(max(1, ROOM // (batch.x.shape[1] * self.vocabulary.size))):
                read_nt, lengths_n, targets_nt = parted(part)
                logits_ntp = networks["writer"](read_nt, lengths_n)
                losses = cross_entropy(logits_ntp.flatten(0, 1), targets_nt.flatten(), reduction="none")
                nats += float(losses.double().sum())
                right += int((logits_ntp.argmax(2) == targets_nt).sum())
                pieces += int(lengths_n.sum())
        return {**figures(nats, pieces, characters), "accuracy": right / pieces, "count": count}

    def rivals(self, train: Iterable[Batch], batches: Iterable[Batch]) -> dict[str, Metrics]:
        """What the plain models of train come to on some batches, by name; see `plain`."""
        kept = list(batches)
        pairs, characters = _pairs(kept), sum(map(self._characters, kept))
        losses = plain(_pairs(train), pairs, self.vocabulary.size)
        return {name: figures(float(each.sum()), len(pairs), characters) for name, each in losses.items()}

    def write(self, networks: Networks, prompt: str, chance: Tensor, temperature: float, top_k: int) -> list[str]:
        """Texts that begin with `prompt`, each piece chosen by a number of `chance`; see `contract.Writer`."""
        network = networks["writer"]
        assert isinstance(network, LanguageModel)
        ids, _ = self.vocabulary.encode([prompt], max(1, 4 * len(prompt)))  # a piece has a byte at least
        if bool((ids == UNKNOWN).any()):
            strange = sorted({each for each in prompt if int(self.vocabulary.encode([each], 1)[0]) == UNKNOWN})
            raise UsageError(f"--prompt: no text of train has {' '.join(map(repr, strange))}; leave that out")
        state_l = network.begin(1)
        for piece in (PADDING, *ids[0].tolist()):
            logits_np, state_l = network.step(torch.tensor([piece], device=chance.device), state_l)
        count = len(chance)
        logits_np = logits_np.expand(count, -1)
        state_l = [(h_nh.expand(count, -1), kept_nh.expand(count, -1)) for h_nh, kept_nh in state_l]
        ended_n, written = torch.zeros(count, dtype=torch.bool, device=chance.device), []
        for chance_n in chance.unbind(1):
            ids_n = chosen(logits_np, chance_n, temperature, top_k).masked_fill(ended_n, PADDING)
            written.append(ids_n)
            ended_n = ids_n == PADDING
            if bool(ended_n.all()):
                break
            logits_np, state_l = network.step(ids_n, state_l)
        told = torch.stack(written, dim=1).cpu()
        return [prompt + self.vocabulary.decode(row) for row in told]

    def _characters(self, batch: Batch) -> int:
        """How many characters are told; one that a passage's edge cuts in two counts in both."""
        assert batch.lengths is not None
        rows = zip(batch.x.tolist(), batch.lengths.tolist(), strict=True)
        return sum(len(self.vocabulary.decode(row[1:length])) for row, length in rows)


def figures(nats: float, pieces: int, characters: int) -> Metrics:
    """The loss in nats a piece, the number of pieces that would be as hard to tell, and bits a character."""
    loss = torch.tensor(nats / pieces, dtype=torch.float64)
    bits = nats / max(characters, 1) / torch.tensor(2.0).log().item()
    return {"loss": loss.item(), "perplexity": loss.exp().item(), "bits_per_character": bits}


def _pairs(batches: Iterable[Batch]) -> Tensor:
    """Every piece that is read and the one that follows it, int64 (m, 2)."""
    found = []
    for batch in batches:
        read_nt, _, targets_nt = parted(batch)
        found.append(torch.stack((read_nt.long(), targets_nt), dim=2)[targets_nt != IGNORED].cpu())
    return torch.cat(found)


def plain(train: Tensor, pairs: Tensor, size: int) -> dict[str, Tensor]:
    """-log p of the second of each of some pairs (m, 2), given train's pairs, by counting: float64 (m,) by name.

    unigram: with one added to each of `size` pieces. bigram: given the first, and so much of the unigram as new
    pieces came after it (Witten and Bell, 1991).
    """
    (before, after), (first, second) = train.unbind(1), pairs.unbind(1)
    share = (torch.bincount(after, minlength=size) + 1.0).double()[second] / (len(train) + size)
    keys, together = torch.unique(before * size + after, return_counts=True)
    times, kinds = torch.bincount(before, minlength=size)[first], torch.bincount(keys // size, minlength=size)[first]
    asked = first * size + second
    place = torch.searchsorted(keys, asked).clamp(max=len(keys) - 1)
    seen = torch.where(keys[place] == asked, together[place], 0)
    bigram = torch.where(times > 0, (seen + kinds * share) / (times + kinds).clamp(min=1), share)
    return {"unigram": -share.log(), "bigram": -bigram.log()}
