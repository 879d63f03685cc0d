"""Bad data on the command line: one clear error that names the file and the mend, exit code 3, nothing left behind."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourfold.cli import main


def idx(path: Path, x: np.ndarray) -> None:
    header = bytes((0, 0, 8, x.ndim)) + struct.pack(f">{x.ndim}I", *x.shape)
    path.write_bytes(gzip.compress(header + x.tobytes()))


def pictures(folder: Path, classes: str) -> None:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (12, 12), 40 * i).save(folder / name / f"{i}.png")


def text_named_png(here: Path) -> str:
    pictures(here / "data", "ab")
    (here / "data" / "a" / "9.png").write_text("not a picture")
    return "cnn"


def uneven_idx(here: Path) -> str:
    (here / "data").mkdir()
    idx(here / "data" / "train-images-idx3-ubyte.gz", np.zeros((5, 12, 12), np.uint8))
    idx(here / "data" / "train-labels-idx1-ubyte.gz", np.zeros(4, np.uint8))
    return "cnn"


def truncated_npz(here: Path) -> str:
    np.savez(here / "whole.npz", x=np.zeros((9, 12, 12), np.uint8), y=np.arange(9) % 2)
    (here / "data").write_bytes((here / "whole.npz").read_bytes()[:300])
    (here / "whole.npz").unlink()
    (here / "data").rename(here / "data.npz")
    return "cnn"


def ragged_ts(here: Path) -> str:
    header = "@dimensions 2\n@classLabel true a b\n@data\n"
    (here / "data.ts").write_text(header + "1,2:3,4:a\n1,2:b\n")
    return "rnn"


def one_class(here: Path) -> str:
    pictures(here / "data", "a")
    return "cnn"


def different_sizes(here: Path) -> str:
    pictures(here / "data", "ab")
    Image.new("L", (20, 14)).save(here / "data" / "b" / "large.png")
    return "cnn"


def nan_in_a_table(here: Path) -> str:
    (here / "data.csv").write_text("a,b\n1,2\n3,\n5,6\n")
    return "autoencoder"


def empty(here: Path) -> str:
    (here / "data").mkdir()
    return "cnn"


def something_else(here: Path) -> str:
    (here / "data.docx").write_text("?")
    return "cnn"


CASES: list[tuple[Callable[[Path], str], list[str]]] = [
    (text_named_png, ["data/a/9.png", "remove or replace"]),
    (uneven_idx, ["train-labels-idx1-ubyte.gz", "4 labels", "5 examples", "train-images-idx3-ubyte.gz"]),
    (truncated_npz, ["data.npz", "damaged"]),
    (ragged_ts, ["data.ts, row 5", "1 channels where 2 are expected"]),
    (one_class, ["one class only, 'a'", "two or more"]),
    (different_sizes, ["data/b/large.png", "20 x 14", "--size N"]),
    (nan_in_a_table, ["data.csv, row 3, column 'b'", "fill these cells, remove their rows"]),
    (empty, ["data: an empty folder"]),
    (something_else, ["data.docx", "no kind of data that is known here"]),
]


@pytest.mark.parametrize(("make", "messages"), CASES, ids=[make.__name__ for make, _ in CASES])
def test_bad_data_are_named_with_the_mend(
    make: Callable[[Path], str],
    messages: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    family = make(Path())
    (data,) = Path().iterdir()
    assert main(["train", family, str(data)]) == 3
    spoken = capsys.readouterr()
    assert spoken.out == ""
    for message in messages:
        assert message in spoken.err
    assert "Traceback" not in spoken.err
    assert list(Path().iterdir()) == [data], "no half-made run is left behind"


def test_a_missing_target_column_is_named_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text("height,weight,species\n1,2,cat\n3,4,dog\n")
    assert main(["train", "autoencoder", "people.csv", "--target", "specie"]) == 3
    assert "people.csv: no column 'specie'; did you mean 'species'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Image.new("RGB", (28, 28), "red").save("x.png"), "x.png: in colour, where grey is asked for"),
        (lambda: Image.new("L", (28, 20)).save("x.png"), "x.png: 28 x 20 pixels, where the model takes 28 x 28"),
        (lambda: Path("x.png").write_text("?"), "x.png: its content is no PNG"),
        (lambda: None, "x.png: no such file or folder"),
    ],
)
def test_an_input_that_the_model_cannot_take_is_named(
    make: Callable[[], None],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    np.savez("d.npz", x=x, y=np.arange(40) % 2)
    assert main(["train", "cnn", "d.npz", "--epochs", "1", "--out", "run", "--quiet"]) == 0
    make()
    assert main(["predict", "run", "x.png"]) == 3
    assert message in capsys.readouterr().err


def test_a_test_split_that_was_trained_on_is_refused_unless_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    y = np.arange(40) % 2
    np.savez("d.npz", x_train=x[:30], y_train=y[:30], x_test=np.concatenate([x[30:], x[7:8]]), y_test=y[29:])
    words = ["train", "cnn", "d.npz", "--epochs", "1", "--quiet", "--validation", "0"]
    assert main(words) == 3
    told = capsys.readouterr().err
    assert "1 examples of test that are in train too, such as d.npz:x_test[10] = d.npz:x_train[7]" in told
    assert "--allow duplicates" in told
    assert not Path("runs").exists()
    assert main([*words, "--allow", "duplicates"]) == 0
