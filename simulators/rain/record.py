"""Events on record: shipped as what was published hour by hour, with a mark at every hour that is our own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field

from simulators.rain.spread import Fallen, Table

_RECORDS = Path(__file__).with_name("records")


class Hour(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    mm: float = Field(ge=0)
    mark: Literal["R", "M", "P"]


class Record(BaseModel):
    """`begins` is local time, of the first hour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    begins: str
    source: str
    hours: tuple[Hour, ...] = Field(min_length=2)


def record_of(event: str) -> Record:
    return Record.model_validate(yaml.safe_load((_RECORDS / f"{event}.yaml").read_text(encoding="utf-8")))


def recorded(event: str) -> Fallen:
    """Within the hours it rains smoothly: a cubic through what had fallen at each full hour, which keeps the depth of
    every hour and never falls (Fritsch and Butland)."""
    hours = np.array([hour.mm for hour in record_of(event).hours])
    marks = np.concatenate(([0.0], np.cumsum(hours)))
    before, after = hours[:-1], hours[1:]
    rates = np.zeros(len(marks))
    both = (before > 0) & (after > 0)
    rates[1:-1][both] = 2 * before[both] * after[both] / (before[both] + after[both])

    def fallen(at: Table) -> Table:
        hour = np.clip(at / 60, 0, len(hours))
        number = np.minimum(hour.astype(int), len(hours) - 1)
        part = hour - number
        depth, begins, ends = hours[number], rates[number], rates[number + 1]
        curve = part * (begins + part * (3 * depth - 2 * begins - ends + part * (begins + ends - 2 * depth)))
        total: Table = marks[number] + curve
        return total

    return fallen
