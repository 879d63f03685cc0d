"""What would make a training faster: sentences that follow from what was measured, and from nothing else."""

from collections.abc import Mapping, Sequence

from .meter import AUGMENT, DATA
from .timing import Trial

MUCH = 0.2  # share of a step from which a part is worth a word
BUSY = 0.5  # cores that others use, from which no figure tells what the machine can do
GAIN = 0.15  # by which a way has to be faster; less may be chance
BOUNDS = {
    "compute": "products bound the step: it needs fewer of them, or a machine that does more",
    "memory": "memory bounds the step, not products: operators read and write more than they compute",
    "overhead": "neither products nor memory bound the step: many small operators do, and larger batches spread them",
}


def advice(milliseconds: Mapping[str, float], bound: str, trials: Sequence[Trial], others: float) -> list[str]:
    """Sentences for people, what bounds the step first. trials: the way as it is, then others.

    others: cores that other processes used while all this was measured.
    """
    first, *rest = trials
    told = [BOUNDS[bound], *_parts(milliseconds)]
    if others > BUSY:
        told.insert(
            0, f"other processes used {others:.1f} cores meanwhile, and steps were slower for it: measure again"
        )
    found = [sentence for trial in rest if (sentence := _faster(first, trial, rest))]
    return told + (found or [f"nothing that was tried is faster by {GAIN:.0%}"])


def _parts(milliseconds: Mapping[str, float]) -> list[str]:
    whole = sum(milliseconds.values())
    mends = {
        DATA: "taking batches from the data takes {:.0%} of a step: fewer bytes an example (--size, --longest) help",
        AUGMENT: "augmentation takes {:.0%} of a step: name fewer of them with --augment",
        "optimizer": "the optimizer takes {:.0%} of a step: larger batches need it less often",
    }
    told = []
    for name, words in mends.items():
        spent = sum(value for part, value in milliseconds.items() if part.split()[-1] == name)
        if spent > MUCH * whole:
            told.append(words.format(spent / whole))
    return told


def _faster(first: Trial, trial: Trial, rest: Sequence[Trial]) -> str | None:
    """What a trial tells; of several larger batches the one that is best speaks."""
    if trial.microseconds > (1 - GAIN) * first.microseconds:
        return None
    if trial.way.batch_size != first.way.batch_size:
        best = min(
            (one for one in rest if one.way.batch_size != first.way.batch_size), key=lambda one: one.microseconds
        )
        gain = f"{_short(trial.microseconds)} µs an example instead of {_short(first.microseconds)}"
        told = (
            f"batches of {trial.way.batch_size} take {gain}: --batch-size {trial.way.batch_size}, if it learns as well"
        )
        return told if trial is best else None
    gain = f"{_short(trial.milliseconds)} ms a step instead of {_short(first.milliseconds)}"
    if trial.way.threads != first.way.threads:
        thread = "thread takes" if trial.way.threads == 1 else "threads take"
        return f"{trial.way.threads} {thread} {gain}: --threads {trial.way.threads}"
    return f"products in {trial.way.precision} take {gain}: --precision bf16, if it learns as well"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
