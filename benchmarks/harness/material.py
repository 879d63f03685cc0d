"""The examples that every library is given, in one .npz each."""

from pathlib import Path

import numpy as np

from fourfold.data import locate
from fourfold.data.dataset import Request
from fourfold.data.formats.places import place
from fourfold.data.sources.arrays import read
from peers.work import Array

TEST = 1_000  # examples
CLASSES = 10
STEPS, FEATURES = 100, 16  # of a synthetic series
SIDE = 32

Arrays = dict[str, Array]


def material(network: str, examples: int, data: str, folder: Path) -> Path:
    """The .npz with `examples` to train on and 1,000 to test on, written under `folder`.

    data: MNIST's folder, or a sample's name; repeated where it holds fewer. It does not matter where they are made up.
    """
    synthetic = {"resnet": colours, "gru": waves}
    made = synthetic[network](examples) if network in synthetic else digits(network, examples, data)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{network}-{examples}.npz"
    np.savez(path, allow_pickle=False, **made)
    return path


def digits(network: str, examples: int, data: str) -> Arrays:
    """Real digits: 28×28, a long column for the longest recurrence, or with a black border to 32×32."""
    splits = read(place(locate(data)), Request()).splits
    arrays: Arrays = {}
    for name, count in (("train", examples), ("test", TEST)):
        labels = splits[name].y
        assert labels is not None
        some = np.arange(count) % len(labels)
        x = splits[name].loaded.numpy()[some, 0]
        if network == "rnn784":
            x = x.reshape(count, -1, 1)
        if network == "dcgan":
            x = np.pad(x, ((0, 0), (2, 2), (2, 2)))
        arrays |= {f"x_{name}": x, f"y_{name}": labels.numpy()[some]}
    return arrays


def colours(examples: int) -> Arrays:
    """Colour pictures: a coarse pattern for each class under noise twice as strong."""
    random = np.random.default_rng(0)
    patterns = np.kron(random.normal(0, 30, (CLASSES, 4, 4, 3)), np.ones((1, SIDE // 4, SIDE // 4, 1)))
    y = random.integers(0, CLASSES, examples + TEST)
    noise = random.normal(128, 60, (len(y), SIDE, SIDE, 3))
    return _cut(np.clip(patterns[y] + noise, 0, 255).astype("uint8"), y, examples)


def waves(examples: int) -> Arrays:
    """Series: each class has a phase of its own in each feature, under noise; standardised by train's figures."""
    random = np.random.default_rng(0)
    phases = random.uniform(0, 2 * np.pi, (CLASSES, 1, FEATURES))
    y = random.integers(0, CLASSES, examples + TEST)
    time = np.linspace(0, 6 * np.pi, STEPS)[:, None]
    x = np.sin(time + phases[y]) + random.normal(0, 2, (len(y), STEPS, FEATURES))
    x = (x - x[:examples].mean((0, 1))) / x[:examples].std((0, 1))
    return _cut(x.astype("float32"), y, examples)


def _cut(x: Array, y: Array, examples: int) -> Arrays:
    return {"x_train": x[:examples], "y_train": y[:examples], "x_test": x[examples:], "y_test": y[examples:]}
