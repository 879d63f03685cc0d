"""What pictures are described by before they are compared, and who describes them."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ..data.dataset import Batch, Dataset
from ..data.feed import feed
from ..engine.evaluate import BATCH_SIZE, asking, evaluate
from ..engine.loop import Trainer
from ..errors import UsageError
from ..families import create, settings_of
from ..families.blocks import glorot_
from ..families.contract import Classifier, Family
from ..model import Model
from ..runtime import Runtime, generator, one_thread

EPOCHS = 3  # of a classifier that is trained for its features
WIDTHS = (32, 64, 128)  # of the random network
STARTED = 0  # the seed of both


@dataclass(frozen=True)
class Features:
    """Describes pictures (n, channels, height, width) in [0, 1] by features (n, d), and tells their classes if it can.

    name: what it is, in words. sha256: of its weights; only figures of the same features may
    be compared. accuracy: of its classes, on the test split of the data.
    """

    name: str
    sha256: str
    describe: Callable[[Tensor], Tensor]
    classify: Callable[[Tensor], Tensor] | None = None
    classes: tuple[str, ...] = ()
    accuracy: float | None = None

    def told(self) -> dict[str, Any]:
        """What a document says of them."""
        return {"name": self.name, "sha256": self.sha256, "accuracy": self.accuracy}


def features_of(model: Model) -> Features:
    """The features of a trained classifier of pictures. Raises: UsageError if it is none."""
    if not isinstance(model.family, Classifier) or model.schema.kind != "image":
        raise UsageError(
            f"--features: this {model.settings.family} does not tell classes of pictures; give one that does"
        )
    name = f"the last hidden layer of a given classifier ({model.settings.family}, {model.settings.preset})"
    accuracy = model.metrics.get("test", {}).get("accuracy")
    return _of_classifier(model.family, model.networks, model.runtime, name, accuracy)


def fitting_features(dataset: Dataset, runtime: Runtime) -> Features:
    """The features of a small classifier that is trained on the labels of `dataset`, else of a random network."""
    schema = dataset.schema
    if schema.classes is None or len(schema.classes) < 2 or dataset.train.y is None:
        return random_features(schema.shape[0], runtime)
    settings = settings_of("cnn").resolve("classic", epochs=EPOCHS, seed=STARTED)
    family = create(schema, settings)
    with one_thread():  # so that the weights do not depend on how many there are
        outcome = Trainer(family, dataset, runtime).fit()
    accuracy = None
    if dataset.test is not None:
        accuracy = evaluate(family, outcome.networks, feed(dataset.test, schema, runtime.device))["accuracy"]
    name = f"the last hidden layer of a classifier trained for {EPOCHS} epochs on the same data (cnn, classic)"
    return _of_classifier(family, outcome.networks, runtime, name, accuracy)


def random_features(channels: int, runtime: Runtime) -> Features:
    """The features of a convolutional network whose weights are random, and always the same."""
    network = _Random(channels, generator(STARTED, "features")).to(runtime.device)
    networks = {"features": network}

    def describe(pictures: Tensor) -> Tensor:
        return _in_parts(networks, pictures, runtime, network)

    return Features(f"a random convolutional network, seed {STARTED}", _sha256(networks), describe)


class _Random(nn.Module):
    """Three convolutions; of each of the last one's channels the mean and the deviation over the places."""

    def __init__(self, channels: int, random: torch.Generator) -> None:
        super().__init__()
        sizes = zip((channels, *WIDTHS), WIDTHS, strict=False)
        self.layers = nn.ModuleList(nn.Conv2d(inner, outer, 4, stride=2, padding=1) for inner, outer in sizes)
        glorot_(self, random)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        places = x.flatten(2)
        return torch.cat([places.mean(2), places.std(2)], dim=1)


def _of_classifier(
    family: Family, networks: Mapping[str, nn.Module], runtime: Runtime, name: str, accuracy: float | None
) -> Features:
    """What the last linear layer is given: whatever the network, that is what classes are told by."""
    assert isinstance(family, Classifier)
    predict = family.predict
    last = [layer for network in networks.values() for layer in network.modules() if isinstance(layer, nn.Linear)][-1]

    def classify(x: Tensor) -> Tensor:
        return predict(networks, Batch(x, None, None, torch.arange(len(x), device=x.device)))

    def hidden(x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        hook = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            classify(x)
        finally:
            hook.remove()
        return seen[0]

    return Features(
        name,
        _sha256(networks),
        lambda pictures: _in_parts(networks, pictures, runtime, hidden),
        lambda pictures: _in_parts(networks, pictures, runtime, classify),
        family.schema.classes or (),
        accuracy,
    )


def _in_parts(
    networks: Mapping[str, nn.Module], pictures: Tensor, runtime: Runtime, question: Callable[[Tensor], Tensor]
) -> Tensor:
    with asking(networks):
        return torch.cat([question(part.to(runtime.device)).cpu() for part in torch.split(pictures, BATCH_SIZE)])


def _sha256(networks: Mapping[str, nn.Module]) -> str:
    """Of the weights, in the order of their names."""
    digest = hashlib.sha256()
    for name, network in sorted(networks.items()):
        for key, tensor in sorted(network.state_dict().items()):
            digest.update(f"{name}.{key} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
