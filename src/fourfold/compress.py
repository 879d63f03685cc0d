"""Codes in a file, as small as they will go, and what that costs beside principal components of the same number.

fourfold-codes-1: four bytes of magic, the header's size (uint32, little-endian), the header
as JSON, then the quantised codes, a byte each, all examples' first number before any's second,
packed by zlib or by lzma, whichever is smaller. Reading it runs no code, takes no more memory than the
header says, and refuses what would not be believable.
"""

import hashlib
import json
import lzma
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save
from torch import Tensor

from .data.dataset import Dataset, Examples
from .data.schema import Schema
from .errors import DataError, UsageError
from .judge.examples import evenly, prepared
from .judge.principal import Principal, fit_principal
from .model import Model

Array = np.ndarray[Any, Any]

MAGIC = b"FFZ1"
LARGEST_HEADER = 1 << 20  # bytes
MOST = 1 << 31  # bytes of codes, unpacked
MEMORY = 1 << 28  # bytes that lzma may take to unpack
COMPARED = 10_000  # examples whose distortion is measured, at most


class Header(BaseModel):
    """What stands before the codes.

    model: SHA-256 of the weights that alone can decode them. low, high: of each number of a code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["fourfold-codes-1"] = "fourfold-codes-1"
    model: str
    count: int = Field(ge=1)
    bits: int = Field(ge=1, le=8)
    packing: Literal["zlib", "lzma"]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Quantised:
    """Codes as steps between the lowest and the highest of each number: levels uint8 (n, k)."""

    levels: Array
    low: Array
    high: Array
    bits: int

    @classmethod
    def of(cls, codes: Array, bits: int) -> "Quantised":
        """Codes (n, k) in 2^bits even steps a number. Raises: DataError if one is not finite."""
        if not np.isfinite(codes).all():
            raise DataError("a code is not a finite number; are the inputs in the units that the model was trained on?")
        low, high = codes.min(0).astype(np.float32), codes.max(0).astype(np.float32)
        steps = (1 << bits) - 1
        width = np.where(high > low, high - low, 1)
        return cls(np.rint((codes - low) / width * steps).clip(0, steps).astype(np.uint8), low, high, bits)

    def codes(self) -> Array:
        """The codes again, float32 (n, k), each within half a step of what it was."""
        steps = (1 << self.bits) - 1
        codes: Array = (self.low + self.levels / steps * (self.high - self.low)).astype(np.float32)
        return codes

    def packed(self) -> tuple[Literal["zlib", "lzma"], bytes]:
        """The levels as few bytes, number by number, since those of one number are alike."""
        plain = np.ascontiguousarray(self.levels.T).tobytes()
        small, smaller = zlib.compress(plain, 9), lzma.compress(plain, preset=9)
        return ("zlib", small) if len(small) <= len(smaller) else ("lzma", smaller)


def compress(model: Model, examples: Examples, bits: int = 8) -> bytes:
    """The content of a file with the examples' codes.

    Raises: UsageError if the model does not code, or not examples of one size, or for other bits than 1 to 8.
    """
    if not 1 <= bits <= 8:
        raise UsageError(f"bits = {bits}: a number of a code takes 1 to 8 bits")
    if model.schema.kind not in ("image", "table"):
        raise UsageError(f"{model.schema.kind} data differ in length; pictures and tables can be compressed")
    quantised = Quantised.of(model.codes(examples).numpy(), bits)
    packing, payload = quantised.packed()
    header = Header(
        model=fingerprint(model),
        count=len(examples),
        bits=bits,
        packing=packing,
        low=tuple(quantised.low.tolist()),
        high=tuple(quantised.high.tolist()),
    )
    return pack(header, payload)


def decompress(model: Model, content: bytes, name: str = "file") -> Array:
    """Examples in the data's own units, (n, …), from a file's content.

    Raises: DataError, naming the file, if it is damaged, not such a file, or of another model.
    """
    header, payload = unpack(content, name)
    if header.model != fingerprint(model):
        raise DataError(
            f"{name}: coded by another model, whose weights have SHA-256 {header.model[:16]}…; decode by it"
        )
    size = header.count * len(header.low)
    plain = inflate(header.packing, payload, size, name)
    levels = np.frombuffer(plain, np.uint8).reshape(len(header.low), header.count).T
    low, high = (np.array(each, dtype=np.float32) for each in (header.low, header.high))
    return model.decode(Quantised(levels, low, high, header.bits).codes())


def pack(header: Header, payload: bytes) -> bytes:
    """A file's content."""
    words = header.model_dump_json().encode()
    return MAGIC + struct.pack("<I", len(words)) + words + payload


def unpack(content: bytes, name: str) -> tuple[Header, bytes]:
    """Header and payload of a file's content. Raises: DataError."""
    if content[:4] != MAGIC or len(content) < 8:
        raise DataError(f"{name}: no file of codes; `fourfold compress` makes such")
    size = struct.unpack("<I", content[4:8])[0]
    if size > min(LARGEST_HEADER, len(content) - 8):
        raise DataError(f"{name}: damaged, its header claims {size:,} bytes; copy the file again")
    try:
        header = Header.model_validate(json.loads(content[8 : 8 + size]))
    except (ValidationError, ValueError, RecursionError) as error:
        raise DataError(f"{name}: damaged, its header cannot be read; copy the file again") from error
    if not header.low or len(header.low) != len(header.high) or header.count * len(header.low) > MOST:
        raise DataError(f"{name}: {header.count:,} codes of {len(header.low):,} numbers cannot be right")
    return header, content[8 + size :]


def inflate(packing: str, payload: bytes, size: int, name: str) -> bytes:
    """Exactly `size` bytes from their packed form, never more in memory. Raises: DataError."""
    try:
        if packing == "zlib":
            inflater = zlib.decompressobj()
            plain, ended = inflater.decompress(payload, size + 1), inflater.eof
        else:
            unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
            plain, ended = unpacker.decompress(payload, size + 1), unpacker.eof
    except (zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{name}: damaged, its codes cannot be unpacked ({error}); copy the file again") from error
    if len(plain) != size or not ended:
        raise DataError(f"{name}: damaged, it does not hold the {size:,} bytes that its header tells; copy it again")
    return plain


def fingerprint(model: Model) -> str:
    """SHA-256 of the weights, as a model's folder has it."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.weights.items()}
    return hashlib.sha256(save(weights)).hexdigest()


def compare(model: Model, examples: Examples, content: bytes, dataset: Dataset | None) -> dict[str, Any]:
    """How small the file is and what is lost, beside as many principal components, quantised and packed alike.

    dataset: what the model was trained on, whose train the components are fitted on; without it they
    are fitted on the examples themselves, which favours them. Returns: plain JSON; errors are mean squared
    errors of prepared examples, over at most COMPARED of them; neither weights nor components count as bytes.
    """
    header, _ = unpack(content, "content")
    chosen, schema = evenly(examples, COMPARED), model.schema
    x = prepared(chosen, schema)
    back = _prepared(model.decode(Quantised.of(model.codes(chosen).numpy(), header.bits).codes()), schema)
    principal = fit_principal(dataset.train if dataset else examples, schema, len(header.low))
    codes = (prepared(examples, schema).flatten(1) - principal.mean) @ principal.directions
    rival = Quantised.of(codes.numpy(), header.bits)
    rival_bytes = len(pack(_like(header, rival), rival.packed()[1]))
    restored = _restored(principal, rival, torch.arange(len(chosen)) * len(examples) // len(chosen)).view_as(x)
    if schema.kind == "image":
        restored = restored.clamp(0, 1)  # known of pictures, whoever gives them back
    original = examples.x.shape.numel() * examples.x.dtype.itemsize
    own, other = float((x - back).square().mean()), float((x - restored).square().mean())
    return {
        "count": len(examples),
        "original_bytes": original,
        "bytes": len(content),
        "ratio": original / len(content),
        "mse": own,
        "principal": {
            "bytes": rival_bytes,
            "ratio": original / rival_bytes,
            "mse": other,
            "fitted_on": "train" if dataset else "the examples themselves",
        },
        "verdict": _verdict(own, other, len(content), rival_bytes, len(header.low)),
    }


def _verdict(own: float, other: float, size: int, rival: int, numbers: int) -> str:
    components = f"{numbers} principal components in {rival:,} bytes"
    if own < other:
        return f"squared error {own:.3g} in {size:,} bytes, {own / other:.2f} of that of {components}"
    return f"it loses to {components}: squared error {own:.3g} against {other:.3g}; use those, or train otherwise"


def _like(header: Header, quantised: Quantised) -> Header:
    limits = {"low": tuple(quantised.low.tolist()), "high": tuple(quantised.high.tolist())}
    return header.model_copy(update=limits)


def _restored(principal: Principal, quantised: Quantised, places: Tensor) -> Tensor:
    return torch.from_numpy(quantised.codes())[places] @ principal.directions.T + principal.mean


def _prepared(restored: Array, schema: Schema) -> Tensor:
    return schema.prepare(torch.from_numpy(restored))
