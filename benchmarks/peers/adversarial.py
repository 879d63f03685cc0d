"""DCGAN in plain PyTorch for pictures of 32×32, after PyTorch's own tutorial: one generator pass serves both steps."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from . import torch_networks
from .work import EPSILON, Answer, Array, Clock, Job, Split, calls, floats, versions

LATENT, WIDTH = 100, 64
LEARNING_RATE, BETA1 = 2e-4, 0.5  # Radford, Metz and Chintala (arXiv 1511.06434)
SLOPE = 0.2


def generator() -> nn.Module:
    """Latents (n, 100, 1, 1) to pictures (n, 1, 32, 32) in [-1, 1]."""
    return nn.Sequential(
        *(nn.ConvTranspose2d(LATENT, 4 * WIDTH, 4, bias=False), nn.BatchNorm2d(4 * WIDTH), nn.ReLU()),
        *(nn.ConvTranspose2d(4 * WIDTH, 2 * WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * WIDTH), nn.ReLU()),
        *(nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()),
        *(nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1), nn.Tanh()),
    )


def discriminator() -> nn.Module:
    """Pictures to logits (n, 1)."""
    return nn.Sequential(
        *(nn.Conv2d(1, WIDTH, 4, 2, 1), nn.LeakyReLU(SLOPE)),
        *(nn.Conv2d(WIDTH, 2 * WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * WIDTH), nn.LeakyReLU(SLOPE)),
        *(nn.Conv2d(2 * WIDTH, 4 * WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(4 * WIDTH), nn.LeakyReLU(SLOPE)),
        *(nn.Flatten(), nn.Linear(64 * WIDTH, 1)),
    )


def draw(layer: nn.Module) -> None:
    """Weights from N(0, 0.02), those of norms from N(1, 0.02)."""
    if isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
    elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class Pair:
    """The two networks with their optimizers, in training."""

    def __init__(self, job: Job) -> None:
        self.bf16 = job.precision == "bf16"
        self.layout = torch.channels_last if job.tuned else torch.contiguous_format
        self.makes, self.tells = generator().apply(draw), discriminator().apply(draw)
        for network in (self.makes, self.tells):
            network.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.makers, self.tellers = (
            torch.optim.Adam(network.parameters(), LEARNING_RATE, (BETA1, 0.999), EPSILON)
            for network in (self.makes, self.tells)
        )

    def judged(self, pictures: Tensor, real: float) -> Tensor:
        """How far the discriminator is from calling them `real`: 1 or 0."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.tells(pictures)
        return binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, real, dtype=torch.float32))

    def generated(self, count: int) -> Tensor:
        """New pictures."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            pictures: Tensor = self.makes(torch.randn(count, LATENT, 1, 1))
        return pictures

    def step(self, real: Tensor) -> float:
        """One update of each. Returns: the discriminator's loss."""
        self.tells.zero_grad()
        on_real = self.judged(real.contiguous(memory_format=self.layout), 1.0)
        on_real.backward()  # type: ignore[no-untyped-call]
        fake = self.generated(len(real))
        on_fake = self.judged(fake.detach(), 0.0)
        on_fake.backward()  # type: ignore[no-untyped-call]
        self.tellers.step()
        self.makes.zero_grad()
        fooled = self.judged(fake, 1.0)
        fooled.backward()  # type: ignore[no-untyped-call]
        self.makers.step()
        return on_real.item() + on_fake.item()


def run(job: Job, train: Split) -> Answer:
    """Train, or make pictures."""
    pair = Pair(job)
    count = torch_networks.parameters(pair.makes) + torch_networks.parameters(pair.tells)
    told: dict[str, Any] = {"versions": versions("torch", "numpy"), "parameters": count}
    if job.task == "predict":
        return Answer(**told, calls=calls(lambda x: sample(pair, len(x)), train.x))
    x = torch.from_numpy(floats(train.x)).unsqueeze(1) * 2 - 1
    loader = DataLoader(TensorDataset(x), batch_size=job.batch_size, shuffle=True)
    clock, mean = Clock(), 0.0
    for _ in range(job.epochs):
        clock.start()
        mean = sum(pair.step(real) * len(real) for (real,) in loader) / len(x)
        clock.stop()
    return Answer(**told, loss=mean, seconds=clock.seconds, steps=len(loader))


def sample(pair: Pair, count: int) -> Array:
    """Pictures (n, 1, 32, 32) in [0, 1]."""
    pair.makes.eval()
    with torch.inference_mode():
        pictures: Array = ((pair.generated(count).float() + 1) / 2).numpy()
    return pictures
