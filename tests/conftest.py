"""What every test starts from: a fixed number of threads, and small data sets made of real ones."""

import os
import signal
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")  # else their number, and the last bits, go by the machine's load
import torch

from fourfold.data.dataset import Dataset, Request
from fourfold.data.samples import sample_path
from fourfold.data.schema import Schema
from fourfold.data.sources.arrays import read as read_arrays

torch.set_num_threads(2)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell has it for what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_trace_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept from one process to the next goes into a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOURFOLD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """400 real digits to train on, 100 to choose by, 100 to judge by."""
    content = read_arrays(sample_path("mnist"), Request())
    train, test = content.splits["train"], content.splits["test"]
    schema = Schema(kind="image", shape=(1, 28, 28), classes=content.classes)
    parts = train.select(torch.arange(400)), train.select(torch.arange(400, 500)), test.select(torch.arange(100))
    return Dataset(schema, *parts, source="mnist", fingerprint="", held_out={})
