"""Places: an archive is read as the folder that was packed, and one that lies is named."""

import contextlib
import io
import os
import struct
import tempfile
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fourfold.data import zips
from fourfold.data.dataset import Request
from fourfold.data.places import Place, Zipped, entries, place, read_bytes, size_of, walk
from fourfold.data.sources import images
from fourfold.errors import DataError

from .damage import damaged
from .packing import Packed, deflated, deflated_zeros, zip_of
from .test_images import picture

TREE = {"cat/1.png": b"a" * 100, "cat/sub/2.tar.gz": b"bc", "dog/3": b"", "read me.txt": bytes(range(256))}


def pack(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def unpack(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def relative(file: Place, root: Place) -> str:
    return str(file).removeprefix(f"{root}/")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_reads_as_the_folder_that_was_packed(tmp_path: Path, method: int) -> None:
    folder = unpack(tmp_path / "tree", TREE)
    packed = place(pack(tmp_path / "tree.zip", TREE, method))
    found = {relative(file, packed): read_bytes(file) for file in walk(packed)}
    assert found == {relative(file, folder): read_bytes(file) for file in walk(folder)} == TREE
    for here, there in zip(
        (packed, packed / "cat", packed / "none"), (folder, folder / "cat", folder / "none"), strict=True
    ):
        assert (here.exists(), here.is_dir(), here.is_file()) == (there.exists(), there.is_dir(), there.is_file())
        if there.is_dir():
            assert [file.name for file in entries(here)] == [file.name for file in entries(there)]
    file = packed / "cat" / "sub/2.tar.gz"
    assert (file.exists(), file.is_dir(), file.is_file(), size_of(file)) == (True, False, True, 2)
    assert file.open().read() == b"bc"
    assert file.parent == packed / "cat/./sub" == packed / "dog/../cat/sub"
    assert packed / "../../cat" == packed / "cat"


def test_pictures_in_an_archive_are_those_in_the_folder(tmp_path: Path) -> None:
    for value, name in enumerate(("photos/cat/1.png", "photos/cat/2.png", "photos/dog/1.png")):
        picture(tmp_path / name, value)
    files = {str(file.relative_to(tmp_path)): file.read_bytes() for file in (tmp_path / "photos").rglob("*.png")}
    here = images.read(tmp_path / "photos", Request())
    there = images.read(place(pack(tmp_path / "photos.zip", files)), Request())
    assert here.classes == there.classes == ("cat", "dog")
    assert torch.equal(here.splits["train"].x, there.splits["train"].x)
    assert there.splits["train"].names[2] == f"{tmp_path}/photos.zip/photos/dog/1.png"


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\", min_codepoint=33), min_size=1, max_size=9)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=2, max_size=8))
@example([["a.b"], ["a", "b"], ["a-"], ["a"]])
@example([["a."], [".b"], ["a.b.c"], ["c..d"]])
def test_names_are_those_of_pathlib(names: list[list[str]]) -> None:
    spelt = ["/".join(part for part in parts if part not in (".", "..")) or "x" for parts in names]
    whole = place_of(Packed(name="a"), Packed(name="b"))
    assert isinstance(whole, Zipped)
    ours = [Zipped(whole.archive, name) for name in spelt]
    theirs = [PurePosixPath(name) for name in spelt]
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.name, mine.stem, mine.suffix) == (other.name, other.stem, other.suffix)
    assert [each.inside for each in sorted(ours)] == [str(each) for each in sorted(theirs)]


def place_of(*members: Packed, **options: bytes) -> Place:
    """An archive of these members, which lies nowhere any more."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.zip"
        path.write_bytes(zip_of(*members, **options))
        return place(path)


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (("photos/cat/1.png", "photos/dog/1.png"), "photos"),
        (("cat/1.png", "dog/1.png"), ""),
        (("cat/1.png", "1.png"), ""),
        (("table.csv",), "table.csv"),
        (("a/b/1.png", "a/b/2.png"), "a"),
        (("__MACOSX/a/._1.png", "a/.DS_Store", ".x/1.png", "a/1.png"), "a"),
        (("./a/./1.png", "a//2.png", "a/"), "a"),
        ((), ""),
    ],
)
def test_data_begin_below_what_wraps_all(names: tuple[str, ...], root: str) -> None:
    found = place_of(*(Packed(name=name) for name in names))
    assert isinstance(found, Zipped)
    assert found.inside == root
    assert not any("MACOSX" in str(file) or "/." in str(file) for file in walk(found))


def test_empty_folders_are_there() -> None:
    found = place_of(Packed(name="a/b/", mode=0o40755), Packed(name="a/", mode=0o40755), Packed(name="c/1"))
    assert [file.name for file in entries(found)] == ["a", "c"]
    assert [file.name for file in entries(found / "a")] == ["b"]
    assert entries(found / "a/b") == []
    with pytest.raises(DataError, match="a/none: cannot be listed"):
        entries(found / "a/none")


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


def test_several_threads_read_at_once(tmp_path: Path) -> None:
    files = {f"{number}": bytes([number]) * (1 + number * 50) for number in range(200)}
    found = list(walk(place(pack(tmp_path / "a.zip", files)))) * 5
    with ThreadPoolExecutor(8) as pool:
        assert all(
            content == files[file.name] for file, content in zip(found, pool.map(read_bytes, found), strict=True)
        )


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


def test_what_is_not_there_is_named() -> None:
    found = place_of(Packed(name="a/b"), Packed(name="c"))
    for ask in (read_bytes, size_of):
        with pytest.raises(FileNotFoundError, match=r"zip/a"):
            ask(found / "a")  # a folder


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no directory at its end"),
        (b"no archive", "no directory at its end"),
        (zip_of(Packed(name="a", content=b"abc"))[:-30], "no directory at its end"),
        (zip_of(Packed(name="a", content=b"abc"))[20:], r"directory lies beyond|reaches beyond|is damaged"),
        (zip_of(Packed(name="a")).replace(b"PK\1\2", b"PK\1\3"), "its directory is damaged"),
        (b"PK\5\6" + bytes(5), "is it complete"),
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


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damage_never_escapes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("damage") / "a.zip"
    path.write_bytes(damaged(zip_of(*(Packed(name=name, content=content) for name, content in TREE.items())), data))
    files: list[Place] = []
    with contextlib.suppress(DataError):
        files += walk(place(path))
    for file in files:
        with contextlib.suppress(OSError):
            assert len(read_bytes(file)) == size_of(file)


def test_only_zip_files_are_archives(tmp_path: Path) -> None:
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "a.npz").touch()
    for path in (tmp_path, tmp_path / "folder.zip", tmp_path / "a.npz", tmp_path / "none.zip"):
        assert place(path) is path


def test_an_archive_in_an_archive_is_a_file(tmp_path: Path) -> None:
    inner = zip_of(Packed(name="cat/1.png"))
    found = place(pack(tmp_path / "a.zip", {"inner.zip": inner, "b": b""}))
    assert (found / "inner.zip").is_file()
    assert read_bytes(found / "inner.zip") == inner


def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").touch()
    os.mkfifo(tmp_path / "a/2.png")
    (tmp_path / "a/3.png").symlink_to("/dev/zero")
    (tmp_path / "a/4.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "5.png")
    assert sorted(file.name for file in walk(tmp_path)) == ["1.png", "4.png"]
    assert [file.name for file in entries(tmp_path)] == ["a"]
    assert [file.name for file in entries(tmp_path / "a")] == ["1.png", "4.png"]
