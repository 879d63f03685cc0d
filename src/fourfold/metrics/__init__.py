"""Figures that judge a network: counted on the device, read once at the end."""
