"""The examples and the READMEs' commands run as they stand."""

import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourfold.cli import OF_A_FAMILY, main
from fourfold.data.samples import sample_path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
COMMENT = re.compile(r"\s+# .*")


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(script: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "%" in ran.stdout
    assert list((tmp_path / "runs").glob("*/model/weights.safetensors"))


def blocks(name: str) -> list[list[str]]:
    """The code blocks of a README as lines without comments."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [[COMMENT.sub("", line) for line in block.splitlines()] for block in BLOCK.findall(text)]


def test_both_readmes_show_the_same_code() -> None:
    runs = "runs/cnn-mnist-1/"  # the tree of a run's folder is explained in words, without a '#'
    english, chinese = (
        [block for block in blocks(name) if block[0] != runs] for name in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese
    assert len(english) > 4


def test_the_readmes_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save("digit.png")
    shutil.copy(sample_path("cancer"), "new.csv")
    months = [f"{2010 + i // 12}-{i % 12 + 1:02}-01,{100 + i + 20 * math.sin(i * math.pi / 6):.2f}" for i in range(150)]
    Path("sales.csv").write_text("\n".join(["month,sold", *months]) + "\n")
    Path("book.txt").write_text("Once upon a time there was a king. " * 200)
    (commands,) = (block for block in blocks("README.md") if "fourfold train cnn mnist" in block)
    lines = [line for line in commands if line.startswith("fourfold ")]
    assert {shlex.split(line)[1] for line in lines} >= {"train", "evaluate", "predict", "generate", "encode"}
    for line in lines:
        words = shlex.split(line)[1:]
        short = ["--epochs", "1", "--width", "4"] if words[1] == "gan" else ["--epochs", "1"]
        short = [*short, "--halvings", "1"] if words[0] == "learn-curve" else short
        assert main([*words, *(short if words[0] in OF_A_FAMILY else []), "--quiet"]) == 0, line
    assert Path("codes.csv").exists()
    assert Path("back.csv").exists()
    assert Path("film.gif").exists()
    with Image.open("digits.png") as grid:
        assert grid.size == (8 * 56 + 7 * 2, 8 * 56 + 7 * 2)
