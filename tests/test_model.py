"""A model folder: what is saved answers as before, and what is damaged says so."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import fourfold as ff
from fourfold.data.samples import sample_path

Folder = Callable[[str], Path]
FAST: dict[str, dict[str, Any]] = {
    "cnn": {"preset": "classic", "epochs": 1, "batch_size": 64},
    "rnn": {"preset": "classic", "epochs": 1, "batch_size": 64},
    "autoencoder": {"preset": "classic", "epochs": 2, "batch_size": 64},
    "gan": {"preset": "dcgan", "epochs": 1, "batch_size": 64, "width": 4},
}


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """300 real digits with their labels."""
    from fourfold.data.dataset import Request
    from fourfold.data.sources.arrays import read

    train = read(sample_path("mnist"), Request()).splits["train"]
    assert train.y is not None
    return train.loaded[:300, 0].numpy(), train.y[:300].numpy()


@pytest.fixture(scope="module")
def models(arrays: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ff.Model]:
    """A model of each family, trained on the same digits."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        family: ff.train(family, arrays, out=folder / family, quiet=True, **settings)
        for family, settings in FAST.items()
    }


def answers(model: ff.Model, x: np.ndarray[Any, Any]) -> list[Any]:
    """All that a model can say about x."""
    match model.settings.family:
        case "autoencoder":
            codes = model.encode(x)
            return [codes, model.decode(np.asarray(codes)), model.reconstruct(x)]
        case "gan":
            return [model.generate(5, seed=3)]
    return [model.predict(x)]


@pytest.mark.parametrize("family", FAST)
def test_a_saved_model_answers_as_before(models: dict[str, ff.Model], arrays: Any, family: str, tmp_path: Path) -> None:
    model = models[family]
    folder = model.save(tmp_path / "saved")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.json", "weights.safetensors"]
    assert model.run is not None
    for place in (folder, model.run, model.run / "model", str(folder)):
        loaded = ff.load(place)
        assert (loaded.schema, loaded.settings, loaded.metrics) == (model.schema, model.settings, model.metrics)
        for mine, theirs in zip(answers(model, arrays[0]), answers(loaded, arrays[0]), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_answers_have_the_shapes_that_are_promised(models: dict[str, ff.Model], arrays: Any) -> None:
    x, y = arrays
    for family in ("cnn", "rnn"):
        probabilities = np.asarray(models[family].predict(x))
        assert probabilities.shape == (300, 10)
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
        judged = models[family].evaluate((x, y))
        assert judged["accuracy"] == pytest.approx((probabilities.argmax(1) == y).mean())
        assert judged["split"] == "all"
    codes = np.asarray(models["autoencoder"].encode(x))
    assert codes.shape == (300, 32)
    back = np.asarray(models["autoencoder"].reconstruct(x))
    assert back.shape == (300, 1, 28, 28)
    np.testing.assert_allclose(models["autoencoder"].decode(codes), back, atol=1e-6)
    mse = ((back[:, 0] - x / 255.0) ** 2).mean()
    assert models["autoencoder"].evaluate(x)["mse"] == pytest.approx(mse, rel=1e-4)
    pictures = models["gan"].generate(7)
    assert pictures.shape == (7, 1, 28, 28)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    np.testing.assert_array_equal(models["gan"].generate(7, seed=4)[:5], models["gan"].generate(7, seed=4)[:5])
    assert not np.array_equal(models["gan"].generate(7, seed=4), pictures)


def test_one_at_a_time_is_as_all_at_once(models: dict[str, ff.Model], arrays: Any) -> None:
    x = arrays[0]
    for family in ("cnn", "rnn"):
        whole = np.asarray(models[family].predict(x))
        single = np.concatenate([np.asarray(models[family].predict(one[None])) for one in x[:20]])
        np.testing.assert_allclose(single, whole[:20], rtol=1e-4, atol=1e-6)


def test_files_in_tables_out(models: dict[str, ff.Model], arrays: Any, tmp_path: Path) -> None:
    x = arrays[0]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, digit in zip(paths, x, strict=False):
        Image.fromarray(digit).save(path)
    table = models["cnn"].predict(paths)
    assert isinstance(table, pl.DataFrame)
    assert table["input"].to_list() == [str(path) for path in paths]
    expected = np.asarray(models["cnn"].predict(x[:3]))
    np.testing.assert_allclose(table.select(pl.col("^p\\(.*\\)$")).to_numpy(), expected, rtol=1e-4)
    assert table["class"].to_list() == [str(i) for i in expected.argmax(1)]
    np.testing.assert_allclose(table["probability"].to_numpy(), expected.max(1), rtol=1e-4)
    assert isinstance(codes := models["autoencoder"].encode(paths), pl.DataFrame)
    assert codes.columns == ["input", *(f"z{i}" for i in range(32))]
    assert isinstance(back := models["autoencoder"].reconstruct(paths[0]), pl.DataFrame)
    assert back.columns == ["input", "error", "reconstruction"]
    assert np.asarray(back["reconstruction"].to_list()).shape == (1, 1, 28, 28)


@pytest.mark.parametrize(
    ("family", "verb"), [("cnn", "generate"), ("gan", "predict"), ("rnn", "encode"), ("autoencoder", "predict")]
)
def test_what_a_family_cannot_do_it_says(models: dict[str, ff.Model], arrays: Any, family: str, verb: str) -> None:
    with pytest.raises(ff.UsageError, match=f"{family} cannot {verb}; .* can"):
        getattr(models[family], verb)(3 if verb == "generate" else arrays[0])


def test_the_run_folder_holds_what_it_should(models: dict[str, ff.Model]) -> None:
    run = models["gan"].run
    assert run is not None
    found = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    last = "checkpoints/step-00000004-epoch-1"
    assert found == {
        *("settings.yaml", "schema.json", "splits.json", "audit.json", "history.jsonl", "log.txt", ".lock"),
        *("samples/epoch-0001.png", "plots/history.png"),
        *(f"{last}/{name}" for name in ("weights.safetensors", "state.safetensors", "manifest.json")),
        *("model/model.json", "model/weights.safetensors", "model/README.md"),
    }
    splits = json.loads((run / "splits.json").read_text())
    assert len(splits["test"]) == models["gan"].origin.examples["test"]
    assert not set(splits["test"]) & set(splits["validation"])
    card = (run / "model" / "README.md").read_text()
    assert "28×28 grey pictures" in card
    assert splits["fingerprint"] in card


def test_an_occupied_folder_is_left_alone(models: dict[str, ff.Model], arrays: Any, tmp_path: Path) -> None:
    precious = tmp_path / "kept" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    with pytest.raises(ff.StorageError, match="kept: exists already"):
        models["cnn"].save(tmp_path / "kept")
    with pytest.raises(ff.UsageError, match="kept: exists already"):
        ff.train("cnn", arrays, out=tmp_path / "kept", quiet=True, epochs=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "thesis.txt"]
    assert precious.read_text() == "mine"


def rehash(folder: Path) -> None:
    """Make the description agree with the weights again, as an attacker would."""
    description = json.loads((folder / "model.json").read_text())
    description["sha256"] = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    description["seal"] = ""
    (folder / "model.json").write_text(json.dumps(description))


def rewrite(folder: Path, **changes: Any) -> None:
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**description, "seal": "", **changes}))


def reweigh(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    weights = load_file(folder / "weights.safetensors")
    change(weights)
    save_file(weights, folder / "weights.safetensors")
    rehash(folder)


def overwrite(folder: Path, content: bytes) -> None:
    (folder / "weights.safetensors").write_bytes(content)
    rehash(folder)


def flip(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


DAMAGES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda f: (f / "model.json").unlink(), "not a model, it has no model.json"),
    (lambda f: (f / "weights.safetensors").unlink(), "damaged, it has no weights.safetensors"),
    (lambda f: (f / "model.json").write_text("{"), "model.json: not valid JSON"),
    (lambda f: (f / "model.json").write_text("[" * 100_000), "model.json: not valid JSON"),
    (lambda f: (f / "model.json").write_text("[]"), "model.json: not a model's description"),
    (lambda f: rewrite(f, format="keras"), "model.json: not a model's description, format"),
    (lambda f: rewrite(f, family="__import__('os')"), "model.json: no family"),
    (lambda f: rewrite(f, settings={"epochs": -1}), "model.json: epochs = -1"),
    (lambda f: rewrite(f, seal="0" * 64), "model.json: damaged, its SHA-256 is not the one that it tells"),
    (lambda f: rewrite(f, extra=1), "model.json: not a model's description, extra"),
    (flip, "weights.safetensors: damaged, its SHA-256"),
    (lambda f: overwrite(f, b""), "weights.safetensors: damaged, it ends within its header"),
    (lambda f: overwrite(f, struct.pack("<Q", 2**60)), "weights.safetensors: damaged, it ends within its header"),
    (lambda f: overwrite(f, struct.pack("<Q", 2**21) + b" " * 2**21), "a header of 2097152 bytes"),
    (lambda f: overwrite(f, struct.pack("<Q", 4) + b"nope"), "its header is not valid JSON"),
    (lambda f: reweigh(f, lambda w: w.pop("classifier.head.2.bias")), "classifier.head.2.bias is on one side only"),
    (lambda f: reweigh(f, lambda w: w.update(evil=w["classifier.head.2.bias"])), "evil is on one side only"),
    (
        lambda f: reweigh(f, lambda w: w.update({"classifier.head.2.bias": np.zeros(11, np.float32)})),
        r"classifier.head.2.bias is \(11,\), the model's is \(10,\)",
    ),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[message for _, message in DAMAGES])
def test_a_damaged_model_names_the_file_and_the_reason(
    models: dict[str, ff.Model], tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    folder = models["cnn"].save(tmp_path / "saved")
    damage(folder)
    with pytest.raises(ff.ModelError, match=message) as caught:
        ff.load(folder)
    assert str(folder) in str(caught.value)


def test_what_is_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ff.ModelError, match="nowhere: no such folder"):
        ff.load(tmp_path / "nowhere")
    with pytest.raises(ff.ModelError, match="not a model"):
        ff.load(tmp_path)
    (tmp_path / "settings.yaml").touch()
    with pytest.raises(ff.ModelError, match="a run without a model"):
        ff.load(tmp_path)


def test_evaluating_on_changed_data_is_refused(arrays: Any, tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    np.savez(path, x=arrays[0], y=arrays[1])
    model = ff.train("cnn", path, out=tmp_path / "run", quiet=True, epochs=1)
    again = ff.load(tmp_path / "run").evaluate()
    assert again == {"split": "test", **model.metrics["test"]}
    np.savez(path, x=arrays[0][::-1], y=arrays[1][::-1])
    with pytest.raises(ff.DataError, match=r"digits.npz: changed since"):
        ff.load(tmp_path / "run").evaluate()
    with pytest.raises(ff.UsageError, match="trained on arrays"):
        ff.load(ff.train("cnn", arrays, out=tmp_path / "other", quiet=True, epochs=1).save(tmp_path / "m")).evaluate()
