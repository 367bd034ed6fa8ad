"""Shape: a family's declaration as column checks, so that a batch is judged field by field instead of row by row.

What is plainly right by the declaration passes here; whatever is not is left to the declaration itself (pydantic), row
by row, so that the two can never differ in what they keep.
"""

from __future__ import annotations

from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from underfoot.families import Family
from underfoot.families.declaration import Column

Mask = NDArray[np.bool_]

_TYPES: dict[str, frozenset[type]] = {
    "real": frozenset({float, int, type(None)}),
    "double precision": frozenset({float, int, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "smallint": frozenset({int, type(None)}),
}
_UNSAID = frozenset({type(None)})


def plain_columns(family: Family, values: list[dict[str, Any]]) -> tuple[dict[str, NDArray[np.float64]], Mask]:
    """Each field of the family over all these reports (NaN where unsaid), and which reports are not plainly right:
    a value of another type, one out of range, `null`, or a name that is not the family's."""
    size = len(values)
    doubtful = np.zeros(size, np.bool_)
    said = np.zeros(size, np.int32)
    columns = {}
    for column in family.columns:
        raw = list(map(dict.get, values, repeat(column.name)))
        types = set(map(type, raw))
        if types == _UNSAID:
            columns[column.name] = np.full(size, np.nan)
            continue
        if not types <= _TYPES[column.type]:
            _set_aside(raw, _TYPES[column.type], doubtful)
        numbers = _numbers(raw, doubtful)
        present = ~np.isnan(numbers)
        said += present
        doubtful |= present & ~_possible(column, numbers)
        columns[column.name] = numbers
    doubtful |= said != np.fromiter(map(len, values), np.int32, size)
    return columns, doubtful


def _set_aside(raw: list[Any], allowed: frozenset[type], doubtful: Mask) -> None:
    for row, value in enumerate(raw):
        if type(value) not in allowed:
            doubtful[row] = True
            raw[row] = None


def _numbers(raw: list[Any], doubtful: Mask) -> NDArray[np.float64]:
    try:
        return np.array(raw, np.float64)
    except OverflowError:  # an integer beyond any float
        for row, value in enumerate(raw):
            if type(value) is int and abs(value) >= 1 << 63:
                doubtful[row] = True
                raw[row] = None
        return np.array(raw, np.float64)


def _possible(column: Column, numbers: NDArray[np.float64]) -> Mask:
    if column.choices:
        return np.isin(numbers, _choices(column.name, tuple(column.choices.values())))
    if column.low is None or column.high is None:
        return np.ones(len(numbers), np.bool_)
    return (numbers >= column.low) & (numbers <= column.high)


@cache
def _choices(_name: str, values: tuple[int, ...]) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def plain_integers(raw: list[Any]) -> tuple[NDArray[np.int64], Mask]:
    """Integers of 64 bits; and which are none (0 stands in their place)."""
    if set(map(type, raw)) == {int}:
        try:
            return np.array(raw, np.int64), np.zeros(len(raw), np.bool_)
        except OverflowError:
            pass
    good = [type(value) is int and -(2**63) <= value < 2**63 for value in raw]
    numbers = np.array([value if right else 0 for value, right in zip(raw, good, strict=True)], np.int64)
    return numbers, ~np.array(good, np.bool_)
