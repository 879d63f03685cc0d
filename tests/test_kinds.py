"""Every kind of data goes the whole way: opened, trained on, saved, loaded, asked, judged."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fourfold as ff
from fourfold.data.dataset import Dataset
from fourfold.errors import DataError, UsageError
from fourfold.model import Model

QUICK: dict[str, Any] = {"epochs": 2, "quiet": True, "batch_size": 8}


def sounds(folder: Path) -> Path:
    """Low and high tones of different lengths, by two speakers."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(40):
        high, speaker = number % 2, "ab"[number // 2 % 2]
        time = np.arange(1600 + 80 * number) / 8000
        tone = 0.5 * np.sin(2 * np.pi * (2000 if high else 300) * time) + 0.01 * random.normal(size=len(time))
        with wave.open(str(folder / f"{['low', 'high'][high]}_{speaker}_{number}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes((tone * 32767).astype("<i2").tobytes())
    return folder


def texts(folder: Path) -> Path:
    folder.mkdir()
    rows = [f"this was a {'good' if n % 2 else 'bad'} film number {n},{'yes' if n % 2 else 'no'}" for n in range(40)]
    (folder / "films.csv").write_text("\n".join(["review,liked", *rows]))
    return folder / "films.csv"


def walks(folder: Path) -> Path:
    folder.mkdir()
    rows = [f"{n},{t},{(n % 2) * t + n / 10},{'up' if n % 2 else 'flat'}" for n in range(30) for t in range(5 + n % 4)]
    (folder / "walks.csv").write_text("\n".join(["id,time,x,kind", *rows]))
    return folder / "walks.csv"


def people(folder: Path) -> Path:
    folder.mkdir()
    rows = [f"{'' if n == 7 else n % 9},{['red', 'blue', 'green'][n % 3]},{n / 7:.3f}" for n in range(40)]
    (folder / "people.csv").write_text("\n".join(["age,colour,height", *rows]))
    return folder / "people.csv"


def parts_of(model: Model) -> Dataset:
    assert model.dataset is not None
    return model.dataset


@pytest.mark.parametrize("family", ["rnn", "cnn"])
def test_sounds(tmp_path: Path, family: str) -> None:
    path = sounds(tmp_path / "tones")
    pattern = "{label}_{speaker}_{index}.wav"
    model = ff.train(family, path, out=tmp_path / "run", pattern=pattern, group="speaker", fold="1/2", mels=16, **QUICK)
    assert model.schema.kind == "sound"
    assert model.schema.reading.rate == 8000
    assert model.schema.classes == ("high", "low")
    speakers = [set(part.fields["speaker"]) for part in parts_of(model).splits.values()]
    assert not set.intersection(*speakers)
    again = ff.load(tmp_path / "run")
    (tmp_path / "new.wav").write_bytes(next(path.iterdir()).read_bytes())  # a name that tells nothing
    answers = [each.predict([tmp_path / "new.wav"]) for each in (model, again)]
    assert answers[0].equals(answers[1])  # type: ignore[union-attr, arg-type]
    assert again.evaluate(path)["count"] == 40


def test_texts(tmp_path: Path) -> None:
    path = texts(tmp_path / "films")
    model = ff.train("rnn", path, out=tmp_path / "run", vocabulary="characters", augment="default", **QUICK)
    assert model.schema.kind == "text"
    assert (model.schema.reading.text, model.schema.reading.target) == ("review", "liked")
    again = ff.load(tmp_path / "run")
    (tmp_path / "one.txt").write_text("a good film")
    (tmp_path / "two.csv").write_text("review\na good film\na bad one\n")
    answer = again.predict([tmp_path / "one.txt", tmp_path / "two.csv"])
    assert isinstance(answer, pl.DataFrame)
    assert answer["input"].to_list() == [
        str(tmp_path / "one.txt"),
        *(f"{tmp_path / 'two.csv'}, row {n}" for n in (2, 3)),
    ]
    probabilities = answer["p(yes)"].to_list()
    assert probabilities[0] == pytest.approx(probabilities[1])
    assert probabilities[1] != probabilities[2]
    assert again.evaluate(path)["count"] == 40
    assert "texts of pieces (characters)" in (tmp_path / "run/model/README.md").read_text()


def test_a_vocabulary_is_of_train_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,part\n" + "aab ab,train\nab baa,train\n" * 5 + "zzz z,test\nz zz z,test\n")
    dataset = ff.data.open(path, ff.settings.DataSettings(split="part", text="text", vocabulary="characters"))
    assert dataset.schema.vocabulary is not None
    assert "z" not in dataset.schema.vocabulary
    assert dataset.test is not None
    assert set(dataset.test.loaded[0].tolist()) <= {0, 1, 2}


def test_series_of_a_table(tmp_path: Path) -> None:
    path = walks(tmp_path / "walks")
    model = ff.train("rnn", path, out=tmp_path / "run", id="id", time="time", **QUICK)
    assert model.schema.columns == ("x",)
    assert model.schema.classes == ("flat", "up")
    assert ff.load(tmp_path / "run").evaluate(path)["count"] == 30


def test_one_series_is_cut_by_time(tmp_path: Path) -> None:
    (tmp_path / "sun.csv").write_text("year,spots\n" + "".join(f"{1900 + n},{n % 11}\n" for n in range(100)))
    dataset = ff.data.open(tmp_path / "sun.csv", ff.settings.DataSettings())
    assert [part.x.shape[1] for part in dataset.splits.values()] == [72, 8, 20]
    assert dataset.held_out == {"validation": list(range(72, 80)), "test": list(range(80, 100))}
    assert dataset.splits["test"].loaded.flatten().tolist() == [n % 11 for n in range(80, 100)]
    with pytest.raises(DataError, match="one series or text is cut by time"):
        ff.data.open(tmp_path / "sun.csv", ff.settings.DataSettings(fold="1/2"))


def test_tables_with_categories_and_gaps(tmp_path: Path) -> None:
    path = people(tmp_path / "people")
    with pytest.raises(DataError, match=r"people\.csv, row 9, column 'age'.*--impute"):
        ff.train("autoencoder", path, target="colour", **QUICK)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line + (",mood" if n == 0 else f",{'ab'[n % 2]}") for n, line in enumerate(lines)))
    model = ff.train("autoencoder", path, out=tmp_path / "run", impute="median", latent_size=3, **QUICK)
    assert model.schema.levels == {"colour": ("blue", "green", "red"), "mood": ("a", "b")}
    assert model.schema.shape == (1 + 3 + 1 + 2,)
    answer = ff.load(tmp_path / "run").reconstruct([path])
    assert isinstance(answer, pl.DataFrame)
    assert set(answer["colour"]) <= {"blue", "green", "red"}
    assert answer["age"].is_finite().all()
    (tmp_path / "new.csv").write_text("age,colour,height,mood\n,violet,1,a\n")
    with pytest.warns(ff.DataWarning, match=r"new\.csv.*violet"):  # a colour that train does not know; and no age
        codes = ff.load(tmp_path / "run").encode([tmp_path / "new.csv"])
    assert isinstance(codes, pl.DataFrame)
    assert codes["z0"].is_finite().all()


def test_a_kind_that_a_family_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a cnn takes pictures or sounds, and this is text data"):
        ff.train("cnn", texts(tmp_path / "films"), **QUICK)
    with pytest.raises(UsageError, match="'jitter': it is for series, and these are texts"):
        ff.train("rnn", tmp_path / "films/films.csv", augment="jitter", out=tmp_path / "r", **QUICK)
