"""Lightning over the same networks as plain PyTorch, without logger, checkpoints and progress bar."""

import logging
import warnings
from typing import Any

import lightning  # type: ignore[import, unused-ignore]
import torch
from lightning.pytorch.callbacks import LambdaCallback  # type: ignore[import, unused-ignore]
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from . import torch_networks
from .plain import laid_out, predict
from .work import EPSILON, LEARNING_RATE, Answer, Clock, Job, UnavailableError, accuracy, read, serve, versions


class Learner(lightning.LightningModule):  # type: ignore[misc, unused-ignore]
    """A network with its loss and its optimizer; `total` is the sum of the open epoch's losses."""

    def __init__(self, network: nn.Module, job: Job) -> None:
        super().__init__()
        self.network = network
        self.job = job
        self.criterion = torch_networks.loss(job.network)
        self.total = torch.zeros(())

    def on_train_epoch_start(self) -> None:
        """Count anew."""
        self.total = torch.zeros(())

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The loss of a batch."""
        x, y = batch
        loss = self.criterion(self.network(laid_out(x, self.job)), y)
        self.total += loss.detach() * len(x)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, eps=EPSILON)


def run(job: Job) -> Answer:
    """Train."""
    if job.task == "predict" or job.network == "dcgan":
        raise UnavailableError("its networks and its loop are plain PyTorch's there")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # none is what the tutorials have
    torch.manual_seed(job.seed)
    train, test = read(job)
    network = torch_networks.build(job.network)
    if job.tuned:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch_networks.inputs(job.network, train.x)
    y = x if job.network == "autoencoder" else torch.from_numpy(train.y)
    loader = DataLoader(TensorDataset(x, y), batch_size=job.batch_size, shuffle=True)
    learner, clock = Learner(network, job), Clock()
    trainer(job, clock).fit(learner, loader)
    return Answer(
        versions=versions("lightning", "torch", "numpy"),
        parameters=torch_networks.parameters(network),
        loss=learner.total.item() / len(x),
        accuracy=None if job.network == "autoencoder" else accuracy(predict(network, job, test.x), test.y),
        seconds=clock.seconds,
        steps=len(loader),
    )


def trainer(job: Job, clock: Clock) -> Any:
    """What runs the epochs and times them."""
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=job.epochs,
        precision="bf16-mixed" if job.precision == "bf16" else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[LambdaCallback(on_train_epoch_start=clock.start, on_train_epoch_end=clock.stop)],
    )


if __name__ == "__main__":
    serve(run)
