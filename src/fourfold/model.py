"""A trained model: what a user keeps, ships and asks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from . import data as datalayer
from . import families, modelfile
from .card import card
from .data import Arrays, Inputs, are_arrays
from .data.dataset import Batch, Dataset, Examples, Request
from .data.feed import feed, in_order
from .data.schema import Schema
from .engine.evaluate import BATCH_SIZE, asking, evaluate, generate
from .engine.placement import place
from .errors import DataError, ModelError, UsageError
from .families.contract import Classifier, Coder, Family, Metrics, Sampler
from .metrics.reconstruction import error_per_example
from .modelfile import Description, Origin
from .runtime import Runtime, generator, start
from .settings import Settings

Array = np.ndarray[Any, Any]
ABLE = {Classifier: "cnn and rnn", Coder: "autoencoder", Sampler: "gan"}


class Model:
    """A trained network with all that belongs to it.

    Arrays in, arrays out; files in, tables out (polars). Everything asked is read by the
    schema of the training data: same columns, same scale, same classes.

    family: its mathematics, with `family.schema` and `family.settings`. metrics: figures
    by split, as judged when training ended. run: the folder of its training, if there is one.
    """

    def __init__(
        self,
        family: Family,
        networks: dict[str, nn.Module],
        metrics: dict[str, Metrics],
        origin: Origin,
        runtime: Runtime,
        dataset: Dataset | None = None,
        run: Path | None = None,
    ) -> None:
        self.family = family
        self.networks = networks
        self.metrics = metrics
        self.origin = origin
        self.runtime = runtime
        self.dataset = dataset
        self.run = run

    def __repr__(self) -> str:
        return f"Model({self.settings.family}, {self.settings.preset}, {self.parameters:,} parameters)"

    @property
    def schema(self) -> Schema:
        """What one example is."""
        return self.family.schema

    @property
    def settings(self) -> Settings:
        """What it was trained with."""
        return self.family.settings

    @property
    def parameters(self) -> int:
        """How many numbers training could change, over all networks."""
        return sum(p.numel() for network in self.networks.values() for p in network.parameters())

    def predict(self, inputs: Inputs) -> Array | pl.DataFrame:
        """Which class, how surely.

        Returns: for arrays, probabilities (n, classes) in the order of `schema.classes`;
        for files, a table with the input, the likeliest class, its probability, and the
        probability of each class. Raises: UsageError if this is no classifier.
        """
        family = self._able(Classifier, "predict")
        examples = self.read(inputs)
        probabilities = self._ask(examples, lambda batch: family.predict(self.networks, batch))
        if are_arrays(inputs):
            return probabilities.numpy()
        assert self.schema.classes is not None
        best = probabilities.max(dim=1)
        return pl.DataFrame(
            {
                "input": list(examples.names),
                "class": [self.schema.classes[i] for i in best.indices.tolist()],
                "probability": best.values.numpy(),
                **{f"p({name})": probabilities[:, i].numpy() for i, name in enumerate(self.schema.classes)},
            }
        )

    def evaluate(self, data: str | Path | Arrays | None = None) -> Metrics:
        """Figures on the test split of `data`, or on all of it if it has none.

        Without `data`: on the test split of the data it was trained on, which must not
        have changed since. Returns: the figures, with "split" naming what was judged.
        Raises: DataError, also if there is no test split or the labels are missing.
        """
        split, examples = self._own_test() if data is None else self._foreign(data)
        if isinstance(self.family, Classifier) and examples.y is None:
            raise DataError(f"{examples.names[0]}: no labels to judge by")
        resident = feed(examples, self.schema, self.runtime.device)
        return {"split": split, **evaluate(self.family, self.networks, resident)}

    def generate(self, count: int = 64, seed: int = 0) -> Array:
        """New pictures, float32 (count, channels, height, width) in [0, 1]; the same for the same seed.

        Raises: UsageError if this is no generator.
        """
        family = self._able(Sampler, "generate")
        if count < 1:
            raise UsageError(f"{count} pictures: at least 1 can be made")
        random = generator(seed, "generate", device=self.runtime.device)
        return generate(family, self.networks, family.latents(count, random)).numpy()

    def encode(self, inputs: Inputs) -> Array | pl.DataFrame:
        """Codes: for arrays (n, latent), for files a table with a column a number.

        Raises: UsageError if this is no autoencoder.
        """
        family = self._able(Coder, "encode")
        examples = self.read(inputs)
        codes = self._ask(examples, lambda batch: family.encode(self.networks, batch)).numpy()
        if are_arrays(inputs):
            return codes
        return pl.DataFrame({"input": list(examples.names), **{f"z{i}": codes[:, i] for i in range(codes.shape[1])}})

    def decode(self, codes: Array) -> Array:
        """Examples in the data's own units, pictures in [0, 1], from codes (n, latent).

        Raises: UsageError if this is no autoencoder, DataError if the codes have another size.
        """
        family = self._able(Coder, "decode")
        latent_size = getattr(self.settings, "latent_size", None)
        if codes.ndim != 2 or codes.shape[1] != latent_size:
            raise DataError(f"codes of shape {codes.shape}: (n, {latent_size}) is expected")
        with asking(self.networks):
            latents = torch.as_tensor(codes, dtype=torch.float32).to(self.runtime.device)
            parts = [family.decode(self.networks, part).cpu() for part in torch.split(latents, BATCH_SIZE)]
            decoded = self.schema.restore(torch.cat(parts))
        return decoded.numpy()

    def reconstruct(self, inputs: Inputs) -> Array | pl.DataFrame:
        """What is left of the inputs after encoding and decoding, in their own units.

        Returns: for arrays, an array of their shape; for files, a table with the mean
        squared error of each input (in units of the standardised data) and the values:
        one column a column of a table, or one column that holds the pictures.
        """
        examples = self.read(inputs)
        restored, errors = self.reconstruct_examples(examples)
        return restored if are_arrays(inputs) else self.reconstruction_table(examples, restored, errors)

    def reconstruct_examples(self, examples: Examples) -> tuple[Array, Array]:
        """Reconstructions in the data's own units, and each one's mean squared error (n,)."""
        family = self._able(Coder, "reconstruct")

        def both(batch: Batch) -> Tensor:
            back = family.decode(self.networks, family.encode(self.networks, batch))
            error = error_per_example(batch.x, back)
            return torch.cat([error[:, None], self.schema.restore(back).flatten(1)], dim=1)

        answers = self._ask(examples, both)
        return answers[:, 1:].reshape(examples.x.shape).numpy(), answers[:, 0].numpy()

    def reconstruction_table(self, examples: Examples, restored: Array, errors: Array) -> pl.DataFrame:
        """What `reconstruct` returns for files."""
        named = {"input": list(examples.names), "error": errors}
        if self.schema.columns is not None:
            columns = {name: self._cells(name, restored[:, i]) for i, name in enumerate(self.schema.columns)}
            return pl.DataFrame({**named, **columns})
        return pl.DataFrame(named).with_columns(pl.Series("reconstruction", restored))

    def _cells(self, column: str, values: Array) -> Array | list[str]:
        """A table's column as it was read: categories by their names."""
        levels = self.schema.levels.get(column)
        return values if levels is None else [levels[place] for place in values.astype(int).tolist()]

    def read(self, inputs: Inputs) -> Examples:
        """Inputs as examples, by the model's own schema. Raises: DataError if they do not fit it."""
        return datalayer.read_inputs(inputs, self.schema)

    def save(self, folder: str | Path) -> Path:
        """Write the model's folder. Raises: StorageError if there is something already."""
        description = Description(
            family=self.settings.family,
            settings=self.settings.model_dump(mode="json"),
            example=self.schema,
            metrics=self.metrics,
            origin=self.origin,
            sha256="",
        )
        weights = {
            f"{name}.{key}": tensor
            for name, network in self.networks.items()
            for key, tensor in network.state_dict().items()
        }
        modelfile.write(Path(folder), description, weights, card(description, self.parameters))
        return Path(folder)

    def _able(self, ability: type[Any], verb: str) -> Any:
        if not isinstance(self.family, ability):
            raise UsageError(f"a model of family {self.settings.family} cannot {verb}; {ABLE[ability]} can")
        return self.family

    def _ask(self, examples: Examples, question: Callable[[Batch], Tensor]) -> Tensor:
        resident = feed(examples, self.schema, self.runtime.device)
        with asking(self.networks):
            return torch.cat([question(batch).cpu() for batch in in_order(resident, BATCH_SIZE)])

    def _own_test(self) -> tuple[str, Examples]:
        dataset = self.dataset
        if dataset is None:
            if self.origin.data == "arrays":
                raise UsageError("this model was trained on arrays; name the data to evaluate it on")
            dataset = datalayer.open(self.origin.data, self.settings)
            if dataset.fingerprint != self.origin.fingerprint:
                raise DataError(
                    f"{self.origin.data}: changed since the model was trained on it, so its test split may hold "
                    "training examples; name the data to evaluate on"
                )
        if dataset.test is None:
            raise DataError(f"{dataset.source}: has no test split; name the data to evaluate on")
        return "test", dataset.test

    def _foreign(self, data: str | Path | Arrays) -> tuple[str, Examples]:
        splits = datalayer.read(data, Request(schema=self.schema)).splits
        return ("test", splits["test"]) if "test" in splits else ("all", datalayer.join(list(splits.values())))


def load(folder: Path, device: str = "auto") -> Model:
    """The model in a model's folder.

    Raises: ModelError, naming the file and what is wrong, if it is no model or damaged.
    """
    description, weights = modelfile.read(folder)
    try:
        settings = families.settings_of(description.family)(**description.settings)
        family = families.create(description.example, settings)
        with torch.device("meta"):  # shapes alone, since a description may ask for any size
            _check(folder / modelfile.WEIGHTS, family.build(torch.Generator()), weights)
    except ModelError:
        raise
    except (UsageError, DataError, RuntimeError) as error:
        raise ModelError(f"{folder / modelfile.DESCRIPTION}: {error}") from error
    networks = family.build(torch.Generator())
    for name, tensor in _tensors(networks):
        tensor.copy_(weights[name])
    runtime = start(device)
    for network in place(family, networks, runtime).values():
        network.eval().requires_grad_(False)
    return Model(family, networks, description.metrics, description.origin, runtime)


def _check(path: Path, networks: dict[str, nn.Module], weights: dict[str, Tensor]) -> None:
    """Raises: ModelError if the weights differ from the networks' in a name or a shape."""
    own = dict(_tensors(networks))
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())
        raise ModelError(f"{path}: its tensors are not those of the model; {odd[0]} is on one side only")
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape or tensor.dtype != weights[name].dtype:
            raise ModelError(f"{path}: {name} is {tuple(weights[name].shape)}, the model's is {tuple(tensor.shape)}")


def _tensors(networks: dict[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for name, network in networks.items():
        for key, tensor in network.state_dict().items():
            yield f"{name}.{key}", tensor
