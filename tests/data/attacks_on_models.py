"""Models and settings that mean harm; see `attacks`."""

import hashlib
import json
import pickle  # noqa: TID251  to make what must never be loaded
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .attacks import TOUCH, Attack, Canary, file

# Models


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def tensor(start: int, end: int, dtype: str = "F32", shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def description(weights: bytes, **changes: Any) -> bytes:
    origin = {"data": "", "fingerprint": "", "examples": {}, "epochs": 1, "epoch": 1, "seconds": 0, "created": ""}
    told = {
        "format": "fourfold-model-1",
        "family": "cnn",
        "settings": {},
        "schema": {"kind": "image", "shape": [1, 28, 28], "classes": ["a", "b"]},
        "metrics": {},
        "origin": origin | {"device": "cpu", "versions": {}},
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    return json.dumps(told | changes).encode()


def model(weights: Callable[[], bytes], told: Callable[[bytes], bytes] = description) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        content = weights()
        (folder / "weights.safetensors").write_bytes(content)
        (folder / "model.json").write_bytes(told(content))
        return folder

    return make


def endless(folder: Path) -> Path:
    (folder / "model.json").write_bytes(description(b""))
    (folder / "weights.safetensors").symlink_to("/dev/zero")
    return folder


def with_schema(**changes: Any) -> Callable[[bytes], bytes]:
    usual = {"kind": "image", "shape": [1, 28, 28], "classes": ["a", "b"]}
    return lambda weights: description(weights, schema=usual | changes)


NONE = safetensors({})
SPACES = b"{}" + b" " * (72 << 20)

MODELS = [
    Attack("header of 1 GB", model(lambda: safetensors(b"{}", length=1 << 30)), "ends within its header", "model"),
    Attack("header beyond 64 bits", model(lambda: safetensors(b"{}", length=2**64 - 1)), "ends within", "model"),
    Attack("legal header of 72 MB", model(lambda: safetensors(SPACES)), "at most 1048576 are read", "model"),
    Attack("header of brackets", model(lambda: safetensors(b"[" * 900_000)), "not valid JSON", "model"),
    Attack("100,000 tensors", model(lambda: safetensors({str(n): 0 for n in range(100_000)})), "weights", "model"),
    Attack(
        "tensors on top of each other",
        model(lambda: safetensors({"a": tensor(0, 4), "b": tensor(0, 4)}, bytes(4))),
        "not a safetensors",
        "model",
    ),
    Attack(
        "tensor beyond the end",
        model(lambda: safetensors({"a": tensor(0, 1 << 40, shape=(1 << 38,))}, bytes(4))),
        "not a safetensors",
        "model",
    ),
    Attack(
        "tensor of sizes beyond 64 bits",
        model(lambda: safetensors({"a": tensor(0, 4, shape=(2**62, 2**62))}, bytes(4))),
        "not a safetensors",
        "model",
    ),
    Attack(
        "tensor of negative size",
        model(lambda: safetensors({"a": tensor(4, 0, shape=(-1,))}, bytes(4))),
        "not a safe",
        "model",
    ),
    Attack(
        "tensor of objects", model(lambda: safetensors({"a": tensor(0, 4, "O")}, bytes(4))), "not a safetens", "model"
    ),
    Attack(
        "two tensors of one name",
        model(
            lambda: safetensors(f'{{"a":{json.dumps(tensor(0, 4))},"a":{json.dumps(tensor(4, 8))}}}'.encode(), bytes(8))
        ),
        "weights.safetensors",
        "model",
    ),
    Attack(
        "pickle named safetensors", model(lambda: pickle.dumps(Canary())), "ends within its header|damaged", "model"
    ),
    Attack("weights without end", endless, "weights.safetensors", "model"),
    Attack("description of brackets", model(lambda: NONE, lambda _: b"[" * 900_000), "not valid JSON", "model"),
    Attack("description of 17 MB", model(lambda: NONE, lambda _: b" " * (17 << 20)), "no model's description", "model"),
    Attack("description of a huge number", model(lambda: NONE, lambda _: b"9" * 5_000), "model.json", "model"),
    Attack("family that is code", model(lambda: NONE, lambda w: description(w, family=TOUCH)), "no family", "model"),
    Attack(
        "settings that are code",
        model(lambda: NONE, lambda w: description(w, settings={"__class__": TOUCH})),
        "unknown setting",
        "model",
    ),
    Attack("pictures of 1 EB", model(lambda: NONE, with_schema(shape=[1, 2**29, 2**29])), "model.json", "model"),
    Attack("pictures of negative size", model(lambda: NONE, with_schema(shape=[1, -28, -28])), "model.json", "model"),
]


# Settings


def laughs(levels: int, merge: bool) -> bytes:
    """Aliases of aliases: ten times as much a level, as lists or as mappings that are merged."""
    lines = ["a0: &a0 {epochs: 1}" if merge else "a0: &a0 [1]"]
    for level in range(1, levels):
        ten = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} {{<<: [{ten}]}}" if merge else f"a{level}: &a{level} [{ten}]")
    return "\n".join([*lines, f"epochs: *a{levels - 1}"]).encode()


CONFIGS = [
    Attack(
        "tag that runs",
        file("a.yaml", f'epochs: !!python/object/apply:eval ["{TOUCH}"]'.encode),
        "not valid YAML",
        "config",
    ),
    Attack(
        "tag that makes",
        file("a.yaml", lambda: b"epochs: !!python/object/new:os.system [ls]"),
        "not valid YAML",
        "config",
    ),
    Attack("tag that names", file("a.yaml", lambda: b"epochs: !!python/name:os.system"), "not valid YAML", "config"),
    Attack("billion laughs", file("a.yaml", lambda: laughs(10, merge=False)), "a.yaml|epochs", "config"),
    Attack("billion merges", file("a.yaml", lambda: laughs(10, merge=True)), "a.yaml|epochs", "config"),
    Attack("list in itself", file("a.yaml", lambda: b"epochs: &a [*a]"), "a.yaml|epochs", "config"),
    Attack("yaml of brackets", file("a.yaml", lambda: b"epochs: " + b"[" * 20_000), "a.yaml", "config"),
    Attack("yaml of a huge number", file("a.yaml", lambda: b"epochs: " + b"9" * 5_000), "a.yaml|epochs", "config"),
    Attack("yaml of a huge file", file("a.yaml", lambda: b"#" + b" " * (64 << 20)), "a.yaml", "config"),
]
