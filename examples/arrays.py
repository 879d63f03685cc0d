"""Arrays in, arrays out: a GAN learns from pictures in memory and makes new ones."""

import numpy as np

import fourfold as ff

random = np.random.default_rng(0)
discs = np.zeros((512, 16, 16), np.uint8)  # white discs of any size anywhere
for picture, (x, y, radius) in zip(discs, random.uniform((5, 5, 2), (11, 11, 5), (512, 3)), strict=True):
    rows, columns = np.ogrid[:16, :16]
    picture[(columns - x) ** 2 + (rows - y) ** 2 < radius**2] = 255

model = ff.train("gan", discs, epochs=15, batch_size=32, width=16)
made = model.generate(100, seed=1)
print(f"{made.shape}, of which {made.mean():.0%} is white; of the discs given {(discs > 0).mean():.0%}")
