"""What a model answers, as tables: classes, codes, reconstructions, forecasts, verdicts with their reasons; texts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .data import Inputs, are_arrays, windows
from .data.dataset import Batch, Examples
from .data.feed import feed, in_order
from .data.schema import Schema
from .data.sources.texts import passages
from .data.vocabulary import Vocabulary
from .engine.evaluate import BATCH_SIZE, asking
from .errors import DataError, UsageError
from .families.contract import (
    Classifier,
    Coder,
    Detector,
    Family,
    Forecaster,
    Labeller,
    Regressor,
    Sampler,
    Steered,
    Tagger,
    Viewer,
    Writer,
)
from .metrics.forecasting import QUANTILES
from .metrics.reconstruction import error_per_example
from .runtime import generator
from .settings import Reading
from .step_answers import tell_steps

Array = np.ndarray[Any, Any]
ABLE = {
    Classifier: "cnn and rnn",
    Coder: "autoencoder (--task reconstruct)",
    Detector: "autoencoder (--task detect)",
    Forecaster: "rnn (--task forecast)",
    Sampler: "gan and autoencoder (--preset vae)",
    Steered: "gan",
    Viewer: "cnn (--task classify)",
    Writer: "rnn (--task write)",
}
TELLS = (Labeller, Regressor, Tagger)  # what tells numbers of an example: its own, or probabilities of tags or steps


@dataclass(frozen=True)
class Verdicts:
    """scores float32 (n,), above the threshold abnormal. shares: of each example where its score comes from.

    These sum to 1: (columns,) of a row, (time, channels) of a series over its own length, (height,
    width) of a picture.
    """

    names: Sequence[str]
    scores: Array
    threshold: float
    shares: list[Array]

    @property
    def abnormal(self) -> Array:
        """Whether each score is above the threshold, bool (n,)."""
        return self.scores > self.threshold

    def frame(self, schema: Schema) -> pl.DataFrame:
        """A row an input: verdict, score, and the shares of columns or channels, of series those of the steps too."""
        told: dict[str, Any] = {
            "input": list(self.names),
            "verdict": ["abnormal" if each else "normal" for each in self.abnormal],
            "score": self.scores,
        }
        if schema.kind == "table":
            names = schema.columns or tuple(f"{i}" for i in range(self.shares[0].shape[0]))
            told |= {f"share({name})": [float(row[i]) for row in self.shares] for i, name in enumerate(names)}
        elif schema.kind != "image":
            channels = schema.columns or tuple(f"{i}" for i in range(schema.shape[0]))
            sums = [row.sum(0) for row in self.shares]
            told |= {f"share({name})": [float(row[i]) for row in sums] for i, name in enumerate(channels)}
            told["steps"] = [row.sum(1).tolist() for row in self.shares]
        return pl.DataFrame(told)

    def heat(self) -> Array:
        """Pictures' maps float32 (n, 1, height, width), 1 at the hottest place of the most abnormal one.

        A map is the share of each place times how far the score is towards the threshold, or beyond it.
        """
        maps = np.stack(self.shares) * self.scores[:, None, None]
        return (maps / max(float(maps.max()), 1e-30))[:, None].astype(np.float32)


@dataclass(frozen=True)
class Forecasts:
    """What follows some histories (n, time, channels): quantiles float32 (n, horizon, quantiles, channels).

    times: of the steps ahead, for each history where they are known.
    """

    names: Sequence[str]
    history: Array
    quantiles: Array
    times: Sequence[Sequence[str] | None]

    def frame(self, schema: Schema) -> pl.DataFrame:
        """A row a step: the input, the step ahead, its time and the channel where there are such, and the quantiles."""
        count, horizon, _, channels = self.quantiles.shape
        names = schema.columns or tuple(f"{i}" for i in range(channels))
        told: dict[str, Any] = {
            "input": np.repeat(np.array(self.names, dtype=object), horizon * channels).tolist(),
            "step": np.tile(np.repeat(np.arange(1, horizon + 1), channels), count),
        }
        if any(self.times):
            every = [time for times in self.times for time in times or ["-"] * horizon]
            told[schema.reading.time or "time"] = [time for time in every for _ in range(channels)]
        if channels > 1:
            told["channel"] = list(names) * (count * horizon)
        flat = self.quantiles.transpose(0, 1, 3, 2).reshape(-1, len(QUANTILES))
        return pl.DataFrame(told | {"median": flat[:, 1], "q10": flat[:, 0], "q90": flat[:, 2]})


def times_after(inputs: Inputs, reading: Reading, count: int, horizon: int) -> list[list[str] | None]:
    """The times of the steps that follow each of `count` histories in files, where each file is one; else None."""
    paths = [] if are_arrays(inputs) else [inputs] if isinstance(inputs, str | Path) else list(inputs)
    if len(paths) != count:
        return [None] * count
    return [windows.times_after(Path(str(path)).expanduser(), reading, horizon) for path in paths]


def foretell(
    family: Forecaster, networks: Mapping[str, nn.Module], schema: Schema, examples: Examples, sources: Inputs = ()
) -> Forecasts:
    """What follows histories, or those of windows. sources: the files that were read, which may tell the times."""
    device = next(networks["forecaster"].parameters()).device
    with asking(networks):
        batches = in_order(feed(examples, schema, device), BATCH_SIZE)
        said = torch.cat([family.forecast(networks, batch).cpu() for batch in batches])
    history = examples.loaded[:, : family.context].numpy()
    times = times_after(sources, schema.reading, len(examples), family.horizon)
    return Forecasts(examples.names, history, said.numpy(), times)


def able(family: Family, ability: type[Any], verb: str) -> Any:
    """The family, if it has an ability. Raises: UsageError, telling which families have it."""
    if not isinstance(family, ability):
        raise UsageError(f"a model of family {family.settings.family} cannot {verb}; {ABLE[ability]} can")
    return family


def as_judged(family: Family, schema: Schema, examples: Examples) -> Examples:
    """What was read as the examples that a family is judged by. Raises: DataError if there are none, or no labels."""
    if isinstance(family, Forecaster):
        return windows.every_window(examples, family.context, family.horizon)
    if isinstance(family, Writer):
        return passages(examples, Vocabulary(schema.vocabulary or ""), schema.reading.longest)
    if isinstance(family, Classifier | Labeller | Regressor | Tagger) and examples.y is None:
        raise DataError(f"{examples.names[0]}: no labels to judge by")
    return examples


@dataclass(frozen=True)
class Sampling:
    """How texts are written: `count` of them, each of `length` pieces after the prompt or up to its end.

    temperature: below 1 keeps to likely pieces. top_k: of the likeliest so many alone, 1 is without chance; 0 of all.
    seed: the same texts for the same. Raises: UsageError for a value out of its range.
    """

    count: int
    length: int
    temperature: float
    top_k: int
    seed: int

    def __post_init__(self) -> None:
        if self.count < 1 or self.length < 1:
            raise UsageError(f"{self.count} texts of {self.length} pieces: at least 1 text of 1 piece can be written")
        if not 0 < self.temperature < math.inf:
            raise UsageError(f"temperature = {self.temperature:g}: it is above 0; top_k = 1 has the likeliest always")
        if self.top_k < 0:
            raise UsageError(f"top_k = {self.top_k}: it is 1 or more, or 0 for all pieces")


def compose(family: Family, networks: Mapping[str, nn.Module], prompt: str, sampling: Sampling) -> list[str]:
    """Texts that go on from `prompt`; text number i hangs on the seed and i, not on how many there are.

    Raises: UsageError if the family writes nothing, or does not know a character of the prompt.
    """
    writer: Writer = able(family, Writer, "write")
    device = next(networks["writer"].parameters()).device
    every = [generator(sampling.seed, "write", i) for i in range(sampling.count)]
    chance = torch.stack([torch.rand(sampling.length, generator=random, dtype=torch.float64) for random in every])
    with asking(networks):
        return writer.write(networks, prompt, chance.to(device), sampling.temperature, sampling.top_k)


def examine(family: Detector, networks: Mapping[str, nn.Module], schema: Schema, examples: Examples) -> Verdicts:
    """What the detector says of examples, read by the model's schema."""
    scores, shares = [], []
    device = next(networks["encoder"].parameters()).device
    with asking(networks):
        for batch in in_order(feed(examples, schema, device), BATCH_SIZE):
            scores.append(family.score(networks, batch).cpu())
            every = family.shares(networks, batch).cpu().numpy()
            ends = [None] * len(batch) if batch.lengths is None else batch.lengths.tolist()
            shares += [row if end is None else row[:end] for row, end in zip(every, ends, strict=True)]
    return Verdicts(examples.names, torch.cat(scores).numpy(), family.threshold(networks), shares)


def decode(coder: Coder, networks: Mapping[str, nn.Module], schema: Schema, codes: Array) -> Array:
    """Examples in the data's own units from codes (n, latent). Raises: DataError if the codes have another size."""
    if codes.ndim != 2 or codes.shape[1] != coder.latent_size:
        raise DataError(f"codes of shape {codes.shape}: (n, {coder.latent_size}) is expected")
    latents = torch.as_tensor(codes, dtype=torch.float32).to(next(networks["decoder"].parameters()).device)
    with asking(networks):
        parts = [coder.decode(networks, part).cpu() for part in torch.split(latents, BATCH_SIZE)]
        decoded = schema.restore(torch.cat(parts))
    return decoded.numpy()


def reconstruct(coder: Coder, networks: Mapping[str, nn.Module], schema: Schema, batch: Batch, steps: int) -> Tensor:
    """Mean squared errors (n,), and beside them reconstructions in the data's own units, flat: (n, 1 + values).

    steps: how long series are made by zeros, so that all batches are of one size.
    """
    back = coder.decode(networks, coder.encode(networks, batch), batch)
    errors, restored = error_per_example(batch.x, back), schema.restore(back)
    if batch.lengths is not None:
        errors = errors * (batch.x.shape[1] / batch.lengths)  # the mean was over zeros past the ends, too
        inside = torch.arange(batch.x.shape[1], device=back.device) < batch.lengths[:, None]
        restored = pad(restored * inside[:, :, None], (0, 0, 0, steps - batch.x.shape[1]))
    return torch.cat([errors[:, None], restored.flatten(1)], dim=1)


def reconstruction_table(schema: Schema, examples: Examples, restored: Array, errors: Array) -> pl.DataFrame:
    """A row an input: its error and the values, one column a column of a table, or one that holds arrays."""
    named = {"input": list(examples.names), "error": errors}
    if schema.kind != "table" or schema.columns is None:
        return pl.DataFrame(named).with_columns(pl.Series("reconstruction", restored))
    return pl.DataFrame(named | decoded_table(schema, restored).to_dict())


def class_table(schema: Schema, examples: Examples, probabilities: Array) -> pl.DataFrame:
    """A row an input: the likeliest class, its probability, and the probability of each class, from (n, classes)."""
    assert schema.classes is not None
    return pl.DataFrame(
        {
            "input": list(examples.names),
            "class": [schema.classes[i] for i in probabilities.argmax(1).tolist()],
            "probability": probabilities.max(1),
            **{f"p({name})": probabilities[:, i] for i, name in enumerate(schema.classes)},
        }
    )


def tell(
    family: Labeller | Regressor | Tagger, networks: Mapping[str, nn.Module], schema: Schema, examples: Examples
) -> Tensor:
    """Numbers (n, targets) in the data's own units, or probabilities (n, tags) or (n, time, classes), on the CPU."""
    if isinstance(family, Labeller):
        return tell_steps(family, networks, schema, examples)
    ask = family.estimate if isinstance(family, Regressor) else family.tag
    device = next(next(iter(networks.values())).parameters()).device
    with asking(networks):
        return torch.cat([ask(networks, batch).cpu() for batch in in_order(feed(examples, schema, device), BATCH_SIZE)])


def code_table(examples: Examples, codes: Array) -> pl.DataFrame:
    """A row an input: a column for each number of its code (n, latent)."""
    return pl.DataFrame({"input": list(examples.names), **{f"z{i}": codes[:, i] for i in range(codes.shape[1])}})


def decoded_table(schema: Schema, restored: Array) -> pl.DataFrame:
    """Rows (n, columns) in the data's own units, one column a column of the table."""
    names = schema.columns or tuple(str(i) for i in range(restored.shape[1]))
    return pl.DataFrame({name: _cells(schema, name, restored[:, i]) for i, name in enumerate(names)})


def _cells(schema: Schema, column: str, values: Array) -> Array | list[str]:
    """A table's column as it was read: categories by their names."""
    levels = schema.levels.get(column)
    return values if levels is None else [levels[place] for place in values.astype(int).tolist()]
