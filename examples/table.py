"""Thirty columns in four numbers: an autoencoder learns short codes of a table and gives the columns back."""

import numpy as np
import polars as pl

import fourfold as ff

model = ff.train("autoencoder", "cancer", epochs=200, latent_size=4, batch_size=32, quiet=True)
codes = model.encode("cancer")
restored = model.reconstruct("cancer")
assert isinstance(codes, pl.DataFrame)
assert isinstance(restored, pl.DataFrame)
print(codes.head(3))
explained = 1 - model.metrics["test"]["mse"]  # the columns are standardised: their variance is 1
print(f"the four numbers keep {explained:.0%} of the variance of rows that it never saw")
print(f"the row that it gives back worst: {restored['input'][int(np.asarray(restored['error']).argmax())]}")
