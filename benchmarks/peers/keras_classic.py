"""The article's classic networks in Keras 3: the peer beside which `benchmarks/classic.py` sets Fourfold.

    python keras_classic.py cnn --data DIR --seeds 0 1 2

Runs in an environment of its own, made from `requirements-keras-jax.txt`; KERAS_BACKEND chooses the backend, JAX if
unset. All of the training split is trained on, and the test split is looked at once, at the end.
Standard output holds one JSON line a seed and nothing else.
"""

import argparse
import gzip
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported, so it stands before
import keras  # type: ignore[import, unused-ignore]
from keras import layers


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One network of the article and how it is trained; the optimizer is Adam at 1e-3 for each."""

    shape: tuple[int, ...]
    layers: Callable[[], list[Any]]
    metric: str
    batch_size: int
    epochs: int


def cnn() -> list[Any]:
    return [
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]


def rnn() -> list[Any]:
    return [layers.SimpleRNN(32, activation="relu"), layers.Dense(10, activation="softmax")]


def autoencoder() -> list[Any]:
    return [layers.Dense(32, activation="relu"), layers.Dense(784, activation="sigmoid")]


RECIPES = {
    "cnn": Recipe(shape=(28, 28, 1), layers=cnn, metric="accuracy", batch_size=32, epochs=5),
    "rnn": Recipe(shape=(28, 28), layers=rnn, metric="accuracy", batch_size=32, epochs=5),
    "autoencoder": Recipe(shape=(784,), layers=autoencoder, metric="loss", batch_size=256, epochs=50),
}


def read_idx(folder: Path, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The bytes of one IDX file, gzipped or not, in the shape that its header gives.

    Header: two zeros, a type code (8: unsigned bytes), the number of axes, each axis' length (big-endian).
    Raises: SystemExit if neither file is there or it holds something else.
    """
    plain, zipped = folder / name, folder / f"{name}.gz"
    if not plain.exists() and not zipped.exists():
        raise SystemExit(f"{folder}: holds neither {plain.name} nor {zipped.name}")
    content = plain.read_bytes() if plain.exists() else gzip.decompress(zipped.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise SystemExit(f"{folder}/{name}: not an IDX file of unsigned bytes")
    start = 4 + 4 * content[3]
    return np.frombuffer(content, np.uint8, offset=start).reshape(np.frombuffer(content[4:start], ">u4"))


def read_split(folder: Path, split: str, recipe: Recipe) -> tuple[Any, Any]:
    """What the network is given, scaled to [0, 1], and what it must answer: the class, or its input again."""
    images = read_idx(folder, f"{split}-images-idx3-ubyte").astype("float32").reshape(-1, *recipe.shape) / 255
    return images, images if recipe.metric == "loss" else read_idx(folder, f"{split}-labels-idx1-ubyte")


def run(recipe: Recipe, seed: int, train: tuple[Any, Any], test: tuple[Any, Any]) -> dict[str, float]:
    """Train anew and evaluate. The seconds hold compilation, but neither the imports nor the reading of data."""
    started = time.perf_counter()
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input(recipe.shape), *recipe.layers()])
    loss = "binary_crossentropy" if recipe.metric == "loss" else "sparse_categorical_crossentropy"
    metrics = [] if recipe.metric == "loss" else [recipe.metric]
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=metrics)
    model.fit(*train, batch_size=recipe.batch_size, epochs=recipe.epochs, verbose=0)
    figures = model.evaluate(*test, batch_size=recipe.batch_size, verbose=0, return_dict=True)
    return {recipe.metric: float(figures[recipe.metric]), "seconds": round(time.perf_counter() - started, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a classic network with Keras; print a JSON line a seed.")
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="IDX folder with MNIST's file names")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()

    recipe = RECIPES[options.network]
    train, test = (read_split(options.data, split, recipe) for split in ("train", "t10k"))
    backend = keras.backend.backend()
    packages = {"python": platform.python_version(), **{name: version(name) for name in ("keras", backend, "numpy")}}
    for seed in options.seeds:
        result = run(recipe, seed, train, test)
        identity = {"peer": f"keras-{backend}", "network": options.network, "seed": seed}
        print(json.dumps({**identity, **result, "versions": packages}), flush=True)


if __name__ == "__main__":
    main()
