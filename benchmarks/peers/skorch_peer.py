"""skorch over the same networks as plain PyTorch, by its own `fit`."""

from typing import Any

import torch
from skorch import NeuralNet  # type: ignore[import, unused-ignore]

from . import torch_networks
from .work import (
    EPSILON,
    LEARNING_RATE,
    Answer,
    Array,
    Job,
    UnavailableError,
    accuracy,
    calls,
    read,
    serve,
    versions,
)


class Criterion(torch.nn.Module):
    """The network's loss as the module that skorch asks for."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.loss = torch_networks.loss(network)

    def forward(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """A scalar."""
        return self.loss(outputs, y)


def run(job: Job) -> Answer:
    """Train or predict."""
    if job.precision == "bf16" or job.network == "dcgan":
        raise UnavailableError("skorch has neither mixed precision nor a GAN of its own")
    torch.manual_seed(job.seed)
    train, test = read(job)
    network = torch_networks.build(job.network)
    net = wrapped(network, job)
    told: dict[str, Any] = {
        "versions": versions("skorch", "torch", "numpy"),
        "parameters": torch_networks.parameters(network),
    }
    if job.task == "predict":
        net.initialize()
        return Answer(**told, calls=calls(lambda x: predict(net, job, x), test.x))
    x = torch_networks.inputs(job.network, train.x)
    net.fit(x, x if job.network == "autoencoder" else torch.from_numpy(train.y))
    return Answer(
        **told,
        loss=float(net.history[-1, "train_loss"]),
        accuracy=None if job.network == "autoencoder" else accuracy(predict(net, job, test.x), test.y),
        seconds=[float(seconds) for seconds in net.history[:, "dur"]],
        steps=-(-len(x) // job.batch_size),
    )


def wrapped(network: torch.nn.Module, job: Job) -> Any:
    """The network as skorch trains it."""
    return NeuralNet(
        network,
        criterion=Criterion,
        criterion__network=job.network,
        optimizer=torch.optim.Adam,
        optimizer__eps=EPSILON,
        lr=LEARNING_RATE,
        batch_size=job.batch_size,
        max_epochs=job.epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


def predict(net: Any, job: Job, x: Array) -> Array:
    """Probabilities."""
    outputs = net.forward(torch_networks.inputs(job.network, x))
    answer: Array = torch_networks.probabilities(job.network, outputs).numpy()
    return answer


if __name__ == "__main__":
    serve(run)
