"""Texts: a file each, in class folders or not, or a column of a table.

reviews/good/1.txt                  labelled by the folder's name
reviews/train/good/1.txt            the same, with splits
reviews/1.txt                       unlabelled
reviews.csv                         a column of texts, and one of classes if there is one
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from ...errors import DataError
from ...settings import Reading
from ..content import digests
from ..dataset import Content, Examples, Request
from ..finding import FEW, Finding
from ..formats.files import any_below, find, keep_readable
from ..formats.frames import CLASSES, Frame, is_frame
from ..formats.places import Place, entries, read_bytes, size_of
from ..formats.text_files import encoding_of
from ..schema import Schema
from ..targets import answers, known_names
from ..vocabulary import PADDING, Vocabulary, fit_vocabulary
from . import check_kind, wanted

SUFFIXES = {".txt"}
LARGEST = 1 << 25  # bytes of one text; what is longer is many texts, or none
STEP = 256  # files between two words on how far it has come
BLOCK = 1 << 12  # characters of a long text that are cut into pieces at once
BLOCKS = re.compile(rf"(?s:.{{1,{BLOCK}}}(?=\s|\Z)|.{{1,{BLOCK}}})")  # no word lies in two of them, unless it is longer
BYTES = 4  # of a character at most, and a piece has one at least
TARGETS = CLASSES | {"category", "sentiment"}  # names that a column of classes has by itself


# Files


def matches(path: Place, request: Request) -> bool:
    """Whether this is a .txt file, or a folder with one below it; beside a table they are only about the table."""
    return (
        wanted("text", request)
        and any_below(path, SUFFIXES)
        and not (path.is_dir() and any(map(is_frame, entries(path))))
    )


def read(path: Place, request: Request) -> Content:
    """The texts at `path`, without the white space around them.

    They are UTF-8, or UTF-16 if marked so, or else Windows-1252, which is told.
    Raises: DataError naming files that cannot be read or are empty, if they are more than a
    few, or classes that train (or the request's schema) lacks; or for one text to train on.
    """
    check_kind(path, "text", request)
    if request.schema is None and not path.is_dir():
        raise DataError(
            f"{path}: a file is one text; to train, give a folder of them by class, or a table with a column of texts "
            "(one long text, such as a book, is for --task write)"
        )
    return read_all(path, request)


def read_all(path: Place, request: Request) -> Content:
    """What `read` gives, also of one file to train on. Raises: as `read`."""
    found = find(path, SUFFIXES, request)
    classes = known_names(found["train"].labels, request)
    total = sum(len(listing.files) for listing in found.values())
    splits: dict[str, Examples] = {}
    remarks: list[Finding] = []
    done = 0
    for split, listing in found.items():
        texts, failures, odd = _read_files(listing.files, request, done, total)
        kept, remark = keep_readable(listing, failures, request)
        remarks += [remark] if remark else []
        remarks += [_as_one(odd)] if odd else []
        names = [str(file) for file in kept.files]
        told = [text for text in texts if text]
        splits[split] = _examples(names, told, answers(kept.labels, classes, names, request.aim), kept.fields)
        done += len(listing.files)
    return Content("text", splits, classes, remarks=tuple(remarks))


def _read_files(
    files: Sequence[Place], request: Request, done: int, total: int
) -> tuple[list[str], dict[int, str], list[Finding]]:
    """The texts in files ("" where there is none), why not, by place, and what is odd about the encoding of some."""
    texts: list[str] = []
    failures: dict[int, str] = {}
    remarks: list[Finding] = []
    for place, file in enumerate(files):
        if place % STEP == 0:
            request.progress("texts", done + place, total)
        text = ""
        try:
            if size_of(file) > LARGEST:
                raise OSError(f"{size_of(file):,} bytes; a text has at most {LARGEST:,}")
            data = read_bytes(file)
            encoding, remark = encoding_of(file, data)
            text = data.decode(encoding).replace("\r\n", "\n").strip()
            if text:
                remarks += remark
            else:
                failures[place] = "it is empty"
        except OSError as error:
            failures[place] = f"cannot be read ({error.strerror or error})"
        except DataError as error:
            failures[place] = str(error).removeprefix(f"{file}, ")
        texts.append(text)
    request.progress("texts", done + len(files), total)
    return texts, failures, remarks


def _as_one(remarks: Sequence[Finding]) -> Finding:
    """The same remark about several files."""
    return replace(remarks[0], count=len(remarks), examples=tuple(remark.examples[0] for remark in remarks[:FEW]))


# Tables


def from_frames(frames: Mapping[str, Frame], request: Request) -> Content:
    """The texts in tables: the column that is asked for (or that a model was trained on), or a plain one.

    Raises: DataError naming file and row: an empty text, a missing or unknown class, a missing column.
    """
    train = frames["train"]
    check_kind(train.path, "text", request)
    train.require(*request.fields)
    column = _text_column(train, request)
    target = _target(train, column, request)
    labels = {split: frame.labels(target) if target in frame.columns else None for split, frame in frames.items()}
    classes = known_names(labels["train"], request)
    splits: dict[str, Examples] = {}
    for split, frame in frames.items():
        texts = frame.text(column).str.strip_chars()
        if (texts == "").any():
            frame.refuse([(row, column) for row in (texts == "").arg_true()], "no text")
        names = [frame.where(row) for row in range(len(frame))]
        fields = {name: frame.text(name).to_list() for name in request.fields}
        y = answers(labels[split], classes, names, request.aim)
        splits[split] = _examples(names, texts.to_list(), y, fields)
    remarks = tuple(remark for frame in frames.values() for remark in frame.remarks)
    return Content("text", splits, classes, decided={"text": column, "target": target}, remarks=remarks)


def _text_column(frame: Frame, request: Request) -> str:
    """The column of texts: of those that rarely repeat a cell the one with the longest, on average.

    What a model is asked about may well repeat.
    """
    asked = request.reading.text
    if asked:
        frame.require(asked)
        return asked
    others = (request.reading.target, *request.fields)
    plain = [
        column
        for column in frame.columns
        if column not in others
        and frame.is_text(column)
        and (request.schema or 2 * frame.text(column).n_unique() > len(frame))
    ]
    if not plain:
        raise DataError(
            f"{frame.path}: no column of texts that differ; name it with --text: {', '.join(frame.columns)}"
        )
    return max(plain, key=lambda column: frame.text(column).str.len_chars().sum())


def _target(frame: Frame, column: str, request: Request) -> str | None:
    """The column of classes: what is asked for, or named as classes are, or the only other one if its cells repeat.

    None: no labels.
    """
    asked = request.reading.target
    if asked:
        if not request.schema:
            frame.require(asked)
        return asked
    others = [name for name in frame.columns if name not in (column, *request.fields)]
    named = [name for name in others if name.lower() in TARGETS]
    if len(named) > 1 and not request.schema:
        raise DataError(f"{frame.path}: which of {', '.join(named)} is the class? Name it with --target")
    if len(named) == 1:
        return named[0]
    if len(others) == 1 and not request.schema and frame.text(others[0]).n_unique() < len(frame):
        return others[0]
    return None


def _examples(names: list[str], texts: list[str], y: Tensor | None, fields: Mapping[str, Sequence[str]]) -> Examples:
    return Examples(torch.zeros(len(texts), 0, dtype=torch.int32), names, y, fields=fields, texts=texts)


# To write from


def unlabelled(content: Content) -> Content:
    """Texts without their classes, one alone as a course of time. Raises: DataError for what is no text."""
    train = content.splits["train"]
    if content.kind != "text":
        raise DataError(f"{train.names[0]}: --task write goes on with texts, and this is {content.kind} data")
    splits = {name: replace(part, y=None) for name, part in content.splits.items()}
    return replace(content, splits=splits, classes=None, ordered=len(train) == 1)


def fit_passages(
    content: Content, parts: Mapping[str, Examples], reading: Reading
) -> tuple[Schema, dict[str, Examples]]:
    """The passages of every split, and their schema, whose vocabulary is that of all that train's texts say."""
    told = [block for text in parts["train"].texts or () for block in BLOCKS.findall(text)]
    vocabulary = fit_vocabulary(told, reading.model_copy(update={"longest": BLOCK}))
    cutter = Vocabulary(vocabulary)
    cut = {name: passages(part, cutter, reading.longest) for name, part in parts.items()}
    lengths = cut["train"].lengths
    assert lengths is not None
    schema = Schema(
        kind="text",
        shape=(),
        lengths=(int(lengths.min()), int(lengths.max())),
        vocabulary=vocabulary,
        reading=reading.model_copy(update={"kind": "text", **content.decided}),
    )
    return schema, cut


def passages(examples: Examples, vocabulary: Vocabulary, longest: int) -> Examples:
    """Texts as passages of `longest` pieces and the one before them, int32 (n, longest + 1) with their lengths.

    The padding piece begins a text and ends it. The passages of a text follow each other: what ends one begins the
    next, so that each piece but a text's beginning is to be told once. Passages of different texts are never equal,
    whatever they say, unless the texts are.
    """
    rows: list[Tensor] = []
    names: list[str] = []
    marks = bytearray()
    for name, text, digest in zip(examples.names, examples.texts or (), digests(examples), strict=True):
        ids = _pieces(text, vocabulary)
        own = [ids[start : start + longest + 1] for start in range(0, len(ids) - 1, longest)]
        for number, row in enumerate(own):
            rows.append(row)
            names.append(name if len(own) == 1 else f"{name}, passage {number + 1}")
            marks += hashlib.blake2b(digest + number.to_bytes(8, "little"), digest_size=16).digest()
    return Examples(
        x=pad_sequence(rows, batch_first=True, padding_value=PADDING),
        names=names,
        lengths=torch.tensor([len(row) for row in rows]),
        digests=np.frombuffer(marks, np.uint8).reshape(-1, 16),
    )


def _pieces(text: str, vocabulary: Vocabulary) -> Tensor:
    """All pieces of a text, int32 (t,), between its beginning and its end."""
    ids, lengths = vocabulary.encode(BLOCKS.findall(text), BYTES * BLOCK)
    inside = torch.arange(ids.shape[1]) < lengths[:, None]
    return pad(ids[inside], (1, 1), value=PADDING)
