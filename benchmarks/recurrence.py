"""What a step through a recurrence costs: a loop under autograd, the backward by hand, the same in C, and torch's own.

    python benchmarks/recurrence.py --threads 2

Forward to the last state and backward to the weights, and nothing else, on random series. The ways take turns, round
by round, so that a busy moment of the machine meets them all; the table tells ms a step, the median of the rounds and
the fastest and slowest one. The peer that has to be beaten, Keras on JAX, is measured the same way in its environment:

    KERAS_BACKEND=jax benchmarks/.venv-keras-jax/bin/python benchmarks/recurrence.py --keras
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

Step = Callable[[], object]


class Work(NamedTuple):
    """A recurrence over random series: batch, steps, features, hidden units."""

    cell: str
    n: int
    t: int
    f: int
    h: int


WORK = {
    "relu, 28×28, batch 32": Work("relu", 32, 28, 28, 32),
    "relu, 28×28, batch 128": Work("relu", 128, 28, 28, 32),
    "relu, 784×1, batch 128": Work("relu", 128, 784, 1, 32),
    "GRU 128, 100 steps of 28, batch 64": Work("gru", 64, 100, 28, 128),
    "LSTM 128, 100 steps of 28, batch 64": Work("lstm", 64, 100, 28, 128),
}


def torch_steps(work: Work) -> dict[str, Step]:
    """One step by each way that torch knows, of the same cell over the same series."""
    import torch

    from fourfold.families.rnn import loops
    from fourfold.families.rnn.networks import GruCell, LstmCell, SimpleCell

    random = torch.Generator().manual_seed(0)
    x = torch.rand(work.n, work.t, work.f, generator=random)
    cells: dict[str, Callable[[], Any]] = {
        "relu": lambda: SimpleCell(work.f, work.h, "relu", random),
        "gru": lambda: GruCell(work.f, work.h, random),
        "lstm": lambda: LstmCell(work.f, work.h, random),
    }
    cell = cells[work.cell]()

    modules: dict[str, Callable[[], Any]] = {
        "relu": lambda: torch.nn.RNN(work.f, work.h, nonlinearity="relu", batch_first=True),
        "gru": lambda: torch.nn.GRU(work.f, work.h, batch_first=True),
        "lstm": lambda: torch.nn.LSTM(work.f, work.h, batch_first=True),
    }
    theirs = modules[work.cell]()

    def step(module: Any, last: Callable[[], Any], most_units: int = 0) -> None:
        loops.MOST_UNITS = most_units
        module.zero_grad()
        last().sum().backward()

    return {
        "autograd": lambda: step(cell, lambda: plain_loop(work.cell, x, list(cell.parameters()))),
        "by hand": lambda: step(cell, lambda: cell.last(x)),
        "native": lambda: step(cell, lambda: cell.last(x), work.h),
        "torch.nn": lambda: step(theirs, lambda: theirs(x)[0][:, -1]),
    }


def plain_loop(cell: str, x_ntf: Any, weights: list[Any]) -> Any:
    """The last state, with the input products of all steps in one product and autograd for the rest."""
    import torch

    w, u, b, *c = weights
    drive_tng = torch.nn.functional.linear(x_ntf.transpose(0, 1), w, b)
    h = cells = x_ntf.new_zeros(len(x_ntf), u.shape[1])
    for drive_ng in drive_tng.unbind(0):
        if cell == "relu":
            h = torch.relu(torch.addmm(drive_ng, h, u.t()))
        elif cell == "gru":
            (ar, az, an), (sr, sz, sn) = drive_ng.chunk(3, 1), torch.addmm(c[0], h, u.t()).chunk(3, 1)
            h = torch.lerp(torch.tanh(an + torch.sigmoid(ar + sr) * sn), h, torch.sigmoid(az + sz))
        else:
            i, f, g, o = torch.addmm(drive_ng, h, u.t()).chunk(4, 1)
            cells = torch.sigmoid(f) * cells + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(cells)
    return h


def keras_steps(work: Work) -> dict[str, Step]:
    """One compiled step of the same cell in Keras on JAX."""
    import jax  # type: ignore[import, unused-ignore]
    import keras  # type: ignore[import, unused-ignore]
    import numpy as np

    makers: dict[str, Callable[[], Any]] = {
        "relu": lambda: keras.layers.SimpleRNN(work.h, activation="relu"),
        "gru": lambda: keras.layers.GRU(work.h),
        "lstm": lambda: keras.layers.LSTM(work.h),
    }
    layer = makers[work.cell]()
    x = jax.numpy.asarray(np.random.default_rng(0).random((work.n, work.t, work.f), dtype="float32"))
    layer.build(x.shape)
    weights = [variable.value for variable in layer.trainable_variables]
    rest = [variable.value for variable in layer.non_trainable_variables]
    step = jax.jit(jax.grad(lambda weights, x: layer.stateless_call(weights, rest, x)[0].sum()))
    return {"Keras on JAX": lambda: jax.block_until_ready(step(weights, x))}


def milliseconds(step: Step, seconds: float) -> float:
    """ms a step, over about so many seconds."""
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        step()
        count += 1
    return 1000 * spent / count


def measure(steps: dict[str, Step], rounds: int, seconds: float) -> list[str]:
    """A cell of the table for each way: median (fastest–slowest)."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        milliseconds(step, seconds / 2)  # compilation and warm caches
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(milliseconds(step, seconds))
    return [f"{median(times):.3g} ({min(times):.3g}–{max(times):.3g})" for times in found.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each way in each round")
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0: its own choice")
    parser.add_argument("--keras", action="store_true", help="measure Keras on JAX instead")
    options = parser.parse_args()
    if not options.keras:
        import torch

        from fourfold.runtime import keep_freed_memory

        keep_freed_memory()
        torch.set_num_threads(options.threads or torch.get_num_threads())
    for i, (name, work) in enumerate(WORK.items()):
        steps = (keras_steps if options.keras else torch_steps)(work)
        if i == 0:
            print("| ms a step |" + "".join(f" {way} |" for way in steps))
            print("| --- |" + " ---: |" * len(steps))
        print(f"| {name} | {' | '.join(measure(steps, options.rounds, options.seconds))} |", flush=True)
        print(f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores", file=sys.stderr)


if __name__ == "__main__":
    main()
