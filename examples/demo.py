"""What `make demo` does: a CNN learns the shipped digits, then reads some that it never saw."""

from typing import Any

import numpy as np

import fourfold as ff

SHOWN = 5


def draw(digit: np.ndarray[Any, Any]) -> list[str]:
    """A picture (height, width), uint8, as lines of half blocks, two rows of pixels a line."""
    ink = (digit > 100).astype(int)
    return ["".join(" ▀▄█"[i] for i in upper + 2 * lower) for upper, lower in zip(ink[::2], ink[1::2], strict=True)]


model = ff.train("cnn", "mnist", epochs=5)
test = model.metrics["test"]
print(f"\n{test['accuracy']:.2%} of {test['count']:,} digits that it never saw are read rightly, such as\n")

assert model.dataset is not None
assert model.dataset.test is not None
unseen = model.dataset.test.loaded.numpy()
pictures = unseen[:: len(unseen) // SHOWN][:SHOWN]
for lines in zip(*(draw(picture[0]) for picture in pictures), strict=True):
    print("  ".join(lines))
print("".join(f"{f'{row.argmax()} ({row.max():.1%})':^30}" for row in np.asarray(model.predict(pictures))))
print(f"\nthe run: {model.run}\nits training curve: {model.run}/plots/history.png")
print(f"next: .venv/bin/fourfold evaluate {model.run}")
