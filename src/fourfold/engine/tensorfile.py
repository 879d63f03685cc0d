"""Tensors in a file (safetensors), written without a second copy in memory and read within limits.

The format: the header's length (8 bytes, little-endian), the header (JSON: for each tensor
its type, shape and place), the tensors' bytes one after the other.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ..storage import Piece

# A legal header can ask for seconds and gigabytes; no network here comes near these.
LARGEST_HEADER = 1 << 20
MOST_TENSORS = 10_000

TYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}


def pieces(tensors: Mapping[str, Tensor]) -> Iterator[Piece]:
    """The file of some tensors on the CPU, piece by piece.

    Raises: ValueError if there is more than `read` would take.
    """
    # The widest numbers first, so that each lies at a multiple of its size; equal tensors make equal files.
    ordered = dict(sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])))
    header, end = {}, 0
    for name, tensor in ordered.items():
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LARGEST_HEADER or len(header) > MOST_TENSORS:
        raise ValueError(f"{len(header)} tensors with a header of {len(text)} bytes are more than can be read again")
    yield struct.pack("<Q", len(text)) + text
    for tensor in ordered.values():
        yield tensor.contiguous().flatten().view(torch.uint8).numpy().data


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file whose size and SHA-256 were found right. Raises: ValueError, saying what is wrong."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else len(content)
    if size > min(len(content) - 8, LARGEST_HEADER):
        raise ValueError(f"a header of {size} bytes in a file of {len(content)}")
    try:
        if len(json.loads(content[8 : 8 + size])) > MOST_TENSORS:
            raise ValueError(f"more than {MOST_TENSORS} tensors")
        return load(content)
    except (SafetensorError, RecursionError, TypeError) as error:
        raise ValueError(f"not a safetensors file ({error})") from error
