"""Small steps on one thread: threads of their own would wait for each other most of the time."""

from collections.abc import Iterator

import pytest

from fourfold.runtime import one_thread


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """Every test of a file on one CPU thread, and what it prepares as well."""
    with one_thread():
        yield
