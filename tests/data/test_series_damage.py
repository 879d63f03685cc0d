"""Damaged .ts files give series or an error that names them, in little time and memory."""

import contextlib
import gzip
import resource
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.dataset import Request
from fourfold.data.sources.series import read
from fourfold.errors import DataError
from fourfold.settings import Reading
from tests.data.damage import damaged
from tests.data.test_series import HEADER, ROWS, put


@pytest.mark.parametrize("content", [b"@data\n\xff", gzip.compress(HEADER.encode())[:-9], b"no gzip", b""])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "toy.ts.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"toy\.ts\.gz"):
        read(path, Request())
    path = tmp_path / "toy.ts"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"toy\.ts"):
        read(path, Request())


@pytest.mark.parametrize(("name", "impute"), [("toy.ts", "none"), ("toy.ts", "mean"), ("toy.ts.gz", "mean")])
@given(data=st.data())
@settings(max_examples=100, deadline=2000)
def test_damage_never_escapes(
    tmp_path_factory: pytest.TempPathFactory, name: str, impute: Literal["none", "mean"], data: st.DataObject
) -> None:
    whole = (HEADER + ROWS.replace("-1e1", "?")).encode()
    path = tmp_path_factory.mktemp("damage") / name
    path.write_bytes(damaged(gzip.compress(whole) if name.endswith(".gz") else whole, data))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(DataError):
        part = read(path, Request(Reading(impute=impute))).splits["train"]
        assert len(part)
        assert part.loaded.isfinite().all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19  # KiB


def test_a_series_that_would_drown_the_others_in_padding_is_named(tmp_path: Path) -> None:
    rows = "1\n" * 3000 + ",".join(["1"] * 100_000)  # 400 kB that would take 1.2 GB
    path = put(tmp_path / "toy.ts", f"@classLabel false\n@univariate true\n@data\n{rows}\n")
    with pytest.raises(DataError, match=r"toy\.ts, row 3004: 100,000 steps, where the 3,001 series have 34 on average"):
        read(path, Request())
