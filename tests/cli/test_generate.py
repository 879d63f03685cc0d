"""`fourfold generate`: grids, classes and films."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fourfold as ff
from fourfold.cli import main
from fourfold.cli.generate import FEWER, write_film
from fourfold.errors import StorageError, UsageError


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A conditional gan of tiny pictures, hardly trained."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 255, (60, 16, 16), dtype=np.uint8), np.arange(60) % 3
    folder = tmp_path_factory.mktemp("runs") / "gan"
    small = {"width": 2, "latent_size": 4, "epochs": 1}
    ff.train("gan", (x, y), preset="r3gan", out=folder, quiet=True, conditional=True, kind="image", **small)
    return str(folder)


@pytest.fixture
def run(gan: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `fourfold generate GAN …` in an empty folder. Returns: exit code, the JSON document, messages."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, Any, str]:
        code = main(["generate", gan, *words, "--json", "--device", "cpu"])
        spoken = capsys.readouterr()
        return code, json.loads(spoken.out or "null"), spoken.err

    return call


def test_a_grid_of_pictures_unless_told_otherwise(run: Any) -> None:
    code, document, _ = run()
    assert (code, document) == (0, {"out": "generated.png", "shape": [64, 1, 16, 16]})
    with Image.open("generated.png") as grid:
        assert min(grid.size) >= 8 * 16


def test_a_class_and_a_truncation_are_what_the_model_makes_of_them(run: Any, gan: str) -> None:
    model = ff.load(gan, "cpu")
    made = {}
    for label in ("0", "2"):
        assert run("-n", "6", "--class", label, "--truncation", "0.5", "--out", f"{label}.npy")[0] == 0
        made[label] = np.load(f"{label}.npy")
        np.testing.assert_array_equal(made[label], model.generate(6, label=label, truncation=0.5))
    assert not np.array_equal(made["0"], made["2"])
    turns = model.generate(6)
    np.testing.assert_allclose(turns[2], model.generate(6, label="2")[2], atol=1e-6)


def test_less_truncation_makes_pictures_less_different(gan: str) -> None:
    model = ff.load(gan, "cpu")
    spread = [model.generate(50, label="1", truncation=share).std(axis=0).mean() for share in (0.1, 0.5, 1.0)]
    assert spread[0] < spread[1] < spread[2]


def test_a_film_goes_round(run: Any) -> None:
    code, document, _ = run("--film", "12")
    assert (code, document) == (0, {"out": "generated.gif", "shape": [12, FEWER, 1, 16, 16]})
    with Image.open("generated.gif") as film:
        assert film.n_frames == 12  # type: ignore[attr-defined]
        assert film.info["loop"] == 0
        assert min(film.size) >= 4 * 16
    assert run("--film", "40", "-n", "2", "--out", "film.npy")[0] == 0
    frames = np.load("film.npy")
    assert frames.shape == (40, 2, 1, 16, 16)
    steps = np.abs(frames - np.roll(frames, 1, axis=0)).mean(axis=(1, 2, 3, 4))
    assert 0 < steps[0] < 2 * steps[1:].max()  # from the last frame to the first as from any to the next


@pytest.mark.parametrize("channels", [1, 3])
def test_a_film_shows_its_frames(tmp_path: Path, channels: int) -> None:
    pictures = np.zeros((2, 1, channels, 64, 64))
    pictures[1] = 1
    write_film(pictures, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        for frame in range(2):
            film.seek(frame)
            assert np.unique(np.asarray(film.convert("RGB"))).tolist() == [255 * frame]
    with pytest.raises(StorageError, match="nowhere"):
        write_film(pictures, tmp_path / "nowhere" / "film.gif")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "a.gif"), "a film, which takes --film 60"),
        (("--film", "9", "--out", "a.png"), ".gif (a film that goes round)"),
        (("--film", "-1"), "--film 60"),
        (("--class", "7"), "no class '7'; valid: 0, 1, 2"),
        (("--truncation", "2"), "truncation = 2"),
        (("-n", "0"), "at least 1"),
    ],
)
def test_a_mistake_is_named_with_its_mend(run: Any, words: tuple[str, ...], message: str) -> None:
    code, document, _ = run(*words)
    assert code == 2
    assert message in document["message"]
    assert list(Path().iterdir()) == []


def test_no_classes_to_ask_for(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(0, 255, (40, 16, 16), dtype=np.uint8)
    model = ff.train("gan", x, out=tmp_path / "gan", quiet=True, width=1, latent_size=2, epochs=1, kind="image")
    with pytest.raises(UsageError, match="--conditional"):
        model.generate(2, label="0")
