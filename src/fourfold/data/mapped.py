"""Examples that stay on the disk: an array in a file, of which rows are read as they are asked for."""

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from ..errors import DataError

LARGE = 1 << 30  # bytes; arrays beyond it stay in their file
KEPT = 1 << 28  # bytes that are read before the pages are given back to the system


class Mapped:
    """Rows of an array in a file, with the part of a tensor's manners that reading needs.

    What is asked for comes as a tensor in memory; the file's pages are given back now and
    then, so that memory stays flat however much is read. Only reads; the file must not
    change meanwhile.
    """

    def __init__(self, file: "_File", rows: Tensor | None = None) -> None:
        self._file = file
        self._rows = rows  # int64 (n,), the places of the examples in the file; None: all, as they stand
        self.dtype: torch.dtype = file.array.dtype
        self.shape = torch.Size([len(file.array) if rows is None else len(rows), *file.array.shape[1:]])

    @classmethod
    def open(cls, path: Path, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> "Mapped":
        """The array (n, …) that begins `offset` bytes into a file, in the order of C.

        Raises: DataError if the file cannot be read or is shorter than that.
        """
        try:
            with path.open("rb") as stream:
                memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error})") from None
        if len(memory) < offset + prod(shape) * dtype.itemsize:
            raise DataError(f"{path}: shorter than its header promises; is it complete?")
        if hasattr(memory, "madvise"):  # Unix; rows come in any order, so what follows one is not worth reading
            memory.madvise(mmap.MADV_RANDOM)
        array = np.frombuffer(memory, dtype, prod(shape), offset).reshape(shape)
        return cls(_File(torch.from_numpy(array), memory))

    def __len__(self) -> int:
        return self.shape[0]

    def dim(self) -> int:
        """How many sizes the shape has."""
        return len(self.shape)

    def numel(self) -> int:
        """How many values there are."""
        return prod(self.shape)

    def changed(self, view: Callable[[Tensor], Tensor]) -> "Mapped":
        """The same examples in another view of the file's array, such as with their axes in another order."""
        return Mapped(_File(view(self._file.array), self._file.memory), self._rows)

    def select(self, index: Tensor) -> "Mapped":
        """The examples at `index`, int64 (m,), still in the file."""
        return Mapped(self._file, index if self._rows is None else self._rows[index])

    def __getitem__(self, place: int | slice | Tensor) -> Tensor:
        """An example, a stretch of them or those at int64 (m,), in memory."""
        if isinstance(place, int):
            return self[torch.tensor([place])][0]
        if isinstance(place, slice) and self._rows is None:
            return self._file.read(place)
        index = torch.arange(len(self))[place] if isinstance(place, slice) else place
        return self._file.read(index if self._rows is None else self._rows[index])


@dataclass
class _File:
    """The array in a file, and how much of it was read since its pages were given back."""

    array: Tensor
    memory: mmap.mmap
    touched: int = 0

    def read(self, rows: slice | Tensor) -> Tensor:
        found = self.array[rows].clone() if isinstance(rows, slice) else self.array.index_select(0, rows)
        # A row takes whole pages, however small it is.
        self.touched += found.numel() * found.element_size() + mmap.PAGESIZE * len(found)
        if self.touched > KEPT and hasattr(self.memory, "madvise"):
            self.memory.madvise(mmap.MADV_DONTNEED)
            self.touched = 0
        return found


def read_array(path: Path) -> Tensor | Mapped:
    """The array in an .npy file of ours: in memory, or mapped if it is large."""
    with path.open("rb") as stream:
        npy.read_magic(stream)
        shape, _, dtype = npy.read_array_header_1_0(stream)
        offset = stream.tell()
    if prod(shape) * dtype.itemsize <= LARGE:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    return Mapped.open(path, offset, dtype, shape)


@dataclass(frozen=True)
class Numbered(Sequence[str]):
    """Names such as x[17], made when they are asked for: a hundred million take no memory.

    rows: the numbers, a range or int64 (n,).
    """

    name: str
    rows: range | Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "Numbered": ...
    def __getitem__(self, place: int | slice) -> "str | Numbered":
        if isinstance(place, slice):
            return Numbered(self.name, self.rows[place])
        return f"{self.name}[{int(self.rows[place])}]"

    def select(self, index: Tensor) -> "Numbered":
        """The names at `index`, int64 (m,)."""
        rows = torch.arange(self.rows.start, self.rows.stop) if isinstance(self.rows, range) else self.rows
        return Numbered(self.name, rows[index])
