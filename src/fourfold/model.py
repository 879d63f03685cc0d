"""A trained model: what a user keeps, ships and asks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from . import answers as answering
from . import data as datalayer
from . import families, modelfile, step_answers
from .card import card
from .data import Arrays, Inputs, are_arrays
from .data.dataset import Batch, Dataset, Examples, Request
from .data.feed import feed, in_order
from .data.schema import Schema
from .data.windows import ends, histories
from .engine.evaluate import BATCH_SIZE, asking, evaluate, generate
from .engine.placement import place
from .errors import DataError, ModelError, UsageError
from .families.contract import Classifier, Coder, Detector, Family, Forecaster, Metrics, Sampler, Steered, Viewer
from .families.warmstart import tensors
from .metrics.calibration import fit_temperature, temper
from .metrics.classification import logarithms
from .modelfile import Description, Origin
from .runtime import Runtime, generator, start
from .settings import Settings

Array = np.ndarray[Any, Any]


class Model:
    """A trained network with all that belongs to it.

    Arrays in, arrays out; files in, tables out (polars). Everything asked is read by the
    schema of the training data: same columns, same scale, same classes.

    family: its mathematics, with `family.schema` and `family.settings`. metrics: figures
    by split, as judged when training ended, before the temperature. run: the folder of its training,
    if there is one. temperature: what a classifier's logits are divided by when it predicts.
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
        temperature: float = 1.0,
    ) -> None:
        self.family = family
        self.networks = networks
        self.metrics = metrics
        self.origin = origin
        self.runtime = runtime
        self.dataset = dataset
        self.run = run
        self.temperature = temperature

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

    @property
    def weights(self) -> dict[str, Tensor]:
        """Every network's tensors, as NETWORK.NAME."""
        return dict(tensors(self.networks))

    def predict(self, inputs: Inputs | None = None, views: bool = False) -> Array | pl.DataFrame:
        """Which class, how surely; or what follows.

        Returns: for arrays, probabilities (n, classes) in the order of `schema.classes`;
        for files, a table with the input, the likeliest class, its probability, and the
        probability of each class. A detector gives scores (n,), or a table with verdicts, scores
        and where they come from; a forecaster as `forecast` tells; a regressor numbers (n, targets) in their own units,
        a tagger probabilities (n, tags), or tables of these. Raises: UsageError if this is none of them.
        """
        if isinstance(self.family, Forecaster):
            forecasts = self.forecast(inputs)
            return forecasts.quantiles if are_arrays(inputs) else forecasts.frame(self.schema)
        examples = self.read(inputs)
        if isinstance(self.family, Detector):
            verdicts = self.verdicts(examples)
            return verdicts.scores if are_arrays(inputs) else verdicts.frame(self.schema)
        if isinstance(self.family, answering.TELLS):
            told = answering.tell(self.family, self.asked(views), self.schema, examples).numpy()
            return told if are_arrays(inputs) else step_answers.told_table(self.schema, examples, told)
        probabilities = self.probabilities(examples, views).numpy()
        return probabilities if are_arrays(inputs) else answering.class_table(self.schema, examples, probabilities)

    def asked(self, views: bool) -> Mapping[str, nn.Module]:
        """The networks, or those that look at each example several times. Raises: UsageError if it cannot."""
        return self._able(Viewer, "take several views").viewed(self.networks) if views else self.networks

    def probabilities(self, examples: Examples, views: bool = False, tempered: bool = True) -> Tensor:
        """Of each class, float32 (n, classes), on the CPU, tempered or not. Raises: UsageError if it tells none."""
        family = self._able(Classifier, "predict")
        networks = self.asked(views)
        said = self._ask(examples, lambda batch: family.predict(networks, batch))
        return temper(logarithms(said), self.temperature).exp().float() if tempered and self.temperature != 1 else said

    def calibrate(self, held_out: Examples | None) -> None:
        """Fit a classifier's temperature on labelled examples that did not train it; 1 if these do not tell any."""
        if isinstance(self.family, Classifier) and held_out is not None and held_out.y is not None:
            said = logarithms(self.probabilities(held_out, tempered=False))
            self.temperature = fit_temperature(said, held_out.y) or 1.0

    def verdicts(self, examples: Examples) -> answering.Verdicts:
        """What a detector says of examples. Raises: UsageError if this is none."""
        return answering.examine(self._able(Detector, "detect"), self.networks, self.schema, examples)

    def forecast(self, inputs: Inputs | None = None) -> answering.Forecasts:
        """What follows the end of each input or, without any, of its own data. Raises: UsageError if it cannot.

        `predict` gives the quantiles (n, horizon, 3, channels) for arrays, and a table of steps for files.
        """
        family: Forecaster = self._able(Forecaster, "forecast")
        if inputs is None:
            inputs, examples = self.origin.data, ends(list(self.own_data().splits.values())[-1], family.context)
        else:
            examples = histories(self.read(inputs), family.context)
        return answering.foretell(family, self.networks, self.schema, examples, inputs)

    def evaluate(self, data: str | Path | Arrays | None = None, views: bool = False) -> Metrics:
        """Figures on the test split of `data`, or on all of it if it has none.

        Without `data`: on the test split of the data it was trained on, which must not
        have changed since. Returns: the figures, with "split" naming what was judged.
        Raises: DataError, also if there is no test split or the labels are missing.
        """
        split, examples = self.judged_on(data)
        resident = feed(examples, self.schema, self.runtime.device)
        return {"split": split, **evaluate(self.family, self.asked(views), resident)}

    def judged_on(self, data: str | Path | Arrays | None = None) -> tuple[str, Examples]:
        """What `evaluate` judges: the split's name and its examples. Raises: as `evaluate`."""
        if data is None:
            dataset = self.own_data()
            if dataset.test is None:
                raise DataError(f"{dataset.source}: has no test split; name the data to evaluate on")
            return "test", dataset.test
        splits = datalayer.read(data, Request(schema=self.schema)).splits
        split, examples = "test", splits.get("test")
        if examples is None:
            split, examples = "all", datalayer.join(list(splits.values()))
        return split, answering.as_judged(self.family, self.schema, examples)

    def own_data(self) -> Dataset:
        """The data that it was trained on, split as then. Raises: UsageError or DataError if they are not at hand."""
        if self.dataset is None:
            if self.origin.data == "arrays":
                raise UsageError("this model was trained on arrays; name the data to evaluate it on")
            dataset = datalayer.open(self.origin.data, self.settings)
            if dataset.fingerprint != self.origin.fingerprint:
                raise DataError(
                    f"{self.origin.data}: changed since the model was trained on it, so its test split may hold "
                    "training examples; name the data to evaluate on"
                )
            self.dataset = dataset
        return self.dataset

    def generate(
        self, count: int = 64, seed: int = 0, label: str | None = None, truncation: float = 1.0, frames: int = 0
    ) -> Array:
        """New pictures, float32 (count, channels, height, width) in [0, 1]; the same for the same seed.

        label: their class, if classes were learnt. truncation: below 1, more usual and less different
        ones. frames: of a film, (frames, count, …), that ends where it begins. Raises: UsageError if it cannot.
        """
        steered = frames > 0 or label is not None or truncation != 1
        family = self._able(Steered, "be told what to generate") if steered else self._able(Sampler, "generate")
        if count < 1 or frames < 0:
            raise UsageError(f"{count} pictures, {frames} frames: at least 1 picture can be made")
        random = generator(seed, "generate", device=self.runtime.device)
        latents = family.circle(frames, count, random) if frames else family.latents(count, random)
        if steered:
            latents = family.steer(latents, label, truncation)
        pictures = generate(family, self.networks, latents.flatten(0, -2))
        return pictures.reshape(*latents.shape[:-1], *pictures.shape[1:]).numpy()

    def write(
        self, prompt: str = "", count: int = 1, length: int = 400, temperature: float = 1, top_k: int = 0, seed: int = 0
    ) -> list[str]:
        """Texts that begin with `prompt`; see `answers.Sampling`. Raises: UsageError, also if this is no writer."""
        sampling = answering.Sampling(count, length, temperature, top_k, seed)
        return answering.compose(self.family, self.networks, prompt, sampling)

    def encode(self, inputs: Inputs) -> Array | pl.DataFrame:
        """Codes: for arrays (n, latent), for files a table with a column a number.

        Raises: UsageError if this is no autoencoder.
        """
        examples = self.read(inputs)
        codes = self.codes(examples).numpy()
        return codes if are_arrays(inputs) else answering.code_table(examples, codes)

    def codes(self, examples: Examples) -> Tensor:
        """Codes float32 (n, latent), on the CPU. Raises: UsageError if this is no autoencoder."""
        family = self._able(Coder, "encode")
        return self._ask(examples, lambda batch: family.encode(self.networks, batch))

    def decode(self, codes: Array) -> Array:
        """Examples in the data's own units, pictures in [0, 1], from codes (n, latent).

        Raises: UsageError if this is no autoencoder, DataError if the codes have another size.
        """
        return answering.decode(self._able(Coder, "decode"), self.networks, self.schema, codes)

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
        given = (self._able(Coder, "reconstruct"), self.networks, self.schema)
        answers = self._ask(examples, lambda batch: answering.reconstruct(*given, batch, examples.x.shape[1]))
        return answers[:, 1:].reshape(examples.x.shape).numpy(), answers[:, 0].numpy()

    def reconstruction_table(self, examples: Examples, restored: Array, errors: Array) -> pl.DataFrame:
        """What `reconstruct` returns for files."""
        return answering.reconstruction_table(self.schema, examples, restored, errors)

    def read(self, inputs: Inputs | None) -> Examples:
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
            temperature=self.temperature,
            sha256="",
        )
        modelfile.write(Path(folder), description, self.weights, card(description, self.parameters))
        return Path(folder)

    def _able(self, ability: type[Any], verb: str) -> Any:
        return answering.able(self.family, ability, verb)

    def _ask(self, examples: Examples, question: Callable[[Batch], Tensor]) -> Tensor:
        resident = feed(examples, self.schema, self.runtime.device)
        with asking(self.networks):
            return torch.cat([question(batch).cpu() for batch in in_order(resident, BATCH_SIZE)])


def load(folder: Path, device: str = "auto") -> Model:
    """The model in a model's folder.

    Raises: ModelError, naming the file and what is wrong, if it is no model or damaged.
    """
    told, weights = modelfile.read(folder)
    try:
        settings = families.settings_of(told.family)(**told.settings)
        family = families.create(told.example, settings)
        with torch.device("meta"):  # shapes alone, since a description may ask for any size
            own = dict(tensors(family.build(torch.Generator())))
            modelfile.require_alike(folder / modelfile.WEIGHTS, own, weights)
    except ModelError:
        raise
    except (UsageError, DataError, RuntimeError) as error:
        raise ModelError(f"{folder / modelfile.DESCRIPTION}: {error}") from error
    networks = family.build(torch.Generator())
    for name, tensor in tensors(networks):
        tensor.copy_(weights[name])
    runtime = start(device)
    for network in place(family, networks, runtime).values():
        network.eval().requires_grad_(False)
    return Model(family, networks, told.metrics, told.origin, runtime, temperature=told.temperature)
