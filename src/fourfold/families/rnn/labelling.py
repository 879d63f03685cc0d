"""Labelling: a class for every step of a series, from all that comes before and after it.

Shapes: n batch, t time, f features, k classes. y_nt is `UNTOLD` where a step has no class, and past the end.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...data.augment import asked
from ...data.dataset import UNTOLD, Batch
from ...data.schema import Schema
from ...errors import DataError, UsageError
from ...metrics.classification import judge
from ..blocks import dropout, glorot_, require_classes
from ..contract import Losses, Metrics, Monitor, Networks, Phase
from ..targets import Together, told
from .networks import Entrance
from .pooling import blank, center, inside
from .reader import Recurrent, convolution
from .settings import RnnSettings
from .truncation import truncated

Enter = Callable[[torch.Generator], Entrance]  # what makes steps of examples, drawn anew


class StepReader(nn.Module):
    """What `reader.Reader` reads with, but each step has a dense layer's answer of its own: nothing is pooled."""

    def __init__(self, enter: Entrance, classes: int, settings: RnnSettings, random: torch.Generator) -> None:
        super().__init__()
        self.enter, self.centered = enter, settings.center
        self.share, self.step_share = settings.dropout, settings.step_dropout
        self.recurrent = Recurrent(enter.features, settings, random) if settings.cell != "none" else None
        self.convolution = convolution(enter.features, settings)
        readers = [each for each in (self.recurrent, self.convolution) if each is not None]
        self.output = nn.Linear(sum(each.width for each in readers) or enter.features, classes)
        glorot_(self, random)

    def forward(self, x: Tensor, lengths_n: Tensor | None = None, random: torch.Generator | None = None) -> Tensor:
        """Logits (n, t, k). x: what its entrance takes. random: makes dropout; without it nothing is hidden."""
        x_ntf = self.enter(x)
        within = inside(x_ntf, lengths_n)
        x_ntf = center(x_ntf, lengths_n) if self.centered else blank(x_ntf, within)
        if self.step_share:
            x_ntf = x_ntf * dropout(x_ntf.new_ones(*x_ntf.shape[:2], 1), self.step_share, random)
        read = []
        if self.recurrent is not None:
            read.append(self.recurrent(x_ntf, lengths_n, random))
        if self.convolution is not None:
            read.append(self.convolution(x_ntf, within))
        logits_ntk: Tensor = self.output(dropout(torch.cat(read or [x_ntf], dim=2), self.share, random))
        return logits_ntk


def step_loss(logits_ntk: Tensor, y_nt: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log p(y | x) of each step, as a mean over the steps of an example that have a class, then over examples.

    So every example weighs the same, and a batch computed in parts gives what it gives as a whole. An example
    without any class counts with a loss of zero. smoothing: as for classes of whole series.
    """
    losses_nt = cross_entropy(
        logits_ntk.flatten(0, 1).float(),
        y_nt.flatten(),
        ignore_index=UNTOLD,
        label_smoothing=smoothing,
        reduction="none",
    ).view_as(y_nt)
    return (losses_nt.sum(1) / (y_nt != UNTOLD).sum(1).clamp(min=1)).mean()


class Labelling:
    """Series to a class for every step."""

    monitor: Monitor | None = Monitor("accuracy", "higher")
    channels_last = False

    def __init__(self, schema: Schema, settings: RnnSettings, enter: Enter) -> None:
        if schema.aim != "labels":
            raise DataError(
                "--task label learns a class for every step, and these data tell none; name the column of a table "
                "that has it in each row with --target, or give arrays (x, y), y of (n, time)"
            )
        if "warp" in asked(settings.augment, schema):
            raise UsageError("--augment warp moves steps away from their classes; leave it out under --task label")
        if settings.wide:
            raise UsageError("--wide is of texts, whose pieces have no classes of their own; leave it out")
        self.schema = schema
        self.settings = settings
        self.enter = enter
        self.classes = require_classes(schema, "rnn")

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "labeller"; of several members, all in one."""
        count = self.settings.members
        members = [StepReader(self.enter(random), len(self.classes), self.settings, random) for _ in range(count)]
        network = members[0] if count == 1 else Together(members)
        return {"labeller": truncated(network, self.settings.truncate)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase("label", ("labeller",), self.loss),)

    def loss(self, networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
        """`step_loss`, as a mean over the members."""
        y_nt = _answers(batch)
        every = told(networks["labeller"], batch, random)
        losses = [step_loss(logits_ntk, y_nt, self.settings.label_smoothing) for logits_ntk in every]
        return Losses(torch.stack(losses).mean(), {})

    def label(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, t, k), zeros past a series' own end."""
        p_ntk = torch.softmax(networks["labeller"](batch.x, batch.lengths), dim=2)
        return blank(p_ntk, inside(p_ntk, batch.lengths))

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """Loss, accuracy and what hangs on them, each step that has a class an example; see `metrics.classification`.

        macro_f1: over the classes that occur. count: of steps. series: whose steps they are.
        """
        steps, series = [], 0
        for batch in batches:
            y_nt = _answers(batch)
            known = y_nt != UNTOLD
            steps.append((networks["labeller"](batch.x, batch.lengths)[known], y_nt[known]))
            series += len(batch)
        found = judge(self.classes, steps)
        f1s = [each["f1"] for each in found["classes"].values() if each["count"]]
        return {**found, "macro_f1": sum(f1s) / len(f1s), "series": series}


def _answers(batch: Batch) -> Tensor:
    """The classes of the steps that a batch has, int64 (n, t)."""
    assert batch.y is not None
    return batch.y[:, : batch.x.shape[1]]
