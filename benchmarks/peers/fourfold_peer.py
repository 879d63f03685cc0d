"""Fourfold by its own `api.fit`, or its command line: all that a user's training does, on the settings of the peers."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fourfold.errors import UsageError
from fourfold.families import settings_of
from fourfold.settings import Settings

from .work import LEARNING_RATE, Answer, Array, Clock, Job, UnavailableError, calls, read, serve, versions

FEW = 256  # examples that a network learns from before it is asked
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn": ("cnn", {"preset": "classic"}),
    "rnn": ("rnn", {"preset": "classic"}),
    "rnn784": ("rnn", {"preset": "classic"}),
    "gru": ("rnn", {"preset": "classic", "cell": "gru", "hidden_size": 128}),
    "autoencoder": ("autoencoder", {"preset": "classic"}),
    "dcgan": ("gan", {"preset": "dcgan", "learning_rate": 2e-4, "beta1": 0.5}),
    "resnet": ("cnn", {"preset": "resnet", "width": 64, "blocks": 2}),
}
# What presets may bring and the peers do not do. Only what a family has is set.
PLAIN: dict[str, Any] = {
    "validation": 0,
    "allow": "duplicates",  # the sample may be repeated to have enough examples
    "augment": "none",
    "optimizer": "adam",
    "learning_rate": LEARNING_RATE,
    "beta1": 0.9,
    "beta2": 0.999,
    "weight_decay": 0,
    "schedule": "constant",
    "warmup": 0,
    "clip": 0,
    "ema": 0,
    "label_smoothing": 0,
    "mixup": 0,
    "cutmix": 0,
    "dropout": 0,
}


def settings(job: Job, **more: Any) -> Settings:
    """The settings of a job. Raises: UnavailableError if this version has no such network or precision."""
    family, own = NETWORKS[job.network]
    kind = settings_of(family)
    values = {name: value for name, value in PLAIN.items() if name in kind.model_fields}
    values |= {"epochs": job.epochs, "batch_size": job.batch_size, "seed": job.seed, **own, **more}
    if job.precision != "fp32":
        values["precision"] = job.precision
    try:
        return kind.resolve(values.pop("preset"), **values)
    except UsageError as reason:
        raise UnavailableError(str(reason).partition(";")[0]) from None


def run(job: Job) -> Answer:
    """Train, predict or run the whole command."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        if job.task == "process":
            return by_command(job, out)
        return predicted(job, out) if job.task == "predict" else trained(job, out)


def by_command(job: Job, out: Path) -> Answer:
    """`fourfold train …`, as it is typed; its JSON is read here. Nothing has imported torch before it does."""
    from fourfold.cli import main

    family, own = NETWORKS[job.network]
    flags = {**own, "epochs": job.epochs, "batch_size": job.batch_size, "seed": job.seed, "out": out}
    flags |= {"validation": 0, "allow": "duplicates"}
    words = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    with redirect_stdout(io.StringIO()) as printed:
        code = main(["train", family, job.data, *words, "--json", "--quiet"])
    if code:
        raise SystemExit(code)
    result = json.loads(printed.getvalue())
    return Answer(
        versions=versions("fourfold", "torch", "numpy"),
        parameters=result["parameters"],
        loss=last_loss(out),
        accuracy=result["metrics"]["test"].get("accuracy"),
    )


def trained(job: Job, out: Path) -> Answer:
    """What `fourfold.train` does, with a watch beside it."""
    from fourfold import api

    from .fourfold_watch import Watch

    clock = Clock()
    model = api.fit(settings(job), job.data, out, [Watch(clock)])  # type: ignore[abstract]  # what it is not asked to do is nothing
    assert model.dataset is not None
    return Answer(
        versions=versions("fourfold", "torch", "numpy"),
        parameters=model.parameters,
        loss=last_loss(out),
        accuracy=model.metrics["test"].get("accuracy"),
        seconds=clock.seconds,
        steps=-(-len(model.dataset.train) // job.batch_size),
    )


def last_loss(run: Path) -> float:
    """The mean loss of the last epoch, as the run's history has it."""
    from fourfold.engine.history import History

    last = History.read(run / "history.jsonl").records[-1]
    return float(last["loss"] if "loss" in last else last["discriminator_loss"])


def predicted(job: Job, out: Path) -> Answer:
    """Arrays as they lie in the file to arrays of probabilities, reconstructions or new pictures."""
    from fourfold import api

    train, test = read(job)
    model = api.fit(settings(job, epochs=1, test=0), (train.x[:FEW], train.y[:FEW]), out)

    def answer(x: Array) -> object:
        if job.network == "dcgan":
            return model.generate(len(x))
        return model.reconstruct(x) if job.network == "autoencoder" else model.predict(x)

    told = versions("fourfold", "torch", "numpy")
    return Answer(versions=told, parameters=model.parameters, calls=calls(answer, test.x))


if __name__ == "__main__":
    serve(run)
