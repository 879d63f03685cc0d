"""Every error that Fourfold raises on purpose, each with its exit code.

    FourfoldError            1
    ├── UsageError           2   an unknown name, or a value out of its range
    ├── DataError            3   data that cannot be used as they are
    │   └── ModelError       3   a folder that is not a model, or a damaged one
    ├── DivergedError        4   the loss is no longer a number
    ├── OutOfMemoryError     5   the batch does not fit
    ├── StorageError         6   a result could not be written
    └── ResumeError          7   a run that cannot go on as it was

    Stopped                130   a training was asked to stop by SIGINT, or by SIGTERM (143)

Each message says what is wrong, where (file, row, step) and how to mend it.
"""

import difflib
import re
from collections.abc import Iterable

LONGEST = 1_500  # characters of a message
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class FourfoldError(Exception):
    """The root: catch it to catch everything that Fourfold raises on purpose.

    What a message quotes is shown, never obeyed: by a terminal, or by who has to read it all.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"))


class UsageError(FourfoldError):
    """A name or a value that the caller gave cannot be used."""

    exit_code = 2


class DataError(FourfoldError):
    """Data that cannot be used as they are; the message names file and row."""

    exit_code = 3


class ModelError(DataError):
    """A folder that is not a model, or one that is damaged."""


class DivergedError(FourfoldError):
    """Training stopped because a loss was not a finite number."""

    exit_code = 4


class OutOfMemoryError(FourfoldError):
    """The device has too little memory for the batch."""

    exit_code = 5


class StorageError(FourfoldError):
    """A file could not be written."""

    exit_code = 6


class ResumeError(FourfoldError):
    """A run cannot go on as it was: its settings, its data or its files are not those of its checkpoint."""

    exit_code = 7


class Stopped(KeyboardInterrupt):
    """A signal asked a training to stop: its step is finished, and the message tells how it goes on."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class DataWarning(UserWarning):
    """Something about what a model is asked that is worth knowing; the message names file and row."""


def printable(text: str) -> str:
    """Text without characters that a terminal obeys: they become their codes; lines and tabs stay."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of an error message: the nearest valid name, or all of them."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(names)}"
