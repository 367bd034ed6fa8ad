"""What callers may send: times, keys, limits, filters that several lists share. Each says what is allowed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from underfoot.families import FAMILIES

CITY_ZONE = ZoneInfo("Asia/Shanghai")
"""Days, weeks and months are the city's."""

_RFC_3339 = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})[Tt ](?P<time>\d{2}:\d{2}:\d{2})(?P<fraction>\.\d{1,9})?"
    r"(?P<zone>[Zz]|[+ -]\d{2}:\d{2})?",
    re.ASCII,
)
_EXAMPLE = "2026-07-01T21:38:00+08:00 (in a URL write + as %2B, or use Z)"


def _instant(value: object) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    match = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"an RFC 3339 time with its zone is needed, like {_EXAMPLE}")
    if match["zone"] is None:
        raise ValueError(f"the time has no zone; add one, like {_EXAMPLE}")
    # A + that was not escaped in a URL arrives as a space.
    zone = match["zone"].upper().replace(" ", "+").replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{match['time']}{(match['fraction'] or '')[:7]}{zone}")
    except ValueError as error:
        raise ValueError(f"no such time ({error}); an example is {_EXAMPLE}") from None
    if not 1970 <= moment.year <= 2199:
        raise ValueError("the year must be from 1970 to 2199")
    return moment.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-07-01T13:38:00Z"]}),
]


def _known_family(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(f"there is no such family; there are {', '.join(FAMILIES)}")
    return name


PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE)]
Reasoning = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=PRINTABLE)]
AreaCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,12}$")]
DeviceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z0-9_]+$", max_length=100)]
ShardName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,32}$")]
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
FamilyName = Annotated[
    str,
    AfterValidator(_known_family),
    WithJsonSchema({"type": "string", "enum": list(FAMILIES), "examples": ["cover"]}),
]
IntKey = Annotated[int, Field(ge=1, le=2**31 - 1)]
BigKey = Annotated[int, Field(ge=1, le=2**63 - 1)]

DeviceIdPath = Annotated[DeviceId, Path(description="What the device reports under", examples=["cover-0312"])]
EpisodeKeyPath = Annotated[BigKey, Path(description="The alarm's episode", examples=[4711])]


class Question(BaseModel):
    """Query parameters of a list. A parameter that does not exist is an error: a filter misspelt must not widen it."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Paged(Question):
    limit: int = Field(100, ge=1, le=1000, description="At most so many items", examples=[100])
    cursor: str | None = Field(None, max_length=400, description="`next` of the page before, unchanged")


class Span(Question):
    """A time range: `from` belongs to it, `to` does not."""

    from_: Instant | None = Field(
        None, alias="from", description="From this time on (RFC 3339 with zone)", examples=["2026-07-01T00:00:00+08:00"]
    )
    to: Instant | None = Field(
        None, description="Before this time (RFC 3339 with zone)", examples=["2026-07-02T00:00:00+08:00"]
    )

    @field_validator("to")
    @classmethod
    def _after_from(cls, to: datetime | None, known: ValidationInfo) -> datetime | None:
        began = known.data.get("from_")
        if to is not None and began is not None and to <= began:
            raise ValueError(f"must be after `from`, which is {rfc3339(began)}")
        return to

    @property
    def bounds(self) -> dict[str, Any]:
        return {"from": self.from_, "to": self.to}


class Page(BaseModel):
    """One page of a list. Only a `next` of null says that it was the last."""

    next: str | None = Field(description="`cursor` of the next page; null at the end", examples=[None])
