"""The public names: complete, importable, documented, and free of torch until they are used."""

import inspect
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fourfold
from fourfold import errors

FOURFOLD = Path(sys.executable).with_name("fourfold")


def test_every_public_name_loads_and_is_documented() -> None:
    for name in fourfold.__all__:
        value = getattr(fourfold, name)
        assert name == "__version__" or inspect.getdoc(value), name
    assert dir(fourfold) == sorted(fourfold.__all__)


def test_every_error_is_public() -> None:
    declared = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.FourfoldError)
    }
    assert declared <= set(fourfold.__all__)
    assert all(name in (errors.__doc__ or "") for name in declared), "drawn in the tree at the head of errors.py"


def test_type_checkers_and_the_interpreter_see_the_same_names() -> None:
    text = inspect.getsource(fourfold)
    seen = {line.split(" as ")[1] for line in text.splitlines() if line.startswith("    from .") and " as " in line}
    assert seen == set(fourfold.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="trian"):
        _ = fourfold.trian


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def best_of(times: int, command: list[str]) -> float:
    def once() -> float:
        started = time.monotonic()
        subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
        return time.monotonic() - started

    return min(once() for _ in range(times))


def test_import_is_fast_and_without_torch() -> None:
    assert (
        python("import sys, fourfold; print('torch' in sys.modules, 'numpy' in sys.modules)").split() == ["False"] * 2
    )
    assert best_of(5, [sys.executable, "-c", "import fourfold"]) < 0.2


def test_help_is_fast() -> None:
    assert best_of(5, [str(FOURFOLD), "--help"]) < 0.5
    assert best_of(5, [str(FOURFOLD), "train", "gan", "--help"]) < 0.7
