"""The autoencoder: short codes, and what they decode to."""
