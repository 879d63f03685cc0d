"""Keras 3 by its own `fit`, on the backend that KERAS_BACKEND names."""

from collections.abc import Callable
from typing import Any

import keras  # type: ignore[import, unused-ignore]
from keras import layers

from .work import (
    LEARNING_RATE,
    Answer,
    Array,
    Clock,
    Job,
    UnavailableError,
    accuracy,
    calls,
    floats,
    read,
    serve,
    versions,
)


def cnn() -> list[Any]:
    return [
        *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)),
        *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2)),
        *(layers.Flatten(), layers.Dense(64, activation="relu")),
    ]


SHAPES = {"cnn": (28, 28, 1), "rnn": (28, 28), "rnn784": (784, 1), "gru": (100, 16), "autoencoder": (784,)}
LAYERS: dict[str, Callable[[], list[Any]]] = {
    "cnn": cnn,
    "rnn": lambda: [layers.SimpleRNN(32, activation="relu")],
    "rnn784": lambda: [layers.SimpleRNN(32, activation="relu")],
    "gru": lambda: [layers.GRU(128)],
    "autoencoder": lambda: [layers.Dense(32, activation="relu")],
}


def run(job: Job) -> Answer:
    """Train or predict."""
    if job.network not in LAYERS:
        raise UnavailableError(f"{job.network} is set beside plain PyTorch alone")
    keras.utils.set_random_seed(job.seed)
    if job.precision == "bf16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    train, test = read(job)
    model = build(job.network)
    backend = keras.backend.backend()
    package = "tensorflow-cpu" if backend == "tensorflow" else backend
    told: dict[str, Any] = {"versions": versions("keras", package, "numpy"), "parameters": model.count_params()}
    if job.task == "predict":
        return Answer(**told, calls=calls(lambda x: model.predict_on_batch(inputs(job.network, x)), test.x))
    clock = Clock()
    loss = fit(model, job, inputs(job.network, train.x), train.y, clock)
    score = None
    if job.network != "autoencoder":
        score = accuracy(model.predict(inputs(job.network, test.x), batch_size=256, verbose=0), test.y)
    steps = -(-len(train.x) // job.batch_size)
    return Answer(**told, loss=loss, accuracy=score, seconds=clock.seconds, steps=steps)


def build(network: str) -> Any:
    """A compiled model; the last layer stays in float32, as Keras advises for mixed precision."""
    coder = network == "autoencoder"
    units, activation = (784, "sigmoid") if coder else (10, "softmax")
    last = layers.Dense(units, activation=activation, dtype="float32")
    model = keras.Sequential([keras.Input(SHAPES[network]), *LAYERS[network](), last])
    loss = "binary_crossentropy" if coder else "sparse_categorical_crossentropy"
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE), loss=loss)  # its epsilon is 1e-7 already
    return model


def inputs(network: str, x: Array) -> Array:
    """x as the network takes it."""
    return floats(x).reshape(len(x), *SHAPES[network])


def fit(model: Any, job: Job, x: Array, y: Array, clock: Clock) -> float:
    """Returns: the mean loss of the last epoch."""
    timer = keras.callbacks.LambdaCallback(on_epoch_begin=clock.start, on_epoch_end=clock.stop)
    target = x if job.network == "autoencoder" else y
    history = model.fit(x, target, batch_size=job.batch_size, epochs=job.epochs, verbose=0, callbacks=[timer])
    return float(history.history["loss"][-1])


if __name__ == "__main__":
    serve(run)
