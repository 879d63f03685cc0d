"""Places: an archive is read as the folder that was packed."""

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fourfold.data.dataset import Request
from fourfold.data.formats.places import Place, Zipped, entries, place, read_bytes, size_of, walk
from fourfold.data.sources import images
from fourfold.errors import DataError
from tests.data.packing import Packed, place_of, zip_of
from tests.data.test_images import picture

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
    assert here.splits["train"].x[:].tolist() == there.splits["train"].x[:].tolist()
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


def test_several_threads_read_at_once(tmp_path: Path) -> None:
    files = {f"{number}": bytes([number]) * (1 + number * 50) for number in range(200)}
    found = list(walk(place(pack(tmp_path / "a.zip", files)))) * 5
    with ThreadPoolExecutor(8) as pool:
        assert all(
            content == files[file.name] for file, content in zip(found, pool.map(read_bytes, found), strict=True)
        )


def test_what_is_not_there_is_named() -> None:
    found = place_of(Packed(name="a/b"), Packed(name="c"))
    for ask in (read_bytes, size_of):
        with pytest.raises(FileNotFoundError, match=r"zip/a"):
            ask(found / "a")  # a folder


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
