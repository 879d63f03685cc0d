"""Checkpoints on the disk: what is in them, how they are written, which one is the newest that is whole.

    RUN/checkpoints/step-00001200/            within an epoch
    RUN/checkpoints/step-00001352-epoch-4/    at the end of one
        weights.safetensors   the networks with their buffers
        state.safetensors     every optimizer's tensors, the averaged networks, the best epoch's weights
        manifest.json         written last: size and SHA-256 of both, and every number that is no tensor

Whatever happens while one is written, the ones before it stay as they are.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ResumeError, StorageError
from ..storage import Piece, remove_folder, sweep, sync, unwritten, write_folder
from . import tensorfile
from .state import Point, State, Tensors
from .terms import Terms

WEIGHTS, STATE, MANIFEST = "weights.safetensors", "state.safetensors", "manifest.json"
KEPT = 2
LARGEST_MANIFEST = 1 << 20
BLOCK = 1 << 20
FOLDERS = "step-*"
NAME = re.compile(r"step-(\d{8,15})(-epoch-\d+)?")

Tell = Callable[[str], None]


class File(BaseModel):
    """What a file has to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


class Manifest(BaseModel):
    """What `manifest.json` holds; sha256 is that of the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["fourfold-checkpoint-1"] = "fourfold-checkpoint-1"
    point: Point
    terms: Terms
    files: dict[str, File] = Field(min_length=2, max_length=2)
    sha256: str = ""

    def signed(self) -> bytes:
        """The bytes of the file."""
        rest = self.model_copy(update={"sha256": ""}).model_dump_json()
        digest = hashlib.sha256(rest.encode()).hexdigest()
        return self.model_copy(update={"sha256": digest}).model_dump_json(indent=2).encode()


@dataclass(frozen=True)
class Checkpoint:
    """One that was found whole."""

    folder: Path
    manifest: Manifest

    def load(self, largest: int) -> State:
        """Its state. Raises: ResumeError if it is of more than `largest` bytes, or of another format."""
        size = sum(file.size for file in self.manifest.files.values())
        if size > largest:
            raise ResumeError(f"{self.folder}: {size} bytes where this training needs at most {largest}")
        try:
            weights, rest = (tensorfile.read(self.folder / name) for name in (WEIGHTS, STATE))
        except (OSError, ValueError) as error:
            raise ResumeError(f"{self.folder}: cannot be read ({error})") from error
        return State(self.manifest.point, weights, rest)


def write(folder: Path, state: State, terms: Terms) -> None:
    """Write a checkpoint into the folder of checkpoints, and remove what came before the last two.

    A damaged one of the same step is replaced. Raises: StorageError if the disk has no room for
    it twice or refuses it; what was there before is there still.
    """
    target = folder / name_of(state.point)
    try:
        if not folder.exists():
            folder.mkdir()
            sync(folder.parent)
        free, needed = shutil.disk_usage(folder).free, 2 * state.nbytes
        if free < needed:
            raise StorageError(f"{target}: {needed:,} bytes are asked for to be safe and {free:,} are free; make room")
        if target.exists():
            remove_folder(target)
    except OSError as error:
        raise unwritten(target, error) from error
    files: dict[str, File] = {}
    write_folder(
        target,
        {
            WEIGHTS: _noted(files, WEIGHTS, state.weights),
            STATE: _noted(files, STATE, state.rest),
            MANIFEST: _manifest(files, state.point, terms),
        },
    )


def name_of(point: Point) -> str:
    """The name of a checkpoint's folder. The last step of an epoch has two: before it is judged and after."""
    ended = point.closed and not point.position
    return f"step-{point.step:08}" + (f"-epoch-{point.closed}" if ended else "")


def prune(folder: Path, newest: str) -> None:
    """Remove all but the last two checkpoints up to the one of that name, which is whole.

    What comes after it is damaged: training has come back to it from before.
    Raises: OSError.
    """
    places = _places(folder)
    until = [place.name for place in places].index(newest) + 1
    for place in (*places[: max(until - KEPT, 0)], *places[until:]):
        remove_folder(place)


def newest(folder: Path, tell: Tell) -> Checkpoint | None:
    """The newest checkpoint that is whole; None if there is none at all. Remains of writing are removed.

    tell: is told of each one that is damaged. Raises: ResumeError if all are.
    """
    sweep(folder, FOLDERS)
    places = _places(folder)
    for place in reversed(places):
        try:
            return Checkpoint(place, verified(place))
        except (OSError, ValueError) as error:
            tell(f"{place}: damaged ({error}); the checkpoint before it is taken")
    if places:
        raise ResumeError(
            f"{folder}: no checkpoint is whole; put one back, or remove the folder to train from the beginning"
        )
    return None


def verified(folder: Path) -> Manifest:
    """The manifest of a checkpoint whose files are as it says. Raises: ValueError or OSError, telling what is wrong."""
    path = folder / MANIFEST
    if path.stat().st_size > LARGEST_MANIFEST:
        raise ValueError(f"{MANIFEST} has {path.stat().st_size} bytes")
    content = path.read_bytes()
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"{MANIFEST} is not one: {error.errors(include_url=False)[0]['msg'].lower()}") from None
    if content != manifest.signed():
        raise ValueError(f"{MANIFEST} has another SHA-256 than it tells")
    for name in (WEIGHTS, STATE):
        file = manifest.files.get(name)
        if file is None or (folder / name).stat().st_size != file.size:
            raise ValueError(f"{name} is not of the size that {MANIFEST} tells")
        if _sha256(folder / name) != file.sha256:
            raise ValueError(f"{name} has another SHA-256 than {MANIFEST} tells")
    return manifest


def _noted(files: dict[str, File], name: str, tensors: Tensors) -> Iterator[Piece]:
    """The pieces of a tensor file; size and digest go into `files` once all were taken."""
    digest, size = hashlib.sha256(), 0
    for piece in tensorfile.pieces(tensors):
        digest.update(piece)
        size += len(piece)
        yield piece
    files[name] = File(size=size, sha256=digest.hexdigest())


def _manifest(files: dict[str, File], point: Point, terms: Terms) -> Iterator[Piece]:
    """The manifest, made once the other files are written."""
    yield Manifest(point=point, terms=terms, files=files).signed()


def _places(folder: Path) -> list[Path]:
    """The checkpoints that are there, whole or not, in the order of training."""
    found = [(match, path) for path in folder.glob(FOLDERS) if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda pair: (int(pair[0][1]), pair[0][2] is not None))]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
