"""`python -m fourfold` is the `fourfold` command."""

from .cli import entry

entry()
