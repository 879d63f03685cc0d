"""The kernels in C beside torch's operators for the same: ms of a forward and a backward pass.

    python benchmarks/kernels.py --threads 1

Prints a Markdown table. The recurrences have a benchmark of their own, `recurrence.py`.
"""

import argparse
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, max_pool2d, relu

from fourfold.families.native.cross_entropy import cross_entropy
from fourfold.families.native.pooling import pooled
from fourfold.runtime import keep_freed_memory

ROUNDS, TURN = 20, 0.05  # turns of each way, seconds of one


def milliseconds(x: Tensor, ways: Mapping[str, Callable[[Tensor], Tensor]]) -> list[float]:
    """Of the fastest turn of each way, in turns."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began, count = time.perf_counter(), 0
            while (spent := time.perf_counter() - began) < TURN:
                result = way(x)
                torch.autograd.grad(result, x, torch.ones_like(result))
                count += 1
            best[name] = min(best[name], 1000 * spent / count)
    return list(best.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    keep_freed_memory()
    print("| work | torch | otherwise in torch | in C |\n| --- | ---: | ---: | ---: |")
    targets = torch.rand(256, 784)
    entropies = {
        "torch": lambda x: binary_cross_entropy_with_logits(x, targets),
        "C": lambda x: cross_entropy(x, targets),
    }
    plain, ours = milliseconds(torch.randn(256, 784, requires_grad=True), entropies)
    print(f"| cross-entropy of logits, 256×784 | {plain:.2f} | | {ours:.2f} |")
    poolings = {"torch": lambda x: max_pool2d(relu(x), 2), "later": lambda x: relu(max_pool2d(x, 2)), "C": pooled}
    for shape in ((128, 32, 26, 26), (128, 64, 11, 11)):
        x = torch.randn(shape).contiguous(memory_format=torch.channels_last).requires_grad_()
        cells = " | ".join(f"{value:.2f}" for value in milliseconds(x, poolings))
        print(f"| relu and pooling, {'×'.join(map(str, shape))} | {cells} |")


if __name__ == "__main__":
    main()
