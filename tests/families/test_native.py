"""Kernels in C: compiled once, equal to the plain path, and never needed."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, max_pool2d, pad, relu

from fourfold.families import native
from fourfold.families.native import cross_entropy as module
from fourfold.families.native.cross_entropy import cross_entropy
from fourfold.families.native.pooling import pooled
from fourfold.families.rnn.loops import SOURCE

needs_compiler = pytest.mark.skipif(native.library(SOURCE) is None, reason="no compiler here")


def both(loss: Any, logits: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    """A loss and its gradient."""
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, targets)
    value.backward()
    assert leaf.grad is not None
    return value.item(), leaf.grad


@needs_compiler
@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 40_000), st.floats(1e-3, 60), st.integers(0, 2**32))
def test_cross_entropy_is_torchs(count: int, spread: float, seed: int) -> None:
    """To 1e-6 of the formula in double precision, loss and gradient."""
    random = torch.Generator().manual_seed(seed)
    logits, targets = torch.randn(count, generator=random) * spread, torch.rand(count, generator=random)
    loss, gradient = both(cross_entropy, logits, targets)
    expected, exact = both(binary_cross_entropy_with_logits, logits.double(), targets.double())
    assert loss == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(gradient.double() * count, exact * count, rtol=0, atol=1e-6)


@needs_compiler
@pytest.mark.parametrize("logit", [math.inf, -math.inf, math.nan, 1e30, -1e30, 90.0, -90.0, 0.0])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_cross_entropy_at_the_ends_is_torchs_or_not_finite_either(logit: float, target: float) -> None:
    ours, theirs = (
        loss(torch.tensor([logit]), torch.tensor([target])).item()
        for loss in (cross_entropy, binary_cross_entropy_with_logits)
    )
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-30) or not (math.isfinite(ours) or math.isfinite(theirs))


@needs_compiler
def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = torch.randn(100_000), torch.rand(100_000)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(both(cross_entropy, logits, targets))
    assert all(loss == found[0][0] and torch.equal(gradient, found[0][1]) for loss, gradient in found[1:])


@needs_compiler
def test_a_weighted_loss_has_a_weighted_gradient_and_other_layouts_serve() -> None:
    logits, targets = torch.randn(50, 7).t(), torch.rand(7, 50)
    ours = both(lambda x, t: 3 * cross_entropy(x, t), logits, targets)
    theirs = both(lambda x, t: 3 * binary_cross_entropy_with_logits(x, t), logits, targets)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
    torch.testing.assert_close(ours[1], theirs[1])


def maps(shape: tuple[int, ...], seed: int) -> Tensor:
    """Maps with their channels last, of few values, so that many are equal, and some are NaN or infinite."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randint(-3, 3, shape, generator=random).float()
    odd = torch.rand(shape, generator=random)
    x[odd > 0.97] = torch.nan
    x[odd < 0.03] = torch.inf
    return x.contiguous(memory_format=torch.channels_last)


@needs_compiler
@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 70), st.integers(2, 40), st.integers(2, 9), st.integers(0, 2**32))
def test_pooling_is_torchs_to_the_bit(n: int, channels: int, height: int, width: int, seed: int) -> None:
    """Values and gradients, odd sides, equal values, NaN and all."""
    ours, theirs = (maps((n, channels, height, width), seed).requires_grad_() for _ in range(2))
    found, expected = pooled(ours), relu(max_pool2d(theirs, 2))
    assert found.grad_fn is not None
    assert "_Pooled" in found.grad_fn.name()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    given = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed))
    found.backward(given)  # type: ignore[no-untyped-call]
    expected.backward(given)  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert theirs.grad is not None
    # Where the greatest is NaN, what flows back is nothing to rely on: the step is not applied.
    number = (~expected.detach().isnan()).float()
    torch.testing.assert_close(spread(number, ours) * ours.grad, spread(number, ours) * theirs.grad, rtol=0, atol=0)


def spread(y: Tensor, like: Tensor) -> Tensor:
    """What is pooled, at each of the four places that it came from; zero where none was read."""
    wide = y.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return pad(wide, (0, like.shape[3] - wide.shape[3], 0, like.shape[2] - wide.shape[2]))


def test_maps_in_another_order_or_precision_are_left_to_torch() -> None:
    x = torch.randn(2, 3, 4, 4)
    for other in (x, x.bfloat16().contiguous(memory_format=torch.channels_last)):
        assert torch.equal(pooled(other), relu(max_pool2d(other, 2)))


def test_without_a_library_torch_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "library", lambda _: None)
    logits, targets = torch.randn(9), torch.rand(9)
    assert cross_entropy(logits, targets).equal(binary_cross_entropy_with_logits(logits, targets))


ASK = """
import torch
from fourfold.families.native import library
from fourfold.families.rnn.loops import SOURCE
from fourfold.families.rnn.recurrence import simple
x, w, u = torch.ones(2, 3, 2), torch.full((4, 2), 0.5), torch.full((4, 4), 0.25)
assert simple(x, (w, u, torch.zeros(4)), "relu", every=False).tolist() == [[3.0] * 4] * 2
print(library(SOURCE) is not None)
"""


def ask(**environment: str) -> subprocess.Popen[str]:
    """A new process that tells whether its loops are native, after it has been through one."""
    whole = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", ASK]
    return subprocess.Popen(command, env=whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def native_in(
    cache: Path, patch: pytest.MonkeyPatch, path: Path | None = None, source: Path = SOURCE, **environment: str
) -> bool:
    """Whether a process that starts now with this store (and this `cc`) would have native loops."""
    search = {} if path is None else {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
    for name, value in {"FOURFOLD_CACHE": str(cache), **search, **environment}.items():
        patch.setenv(name, value)
    return native.library.__wrapped__(source) is not None


def compiler(folder: Path, script: str) -> Path:
    """A folder with a shell script for a `cc`, in which $last is the file to write. Asked for macros, it knows none."""
    folder.mkdir()
    (folder / "cc").write_text(f'#!/bin/sh\ncase "$*" in *-dM*) exit 0;; esac\nfor last; do :; done\n{script}\n')
    (folder / "cc").chmod(0o755)
    return folder


def test_without_a_compiler_the_plain_path_serves(tmp_path: Path) -> None:
    assert ask(PATH="", FOURFOLD_CACHE=str(tmp_path)).communicate() == ("False\n", "")
    assert not list(tmp_path.iterdir())


@needs_compiler
def test_two_processes_at_once_compile_one_file_and_later_ones_none(tmp_path: Path, monkeypatch: Any) -> None:
    both = [ask(FOURFOLD_CACHE=str(tmp_path)) for _ in range(2)]
    assert [process.communicate() for process in both] == [("True\n", "")] * 2
    (file,) = (file for file in tmp_path.rglob("*") if file.is_file())
    made = file.stat().st_mtime_ns
    assert native_in(tmp_path, monkeypatch)
    assert file.stat().st_mtime_ns == made
    changed = tmp_path / "changed.c"
    changed.write_text(SOURCE.read_text() + "\n")
    assert native._compiled(changed) != file


@needs_compiler
@pytest.mark.parametrize(
    ("cache", "environment"),
    [("store", {"FOURFOLD_NATIVE": "off"}), ("off", {}), ("a file", {}), ("store", {"PATH": "bin"})],
)
def test_by_wish_or_for_want_of_a_folder_the_plain_path_serves(
    cache: str, environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    compiler(tmp_path / "bin", "echo no >&2; exit 1")
    monkeypatch.chdir(tmp_path)
    assert not native_in(Path(cache), monkeypatch, **environment)
    assert not list(tmp_path.rglob("*.so"))


@needs_compiler
def test_a_compiler_that_dies_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = 'echo half > "$last"; kill -9 $$'
    with monkeypatch.context() as patch:
        assert not native_in(tmp_path / "cache", patch, compiler(tmp_path / "bin", dying))
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert native_in(tmp_path / "cache", monkeypatch)


@needs_compiler
def test_what_is_no_library_or_another_users_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        assert not native_in(tmp_path, patch, compiler(tmp_path / "bin", 'echo wrong > "$last"'))
    with monkeypatch.context() as patch:
        own = os.geteuid()
        patch.setattr(os, "geteuid", lambda: own + 1)
        assert not native_in(tmp_path, patch)
    assert native_in(tmp_path, monkeypatch)
