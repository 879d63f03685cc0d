"""What goes wrong in the world, through the command line: one test a row of the table in RELIABILITY.md.

Rows that have such a test already are not repeated here; the table names it.
"""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from fourfold.cli import main
from fourfold.data.dataset import Request
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read

FEW = ["--preset", "classic", "--epochs", "1", "--batch-size", "50", "--device", "cpu", "--quiet"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fourfold.api.draw", lambda *_: None)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """300 real digits."""
    train = read(sample_path("mnist"), Request()).splits["train"]
    assert train.y is not None
    return train.loaded[:300, 0].numpy(), train.y[:300].numpy()


def photos(digits: Any, count: int) -> list[Path]:
    """So many digits of two classes as pictures in class folders. Returns: their paths."""
    paths = [
        Path("photos", "even" if label % 2 == 0 else "odd", f"{i}.png") for i, label in enumerate(digits[1][:count])
    ]
    for path, picture in zip(paths, digits[0], strict=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return paths


def log(run: str) -> str:
    return Path(run, "log.txt").read_text()


def test_corrupt_file(digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One in a hundred is left out, named and counted; more, and nothing trains; nothing is replaced."""
    paths = photos(digits, 200)
    for path in paths[:2]:
        path.write_bytes(path.read_bytes()[:80])
    assert main(["train", "cnn", "photos", "--out", "run", *FEW]) == 0
    assert "2 " in log("run")
    assert str(paths[0]) in Path("run/audit.json").read_text()
    for path in paths[2:3]:
        path.write_bytes(path.read_bytes()[:80])
    capsys.readouterr()
    assert main(["train", "cnn", "photos", "--out", "other", *FEW]) == 3
    assert all(str(path) in capsys.readouterr().err for path in paths[:1])
    assert not Path("other").exists()


def test_data_changed(digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("d.npz", x=digits[0][:80], y=digits[1][:80])
    assert main(["train", "autoencoder", "d.npz", "--out", "run", *FEW]) == 0
    np.savez("d.npz", x=digits[0][:90], y=digits[1][:90])
    words = ["resume", "run", "--epochs", "2", "--quiet"]
    assert main(words) == 7
    assert "changed since the training began" in (told := capsys.readouterr().err)
    assert "--allow-data-change" in told
    assert main([*words, "--allow-data-change"]) == 0
    assert "the data changed after step" in Path("run/model/README.md").read_text()
    assert "the data changed after step" in Path("run/history.jsonl").read_text()


def test_nearly_the_same_example_in_train_and_test(digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The pairs are shown; equal ones are refused."""
    x, y = digits
    near = x[7:8].copy()
    near[0, 14, 14] ^= 8
    np.savez("d.npz", x_train=x[:200], y_train=y[:200], x_test=np.concatenate([x[200:], near]), y_test=[*y[200:], y[7]])
    assert main(["inspect", "d.npz"]) == 0
    told = capsys.readouterr().out
    assert "x_test[100]" in told
    assert "x_train[7]" in told


def test_wrong_channels(digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A model keeps to what it was trained on; only what is asked for is converted."""
    paths = photos(digits, 60)
    assert main(["train", "cnn", "photos", "--out", "run", *FEW]) == 0
    Image.open(paths[0]).convert("RGB").point(lambda value: value // 2).save("colour.png")
    picture = np.asarray(Image.open("colour.png")).copy()
    picture[..., 0] = 255
    Image.fromarray(picture).save("colour.png")
    assert main(["predict", "run", "colour.png"]) == 3
    assert "colour.png: in colour, where grey is asked for" in capsys.readouterr().err


def test_huge_pictures(digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    paths = photos(digits, 60)
    Image.new("1", (30_000, 30_000)).save(paths[5])
    assert main(["train", "cnn", "photos", "--size", "28", "--out", "run", *FEW]) == 3
    assert str(paths[5]) in capsys.readouterr().err
    assert not Path("run").exists()


def table(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


ROWS = "".join(f"{i},{i * i % 17}.5,{i % 5}\n" for i in range(60))


def test_missing_values_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Refused by row and column, or filled by what was fitted on train."""
    table("d.csv", "a,b,c\n" + ROWS + ",1,2\n")
    assert main(["train", "autoencoder", "d.csv", "--out", "run", *FEW]) == 3
    assert "d.csv, row 62, column 'a'" in capsys.readouterr().err
    assert main(["train", "autoencoder", "d.csv", "--impute", "median", "--out", "run", *FEW]) == 0


def test_unsorted_and_repeated_times(capsys: pytest.CaptureFixture[str]) -> None:
    days = [f"{who},2024-01-{day:02},{day + who},{'ab'[who % 2]}\n" for who in range(30) for day in range(1, 6)]
    table("d.csv", "id,date,x,kind\n" + "".join([*days[:1], days[2], days[1], *days[3:]]))
    words = ["train", "rnn", "d.csv", "--id", "id", "--time", "date", "--out", "run", *FEW]
    assert main(words) == 3
    assert "--sort" in capsys.readouterr().err
    assert main([*words, "--sort"]) == 0
    table("e.csv", "id,date,x,kind\n" + "".join([*days, days[-1]]))
    assert main(["train", "rnn", "e.csv", *words[3 : -len(FEW) - 2], "--sort", *FEW]) == 3
    assert "the same date as in row" in capsys.readouterr().err


def test_mixed_lengths(capsys: pytest.CaptureFixture[str]) -> None:
    """Trained as they are, whatever their padding; one of no length is refused."""
    rows = [f"{','.join(str(i + step) for step in range(2 + i % 9))}:{'ab'[i % 2]}" for i in range(60)]
    header = "@univariate true\n@classLabel true a b\n@data\n"
    Path("d.ts").write_text(header + "\n".join(rows) + "\n")
    assert main(["train", "rnn", "d.ts", "--out", "run", *FEW]) == 0
    Path("d.ts").write_text(header + "\n".join([*rows, ":a"]) + "\n")
    assert main(["train", "rnn", "d.ts", "--out", "other", *FEW]) == 3
    assert "zero length" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_oddities_of_csv_that_are_read(encoding: str) -> None:
    """A byte-order mark, encodings, decimal commas, line breaks within quotes: the same network comes out."""
    plain = [
        ["höhe", "breite", "art"],
        *([f"{i}.5", f"{i * 7 % 11}.25", "ja" if i % 3 else "na\nja"] for i in range(60)),
    ]
    with Path("plain.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(plain)
    odd = "\r\n".join(f'{high};{wide};"{kind}"'.replace(".", ",") for high, wide, kind in plain)
    Path("odd.csv").write_bytes(odd.encode(encoding))
    for name in ("plain", "odd"):
        assert main(["train", "autoencoder", f"{name}.csv", "--out", name, *FEW]) == 0
    weights = [Path(name, "model/weights.safetensors").read_bytes() for name in ("plain", "odd")]
    assert weights[0] == weights[1]


def test_formulas_are_no_formulas_in_what_is_written(digits: Any) -> None:
    """A class or a file may be called =1+1; a spreadsheet that opens the predictions computes nothing."""
    photos(digits, 60)
    Path("photos/odd").rename("photos/=1+1")
    assert main(["train", "cnn", "photos", "--out", "run", *FEW]) == 0
    first, second, *_ = sorted(Path("photos/=1+1").iterdir())
    shutil.copy(first, "@x.png")
    assert main(["predict", "run", "@x.png", str(second), "--out", "p.csv", "--quiet"]) == 0
    cells = pl.read_csv("p.csv", has_header=False).rows()
    assert any("=1+1" in str(cell) for row in cells for cell in row)
    assert not [cell for row in cells for cell in row if str(cell).startswith(("=", "+", "-", "@"))]


def test_the_tests_that_the_table_names_are_there() -> None:
    root = Path(__file__).parents[1]
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (root / "RELIABILITY.md").read_text(encoding="utf-8"))
    assert len(named) > 15
    for path, name in named:
        assert f"def {name}(" in (root / path).read_text(encoding="utf-8"), name
