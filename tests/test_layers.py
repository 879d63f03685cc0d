"""Imports point down, and neighbours do not import each other."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "fourfold"

# From the top; the parts of one line do not import each other. See ARCHITECTURE.md.
LAYERS = [
    ["__main__"],
    ["cli"],
    ["api"],
    ["explain", "report", "export", "serve", "profiling", "compress"],
    ["judge"],
    ["run", "model"],
    ["card", "answers"],
    ["modelfile", "step_answers"],
    ["engine"],
    ["families"],
    ["metrics"],
    ["data"],
    ["runtime", "storage"],
    ["settings", "cores"],
    ["errors"],
]
RANK = {name: rank for rank, line in enumerate(reversed(LAYERS)) for name in line}


def imports(path: Path) -> list[tuple[str, ...]]:
    """The modules of Fourfold that a file imports, as parts below `fourfold`, imports for types included."""
    package = path.relative_to(SOURCE).with_suffix("").parts[:-1]
    found: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [tuple(name.name.split(".")[1:]) for name in node.names if name.name.split(".")[0] == "fourfold"]
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level == 0 and module[0] != "fourfold":
                continue
            base = package[: len(package) - node.level + 1] if node.level else ()
            whole = (*base, *(module if node.level else module[1:]))
            found += [
                (*whole, name.name) if is_module((*whole, name.name)) or not whole else whole for name in node.names
            ]
    return found


def is_module(parts: tuple[str, ...]) -> bool:
    place = SOURCE.joinpath(*parts)
    return place.is_dir() or place.with_suffix(".py").exists()


def files() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def problems(path: Path) -> list[str]:
    """What a file imports that lies above it or beside it."""
    here = path.relative_to(SOURCE).with_suffix("").parts
    wrong = []
    for target in imports(path):
        if target[0] not in RANK:  # a name of the package itself, such as its version
            continue
        if target[0] != here[0] and RANK[target[0]] >= RANK[here[0]]:
            wrong.append(".".join(target))
        if here[:1] == ("families",) and target[:1] == ("families",) and len(here) > 2 and len(target) > 1:
            allowed = {here[1], "contract", "blocks", "native", "targets", "trunk"}
            wrong += [".".join(target)] if target[1] not in allowed else []
        if here[:2] == ("data", "sources") and len(here) > 2 and target[:2] == ("data", "sources") and len(target) > 2:
            wrong.append(".".join(target))
    return wrong


def test_every_module_has_a_layer() -> None:
    assert {path.relative_to(SOURCE).with_suffix("").parts[0] for path in files()} <= RANK.keys()


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    assert problems(path) == []


def test_an_upward_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_layers.SOURCE", tmp_path)
    for name, text in {
        "engine/loop.py": "from ..api import train",
        "data/sources/images.py": "from .arrays import read",
        "families/gan/objective.py": "from ..cnn import networks",
        "run.py": "from .model import Model",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in ("api.py", "model.py", "data/sources/arrays.py", "families/cnn/networks.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert problems(tmp_path / "engine/loop.py") == ["api"]
    assert problems(tmp_path / "data/sources/images.py") == ["data.sources.arrays"]
    assert problems(tmp_path / "families/gan/objective.py") == ["families.cnn.networks"]
    assert problems(tmp_path / "run.py") == ["model"]
