"""A model's folder: weights, and everything else as JSON. Reading it runs no code.

weights.safetensors   every network's tensors, as NETWORK.NAME
model.json            family, settings, schema, metrics, origin, SHA-256 of the weights and of itself
README.md             the card, for people
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .data.schema import Schema
from .engine.tensorfile import LARGEST_HEADER, MOST_TENSORS
from .errors import ModelError
from .metrics.calibration import COLDEST, HOTTEST
from .storage import as_json, new_folder

WEIGHTS, DESCRIPTION, CARD = "weights.safetensors", "model.json", "README.md"

LARGEST_DESCRIPTION = 16 << 20
SEAL = b'"seal": "'


class Origin(BaseModel):
    """Where a model comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str  # an absolute path, a sample's name, or "arrays"
    fingerprint: str  # SHA-256 of the content and the split
    examples: dict[str, int]  # by split
    epochs: int  # trained
    epoch: int  # whose weights these are
    seconds: float
    created: str
    device: str
    versions: dict[str, str]
    notes: tuple[str, ...] = ()  # what happened to the training on the way


class Description(BaseModel):
    """What `model.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    format: Literal["fourfold-model-1"] = "fourfold-model-1"
    family: str
    settings: dict[str, Any]
    example: Schema = Field(alias="schema")
    metrics: dict[str, dict[str, Any]]  # by split
    origin: Origin
    temperature: float = Field(1.0, ge=COLDEST, le=HOTTEST)  # of a classifier's probabilities; 1 leaves them alone
    sha256: str  # of the weights' file
    seal: str = ""  # SHA-256 of this file, this value taken out; without one, as people write it, nothing is compared


def write(folder: Path, description: Description, weights: dict[str, Tensor], card: str) -> None:
    """Write a model's folder, whole or not at all.

    Raises: StorageError if it is there already or cannot be written.
    """
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    whole = description.model_copy(update={"sha256": hashlib.sha256(content).hexdigest(), "seal": ""})
    with new_folder(folder) as new:
        (new / WEIGHTS).write_bytes(content)
        text = as_json(whole.model_dump(by_alias=True, mode="json")).encode()
        head, mark, tail = text.rpartition(SEAL)
        (new / DESCRIPTION).write_bytes(head + mark + hashlib.sha256(text).hexdigest().encode() + tail)
        (new / CARD).write_text(card, encoding="utf-8")


def read(folder: Path) -> tuple[Description, dict[str, Tensor]]:
    """A model's description and weights, verified.

    Raises: ModelError, naming the file and what is wrong with it.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; a model is a folder with {WEIGHTS} and {DESCRIPTION}")
    description = _read_description(folder / DESCRIPTION)
    path = folder / WEIGHTS
    content = _read_bytes(path)
    _check_header(path, content)
    if hashlib.sha256(content).hexdigest() != description.sha256:
        raise ModelError(f"{path}: damaged, its SHA-256 is not the one in {DESCRIPTION}; copy the model again")
    try:
        return description, load(content)
    except SafetensorError as error:
        raise ModelError(f"{path}: not a safetensors file ({error})") from error


def _read_description(path: Path) -> Description:
    try:
        if path.stat().st_size > LARGEST_DESCRIPTION:
            raise ModelError(f"{path}: {path.stat().st_size} bytes, which no model's description needs")
        content = _read_bytes(path)
        description = Description.model_validate(json.loads(content))
    except FileNotFoundError:
        raise ModelError(f"{path.parent}: not a model, it has no {path.name}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: not a model's description, {where}: {first['msg'].lower()}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not valid JSON ({error})") from error
    head, mark, tail = content.rpartition(SEAL)
    plain = head + mark + tail.removeprefix(description.seal.encode())
    if description.seal and hashlib.sha256(plain).hexdigest() != description.seal:
        raise ModelError(f"{path}: damaged, its SHA-256 is not the one that it tells; copy the model again")
    return description


def require_alike(path: Path, own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raises: ModelError if the weights differ from a network's own in a name, a shape or a type."""
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())
        raise ModelError(f"{path}: its tensors are not those of the model; {odd[0]} is on one side only")
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape or tensor.dtype != weights[name].dtype:
            raise ModelError(f"{path}: {name} is {tuple(weights[name].shape)}, the model's is {tuple(tensor.shape)}")


def _read_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"{path}: no file; copy the model again")
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path.parent}: damaged, it has no {path.name}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error


def _check_header(path: Path, content: bytes) -> None:
    """Raises: ModelError if the header is damaged or larger than any network's here."""
    size = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else len(content) + 1
    if size > len(content) - 8:
        raise ModelError(f"{path}: damaged, it ends within its header")
    if size > LARGEST_HEADER:
        raise ModelError(f"{path}: a header of {size} bytes; at most {LARGEST_HEADER} are read")
    try:
        header = json.loads(content[8 : 8 + size])
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged, its header is not valid JSON") from error
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise ModelError(f"{path}: a header with more than {MOST_TENSORS} tensors or none")
