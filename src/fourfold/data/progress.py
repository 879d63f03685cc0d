"""How long work tells what it is at."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # what is going on, how much is done, and of how much (0: unknown)


def untold(what: str, done: int, total: int) -> None:
    """Progress that nobody wants to see."""
