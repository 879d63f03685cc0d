"""Make the small real data sets that ship with the package, from a folder of the full ones.

    python benchmarks/make_samples.py --data DATA

DATA holds mnist/*.gz (IDX), series/JapaneseVowels_*.ts.gz and breast-cancer.csv. The same
input always gives the same bytes.
"""

import argparse
import csv
import gzip
import io
import struct
from pathlib import Path

import numpy as np

SAMPLES = Path(__file__).parents[1] / "src/fourfold/data/samples"
SEED = 0
DIGITS = {"train": 12_000, "t10k": 2_000}
MEASURES = (
    *("radius", "texture", "perimeter", "area", "smoothness"),
    *("compactness", "concavity", "concave points", "symmetry", "fractal dimension"),
)

MNIST_CARD = """# Handwritten digits

12,000 training and 2,000 test pictures of handwritten digits, 28 x 28 grey, 10 classes.

Source: the MNIST database of Yann LeCun, Corinna Cortes and Christopher J. C. Burges.
Licence: CC BY-SA 3.0 (https://creativecommons.org/licenses/by-sa/3.0/).
Changed: drawn from the 60,000 training and the 10,000 test pictures, each class in the
proportion that it has there, in their original order; no picture is altered.
"""

VOWELS_CARD = """# Japanese vowels

Utterances of two Japanese vowels by nine speakers: 12 coefficients a moment, 7 to 29
moments; 270 for training, 370 for the test. The class is the speaker.

Source: Mineichi Kudo, Jun Toyama and Masaru Shimbo, "Multidimensional curve classification
using passing-through regions", Pattern Recognition Letters 20 (1999); the UCI Machine
Learning Repository (https://doi.org/10.24432/C5NS47), as .ts files of the UEA archive.
Licence: CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).
Changed: nothing; the files are unpacked.
"""

CANCER_CARD = """# Breast cancer

30 measures of the cell nuclei in 569 digitised needle aspirates of breast masses; the
diagnosis is malignant (212) or benign (357).

Source: Wolberg, W., Mangasarian, O., Street, N. and Street, W., "Breast Cancer Wisconsin
(Diagnostic)" (1995); the UCI Machine Learning Repository
(https://doi.org/10.24432/C5DW2B).
Licence: CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).
Changed: a header with the columns' names in place of a line of counts; the diagnosis as a
word in place of 0 (malignant) and 1 (benign).
"""


def shares(counts: np.ndarray, total: int) -> np.ndarray:
    """`total` divided in proportion to `counts`, by largest remainders. int64, as many as counts."""
    exact = counts * total / counts.sum()
    parts: np.ndarray = np.floor(exact).astype(np.int64)
    largest = np.argsort(parts - exact, kind="stable")[: total - parts.sum()]
    parts[largest] += 1
    return parts


def draw(labels: np.ndarray, total: int, random: np.random.Generator) -> np.ndarray:
    """The places of `total` examples, each class in its proportion, in their order."""
    classes, counts = np.unique(labels, return_counts=True)
    chosen = [
        random.choice(np.flatnonzero(labels == name), size, replace=False)
        for name, size in zip(classes, shares(counts, total), strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def read_idx(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes())
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def write_idx(path: Path, x: np.ndarray) -> None:
    header = bytes((0, 0, 8, x.ndim)) + struct.pack(f">{x.ndim}I", *x.shape)
    path.write_bytes(gzip.compress(header + x.tobytes(), compresslevel=9, mtime=0))


def make_mnist(data: Path, out: Path) -> None:
    for split, total in DIGITS.items():
        random = np.random.default_rng((SEED, total))
        labels = read_idx(data / f"mnist/{split}-labels-idx1-ubyte.gz")
        images = read_idx(data / f"mnist/{split}-images-idx3-ubyte.gz")
        places = draw(labels, total, random)
        write_idx(out / f"{split}-labels-idx1-ubyte.gz", labels[places])
        write_idx(out / f"{split}-images-idx3-ubyte.gz", images[places])
    (out / "README.md").write_text(MNIST_CARD, encoding="utf-8")


def make_vowels(data: Path, out: Path) -> None:
    for split in ("TRAIN", "TEST"):
        packed = data / f"series/JapaneseVowels_{split}.ts.gz"
        (out / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    (out / "README.md").write_text(VOWELS_CARD, encoding="utf-8")


def make_cancer(data: Path, out: Path) -> None:
    text = (data / "breast-cancer.csv").read_text(encoding="utf-8")
    [_, _, *names], *rows = csv.reader(io.StringIO(text))
    header = [
        *(f"mean {measure}" for measure in MEASURES),
        *(f"{measure} error" for measure in MEASURES),
        *(f"worst {measure}" for measure in MEASURES),
        "diagnosis",
    ]
    with (out / "cancer.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *([*row[:-1], names[int(row[-1])]] for row in rows)])
    (out / "README.md").write_text(CANCER_CARD, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the full data sets")
    data = parser.parse_args().data
    for name, make in {"mnist": make_mnist, "vowels": make_vowels, "cancer": make_cancer}.items():
        out = SAMPLES / name
        out.mkdir(parents=True, exist_ok=True)
        make(data, out)
        size = sum(file.stat().st_size for file in out.iterdir())
        print(f"{out}: {size:,} bytes")


if __name__ == "__main__":
    main()
