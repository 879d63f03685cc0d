"""Arrays in, arrays out: digits in memory, a classifier and its probabilities."""

import gzip
from pathlib import Path

import numpy as np

import fourfold as ff

folder = Path(ff.__file__).parent / "data" / "samples" / "mnist"
images = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
labels = gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes())
x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
y = np.frombuffer(labels, np.uint8, offset=8)

model = ff.train("cnn", (x[:4000], y[:4000]), epochs=3)  # 20% are held out for the test, 10% of the rest to choose by
print(f"held out: {model.metrics['test']['accuracy']:.1%}")
probabilities = np.asarray(model.predict(x[4000:]))
print(f"{probabilities.shape}: {(probabilities.argmax(1) == y[4000:]).mean():.1%} of the others are read rightly")
print(f"accuracy once more, by evaluate: {model.evaluate((x[4000:], y[4000:]))['accuracy']:.1%}")
