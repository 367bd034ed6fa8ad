"""The terms in which scenario files speak: times, shares, families; and that a file says nothing unknown."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Family = Literal["cover", "road", "pipe", "pump", "rain", "lamp"]
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?")


def _seconds(said: object) -> object:
    """`01:20` or `01:20:30` → seconds of the scenario. A bare number is refused: it may be minutes or seconds."""
    found = _CLOCK.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        raise ValueError("write hours and minutes, like 01:20 or 01:20:30")
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)


def _in_quotes(said: object) -> object:
    """A name that is all digits is a number to YAML, which may have lost its zeros."""
    if isinstance(said, int | float) and not isinstance(said, bool):
        raise ValueError("a name of digits: put it in quotes")  # noqa: TRY004 - pydantic's way
    return said


Name = Annotated[str, BeforeValidator(_in_quotes)]
Moment = Annotated[float, BeforeValidator(_seconds)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
