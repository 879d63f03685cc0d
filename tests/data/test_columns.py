"""Columns between what was read and what a network takes: there and back, by train's figures only."""

import math
from statistics import mean, median
from typing import Literal

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from fourfold.data.columns import LEAST, collapse, expand, fit_columns, recode
from fourfold.data.schema import Schema
from fourfold.errors import DataError

NAN = float("nan")
LEVELS: tuple[str, ...] = ("blue", "green", "red")

numbers = st.floats(-1e6, 1e6, width=32)


@st.composite
def tables(draw: st.DrawFn, gaps: bool) -> tuple[Tensor, tuple[str, ...], dict[str, tuple[str, ...]]]:
    """A raw table, its columns and the levels of those that are categories; the first row is without gaps."""
    categories = draw(st.lists(st.booleans(), min_size=1, max_size=5))
    columns = tuple(f"c{place}" for place in range(len(categories)))
    cells = [st.sampled_from(range(3)) if category else numbers for category in categories]
    rows = [[draw(cell) for cell in cells]]
    for _ in range(draw(st.integers(0, 7))):
        rows.append([NAN if gaps and draw(st.integers(0, 3)) == 0 else draw(cell) for cell in cells])
    levels = {name: LEVELS for name, category in zip(columns, categories, strict=True) if category}
    return torch.tensor(rows, dtype=torch.float32), columns, levels


def loops(
    train: list[list[float]],
    rows: list[list[float]],
    columns: tuple[str, ...],
    levels: dict[str, tuple[str, ...]],
    impute: str,
) -> list[list[float]]:
    """What a network takes of `rows`, cell by cell."""
    prepared: list[list[float]] = [[] for _ in rows]
    for place, name in enumerate(columns):
        known = [row[place] for row in train if not math.isnan(row[place])]
        if name in levels:
            present = sorted(set(known))
            fill = max(present, key=known.count)
        else:
            fill = median(known) if impute == "median" else mean(known)
        filled = [fill if math.isnan(row[place]) else row[place] for row in train]
        middle = mean(filled)
        deviation = math.sqrt(mean([(value - middle) ** 2 for value in filled]))
        for row, out in zip(rows, prepared, strict=True):
            value = fill if math.isnan(row[place]) else row[place]
            if name in levels:
                out += [float(value == level) for level in present]
            else:
                out.append((value - middle) / (deviation if deviation > max(1e-12 * abs(middle), LEAST) else 1))
    return prepared


def schema_of(
    x: Tensor, columns: tuple[str, ...], levels: dict[str, tuple[str, ...]], impute: Literal["none", "median", "mean"]
) -> Schema:
    found = fit_columns(x, columns, levels, impute)
    return Schema(
        kind="table",
        shape=(len(found.mean),),
        columns=columns,
        levels=found.levels,
        fill=found.fill,
        mean=found.mean,
        std=found.std,
    )


@settings(deadline=None)
@example((torch.tensor([[0.0], [1.4e-45]]), ("c0",), {}))
@given(tables(gaps=False))
def test_there_and_back(table: tuple[Tensor, tuple[str, ...], dict[str, tuple[str, ...]]]) -> None:
    x, columns, levels = table
    schema = schema_of(x, columns, levels, "none")
    assert schema.fill is None
    x = recode(x, columns, levels, schema.levels)
    prepared = schema.prepare(x)
    assert prepared.shape == (len(x), *schema.shape)
    scale = x.abs().amax(0).clamp(min=1)
    torch.testing.assert_close(schema.restore(prepared) / scale, x / scale, rtol=0, atol=1e-5)


@settings(deadline=None)
@given(tables(gaps=True), st.data(), st.sampled_from(["median", "mean"]))
def test_a_table_is_filled_and_scaled_by_train_alone(
    table: tuple[Tensor, tuple[str, ...], dict[str, tuple[str, ...]]],
    data: st.DataObject,
    impute: Literal["median", "mean"],
) -> None:
    train, columns, levels = table
    cells = [st.sampled_from([0, 1, 2, NAN]) if name in levels else numbers | st.just(NAN) for name in columns]
    test = torch.tensor([[data.draw(cell) for cell in cells] for _ in range(3)], dtype=torch.float32)
    schema = schema_of(train, columns, levels, impute)
    for part in (train, test):
        prepared = schema.prepare(recode(part, columns, levels, schema.levels))
        expected = torch.tensor(loops(train.tolist(), part.tolist(), columns, levels, impute))
        torch.testing.assert_close(prepared, expected, rtol=1e-3, atol=1e-3)


def test_figures_of_a_table() -> None:
    x = torch.tensor([[1.0, 2, 5], [NAN, 2, 5], [4, 0, 5], [10, NAN, 5]])
    found = fit_columns(x, ("a", "b", "c"), {"b": LEVELS}, "median")
    assert found.levels == {"b": ("blue", "red")}
    assert found.fill == (4.0, 1.0, 5.0)
    assert found.mean == (4.75, 0.0, 0.0, 5.0)
    assert found.std == pytest.approx((math.sqrt((3.75**2 + 0.75**2 * 2 + 5.25**2) / 4), 1, 1, 1))
    assert fit_columns(x, ("a", "b", "c"), {"b": LEVELS}, "mean").fill == (5.0, 1.0, 5.0)
    assert fit_columns(x[:1], ("a", "b", "c"), {"b": LEVELS}, "none").fill is None


def test_of_equally_common_levels_the_first_fills() -> None:
    x = torch.tensor([[2.0], [1.0], [NAN]])
    assert fit_columns(x, ("a",), {"a": LEVELS}, "mean").fill == (0.0,)


def test_a_level_that_train_lacks_is_none_of_them() -> None:
    new = {"a": ("blue", "red")}
    x = recode(torch.tensor([[0.0], [1.0], [2.0], [NAN], [-1.0]]), ("a",), {"a": LEVELS}, new)
    assert x[[0, 1, 2, 4], 0].tolist() == [0, -1, 1, -1]
    assert expand(x, ("a",), new, (1.0,)).tolist() == [[1, 0], [0, 0], [0, 1], [0, 1], [0, 0]]


def test_a_category_comes_back_as_its_highest_level() -> None:
    x = torch.tensor([[0.5, 0.1, 0.7, 0.2], [-3, 0.4, 0.3, 0.35]])
    assert collapse(x, ("n", "a"), {"a": LEVELS}).tolist() == [[0.5, 1.0], [-3.0, 0.0]]


def test_plain_tables_stay_as_they_are() -> None:
    x = torch.rand(3, 2)
    assert expand(x, ("a", "b"), {}, None) is x
    assert collapse(x, ("a", "b"), {}) is x
    assert recode(x, ("a", "b"), {}, {}) is x


def test_a_column_without_values_in_train_is_named() -> None:
    with pytest.raises(DataError, match="column 'b': not one value in the training split"):
        fit_columns(torch.tensor([[1.0, NAN]]), ("a", "b"), {}, "median")
    with pytest.raises(DataError, match="column 'a': not one value"):
        fit_columns(torch.tensor([[NAN]]), ("a",), {"a": LEVELS}, "median")
