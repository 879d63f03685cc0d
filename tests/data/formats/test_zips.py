"""Zip archives: what others write is read, and one that lies is named."""

import contextlib
import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fourfold.data.formats import zips
from fourfold.data.formats.places import Place, place, read_bytes, size_of, walk
from fourfold.errors import DataError
from tests.data.damage import damaged
from tests.data.packing import Packed, deflated, deflated_zeros, place_of, zip_of


@pytest.mark.parametrize(
    ("raw", "flags", "name"),
    [
        ("猫/é.png".encode(), 0x800, "猫/é.png"),
        ("猫/é.png".encode(), 0, "猫/é.png"),  # as macOS packs
        (b"caf\x82.png", 0, "café.png"),  # code page 437
        (b"A.png", 0, "A.png"),
    ],
)
def test_names_in_other_encodings(raw: bytes, flags: int, name: str) -> None:
    found = place_of(Packed(name=raw, content=b"x", flags=flags), Packed(name="b"))
    assert (found / name).read_bytes() == b"x"


FILES = st.dictionaries(
    st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3}){0,2}\.x", fullmatch=True), st.binary(max_size=200), max_size=6
)


@given(FILES, st.sampled_from([0, 8]), st.booleans(), st.booleans(), st.binary(max_size=30), st.binary(max_size=9))
@example({"a.x": b"x"}, 8, False, False, b"", b"PK\5\6")
@example({"a.x": b"x"}, 8, True, False, b"PK\5\6" * 5, b"PK\5\6" * 6)
@settings(deadline=None)
def test_what_zipfile_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, bytes],
    method: int,
    large: bool,
    streamed: bool,
    before: bytes,
    comment: bytes,
) -> None:
    stream = Unseekable() if streamed else io.BytesIO(before)
    stream.seek(0, os.SEEK_END) if not streamed else None
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.comment = comment
        for name, content in files.items():
            with archive.open(name, "w", force_zip64=large) as member:
                member.write(content)
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(stream.getvalue())
    opened = zips.ZipArchive(path)
    assert {name: opened.read(name) for name in opened.members} == files


class Unseekable(io.BytesIO):
    """A pipe: what is written into it has its figures behind it."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError("a pipe")

    def tell(self) -> int:
        raise OSError("a pipe")


def test_figures_for_large_archives_are_read() -> None:
    extra = struct.pack("<2H", 7, 2) + b"ab" + struct.pack("<2H3Q", 1, 24, 3, 3, 0)
    figures = {"size": 0xFFFFFFFF, "packed_size": 0xFFFFFFFF, "shift": 0xFFFFFFFF}
    member = Packed(name="a", content=b"abc", method=0, extra=extra, **figures)  # type: ignore[arg-type]
    assert place_of(member).read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (Packed(name="a", content=b"abcd", size=3), "not the content"),
        (Packed(name="a", content=b"abcd", size=5), "not the content"),
        (Packed(name="a", content=b"abcd", crc=0), "not the content"),
        (Packed(name="a", content=b"abcd", size=3, method=0), "not the content"),
        (Packed(name="a", content=b"abcd", packed=b"\xff" * 9), r"damaged \(Error -3"),
        (Packed(name="a", content=b"abcd" * 99, packed=deflated(b"abcd" * 99)[:-3]), "not the content"),
        (Packed(name="a", content=b"abcd", packed_size=5, shift=1), "not where"),
        (Packed(name="a", size=1 << 31, packed=bytes(1 << 24)), "more than 1,073,741,824"),
    ],
)
def test_a_member_that_is_not_what_it_should_be(member: Packed, message: str) -> None:
    found = place_of(member)
    with pytest.raises(OSError, match=message):
        read_bytes(found)
    with pytest.raises(OSError, match=message):
        found.open()


def test_no_more_is_unpacked_than_was_promised() -> None:
    found = place_of(Packed(name="a", packed=deflated_zeros(500), size=1000))
    tracemalloc.start()
    with pytest.raises(OSError, match="not the content"):
        read_bytes(found)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no directory at its end"),
        (b"no archive", "no directory at its end"),
        (zip_of(Packed(name="a", content=b"abc"))[:-30], "no directory at its end"),
        (zip_of(Packed(name="a", content=b"abc"))[20:], r"directory lies beyond|reaches beyond|is damaged"),
        (zip_of(Packed(name="a")).replace(b"PK\1\2", b"PK\1\3"), "its directory is damaged"),
        (b"PK\5\6" + bytes(5), "no directory at its end"),
        (b"PK\5\6" + struct.pack("<4H2LH", 1, 0, 0, 0, 0, 0, 0), "a part of an archive"),
        (b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 9, 9, 1 << 31, 0, 0), "directory"),
        (zip_of(Packed(name=b"\xff.png", flags=0x800)), "codec"),
        (zip_of(Packed(name="a", packed_size=100, size=100)), "'a' reaches beyond"),
    ],
)
def test_archives_that_cannot_be_read(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=rf"a\.zip.*({message})"):
        place(tmp_path / "a.zip")


def test_limits_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of(*(Packed(name=f"{number}") for number in range(4))))
    assert len(list(walk(place(path)))) == 4
    monkeypatch.setattr(zips, "MEMBERS", 3)
    with pytest.raises(DataError, match=r"a\.zip: more than 3 files; unpack it"):
        place(path)
    monkeypatch.setattr(zips, "DIRECTORY", 100)
    with pytest.raises(DataError, match=r"a\.zip: a directory of \d+ bytes; unpack it"):
        place(path)


def test_rubbish_behind_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of(Packed(name="a", content=b"abc")) + b"PK\5\6 rubbish")
    assert read_bytes(place(tmp_path / "a.zip")) == b"abc"


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damage_never_escapes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("damage") / "a.zip"
    path.write_bytes(
        damaged(
            zip_of(
                *(
                    Packed(name=name, content=content)
                    for name, content in {"a/1": b"a" * 100, "b": b"", "c.txt": bytes(range(256))}.items()
                )
            ),
            data,
        )
    )
    files: list[Place] = []
    with contextlib.suppress(DataError):
        files += walk(place(path))
    for file in files:
        with contextlib.suppress(OSError):
            assert len(read_bytes(file)) == size_of(file)
