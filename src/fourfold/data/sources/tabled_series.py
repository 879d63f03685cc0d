"""Series in tables: rows that are the steps of series, or rows that are series.

    id,time,x,y,kind            long: rows of one --id are one series, in the order of their times
    date,co2                    a course of time: all rows are one series
    t0,t1,t2,kind               wide, under --kind series: each row is one series of one channel
    walks/left/1.csv            a file a series, in class folders or not: rows are its steps

Columns of numbers are channels or, in the wide form, steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...errors import DataError
from ..dataset import Content, Examples, Request
from ..finding import Finding
from ..formats.files import Listing, any_below, find, keep_readable
from ..formats.frames import Frame, is_frame, load
from ..formats.places import Place, entries
from ..formats.text_files import SPLITS, listing
from ..gaps import gap_findings, overlap_findings
from ..steps import OR_LABEL, Columns, Series, plain_time, series
from ..targets import StepNamer, answers, gathered, known_names, step_answers, step_classes
from ..timeline import filled_finding, stack
from . import check_kind

SUFFIXES = {".csv", ".tsv", ".parquet"}


def from_frames(frames: Mapping[str, Frame], request: Request) -> Content:
    """The tables of each split as series.

    One series without an id is a course of time, to be cut by time.
    Raises: DataError as `steps.series` does, or if columns are of text or differ between the tables.
    """
    train = frames["train"]
    check_kind(train.path, "series", request)
    columns = _columns(train, request)
    columns = replace(columns, course=columns.id is None and not columns.wide)
    for frame in frames.values():
        _require_alike(frame, train.columns, columns, request)
    found = {split: series(frame, columns, request.reading) for split, frame in frames.items()}
    remarks = [remark for frame in frames.values() for remark in frame.remarks]
    if columns.course and columns.time:
        remarks += overlap_findings({split: each.times for split, [each] in found.items() if each.times is not None})
    return _content(found, columns, request, remarks)


def matches(path: Place, request: Request) -> bool:
    """Whether this is a folder of tables, each one series: in two class folders or more, or by --kind series."""
    if not path.is_dir():
        return False
    loose = [file for file in entries(path) if is_frame(file)]
    if loose:  # one table, or one a split, is for `from_frames`
        splits = all(file.name.lower().split(".")[0] in SPLITS for file in loose)
        return request.kind == "series" and len(loose) > 1 and not splits
    if request.kind == "series":
        return any_below(path, SUFFIXES)
    folders = _with_tables(path)
    train = [folder for folder in folders if SPLITS.get(folder.name.lower()) == "train"]
    classes = _with_tables(train[0]) if train else folders
    return len(classes) > 1 and not any(folder.name.lower() in SPLITS for folder in classes)


def read(path: Place, request: Request) -> Content:
    """The series below a folder, a file each, in the order of their paths; rows are steps.

    Raises: DataError as `from_frames` does, or naming files that cannot be read.
    """
    check_kind(path, "series", request)
    found: dict[str, list[Series]] = {}
    remarks: list[Finding] = []
    first: tuple[tuple[str, ...], Columns] | None = None  # the columns of the first table, and what they are
    for split, files in find(path, SUFFIXES, request).items():
        found[split] = []
        failures: dict[int, str] = {}
        for place, file in enumerate(files.files):
            request.progress("reading series", place + 1, len(files.files))
            try:
                frame = load(file)
                if request.reading.target:  # else folders or names tell
                    frame = gathered({split: frame}, request)[split]
            except DataError as error:
                failures[place] = str(error).removeprefix(str(file)).lstrip(", :")
                continue
            first = first or (frame.columns, _columns(frame, request, a_file_each=True))
            _require_alike(frame, *first, request)
            found[split] += [_told(each, files, place, first[1]) for each in series(frame, first[1], request.reading)]
            remarks += frame.remarks
        _, left_out = keep_readable(files, failures, request)
        remarks += [left_out] if left_out else []
    assert first is not None  # where no file can be read, too many cannot
    return _content(found, first[1], request, remarks)


def _with_tables(path: Place) -> list[Place]:
    return [child for child in entries(path) if child.is_dir() and any_below(child, SUFFIXES)]


def _told(each: Series, files: Listing, place: int, columns: Columns) -> Series:
    """A series with what its file's folder or name tells; a target that was asked for goes before them."""
    label = files.labels[place] if files.labels and not columns.target else each.label
    return replace(each, label=label, fields={**each.fields, **{name: of[place] for name, of in files.fields.items()}})


# Columns


def _columns(frame: Frame, request: Request, a_file_each: bool = False) -> Columns:
    """What a table's columns are: as asked for, as the model has them, or else as they look."""
    reading, schema = request.reading, request.schema
    by_name = a_file_each and reading.pattern  # tells classes and fields in their place
    found = Columns(
        id=reading.id,
        time=reading.time if not schema or reading.time in frame.columns else None,
        target=reading.target if not by_name and (not schema or reading.target in frame.columns) else None,
        fields=() if by_name else request.fields,
        stepwise=request.aim == "labels",
    )
    frame.require(*found.told)
    if schema and schema.columns:
        return replace(found, channels=schema.columns)
    if found.time is None:
        found = replace(found, time=plain_time(frame, found))
    if reading.sort and not found.time:
        raise DataError(f"{frame.path}: --sort needs to know the times; name their column with --time")
    others = [column for column in frame.columns if column not in found.told]
    texts = [column for column in others if frame.is_text(column)]
    numbers = tuple(column for column in others if column not in texts)
    steps = len(numbers) > 1 and (schema is None or schema.shape == (1,))  # one column of numbers is one series
    wide = steps and not (a_file_each or found.id or found.time or found.stepwise)
    found = replace(found, channels=numbers, wide=wide)
    if len(texts) == 1 and found.target is None and (found.id or found.wide or found.stepwise):
        found = replace(found, target=texts.pop())
    _judge(frame, found, texts, request, a_file_each)
    return found


def _judge(frame: Frame, columns: Columns, texts: Sequence[str], request: Request, a_file_each: bool) -> None:
    """Raises: DataError if the columns do not make series."""
    if texts:
        mend = "remove or encode them" if columns.target else "name the class with --target, or the series with --id"
        raise DataError(f"{frame.path}: columns of text: {listing(texts, 20)}; {mend}")
    if not columns.channels:
        raise DataError(f"{frame.path}: no column of numbers beside {', '.join(columns.told)}")
    for column in filter(frame.is_identifier, columns.channels):
        mend = "name it with --id, or remove it"
        raise DataError(f"{frame.path}: column {column!r} holds identifiers, whole numbers beyond 2**53; {mend}")
    if columns.target and not (columns.id or columns.wide or columns.stepwise or a_file_each):
        told = "its rows are one series, which has no classes; tell series apart with --id"
        raise DataError(f"{frame.path}: {told}{OR_LABEL}")
    if request.schema and not columns.wide and len(columns.channels) != request.schema.shape[0]:
        expected = request.schema.shape[0]
        raise DataError(f"{frame.path}: {len(columns.channels)} columns of numbers where the model takes {expected}")


def _require_alike(frame: Frame, first: Sequence[str], columns: Columns, request: Request) -> None:
    """Raises: DataError if a table lacks columns, or if it has others than the `first` one."""
    lacking = [column for column in (*columns.told, *columns.channels) if column not in frame.columns]
    if lacking:
        held = listing(list(frame.columns), 20)
        raise DataError(f"{frame.path}: lacks the columns {listing(lacking)}; it holds {held}")
    others = [column for column in frame.columns if column not in first]
    if others and not request.schema:
        raise DataError(f"{frame.path}: has the columns {listing(others)}, which others lack; remove or add them")


# Examples


def _content(
    found: Mapping[str, list[Series]],
    columns: Columns,
    request: Request,
    remarks: Sequence[Finding],
) -> Content:
    every = [each for part in found.values() for each in part]
    train = found["train"]
    stepwise = columns.stepwise
    classes = step_classes(_step_labels(train), request) if stepwise else known_names(_labels(train), request)
    ragged = len({len(each.values) for each in every}) > 1
    splits: dict[str, Examples] = {}
    for split, part in found.items():
        names = [each.name for each in part]
        x, lengths = stack([each.values for each in part], names, ragged)
        fields = {name: [each.fields[name] for each in part] for name in request.fields}
        if stepwise:
            y = step_answers(_step_labels(part), classes, _step_namer(part), x.shape[1])
        else:
            y = answers(_labels(part), classes, names, request.aim)
        splits[split] = Examples(x, names, y, lengths, fields, times=_times(part) if stepwise else None)
    timed = [(each.times, each.where) for each in every if each.times is not None]
    spots = [spot for each in every for spot in each.spots]
    return Content(
        kind="series",
        splits=splits,
        classes=classes,
        columns=None if columns.wide else columns.channels,
        decided={"id": columns.id, "time": columns.time, "target": columns.target},
        remarks=(
            *remarks,
            *gap_findings([when for when, _ in timed], [where for _, where in timed]),
            *filled_finding(sum(each.filled for each in every), spots),
        ),
        ordered=columns.course,
    )


def _labels(part: Sequence[Series]) -> list[str] | None:
    """The classes of some series; None unless all have one."""
    labels = [each.label for each in part if each.label is not None]
    return labels if len(labels) == len(part) else None


def _step_labels(part: Sequence[Series]) -> list[Sequence[str]] | None:
    """The classes of all steps of some series; None unless all have them."""
    labels = [each.labels for each in part if each.labels is not None]
    return labels if len(labels) == len(part) else None


def _step_namer(part: Sequence[Series]) -> StepNamer:
    return lambda row, step: part[row].where(step)


def _times(part: Sequence[Series]) -> list[np.ndarray] | None:
    """The times of all steps; None unless all series have them."""
    times = [each.times for each in part if each.times is not None]
    return times if len(times) == len(part) else None
