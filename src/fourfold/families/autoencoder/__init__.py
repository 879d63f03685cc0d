"""The autoencoder: short codes, what they decode to, and what does not come back as it should."""
