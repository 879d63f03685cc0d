"""The kernels in C beside torch's operators for the same: ms of a forward and a backward pass.

    python benchmarks/kernels.py --threads 2

Prints a Markdown table. Turns alternate and the fastest of each way counts, so that a machine which others use misleads
little. The recurrences have a benchmark of their own, `recurrence.py`.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, conv_transpose2d, leaky_relu, max_pool2d, relu

from fourfold.data.dataset import Batch
from fourfold.families.native import plain
from fourfold.families.native.cross_entropy import cross_entropy
from fourfold.families.native.norm import normalised
from fourfold.families.native.pooling import pooled
from fourfold.families.native.thin import narrowed, widened
from fourfold.families.native.winograd import convolved
from fourfold.families.rnn import networks, objective
from fourfold.runtime import generator, keep_freed_memory

ROUNDS, TURN = 20, 0.05  # turns of each way, seconds of one
STAGES = ((64, 32), (128, 16), (256, 8), (512, 4))  # channels and sides of ResNet-18's stages

Pass = Callable[[], object]
Line = tuple[str, Pass, Pass]  # what is done, by torch, in C


def milliseconds(ways: tuple[Pass, ...]) -> list[float]:
    """Of the fastest turn of each way, in turns."""
    best = [float("inf")] * len(ways)
    for _ in range(ROUNDS):
        for place, way in enumerate(ways):
            began, count = time.perf_counter(), 0
            while (spent := time.perf_counter() - began) < TURN:
                way()
                count += 1
            best[place] = min(best[place], 1000 * spent / count)
    return best


def both_ways(function: Callable[..., Tensor], *tensors: Tensor) -> Pass:
    """A pass forward, and one back to all of the tensors."""

    def run() -> None:
        result = function(*tensors)
        torch.autograd.grad(result, tensors, torch.ones_like(result))

    return run


def maps(*shape: int) -> Tensor:
    """Random numbers with their channels last, which want a gradient."""
    return torch.randn(shape).contiguous(memory_format=torch.channels_last).requires_grad_()


def pixels() -> Iterator[Line]:
    """A loss of pixels, and pooling behind the classic network's convolutions."""
    targets, logits = torch.rand(256, 784), torch.randn(256, 784, requires_grad=True)
    torchs = both_ways(lambda x: binary_cross_entropy_with_logits(x, targets), logits)
    yield "cross-entropy of logits, 256×784", torchs, both_ways(lambda x: cross_entropy(x, targets), logits)
    for shape in ((128, 32, 26, 26), (128, 64, 11, 11)):
        x = maps(*shape)
        torchs = both_ways(lambda x: max_pool2d(relu(x), 2), x)
        yield f"relu and pooling, {'×'.join(map(str, shape))}", torchs, both_ways(pooled, x)


def residual() -> Iterator[Line]:
    """What a ResNet-18 does with batches of 128."""
    for channels, side in STAGES:
        x, weight = maps(128, channels, side, side), maps(channels, channels, 3, 3)
        torchs = both_ways(lambda x, w: conv2d(x, w, padding=1), x, weight)
        yield f"convolution 3×3, 128×{channels}×{side}×{side}", torchs, both_ways(convolved, x, weight)
    for channels, side in STAGES:
        x, norm = maps(128, channels, side, side), nn.BatchNorm2d(channels)
        torchs = both_ways(lambda x, norm=norm: relu(norm(x)), x)
        ours = both_ways(lambda x, norm=norm: normalised(x, norm, "relu"), x)
        yield f"batch norm and relu, 128×{channels}×{side}×{side}", torchs, ours


def thin() -> Iterator[Line]:
    """What is next to the pictures in a DCGAN, and in the classic CNN: maps of one channel, and of many."""
    pictures, wide = torch.randn(128, 1, 32, 32), maps(128, 64, 16, 16)
    weight, bias = maps(64, 1, 4, 4), torch.zeros(64, requires_grad=True)
    torchs = both_ways(lambda w, b: leaky_relu(conv2d(pictures, w, b, 2, 1), 0.2), weight, bias)
    ours = both_ways(lambda w, b: widened(pictures, w, b, 2, 1, slope=0.2), weight, bias)
    yield "convolution 4×4 and leaky relu, 128×1×32×32 to 64 channels", torchs, ours
    torchs = both_ways(lambda x, w: conv_transpose2d(x, w, None, 2, 1), wide, weight)
    ours = both_ways(lambda x, w: narrowed(x, w, None, 2, 1), wide, weight)
    yield "transposed convolution 4×4, 128×64×16×16 to 1 channel", torchs, ours
    digits, weight, bias = torch.randn(128, 1, 28, 28), maps(32, 1, 3, 3), torch.zeros(32, requires_grad=True)
    torchs = both_ways(lambda w, b: conv2d(digits, w, b), weight, bias)
    ours = both_ways(lambda w, b: widened(digits, w, b), weight, bias)
    yield "convolution 3×3, 128×1×28×28 to 32 channels", torchs, ours


def recurrent() -> Iterator[Line]:
    """The classic recurrent network's loss and gradients."""
    network = networks.Classic(networks.Rows(28), networks.SimpleCell(28, 32, "relu", generator(0)), 10, generator(1))
    trained = list(network.parameters())
    for n in (32, 128):
        batch = Batch(torch.rand(n, 28, 28), None, torch.arange(n) % 10, torch.arange(n))

        def ours(batch: Batch = batch) -> None:
            loss = objective.classification({"classifier": network}, batch, generator(2)).total
            torch.autograd.grad(loss, trained)

        def torchs(ours: Pass = ours) -> None:
            with plain():
                ours()

        yield f"loss and gradients of the classic rnn, {n}×28×28", torchs, ours


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    keep_freed_memory()
    print("| work | torch | in C | torch's time over it |\n| --- | ---: | ---: | ---: |")
    for lines in (pixels(), residual(), thin(), recurrent()):
        for name, *ways in lines:
            theirs, ours = milliseconds(tuple(ways))
            print(f"| {name} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
