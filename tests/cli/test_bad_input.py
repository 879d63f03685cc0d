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


def unsorted_times(here: Path) -> str:
    (here / "data.csv").write_text("date,x\n2024-01-01,1\n2024-01-02,2\n2024-01-05,3\n2024-01-04,4\n" + DAYS)
    return "rnn"


def repeated_times(here: Path) -> str:
    (here / "data.csv").write_text("id,date,x,kind\n1,2024-01-01,1,a\n1,2024-01-01,2,a\n2,2024-01-05,3,b\n")
    return "rnn --id id --time date"


DAYS = "".join(f"2024-02-{day:02},{day}\n" for day in range(1, 20))


def missing_step(here: Path) -> str:
    (here / "data.csv").write_text("date,x\n2024-01-01,1\n2024-01-02,\n2024-01-05,3\n" + DAYS)
    return "rnn"


def empty_series(here: Path) -> str:
    (here / "data.ts").write_text("@univariate true\n@classLabel true a b\n@data\n1,2:a\n:b\n")
    return "rnn"


def empty_text(here: Path) -> str:
    rows = [f"a review of a film that is {n} hours long,{'good' if n % 2 else 'bad'}" for n in range(20)]
    (here / "data.csv").write_text("\n".join(["review,label", *rows[:3], '" ",bad', *rows[3:]]))
    return "rnn"


def silent_sound(here: Path) -> str:
    for name in "ab":
        (here / "data" / name).mkdir(parents=True)
        (here / "data" / name / "1.wav").write_bytes(b"RIFF")
    return "rnn"


def class_without_train(here: Path) -> str:
    for part, classes in (("train", "ab"), ("test", "abc")):
        pictures(here / "data" / part, classes)
    return "cnn"


def leak(here: Path) -> str:
    pictures(here / "data" / "train", "ab")
    pictures(here / "data" / "test", "ab")
    return "cnn"


def repeated_header(here: Path) -> str:
    (here / "data.csv").write_text("a,b\n1,2\n3,4\na,b\n5,6\n")
    return "autoencoder"


def identifiers(here: Path) -> str:
    (here / "data.csv").write_text("id,b\n9007199254740993,2\n9007199254740995,4\n")
    return "autoencoder"


def mixed_decimals(here: Path) -> str:
    (here / "data.csv").write_text("a;b\n1,5;2.5\n3,25;4.5\n")
    return "autoencoder"


def open_quote(here: Path) -> str:
    (here / "data.csv").write_text('a,b\n1,2\n"3,4\n5,6\n')
    return "autoencoder"


def not_a_zip(here: Path) -> str:
    (here / "data.zip").write_text("no archive")
    return "cnn"


CASES: list[tuple[Callable[[Path], str], list[str]]] = [
    (text_named_png, ["data/a/9.png", "remove or replace"]),
    (uneven_idx, ["train-labels-idx1-ubyte.gz", "4 labels", "5 examples", "train-images-idx3-ubyte.gz"]),
    (truncated_npz, ["data.npz", "damaged"]),
    (ragged_ts, ["data.ts, row 5", "1 channels where 2 are expected"]),
    (one_class, ["one class only, 'a'", "two or more"]),
    (different_sizes, ["data/b/large.png", "20 x 14", "--size N"]),
    (nan_in_a_table, ["data.csv, row 3, column 'b'", "fill these cells, remove their rows"]),
    (unsorted_times, ["data.csv, row 5", "2024-01-04", "--sort"]),
    (repeated_times, ["data.csv, row 3", "the same date as in row 2", "keep one"]),
    (missing_step, ["data.csv, row 3, column 'x'", "--impute"]),
    (empty_series, ["data.ts, row 5", "zero length"]),
    (empty_text, ["data.csv, row 5, column 'review'", "no text"]),
    (silent_sound, ["data/a/1.wav: ", "remove or replace"]),
    (class_without_train, ["data/test/c/0.png: unknown class 'c'"]),
    (leak, ["examples of test", "train", "--allow duplicates"]),
    (repeated_header, ["data.csv, row 4", "the header once more"]),
    (identifiers, ["data.csv: column 'id' holds identifiers", "--group"]),
    (mixed_decimals, ["data.csv: decimal commas in column 'a', points in 'b'"]),
    (open_quote, ["data.csv, row 3", "is a quote open?"]),
    (not_a_zip, ["data.zip: cannot be read as a zip archive"]),
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
    family, *options = make(Path()).split()
    (data,) = Path().iterdir()
    assert main(["train", family, str(data), *options]) == 3
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
