"""The command line, as people and scripts use it."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image

from fourfold.cli import COMMANDS, OF_A_FAMILY, main
from fourfold.data.dataset import Request
from fourfold.data.samples import SAMPLES, sample_path
from fourfold.data.sources.arrays import read
from fourfold.families.cnn.settings import CnnSettings
from fourfold.settings import read_config

FOURFOLD = str(Path(sys.executable).with_name("fourfold"))


class Spoken:
    """What one command line said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> Spoken:
        code = main([str(word) for word in words])
        spoken = capsys.readouterr()
        return Spoken(code, spoken.out, spoken.err)

    return call


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 real digits, 200 with a test split of 100, as .npz; three of them as PNG."""
    folder = tmp_path_factory.mktemp("digits")
    train = read(sample_path("mnist"), Request()).splits["train"]
    assert train.y is not None
    x, y = train.loaded[:, 0].numpy(), train.y.numpy()
    np.savez(folder / "digits.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:300], y_test=y[200:300])
    for i in range(3):
        Image.fromarray(x[i]).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def trained(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A run of each family."""
    place, classic = tmp_path_factory.mktemp("trained"), ["--preset", "classic"]
    for family, flags in {"cnn": classic, "rnn": classic, "autoencoder": classic, "gan": ["--width", "4"]}.items():
        words = ["train", family, str(digits / "digits.npz"), "--epochs", "1", "--out", str(place / family), "--quiet"]
        assert main([*words, *flags]) == 0
    return {family: str(place / family) for family in ("cnn", "rnn", "autoencoder", "gan")}


def test_help_names_every_command(run: Any) -> None:
    for words in ([], ["--help"], ["-h"]):
        spoken = run(*words)
        assert spoken.code == 0
        assert all(name in spoken.out for name in COMMANDS)
    spoken = run("train", "--help")
    assert spoken.code == 0
    assert "gan" in spoken.out
    assert "dcgan" in spoken.out
    assert run("--version").out.startswith("fourfold ")


@pytest.mark.parametrize(
    "command", [*(name for name in COMMANDS if name not in OF_A_FAMILY), "train cnn", "train gan", "learn-curve rnn"]
)
def test_every_command_explains_every_option(run: Any, command: str) -> None:
    spoken = run(*command.split(), "--help")
    assert spoken.code == 0
    assert "--json" in spoken.out
    assert "Traceback" not in spoken.out + spoken.err


def test_help_shows_what_the_preset_and_the_file_would_use(run: Any, tmp_path: Path) -> None:
    assert "(default: 50)" in run("train", "gan", "--preset", "classic", "--help").out
    (tmp_path / "my.yaml").write_text("epochs: 7\n")
    assert "(default: 7)" in run("train", "gan", "--config=my.yaml", "--help").out


def test_what_flags_do_not_say_is_what_suits_the_data(run: Any, tmp_path: Path) -> None:
    """Also a flag with a value that would stand there anyway is one that was given."""
    words = ("train", "rnn", "vowels", "--batch-size", "32", "--epochs=1", "--members", "1", "--quiet", "--json")
    spoken = run(*words, "--out", "r")
    assert spoken.json["preset"] == "series"
    known = yaml.safe_load((tmp_path / "r" / "settings.yaml").read_text())
    given = {"preset": "series", "batch_size": 32, "epochs": 1, "members": 1, "cell": "none", "validation": 0.0}
    assert {name: known[name] for name in given} == given


def test_flags_go_before_the_file_and_the_file_before_the_preset(run: Any, tmp_path: Path, digits: Path) -> None:
    (tmp_path / "my.yaml").write_text("family: cnn\nepochs: 2\nbatch-size: 50\nlearning_rate: 0.01\n")
    spoken = run("train", "cnn", digits / "digits.npz", "--config", "my.yaml", "--epochs", "1", "--out", "r", "--json")
    assert spoken.code == 0
    settings = (tmp_path / "r" / "settings.yaml").read_text()
    for line in ("epochs: 1", "batch_size: 50", "learning_rate: 0.01", "preset: small", "label_smoothing: 0.1"):
        assert line in settings


def test_a_runs_settings_file_repeats_the_run(run: Any, trained: dict[str, str], digits: Path) -> None:
    config = Path(trained["cnn"], "settings.yaml")
    assert run("train", "cnn", digits / "digits.npz", "--config", config, "--out", "again", "--quiet").code == 0
    weights = [Path(place, "model", "weights.safetensors").read_bytes() for place in (trained["cnn"], "again")]
    assert weights[0] == weights[1]


def test_train_tells_the_test_figures_and_where_the_run_lies(run: Any, digits: Path) -> None:
    spoken = run("train", "cnn", digits / "digits.npz", "--epochs", "2")
    assert spoken.code == 0
    assert "test: loss" in spoken.out
    assert "run: runs/cnn-digits-1" in spoken.out
    assert spoken.err.count("val accuracy") == 2
    document = run("train", "cnn", digits / "digits.npz", "--epochs", "1", "--json").json
    assert document["run"] == "runs/cnn-digits-2"
    assert document["metrics"]["test"]["count"] == 100


def test_quiet_says_nothing_but_the_result(run: Any, trained: dict[str, str], digits: Path) -> None:
    spoken = run("train", "rnn", digits / "digits.npz", "--epochs", "1", "--quiet")
    assert spoken.err == ""
    spoken = run("predict", trained["cnn"], digits / "0.png", "--quiet")
    assert spoken.err == ""
    assert spoken.out.count("\n") == 2


def test_evaluate(run: Any, trained: dict[str, str], digits: Path) -> None:
    own = run("evaluate", trained["cnn"], "--json").json
    assert own["split"] == "test"
    assert own["count"] == 100
    assert run("evaluate", trained["cnn"], digits / "digits.npz", "--json").json == own
    plain = run("evaluate", trained["cnn"]).out
    assert f"accuracy\t{own['accuracy']:.4f}" in plain
    assert "recall" in plain
    for family in ("rnn", "autoencoder", "gan"):
        assert run("evaluate", trained[family], "--json").json["count"] == 100


def test_predict(run: Any, trained: dict[str, str], digits: Path) -> None:
    inputs = [digits / f"{i}.png" for i in range(3)]
    rows = run("predict", trained["cnn"], *inputs, "--json").json
    assert [row["input"] for row in rows] == [str(path) for path in inputs]
    assert all(sum(row[f"p({k})"] for k in range(10)) == pytest.approx(1, rel=1e-5) for row in rows)
    plain = run("predict", trained["cnn"], *inputs).out.splitlines()
    assert plain[0].split("\t") == ["input", "class", "probability"]
    assert [line.split("\t")[1] for line in plain[1:]] == [row["class"] for row in rows]
    assert run("predict", trained["cnn"], *inputs, "--out", "p.csv").out == ""
    assert pl.read_csv("p.csv")["probability"].to_list() == pytest.approx([row["probability"] for row in rows])


def test_generate(run: Any, trained: dict[str, str]) -> None:
    spoken = run("generate", trained["gan"], "-n", "9", "--seed", "5", "--json")
    assert spoken.json == {"out": "generated.png", "shape": [9, 1, 28, 28]}
    with Image.open("generated.png") as grid:
        assert min(grid.size) >= 3 * 28
    for out in ("a.npy", "b.npy"):
        assert run("generate", trained["gan"], "-n", "9", "--seed", "5", "--out", out).code == 0
    np.testing.assert_array_equal(np.load("a.npy"), np.load("b.npy"))


def test_encode_and_reconstruct(run: Any, trained: dict[str, str], digits: Path) -> None:
    data = digits / "digits.npz"
    assert run("encode", trained["autoencoder"], data, "--json").json["count"] == 300
    assert np.load("codes.npy").shape == (300, 32)
    assert run("encode", trained["autoencoder"], data, "--out", "codes.parquet").code == 0
    assert pl.read_parquet("codes.parquet").shape == (300, 33)
    document = run("reconstruct", trained["autoencoder"], data, "--out", "r.png", "--json").json
    assert len(document["inputs"]) == 300
    assert document["mean_error"] == pytest.approx(sum(row["error"] for row in document["inputs"]) / 300, rel=1e-4)
    with Image.open("r.png") as grid:
        assert grid.width > grid.height
    assert run("reconstruct", trained["autoencoder"], digits / "0.png").out.startswith("input\terror\n")


def test_tables_from_a_csv_to_a_csv(run: Any) -> None:
    assert run("train", "autoencoder", "cancer", "--epochs", "2", "--out", "ae", "--quiet").code == 0
    assert run("reconstruct", "ae", sample_path("cancer"), "--out", "back.csv", "--quiet").code == 0
    given, back = pl.read_csv(sample_path("cancer")), pl.read_csv("back.csv")
    assert back.columns == ["input", "error", *given.drop("diagnosis").columns]
    assert len(back) == len(given)


def test_samples(run: Any) -> None:
    assert {sample["name"] for sample in run("samples", "--json").json} == set(SAMPLES)
    assert run("samples").out.count("\n") == len(SAMPLES) + 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("trian", 2, "did you mean 'train'"),
        ("train", 2, "cnn, rnn, autoencoder, gan"),
        ("train cnm mnist", 2, "did you mean 'cnn'"),
        ("train cnn mnist --epoch 3", 2, "--epochs"),
        ("train cnn mnist --preset clasic", 2, "did you mean 'classic'"),
        ("train cnn mnist --epochs 0", 2, "epochs = 0: input should be greater than or equal to 1"),
        ("train cnn mnist --epochs many", 2, "--epochs"),
        ("train cnn mnist --validation 1.5", 2, "validation = 1.5"),
        ("train cnn mnist --learning-rate nan", 2, "learning_rate = nan"),
        ("train cnn mnist --config missing.yaml", 2, "missing.yaml: cannot be read"),
        ("train cnn nowhere", 3, "nowhere: no such file or folder, nor a sample"),
        ("train cnn vowels", 3, "a cnn takes pictures"),
        ("evaluate nowhere", 3, "nowhere: no such folder"),
        ("evaluate .", 3, "not a model"),
        ("predict", 2, "model"),
        ("generate x --out picture.gif", 2, ".png"),
        ("encode x y --out nowhere/codes.npy", 2, "no folder nowhere"),
    ],
)
def test_a_mistake_is_named_with_its_mend(run: Any, words: str, code: int, message: str) -> None:
    spoken = run(*words.split())
    assert spoken.code == code
    assert message in " ".join(spoken.err.split())
    assert "Traceback" not in spoken.err
    assert spoken.out == ""
    assert list(Path().iterdir()) == []


def test_on_and_off_are_words_where_a_setting_takes_them_so(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("compile: off\ncheckpoint-every: off\nbalance: on\nearly: off\n")
    given = read_config(path, CnnSettings)
    assert given == {"compile": "off", "checkpoint_every": "off", "balance": True, "early": False}
    del given["early"]  # which no setting is
    assert CnnSettings.resolve("classic", **given).balance is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: [", "not valid YAML"),
        ("- epochs", "a mapping of settings"),
        ("epoch: 3", "unknown setting 'epoch'; did you mean 'epochs'"),
        ("family: gan", "another family"),
        ("epochs: !!python/object/apply:os.system [touch canary]", "not valid YAML"),
    ],
)
def test_a_bad_settings_file_is_named(run: Any, text: str, message: str) -> None:
    Path("my.yaml").write_text(text)
    spoken = run("train", "cnn", "mnist", "--config", "my.yaml")
    assert spoken.code == 2
    assert message in spoken.err
    assert [path.name for path in Path().iterdir()] == ["my.yaml"]


def test_errors_are_one_document_with_json(run: Any) -> None:
    spoken = run("train", "cnn", "nowhere", "--json")
    assert spoken.json["exit_code"] == spoken.code == 3
    assert spoken.json["error"] == "DataError"
    assert "nowhere" in spoken.json["message"]


def test_a_diverging_run_ends_with_4(run: Any, digits: Path) -> None:
    flags = ("--optimizer", "sgd", "--learning-rate", "1e30", "--out", "r")
    spoken = run("train", "cnn", digits / "digits.npz", *flags)
    assert spoken.code == 4
    assert "--learning-rate" in spoken.err


def test_what_cannot_be_written_ends_with_6(run: Any, trained: dict[str, str]) -> None:
    Path("file").touch()
    assert run("train", "cnn", "mnist", "--out", "file/run").code == 6
    Path("taken.npy").mkdir()
    assert run("generate", trained["gan"], "--out", "taken.npy").code == 6


def test_out_of_memory_ends_with_5(tmp_path: Path) -> None:
    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

    words = [FOURFOLD, "train", "gan", "mnist", "--width", "20000"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, preexec_fn=little, check=False)
    assert ran.returncode == 5, ran.stderr
    assert "out of memory" in ran.stderr
    assert "--batch-size 32" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_fault_of_ours_is_one_line_and_debug_shows_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.api.load", lambda *_: 1 / 0)
    spoken = run("evaluate", "x")
    assert spoken.code == 1
    assert spoken.err.count("\n") == 1
    assert "--debug" in spoken.err
    spoken = run("evaluate", "x", "--debug")
    assert spoken.code == 1
    assert "Traceback" in spoken.err
    assert "ZeroDivisionError" in spoken.err


def test_debug_keeps_the_exit_code(run: Any) -> None:
    spoken = run("inspect", "nowhere", "--debug")
    assert spoken.code == 3
    assert "Traceback" in spoken.err


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    words = [FOURFOLD, "train", "cnn", "mnist", "--epochs", "50"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "epoch  1/50" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert "interrupted" in process.stderr.read()
        assert process.wait() == 130


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    for _ in range(2):
        with subprocess.Popen(
            [FOURFOLD, "samples", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait() == 0


def test_a_terminal_sees_a_bar_with_rate_and_time_left(tmp_path: Path) -> None:
    import pty

    parent, child = pty.openpty()
    env = {**os.environ, "COLUMNS": "160", "TERM": "xterm"}
    words = [FOURFOLD, "train", "cnn", "mnist", "--epochs", "1"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=child, stderr=child, env=env) as process:
        os.close(child)
        seen = b""
        started = time.monotonic()
        while time.monotonic() - started < 120:
            try:
                piece = os.read(parent, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
    os.close(parent)
    text = seen.decode()
    assert process.returncode == 0
    assert "examples/s" in text
    assert "epoch 1/1" in text
    assert "run: runs/cnn-mnist-1" in text
