"""The small real data sets that ship with the package; their names stand wherever DATA may stand."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sample:
    """One data set: what it holds, where it comes from, what may be done with it."""

    name: str
    what: str
    examples: str
    source: str
    licence: str
    families: tuple[str, ...]  # that it suits


SAMPLES: dict[str, Sample] = {
    sample.name: sample
    for sample in (
        Sample(
            "mnist",
            "handwritten digits, 28×28 grey, 10 classes (IDX)",
            "12,000 train, 2,000 test",
            "LeCun, Cortes, Burges: the MNIST database; a class-balanced part of it",
            "CC BY-SA 3.0",
            ("cnn", "rnn", "autoencoder", "gan"),
        ),
        Sample(
            "vowels",
            "speech of 9 speakers, 12 channels, unequal lengths 7-29 (.ts)",
            "270 train, 370 test",
            "Kudo, Toyama, Shimbo (1999): Japanese Vowels, UCI",
            "CC BY 4.0",
            ("rnn",),
        ),
        Sample(
            "cancer",
            "breast cancer, 30 numeric columns and a diagnosis (CSV)",
            "569",
            "Wolberg, Mangasarian, Street, Street (1995), UCI",
            "CC BY 4.0",
            ("autoencoder",),
        ),
    )
}


def samples() -> dict[str, Sample]:
    """The samples by name."""
    return dict(SAMPLES)


def sample_path(name: str) -> Path:
    """Where a sample lies: a folder, or its one file."""
    folder = HERE / name
    return folder / "cancer.csv" if name == "cancer" else folder
