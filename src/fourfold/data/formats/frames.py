"""Tables as files: CSV, TSV, JSON lines and Parquet, as cells by column.

    people.csv, people.tsv              a header row, then a row a line; also .gz
    people.jsonl, people.ndjson         an object a line; also .gz
    people.parquet

What the columns mean is for the sources to say; `kind_of` tells which source that is. Rows
are counted as lines of the file, the header among them, and in Parquet as records from 1.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NoReturn

import polars as pl

from ...errors import DataError, nearest
from ..dataset import Request
from ..finding import Finding
from ..schema import Kind
from .cells import Cells, missing
from .csv_files import read_csv
from .json_lines import read_json_lines
from .parquet import read_parquet
from .pictures import SUFFIXES
from .places import Place, entries
from .sounds import SUFFIXES as SOUNDS
from .text_files import SPLITS, listing
from .times import names_time, times

FORMATS: Mapping[str, Callable[[Place], Cells]] = {
    ".csv": lambda path: read_csv(path, ","),
    ".tsv": lambda path: read_csv(path, "\t"),
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
}
FILES: dict[Kind, Set[str]] = {"image": SUFFIXES, "sound": SOUNDS}  # what a column of paths names, by their ends
CLASSES = frozenset(
    {"class", "label", "target", "diagnosis", "species", "outcome"}
)  # what a column of classes is called
MOST_CLASSES = 100  # more whole numbers than these are taken for a quantity
DIGITS = r"^[+-]?\d+$"

# What makes a table a series or texts, if nobody says what it is.
FEWEST_STEPS = 3
ASCENDING = 0.9  # of the steps in time; some rows may be out of order, and are told of later
CHARACTERS = 20  # that a text has on average
SPACES = 4  # likewise; names and addresses have fewer


@dataclass(frozen=True)
class Frame:
    """A file's cells by column, as text or as numbers; `rows` are their numbers in the file.

    remarks: what is odd about the file and was put right. answers: the column that tells tags
    or numbers, checked already (see `targets.gathered`).
    """

    path: Place
    rows: Sequence[int]
    cells: Mapping[str, pl.Series]
    remarks: tuple[Finding, ...] = field(default=())
    answers: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(self.cells)

    def where(self, row: int) -> str:
        """The name of the row at place `row`, from 0: file and line."""
        return f"{self.path}, row {self.rows[row]}"

    def text(self, column: str) -> pl.Series:
        """A column as text, "" where nothing is. Raises: DataError if there is none of that name."""
        self.require(column)
        cells = self.cells[column]
        return cells if cells.dtype == pl.String else cells.cast(pl.String).fill_null("")

    def numbers(self, column: str) -> pl.Series:
        """A column as float64, null where a cell is no number. Raises: DataError if there is no such column."""
        self.require(column)
        return self.cells[column].cast(pl.Float64, strict=False)

    def missing(self, column: str) -> pl.Series:
        """Whether each cell of a column is empty, or a word for that."""
        self.require(column)
        return missing(self.cells[column])

    def is_text(self, column: str) -> bool:
        """Whether most cells that are not missing are no numbers; a few such cells are slips."""
        if self.cells[column].dtype != pl.String:
            return False
        numbers = self.numbers(column)
        odd = self.text(column).filter(numbers.is_null())
        empty = int(missing(odd).sum())
        return 2 * (len(odd) - empty) > len(self) - empty - int(numbers.is_nan().sum())

    def is_identifier(self, column: str) -> bool:
        """Whether a column of numbers has whole ones beyond 2**53, which no quantity needs and no float holds."""
        large = self.numbers(column).abs() >= 2**53
        return bool(large.any()) and self.text(column).filter(large).str.contains(DIGITS).any()

    def require(self, *columns: str) -> None:
        """Raises: DataError, with the nearest name, for the first column that there is not."""
        for column in columns:
            if column not in self.cells:
                raise DataError(f"{self.path}: no column {column!r}; {nearest(column, self.cells)}")

    def labels(self, target: str) -> list[str]:
        """A column as classes: text, or at most MOST_CLASSES whole numbers, with every digit that they have.

        One of answers stays as it is. Raises: DataError naming rows without a class, or if the numbers are a quantity.
        """
        if target == self.answers:
            return self.text(target).to_list()
        cells, numbers = self.text(target), self.numbers(target)
        unusable = self.missing(target) | ~numbers.is_finite().fill_null(True)
        if unusable.any():
            self.refuse([(row, target) for row in unusable.arg_true()], "no class")
        if numbers.null_count():
            return cells.to_list()
        digits = cells.str.contains(DIGITS)
        whole = (digits | (numbers == numbers.floor()) & (numbers.abs() < 2**53)).all()
        different = cells.n_unique()
        if whole and numbers.n_unique() <= MOST_CLASSES:
            names = {cell: str(int(cell if spelt else float(cell))) for cell, spelt in zip(cells, digits, strict=True)}
            different = len(set(names.values()))
            if different <= MOST_CLASSES:
                return [names[cell] for cell in cells]
        raise DataError(
            f"{self.path}: the target {target!r} is a quantity ({different} different numbers); "
            f"a class is text, or one of at most {MOST_CLASSES} whole numbers; to learn the numbers themselves use "
            "--task regress (cnn, rnn)"
        )

    def refuse(
        self, places: Sequence[tuple[int, str]], what: str, mend: str = "fill these cells or remove their rows"
    ) -> NoReturn:
        """Raises: DataError with the first places (row, column) and the cells that stand there."""
        first = sorted(places)[:5]
        spots = [
            f"row {self.rows[row]}, column {column!r} ({_shown(self.cells[column][row])})" for row, column in first
        ]
        raise DataError(f"{self.path}, {listing(spots, total=len(places))}: {what}; {mend}")


def _shown(cell: object) -> str:
    return repr("" if cell is None else cell)


# Files


def is_frame(path: Place) -> bool:
    """Whether this file is a table, by its name."""
    return _format(path) in FORMATS


def load_all(path: Place) -> dict[str, Frame]:
    """The table of each split, if the path is a table or a folder with some; nothing otherwise."""
    if not any(map(is_frame, entries(path) if path.is_dir() else [path])):
        return {}
    return {split: load(file) for split, file in _frame_files(path).items()}


def load(path: Place) -> Frame:
    """The table in a file. Raises: DataError naming file and row if it is damaged or ambiguous."""
    cells = FORMATS[_format(path)](path)
    return Frame(path, cells.rows, cells.columns, cells.remarks)


def _format(path: Place) -> str:
    """The end of a name that tells its format; Parquet is packed inside."""
    name = path.name.lower()
    suffix = PurePosixPath(name.removesuffix(".gz")).suffix
    return suffix if suffix != ".parquet" or name.endswith(suffix) else ""


def _frame_files(path: Place) -> dict[str, Place]:
    """The file of each split: the one table, or a folder's train, validation and test."""
    if not path.is_dir():
        return {"train": path}
    files = [file for file in entries(path) if is_frame(file)]
    if len(files) == 1:
        return {"train": files[0]}
    splits: dict[str, Place] = {}
    for file in files:
        split = SPLITS.get(file.name.lower().split(".")[0])
        if split is None or split in splits:
            raise DataError(f"{file}: a folder holds one table, or train, test and validation; name one of them")
        splits[split] = file
    if "train" not in splits:
        raise DataError(f"{path}: holds {', '.join(file.name for file in files) or 'no table'}, but no train.csv")
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


# Kinds


def kind_of(frame: Frame, request: Request) -> Kind:
    """What the rows of a table are: by what is asked for, or by its columns.

    A column of paths makes pictures or sounds of it, one of long texts texts, one of times a series.
    """
    reading = request.reading
    if request.kind != "auto":
        return request.kind
    if reading.path:
        return _kind_of_files(frame, reading.path)
    if reading.text:
        return "text"
    if reading.id or reading.time:
        return "series"
    for kind, suffixes in FILES.items():
        if paths_column(frame, suffixes):
            return kind
    others = [column for column in frame.columns if column not in (reading.target, *request.fields)]
    words = [column for column in others if frame.is_text(column)]
    if any(_are_texts(frame, column) for column in words):
        return "text"
    return "series" if _is_course(frame, others, words) else "table"


def paths_column(frame: Frame, suffixes: Set[str]) -> str | None:
    """The first column whose cells all end in one of the suffixes, such as .png."""
    for column in frame.columns:
        cells = frame.cells[column]
        first = cells.head(1).cast(pl.String)  # tells of most columns that they are others
        if _ends(first, suffixes).all() and _ends(frame.text(column), suffixes).all():
            return column
    return None


def _ends(cells: pl.Series, suffixes: Set[str]) -> pl.Series:
    """Whether each cell ends in one of the suffixes."""
    ends = cells.str.to_lowercase().str.extract(r"(\.[a-z0-9]+)$")
    return ends.is_in(list(suffixes)).fill_null(False)


def _kind_of_files(frame: Frame, column: str) -> Kind:
    """What most files of a column are. Raises: DataError if none is known."""
    counts = {kind: int(_ends(frame.text(column), suffixes).sum()) for kind, suffixes in FILES.items()}
    kind = max(counts, key=lambda each: counts[each])
    if not counts[kind]:
        known = ", ".join(sorted({suffix for suffixes in FILES.values() for suffix in suffixes}))
        raise DataError(f"{frame.path}: column {column!r} names no pictures and no sounds; their names end in {known}")
    return kind


def _are_texts(frame: Frame, column: str) -> bool:
    """Whether a column holds texts: long ones, of several words, most of them different."""
    cells = frame.text(column).filter(~frame.missing(column))
    spaces = cells.str.count_matches(r"\s+").sum()
    long = cells.str.len_chars().sum() >= CHARACTERS * len(cells) and spaces >= SPACES * len(cells)
    return long and 2 * cells.n_unique() > len(cells) > 0


def _is_course(frame: Frame, others: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a table is numbers in the course of time: rows at times that all differ, and nearly all ascend."""
    for column in filter(names_time, others):
        try:
            steps = times(frame, column)
        except DataError:
            continue
        rising = (steps.diff().cast(pl.Int64 if steps.dtype.is_temporal() else pl.Float64) > 0).sum()
        numbers = any(other not in words and other != column for other in others)
        if numbers and steps.n_unique() == len(steps) >= FEWEST_STEPS and rising >= ASCENDING * (len(steps) - 1):
            return True
    return False
