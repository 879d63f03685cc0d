"""The attack corpus: every file is refused by name, runs nothing, writes nothing, and takes little."""

import re
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from fourfold import data, model
from fourfold.data.dataset import Request
from fourfold.data.formats.places import place
from fourfold.data.sources import sounds
from fourfold.errors import FourfoldError
from fourfold.families.cnn.settings import CnnSettings
from fourfold.settings import read_config

from .attacks import CANARY, Attack, Loader, attacks

LONGEST = 2.0  # seconds of this process, whatever else the machine does
MOST = 512 << 20  # bytes
WORDS = 2_000  # characters of a message, at most
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a terminal may obey
STATUS = Path("/proc/self/status")

LOADERS: dict[Loader, Callable[[Path], object]] = {
    "data": lambda path: data.read(path, Request()),
    "sounds": lambda path: sounds.read(place(path), Request()),
    "model": lambda path: model.load(path, "cpu"),
    "config": lambda path: CnnSettings.resolve(**read_config(path, CnnSettings)),
}


def memory(name: str) -> int:
    """Bytes of this process, by a line of what Linux tells of it: VmRSS, VmHWM (its highest so far) or VmSize."""
    found = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return int(found[1]) << 10


@contextmanager
def little_memory() -> Iterator[None]:
    """At most MOST bytes more than before, and no attempt at much more than that."""
    if not STATUS.exists():
        yield
        return
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is what it is now
    before, (soft, hard) = memory("VmRSS"), resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + 4 * MOST, hard))  # threads reserve more than they use
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    taken = memory("VmHWM") - before
    assert taken < MOST, f"{taken:,} bytes more"


@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack.name)
def test_attacks_are_refused(attack: Attack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "home/data/here"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FOURFOLD_CACHE", "off")
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "home"))
    path = attack.make(folder)
    before = set(tmp_path.rglob("*"))
    start = time.process_time()
    with little_memory(), nullcontext() if attack.says is None else pytest.raises(FourfoldError) as refusal:
        LOADERS[attack.loader](path)
    assert time.process_time() - start < LONGEST
    assert set(tmp_path.rglob("*")) == before
    if refusal is not None:
        message = str(refusal.value)
        assert re.search(attack.says or "", message), message[:WORDS]
        assert len(message) < WORDS
        assert not CONTROL.search(message)


def test_the_canary_sings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the corpus is made of does run code where it is loaded as it wants to be."""
    import pickle  # noqa: TID251

    from .attacks import pickled

    monkeypatch.chdir(tmp_path)
    pickle.loads(pickled()[128:])  # noqa: S301
    assert (tmp_path / CANARY).exists()
