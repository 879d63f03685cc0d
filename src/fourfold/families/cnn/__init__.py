"""The convolutional network: classes of pictures."""
