"""Which digits a GAN makes, as a classifier trained on the same data reads them.

    fourfold train cnn DATA --out digits-cnn
    fourfold train gan DATA --out digits-gan
    python benchmarks/gan_digits.py digits-gan digits-cnn

Prints how many of the pictures are read as each class, and how many of them surely (p ≥ 0.9),
beside what the classifier makes of the real test pictures. It is a count, not a distance.
"""

import argparse

import numpy as np

import fourfold as ff

SURE = 0.9


def counts(probabilities: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """How many pictures are read as each class, and how many of those surely."""
    best, sure = probabilities.argmax(1), probabilities.max(1) >= SURE
    return np.bincount(best, minlength=classes), np.bincount(best[sure], minlength=classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gan", help="a run or a model")
    parser.add_argument("cnn", help="a run or a model, trained on the same pictures")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    judge = ff.load(options.cnn)
    assert judge.schema.classes is not None
    made = ff.load(options.gan).generate(options.count, options.seed)
    read = np.asarray(judge.predict(made))
    total, sure = counts(read, len(judge.schema.classes))
    print("| class | made | read surely |\n| --- | ---: | ---: |")
    for name, number, certain in zip(judge.schema.classes, total, sure, strict=True):
        print(f"| {name} | {number:,} | {certain / max(number, 1):.1%} |")
    print(f"\n{sure.sum() / options.count:.1%} of {options.count:,} are read surely (p ≥ {SURE})")


if __name__ == "__main__":
    main()
