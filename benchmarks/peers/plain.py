"""Plain PyTorch as its tutorials write it: a DataLoader, a loop over batches, `loss.item()` after each."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from . import adversarial, torch_networks
from .work import EPSILON, LEARNING_RATE, Answer, Array, Clock, Job, Split, accuracy, calls, read, serve, versions


def run(job: Job) -> Answer:
    """Train or predict."""
    torch.manual_seed(job.seed)
    train, test = read(job)
    if job.network == "dcgan":
        return adversarial.run(job, train)
    network = torch_networks.build(job.network)
    if job.tuned:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    told: dict[str, Any] = {"versions": versions("torch", "numpy"), "parameters": torch_networks.parameters(network)}
    if job.task == "predict":
        return Answer(**told, calls=calls(lambda x: predict(network, job, x), test.x))
    clock, loss, steps = fit(network, job, train)
    score = None if job.network == "autoencoder" else accuracy(predict(network, job, test.x), test.y)
    return Answer(**told, loss=loss, accuracy=score, seconds=clock.seconds, steps=steps)


def fit(network: nn.Module, job: Job, train: Split) -> tuple[Clock, float, int]:
    """Returns: the epochs' seconds, the mean loss of the last, the steps of one."""
    x = torch_networks.inputs(job.network, train.x)
    y = x if job.network == "autoencoder" else torch.from_numpy(train.y)
    loader = DataLoader(TensorDataset(x, y), batch_size=job.batch_size, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, eps=EPSILON)
    criterion = torch_networks.loss(job.network)
    clock, mean = Clock(), 0.0
    for _ in range(job.epochs):
        clock.start()
        total = 0.0
        for x, y in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=job.precision == "bf16"):
                loss = criterion(network(laid_out(x, job)), y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(x)
        mean = total / len(train.x)
        clock.stop()
    return clock, mean, len(loader)


def laid_out(x: Tensor, job: Job) -> Tensor:
    """Pictures with their channels last if the job is tuned."""
    return x.contiguous(memory_format=torch.channels_last) if job.tuned and x.dim() == 4 else x


def predict(network: nn.Module, job: Job, x: Array) -> Array:
    """Probabilities."""
    network.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=job.precision == "bf16"):
        outputs = network(laid_out(torch_networks.inputs(job.network, x), job))
    answer: Array = torch_networks.probabilities(job.network, outputs.float()).numpy()
    return answer


if __name__ == "__main__":
    serve(run)
