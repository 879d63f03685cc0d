"""Nothing that is loaded runs code: pickle and its kin are named nowhere, and no use of Fourfold comes to them."""

import ast
import csv
import json
import subprocess
import sys
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from fourfold.data.dataset import Request
from fourfold.data.samples import sample_path
from fourfold.data.sources.arrays import read

SOURCE = Path(__file__).parents[1] / "src" / "fourfold"
MODULES = {"pickle", "_pickle", "cPickle", "dill", "joblib", "cloudpickle", "jsonpickle", "marshal", "shelve"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
# Attributes of a module or of what it has made, by the module's name.
CALLS = {
    "torch": {"load", "save", "jit", "hub", "package"},
    "yaml": {"load", "load_all", "unsafe_load", "full_load", "Loader", "UnsafeLoader", "FullLoader", "dump"},
    "pl": {"deserialize"},
}
NAMES = {"weights_only", "read_pickle", "to_pickle", "UnsafeLoader", "unsafe_load"}


def banned(text: str) -> Iterator[str]:
    """What a module's text imports, calls or names that could run code out of data."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if MODULES & set(name.name.split(".")))
            case ast.ImportFrom(module=str(module), names=names):
                yield from {module} if MODULES & set(module.split(".")) else ()
                yield from (
                    f"{module}.{name.name}" for name in names if name.name in MODULES | CALLS.get(module, set())
                )
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if name in CALLS.get(owner, set()):
                yield f"{owner}.{name}"
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in MODULES | NAMES:
                yield name
            case ast.Call(func=ast.Name(id=name)) if name in BUILTINS:
                yield name
            case ast.keyword(arg="allow_pickle", value=value) if ast.unparse(value) != "False":  # NumPy's default
                yield "allow_pickle"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_names_what_could_run_code(path: Path) -> None:
    assert list(banned(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import pickle", "pickle"),
        ("import multiprocessing, dill as d", "dill"),
        ("from pickle import loads", "pickle"),
        ("from six.moves import cPickle", "six.moves.cPickle"),
        ("from torch import load", "torch.load"),
        ("torch.load(path, weights_only=True)", "torch.load"),
        ("reader = torch.save", "torch.save"),
        ("yaml.load(text, Loader)", "yaml.load"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("reader(path, allow_pickle=flag)", "allow_pickle"),
        ("eval(text)", "eval"),
        ("module.pickle.loads(x)", "pickle"),
        ("frame.read_pickle(x)", "read_pickle"),
    ],
)
def test_what_could_run_code_is_seen(text: str, found: str) -> None:
    assert found in list(banned(text))


def test_what_cannot_is_not() -> None:
    fine = "np.load(path, allow_pickle=False); re.compile(x); network.eval(); yaml.safe_load(x); load(y)  # pickle"
    assert list(banned(fine)) == []


# A whole life in which whoever unpickles dies. Replaced before any library is loaded, so that none has the real ones.
CANARY = """
import os, sys, pickle, _pickle
def sing(*arguments, **named):
    os.write(2, b"CANARY\\n")
    os._exit(77)
class Unpickler:
    __new__ = load = sing
for module in (pickle, _pickle):
    module.load = module.loads = sing
    module.Unpickler = Unpickler
pickle._load = pickle._loads = sing
pickle._Unpickler = Unpickler
"""
LIFE = """
import torch
torch.load = torch.serialization.load = torch.jit.load = torch.hub.load = sing
import fourfold as ff
from fourfold.api import resume
few = {"epochs": 1, "batch_size": 20, "threads": 1, "device": "cpu", "quiet": True}
def live(family, data, **settings):
    model = ff.train(family, data, out=f"runs/{family}-{data}", **few, **settings)
    return ff.load(model.run)
live("cnn", "digits.npz", preset="classic", checkpoint_every="1steps")
model = resume("runs/cnn-digits.npz", epochs=2, quiet=True)
assert model.origin.epochs == 2
again = ff.load("runs/cnn-digits.npz")
assert again.evaluate()["accuracy"] == model.metrics["test"]["accuracy"]
assert len(again.predict(["pictures/0/0.png"])) == 1
live("cnn", "pictures").predict(["pictures/0/0.png"])
live("cnn", "pictures.zip")
live("autoencoder", "arrays").reconstruct("arrays")
live("autoencoder", "table.csv").encode("table.csv")
live("autoencoder", "table.parquet").reconstruct("table.parquet")
live("gan", "pictures", width=2, latent_size=4).generate(2)
live("rnn", "series.ts").predict("series.ts")
live("rnn", "texts.jsonl")
live("rnn", "texts").predict(["texts/0/0.txt"])
live("rnn", "sounds").predict(["sounds/0/0.wav"])
print("lived")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with data of every kind."""
    train = read(sample_path("mnist"), Request()).splits["train"]
    x, y = train.loaded[:60, 0].numpy(), np.arange(60) % 2
    np.savez(tmp_path / "digits.npz", x=x, y=y)
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "x.npy", x)
    for i in range(24):
        for name in ("pictures", "texts", "sounds"):
            (tmp_path / name / str(i % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[i]).save(tmp_path / f"pictures/{i % 2}/{i}.png")
        (tmp_path / f"texts/{i % 2}/{i}.txt").write_text(told(i))
        with wave.open(str(tmp_path / f"sounds/{i % 2}/{i}.wav"), "wb") as file:
            file.setparams((1, 2, 8_000, 0, "NONE", ""))
            file.writeframes(
                np.sin(np.arange(2_000) * (i + 1) / 20).astype("<f4").__mul__(9_000).astype("<i2").tobytes()
            )
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in sorted((tmp_path / "pictures").rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path / "pictures"))
    rows = [{"a": i / 3, "b": (i * 7) % 11 + 0.5} for i in range(40)]
    with (tmp_path / "table.csv").open("w", newline="") as text:
        (writer := csv.DictWriter(text, ["a", "b"])).writeheader()
        writer.writerows(rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "table.parquet")
    (tmp_path / "texts.jsonl").write_text(
        "".join(json.dumps({"text": told(i), "kind": "ab"[i % 2]}) + "\n" for i in range(24))
    )
    series = "".join(f"{i},{i + 1},{i * 2 % 7}:{'ab'[i % 2]}\n" for i in range(24))
    (tmp_path / "series.ts").write_text(f"@univariate true\n@classLabel true a b\n@data\n{series}")
    return tmp_path


def told(number: int) -> str:
    """A review of a film."""
    return f"a film that is {number} hours long and {('bad', 'good')[number % 2]} from the first to the last of them"


def test_a_whole_life_unpickles_nothing(place: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", CANARY + LIFE], cwd=place, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("lived\n")


@pytest.mark.parametrize(
    "call",
    [
        "pickle.loads(b'.')",
        "import io; pickle.load(io.BytesIO())",
        "import io; pickle.Unpickler(io.BytesIO())",
        "import io; pickle._Unpickler(io.BytesIO())",
        "from _pickle import loads; loads(b'.')",
        "import numpy; numpy.save('a.npy', numpy.array([None])); numpy.load('a.npy', allow_pickle=True)",
    ],
)
def test_the_canary_sings(call: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", f"{CANARY}\n{call}"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (77, "CANARY\n")
