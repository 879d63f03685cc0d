"""What `make demo` does: the classic CNN learns the shipped digits, then reads some that it never saw."""

from typing import Any

import numpy as np

import fourfold as ff

SHOWN = 5


def draw(digit: np.ndarray[Any, Any]) -> list[str]:
    """A picture (height, width) in [0, 1] as lines of half blocks, two rows of pixels a line."""
    shades = [" ", "▀", "▄", "█"]
    ink = (digit > 0.4).astype(int)
    return [
        "".join(shades[upper + 2 * lower] for upper, lower in zip(*rows, strict=True))
        for rows in zip(ink[::2], ink[1::2], strict=True)
    ]


model = ff.train("cnn", "mnist")
print(
    f"\n{model.metrics['test']['accuracy']:.2%} of {model.metrics['test']['count']:,} digits it never saw are read rightly"
)

assert model.dataset is not None
assert model.dataset.test is not None
unseen = model.dataset.test
pictures = unseen.x.numpy()[:: len(unseen) // SHOWN][:SHOWN]
probabilities = model.predict(pictures)
print()
for lines in zip(*(draw(picture[0] / 255) for picture in pictures), strict=True):
    print("  ".join(lines))
print("".join(f"{f'{row.argmax()}  ({row.max():.1%})':^30}" for row in np.asarray(probabilities)))
print(f"\nthe run: {model.run}\nits training curve: {model.run}/plots/history.png")
print(f"next: .venv/bin/fourfold evaluate {model.run}")
