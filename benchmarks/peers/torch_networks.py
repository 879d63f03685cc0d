"""The benchmark's networks in plain PyTorch, drawn as Keras and Fourfold draw theirs.

Classifiers give logits (n, 10), the autoencoder logits (n, 784). Of the GAN see `adversarial.py`.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, relu

from .work import Array, floats

CLASSES = 10


class Recurrent(nn.Module):
    """A recurrent layer and a dense one over its last state."""

    def __init__(self, cell: nn.RNNBase) -> None:
        super().__init__()
        self.cell = cell
        self.output = nn.Linear(cell.hidden_size, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of series (n, time, features)."""
        states, _ = self.cell(x)
        logits: Tensor = self.output(states[:, -1])
        return logits


class Block(nn.Module):
    """A basic block of a residual network: He, Zhang, Ren and Sun (arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        shorter = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else shorter

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, outputs, height / stride, width / stride)."""
        return relu(self.second(relu(self.first(x))) + self.shortcut(x))


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1600, 64), nn.ReLU(), nn.Linear(64, CLASSES)),
    )


def autoencoder() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 784))


def resnet() -> nn.Module:
    """ResNet-18 as it is used for pictures of 32×32: a stem of 3×3 and no pooling behind it. 11,173,962 parameters."""
    widths = (64, 64, 128, 256, 512)
    blocks = [
        block
        for stage, (inputs, outputs) in enumerate(pairwise(widths))
        for block in (Block(inputs, outputs, 2 if stage else 1), Block(outputs, outputs, 1))
    ]
    stem = (nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cnn": cnn,
    "rnn": lambda: Recurrent(nn.RNN(28, 32, nonlinearity="relu", batch_first=True)),
    "rnn784": lambda: Recurrent(nn.RNN(1, 32, nonlinearity="relu", batch_first=True)),
    "gru": lambda: Recurrent(nn.GRU(16, 128, batch_first=True)),
    "autoencoder": autoencoder,
    "resnet": resnet,
}


def build(name: str) -> nn.Module:
    """A network with Keras' initial weights: Glorot-uniform, orthogonal from state to state, biases zero.

    A residual network has those of He et al. (arXiv 1502.01852), as Fourfold's has.
    """
    network = NETWORKS[name]()
    if name == "resnet":
        return he(network)
    for key, parameter in network.named_parameters():
        if "weight_hh" in key:
            nn.init.orthogonal_(parameter)
        elif parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
        elif "bias" in key:
            nn.init.zeros_(parameter)
    return network


def he(network: nn.Module) -> nn.Module:
    """Convolutions keep the gradient's variance; the last norm of each block starts at 0 (arXiv 1706.02677)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, Block):
            nn.init.zeros_(layer.second[1].weight)  # type: ignore[arg-type]
    return network


def inputs(name: str, x: Array) -> Tensor:
    """x as the network takes it."""
    tensor = torch.from_numpy(floats(x))
    if name == "resnet":
        return tensor.permute(0, 3, 1, 2).contiguous()
    return {"cnn": tensor.unsqueeze(1), "autoencoder": tensor.flatten(1)}.get(name, tensor)


def loss(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """What the network minimises, of its outputs and the targets."""
    return binary_cross_entropy_with_logits if name == "autoencoder" else cross_entropy


def probabilities(name: str, outputs: Tensor) -> Tensor:
    """Of the classes, or of the pixels."""
    return torch.sigmoid(outputs) if name == "autoencoder" else torch.softmax(outputs, 1)


def parameters(network: nn.Module) -> int:
    """How many numbers training changes."""
    return sum(parameter.numel() for parameter in network.parameters())
