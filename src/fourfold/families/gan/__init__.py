"""The generative adversarial network: new pictures like the given ones."""
