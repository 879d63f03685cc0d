"""What texts are cut into: a vocabulary, fitted on train, that travels in the schema as JSON.

    {"kind": "bpe", "merges": [[34, 118], …]}           pieces of bytes; each merge joins two of them to one
    {"kind": "characters", "characters": "\\n !,.abc…"}

Piece 0 is padding and piece 1 stands for whatever is unknown. In a bpe vocabulary the 256 bytes
come next and then what the merges make, in their order, so that no text has an unknown piece
(Sennrich et al., arXiv 1508.07909; on bytes: Radford et al., "Language models are unsupervised
multitask learners", 2019). Nothing is put into lower case.

A schema may be a stranger's, so it holds numbers and characters only. The JSON of the tokenizers
library may bring regular expressions that make it panic; here they are part of the code.
"""

import bisect
import hashlib
import itertools
import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor

from ..errors import DataError
from ..settings import Reading
from .dataset import Examples
from .finding import FEW, Finding, Spot

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING, UNKNOWN = 0, 1
SPECIAL = [b"", "\ufffd".encode()]  # how these two are written
MOST = 200_000  # pieces, as in the settings
LARGEST = 1 << 24  # bytes of JSON; a vocabulary of MOST pieces has 3 MB
DAMAGED = "the model is damaged, take a whole copy"
A_PIECE = 1 << 10  # bytes of text that fitting reads for each piece; the library takes 100 times its bytes at worst
LONGEST_PIECE = 64  # bytes; without a bound, each merge could double the one before it
AT_ONCE = 1 << 21  # characters that the library cuts at once; it takes some 100 bytes for each piece

# Words with the space before them, as GPT-2 has them, with three changes: marks belong to their letters (a Hindi
# word is one word), long numbers fall into threes, and nothing is longer than a piece, so that cutting takes
# linear time whatever the text.
WORDS = r" ?[\p{L}\p{M}]{1,64}| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]{1,64}|\s{1,64}(?!\S)|\s{1,64}"


def fit_vocabulary(texts: Sequence[str], reading: Reading) -> str:
    """The vocabulary of some texts, as JSON; a function of the texts, not of their order.

    Only so much of each text counts as `reading.longest` pieces can cover. A bpe piece occurs at
    least twice, in all texts or as many as make A_PIECE bytes for each piece, chosen by their
    content; of characters the `reading.vocabulary_size` commonest are known.
    Raises: DataError if the tokenizers library is needed and missing.
    """
    if reading.vocabulary == "bpe":
        read = _some([text[: reading.longest * LONGEST_PIECE] for text in texts], reading.vocabulary_size * A_PIECE)
        return _Merges(merges=_fit_merges(read, reading.vocabulary_size)).model_dump_json()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text[: reading.longest])
    commonest = sorted(counts, key=lambda character: (-counts[character], character))
    known = commonest[: reading.vocabulary_size - len(SPECIAL)]
    return _Alphabet(characters="".join(sorted(known))).model_dump_json()


class Vocabulary:
    """A vocabulary that JSON tells of. `size` counts its pieces, padding and unknown among them.

    Raises: DataError if the JSON is no vocabulary, or the tokenizers library is needed and missing.
    """

    def __init__(self, text: str) -> None:
        if len(text) > LARGEST:
            raise DataError(f"a vocabulary of {len(text):,} characters; at most {LARGEST:,} are read")
        try:
            stored = _STORED.validate_json(text)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            raise DataError(f"no vocabulary ({problem['msg']}); {DAMAGED}") from None
        self._cutter: _Cutter = _Bytes(stored.merges) if isinstance(stored, _Merges) else _Characters(stored.characters)
        self.size = len(self._cutter.pieces)

    def encode(self, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
        """Texts as pieces: int32 (n, t), 0 past the end of each, and their lengths, int64 (n,).

        Of each text the first `longest` pieces. It must be valid Unicode: no lone surrogates.
        """
        reach = longest * self._cutter.reach  # characters that so many pieces cover, at most
        step = max(1, AT_ONCE // reach)
        rows: list[np.ndarray] = []
        for start in range(0, len(texts), step):
            rows += self._cutter.cut([text[:reach] for text in texts[start : start + step]], longest)
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        ids = np.full((len(rows), int(lengths.max(initial=0))), PADDING, dtype=np.int32)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
        return torch.from_numpy(ids), torch.from_numpy(lengths)

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """The text of some pieces (t,): padding is nothing, the unknown and half a character are U+FFFD."""
        places = ids.tolist() if isinstance(ids, Tensor) else ids
        return b"".join(self._cutter.pieces[place] for place in places).decode("utf-8", errors="replace")


def encode_parts(
    parts: Mapping[str, Examples], vocabulary: Vocabulary, longest: int
) -> tuple[dict[str, Examples], Finding | None]:
    """The texts of every split as pieces in x, with their lengths, and what to tell of those that were cut."""
    encoded: dict[str, Examples] = {}
    spots: list[Spot] = []
    for split, part in parts.items():
        assert part.texts is not None
        ids, lengths = vocabulary.encode(part.texts, longest + 1)
        spots += [Spot(split, place) for place in torch.nonzero(lengths > longest).flatten().tolist()]
        encoded[split] = replace(part, x=ids[:, :longest].contiguous(), lengths=lengths.clamp(max=longest))
    if not spots:
        return encoded, None
    finding = Finding(
        severity="note",
        name="cut",
        what=f"texts of more than {longest:,} pieces, of which the rest is not read",
        count=len(spots),
        examples=tuple(parts[spot.split].names[spot.index] for spot in spots[:FEW]),
        mend="read more of them with --longest, or cut them up",
        places=tuple((spot,) for spot in spots[:FEW]),
    )
    return encoded, finding


def normalised(text: str) -> str:
    """The text without its case, its spacing and its ways of writing a character, to find nearly equal ones by."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def _some(texts: list[str], most: int) -> list[str]:
    """All texts, or as many as have `most` bytes: a random choice that hangs on their content alone."""
    coded = [text.encode() for text in texts]
    if sum(map(len, coded)) <= most:
        return texts
    turn = sorted(range(len(texts)), key=lambda place: hashlib.blake2b(coded[place]).digest())
    total = list(itertools.accumulate(len(coded[place]) for place in turn))
    return [texts[place] for place in turn[: max(1, bisect.bisect(total, most))]]


# As JSON


class _Merges(BaseModel):
    """The places of the two pieces that each merge joins, by rank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["bpe"] = "bpe"
    merges: list[tuple[int, int]] = Field(max_length=MOST)


class _Alphabet(BaseModel):
    """The known characters, ascending."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["characters"] = "characters"
    characters: str = Field(max_length=MOST)


_STORED: TypeAdapter[_Merges | _Alphabet] = TypeAdapter(Annotated[_Merges | _Alphabet, Field(discriminator="kind")])


# Cutting


class _Cutter(Protocol):
    """One way of cutting. pieces: how each is written, by place; reach: characters that one covers, at most."""

    pieces: list[bytes]
    reach: int

    def cut(self, texts: list[str], longest: int) -> list[np.ndarray]:
        """The places of each text's first pieces, int32 (t,)."""


class _Characters:
    """A piece a character. Raises: DataError if they do not ascend."""

    reach = 1

    def __init__(self, characters: str) -> None:
        self.pieces = [*SPECIAL, *(character.encode() for character in characters)]
        self._codes = _codes(characters)
        if not (self._codes[1:] > self._codes[:-1]).all():
            raise DataError(f"no vocabulary (its characters do not ascend); {DAMAGED}")

    def cut(self, texts: list[str], longest: int) -> list[np.ndarray]:
        return [self._places(_codes(text)) for text in texts]

    def _places(self, codes: np.ndarray) -> np.ndarray:
        below = np.searchsorted(self._codes, codes, side="right") - 1
        known = (below >= 0) & (self._codes[below] == codes)
        return np.where(known, below + len(SPECIAL), UNKNOWN).astype(np.int32)


def _codes(text: str) -> np.ndarray:
    """The code points of a text, (characters,)."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


class _Bytes:
    """Pieces of bytes, by their merges. Raises: DataError for one of unknown pieces, or that is too long."""

    reach = LONGEST_PIECE

    def __init__(self, merges: list[tuple[int, int]]) -> None:
        symbols = _byte_symbols()
        self.pieces = [*SPECIAL, *(bytes([byte]) for byte in range(256))]
        spelt = ["", "", *symbols]  # the pieces as the library writes them, which knows no special ones
        places = {symbol: place for place, symbol in enumerate(spelt) if symbol}
        pairs: list[tuple[str, str]] = []
        for rank, (left, right) in enumerate(merges):
            if not len(SPECIAL) <= min(left, right) <= max(left, right) < len(spelt):
                raise DataError(f"no vocabulary (merge {rank} is of unknown pieces); {DAMAGED}")
            pairs.append((spelt[left], spelt[right]))
            joined = spelt[left] + spelt[right]
            if len(joined) > LONGEST_PIECE:
                raise DataError(f"no vocabulary (merge {rank} makes a piece of {len(joined)} bytes); {DAMAGED}")
            if places.setdefault(joined, len(spelt)) == len(spelt):  # two merges may make the same piece
                spelt.append(joined)
                self.pieces.append(self.pieces[left] + self.pieces[right])
        self._tokenizer = _tokenizer(places, pairs)

    def cut(self, texts: list[str], longest: int) -> list[np.ndarray]:
        cut = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(each.ids[:longest], dtype=np.int32) for each in cut]


# The tokenizers library


def _tokenizer(places: dict[str, int], pairs: list[tuple[str, str]]) -> "Tokenizer":
    """A tokenizer of these pieces. Raises: DataError if the library is missing."""
    try:
        from tokenizers import Regex, Tokenizer
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
    except ImportError:
        raise DataError('texts are cut by the tokenizers library: pip install "fourfold[text]"') from None
    tokenizer = Tokenizer(BPE(vocab=places, merges=pairs))
    bytes_ = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = Sequence([Split(Regex(WORDS), "isolated"), bytes_])
    return tokenizer


def _fit_merges(texts: list[str], size: int) -> list[tuple[int, int]]:
    """The merges of a vocabulary of at most `size` pieces, each as the places of the two that it joins."""
    tokenizer = _tokenizer({}, [])
    from tokenizers.trainers import BpeTrainer

    symbols = _byte_symbols()
    trainer = BpeTrainer(
        vocab_size=size - len(SPECIAL),
        min_frequency=2,
        initial_alphabet=symbols,
        max_token_length=LONGEST_PIECE,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    places = {symbol: place for place, symbol in enumerate(symbols, len(SPECIAL))}
    merges: list[tuple[int, int]] = []
    for left, right in json.loads(tokenizer.to_str())["model"]["merges"]:
        merges.append((places[left], places[right]))
        places.setdefault(left + right, len(places) + len(SPECIAL))
    return merges


def _byte_symbols() -> list[str]:
    """The character that stands for each byte in the library, as in GPT-2: itself, or one from 256 on if unseen."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = {byte: 256 + rank for rank, byte in enumerate(sorted(set(range(256)) - seen))}
    return [chr(others.get(byte, byte)) for byte in range(256)]
