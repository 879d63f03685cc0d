"""The adding problem: can a cell keep two numbers over a long series that says nothing else?

    OMP_NUM_THREADS=1 python benchmarks/adding.py --length 100 400 1000 --cell gru lstm

A series has two channels: numbers from U(0, 1), and marks that are 0 but for two steps, one in each half. The target is
the sum of the two marked numbers (Hochreiter and Schmidhuber, 1997, as Le, Jaitly and Hinton have it, arXiv
1504.00941). Who always says 1 has a mean squared error of 1/6 = 0.167, the variance of that sum.

Each cell is the project's own, of `RnnSettings`' size unless told otherwise, and its last state goes through a dense
layer to one number. `--start own` takes the cells as they are drawn; `--start long` has them begin with a long memory:

    simple      relu, U the identity, W from N(0, 0.001²): the state adds up what comes in (Le et al.)
    gru, lstm   the gate that keeps the state has a bias of log U(1, length - 1), an LSTM's input gate the negative of
                it, so that memories last from a step to the whole length (chrono initialisation: Tallec and Ollivier,
                arXiv 1804.11188)

Every step sees new series. A training ends when the error on 1,000 series that it never sees is below --solved or
no number any more, or after --steps. Prints a Markdown row for each training.
"""

import argparse
import sys
import time

import torch
from torch import Tensor, nn

from fourfold.families.rnn.networks import Classic, GruCell, LstmCell, Rows, SimpleCell
from fourfold.families.rnn.reader import cell
from fourfold.families.rnn.settings import RnnSettings
from fourfold.runtime import generator, keep_freed_memory

JUDGED = 1000  # series
EVERY = 100  # steps between two looks at them


def problem(count: int, length: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Series (count, length, 2) and the sums of their two marked numbers (count,)."""
    values = torch.rand(count, length, generator=random)
    half = length // 2
    first = torch.randint(half, (count, 1), generator=random)
    second = torch.randint(half, length, (count, 1), generator=random)
    marks = torch.zeros(count, length).scatter_(1, torch.cat((first, second), dim=1), 1)
    return torch.stack((values, marks), dim=2), (values * marks).sum(1)


@torch.no_grad()
def remember(one: nn.Module, length: int, random: torch.Generator) -> None:
    """Give a cell the start with a long memory."""
    if isinstance(one, SimpleCell):
        nn.init.eye_(one.u_hh)
        nn.init.normal_(one.w_hf, std=0.001, generator=random)
        return
    assert isinstance(one, GruCell | LstmCell)
    h = one.hidden_size
    bias = torch.empty(h).uniform_(1, length - 1, generator=random).log()
    one.b_g[h : 2 * h] = bias  # a GRU's update gate, an LSTM's forget gate: both keep the state
    if isinstance(one, LstmCell):
        one.b_g[:h] = -bias


def train(settings: RnnSettings, start: str, length: int, options: argparse.Namespace) -> tuple[float, int]:
    """The mean squared error on series that were not trained on, and the steps that it took."""
    random = generator(options.seed, "weights")
    one = cell(2, settings, random)
    if start == "long":
        remember(one, length, random)
    network = Classic(Rows(2), one, 1, random)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    x_judged, y_judged = problem(JUDGED, length, generator(options.seed, "judged"))
    error = torch.inf
    for step in range(options.steps):
        x, y = problem(options.batch_size, length, generator(options.seed, "step", step))
        optimizer.zero_grad()
        (network(x).squeeze(1) - y).square().mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), options.clip)
        optimizer.step()
        if (step + 1) % EVERY == 0:
            with torch.inference_mode():
                error = float((network(x_judged).squeeze(1) - y_judged).square().mean())
            print(f"{settings.cell} {start} {length}: step {step + 1}, error {error:.4f}", file=sys.stderr, flush=True)
            if not error >= options.solved:  # or no number any more
                break
    return error, step + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", nargs="+", default=["gru"], choices=["simple", "gru", "lstm"])
    parser.add_argument("--start", nargs="+", default=["long"], choices=["own", "long"])
    parser.add_argument("--length", type=int, nargs="+", default=[100])
    parser.add_argument("--hidden-size", type=int, default=RnnSettings().hidden_size)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--solved", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keep_freed_memory()
    print("| cell | start | length | error | steps | seconds |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in options.cell:
        settings = RnnSettings.resolve("classic", cell=name, hidden_size=options.hidden_size)
        for start in options.start:
            for length in options.length:
                began = time.perf_counter()
                error, steps = train(settings, start, length, options)
                seconds = time.perf_counter() - began
                print(f"| {name} | {start} | {length} | {error:.4f} | {steps} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
