"""Rain that a user has written down himself, as CSV: `minute,mm_h`, or `minute,gage,mm_h` for each gage its own."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simulators.rain.spread import RainError, Table, minute_means

ALL_GAGES = ("minute", "mm_h")
BY_GAGE = ("minute", "gage", "mm_h")
MOST_MM_H = 2000.0
_EVERYWHERE = ""


class Row(NamedTuple):
    line: int
    minute: float
    mm_h: float


def written(path: Path, gages: tuple[str, ...], begins_s: float, minutes: int) -> Table:
    """A value holds until the gage's next line, the last as long as the one before it (a single one: a minute). A gage
    of which the file does not speak stays dry."""
    rows = _read(path, gages)
    table = np.zeros((minutes + 1, len(gages)))
    for name, own in rows.items():
        means = _means(own, begins_s, minutes)
        if name == _EVERYWHERE:
            table += means[:, None]
        else:
            table[:, gages.index(name)] = means
    return table


def _means(rows: list[Row], begins_s: float, minutes: int) -> Table:
    times = [row.minute for row in rows]
    last = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1.0)
    marks = np.array([*times, last])
    depth = np.concatenate(([0.0], np.cumsum(np.diff(marks) * np.array([row.mm_h for row in rows]) / 60)))
    return minute_means(lambda at: np.interp(at, marks, depth), begins_s, minutes)


def _read(path: Path, gages: tuple[str, ...]) -> dict[str, list[Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RainError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RainError(f"{path}: is not UTF-8 (byte {error.start}); save it as CSV UTF-8") from error
    lines = csv.reader(text.splitlines())
    header = tuple(cell.strip() for cell in next(lines, []))
    if header not in (ALL_GAGES, BY_GAGE):
        raise RainError(
            f"{path}, line 1: columns {','.join(header) or 'none'}; wanted: minute,mm_h or minute,gage,mm_h"
        )
    rows: dict[str, list[Row]] = defaultdict(list)
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        place = f"{path}, line {lines.line_num}"
        if len(cells) != len(header):
            raise RainError(f"{place}: {len(cells)} columns, and the header has {len(header)}")
        said = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
        gage = said.get("gage", _EVERYWHERE)
        if "gage" in said and gage not in gages:
            raise RainError(f"{place}, column gage: {gage!r} is no gage of the network ({', '.join(gages) or 'none'})")
        row = Row(lines.line_num, _number(place, "minute", said, math.inf), _number(place, "mm_h", said, MOST_MM_H))
        if rows[gage] and row.minute <= rows[gage][-1].minute:
            before = rows[gage][-1]
            raise RainError(
                f"{place}, column minute: {row.minute:g} does not come after {before.minute:g} of line {before.line}"
            )
        rows[gage].append(row)
    if not rows:
        raise RainError(f"{path}: no line of rain in it")
    return rows


def _number(place: str, column: str, said: dict[str, str], most: float) -> float:
    try:
        number = float(said[column])
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and 0 <= number <= most):
        limit = f" and at most {most:g}" if math.isfinite(most) else ""
        raise RainError(f"{place}, column {column}: {said[column]!r} is not a number from 0{limit}")
    return number
