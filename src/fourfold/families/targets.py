"""Numbers and tags: what any network that gives a row of outputs an example learns of them; cnn and rnn share it.

Shapes: n batch, k numbers or tags.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ..data.dataset import Batch
from ..data.schema import Schema
from ..errors import DataError, UsageError
from ..metrics import regression, tagging
from ..settings import Settings
from .contract import Losses, Metrics, Monitor, Networks, Phase
from .native.cross_entropy import cross_entropy

Make = Callable[[int, torch.Generator], nn.Module]  # a network of so many outputs, taking (x, lengths, random)


class Together(nn.Module):
    """Networks that learn side by side, each from its own start, and whose outputs are averaged."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The mean of the members' outputs (n, k)."""
        return torch.stack([member(x, lengths) for member in self.members]).mean(0)


class Regression:
    """Examples to numbers. The network's outputs are deviations from train's mean, in train's deviations."""

    monitor: Monitor | None = Monitor("r2", "higher")

    def __init__(self, schema: Schema, settings: Settings, make: Make, channels_last: bool) -> None:
        if schema.targets is None:
            raise DataError(
                "--task regress learns numbers, and these data tell none; name their columns with --target, put the "
                "files of each number into a folder of its name, let names tell (--pattern), or give arrays (x, y)"
            )
        self.schema = schema
        self.settings = settings
        self.channels_last = channels_last
        self.make = make
        self.names = schema.targets

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "regressor"."""
        return {"regressor": self.make(len(self.names), random)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase("regress", ("regressor",), self.loss),)

    def loss(self, networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
        """Σ (z - said)² / k, z the standardised numbers, as a mean over the batch and the members.

        Mixed examples have mixed numbers, which is linear in both.
        """
        assert batch.y is not None
        z = self.schema.standardise(batch.y)
        losses = [mse_loss(said.float(), z) for said in told(networks["regressor"], batch, random)]
        return Losses(torch.stack(losses).mean(), {})

    def estimate(self, networks: Networks, batch: Batch) -> Tensor:
        """Numbers (n, k) in the data's own units."""
        return self.schema.in_units(networks["regressor"](batch.x, batch.lengths))

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """The loss, and errors in the data's own units; see `metrics.regression`."""
        said, y = gathered((networks["regressor"](batch.x, batch.lengths), batch.y) for batch in batches)
        assert self.schema.target_mean is not None
        loss = float((said - self.schema.standardise(y)).square().mean())
        return {"loss": loss, **regression.figures(self.schema.in_units(said), y, self.names, self.schema.target_mean)}


class Tagging:
    """Examples to tags, of which each may have several or none. The network's outputs are logits."""

    monitor: Monitor | None = Monitor("loss", "lower")  # ranks are soon right on a small validation split

    def __init__(self, schema: Schema, settings: Settings, make: Make, channels_last: bool) -> None:
        if schema.tags is None:
            raise DataError(
                "--task tag learns tags, and these data have none; name a column of them (red|round) or several "
                "columns of 0 and 1 with --target, or give arrays (x, y), y of 0 and 1"
            )
        self.schema = schema
        self.settings = settings
        self.channels_last = channels_last
        self.make = make
        self.names = schema.tags

    def build(self, random: torch.Generator) -> dict[str, nn.Module]:
        """One network, "tagger"."""
        return {"tagger": self.make(len(self.names), random)}

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase("tag", ("tagger",), self.loss),)

    def loss(self, networks: Networks, batch: Batch, random: torch.Generator) -> Losses:
        """-y log p - (1 - y) log(1 - p), p = sigmoid(logits), as a mean over tags, the batch and the members."""
        assert batch.y is not None
        losses = [cross_entropy(logits, batch.y) for logits in told(networks["tagger"], batch, random)]
        return Losses(torch.stack(losses).mean(), {})

    def tag(self, networks: Networks, batch: Batch) -> Tensor:
        """Probabilities (n, k), each tag's for itself."""
        return torch.sigmoid(networks["tagger"](batch.x, batch.lengths))

    def evaluate(self, networks: Networks, batches: Iterable[Batch]) -> Metrics:
        """The loss, and how well tags are told; see `metrics.tagging`."""
        logits, y = gathered((networks["tagger"](batch.x, batch.lengths), batch.y) for batch in batches)
        loss = float(torch.nn.functional.binary_cross_entropy_with_logits(logits, y))
        return {"loss": loss, **tagging.figures(logits.sigmoid(), y, self.names)}


def told(network: nn.Module, batch: Batch, random: torch.Generator) -> list[Tensor]:
    """Every member's outputs (n, k) in a training step."""
    members: list[nn.Module] = list(network.members) if isinstance(network, Together) else [network]
    return [member(batch.x, batch.lengths, random) for member in members]


def gathered(outcomes: Iterable[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor]:
    """Outputs and y of all batches, float64 (n, k), on the CPU."""
    outputs, ys = zip(*outcomes, strict=True)
    return torch.cat(outputs).double().cpu(), torch.cat(ys).double().cpu()


def refuse_balance(balance: bool, task: str) -> None:
    """Raises: UsageError if classes are to be balanced where there are none."""
    if balance:
        raise UsageError(f"--balance weighs classes, and --task {task} has none; leave it out")
