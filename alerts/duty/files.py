"""Files of duty: a roster or a calendar as a city writes it (YAML), and what is wrong with one, with its line."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from alerts.duty.calendar import DayKind, Entry, library_knows
from alerts.duty.roster import Plan, discreet
from underfoot.plain_yaml import Document, YamlError, read_yaml

AT_MOST = 1_000_000
LEGAL_HOLIDAYS = 11
"""法定节假日 a year had at least so many since 2008 (13 since 2025): with fewer, a notice was not entered whole."""

_SATURDAY = 5

ModelT = TypeVar("ModelT", bound=BaseModel)


class DutyError(ValueError):
    """A roster or a calendar can't be used; says which field, its value and why, a line each."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalendarDays(_Strict):
    """A day, or days in a row, that are not as the week has them."""

    day: date = Field(examples=["2027-10-01"])
    until: date | None = Field(None, description="The last of several days in a row", examples=["2027-10-07"])
    kind: DayKind = Field(examples=["holiday"])
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)] = Field(
        examples=["国庆节"]
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.until is not None and not self.day <= self.until <= self.day + timedelta(days=30):
            raise ValueError(f"until = {self.until}: must be from {self.day} to 30 days after it")
        return self

    @property
    def days(self) -> list[date]:
        last = self.until or self.day
        return [self.day + timedelta(days=n) for n in range((last - self.day).days + 1)]


class CalendarFile(_Strict):
    """节假日安排: what a notice of the State Council says of one or more years."""

    source: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] = Field(
        description="Which notice says so", examples=["国务院办公厅关于2027年部分节假日安排的通知"]
    )
    days: Annotated[tuple[CalendarDays, ...], Field(min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        seen: set[date] = set()
        for n, given in enumerate(self.days):
            for day in given.days:
                if day in seen:
                    raise ValueError(f"days.{n} = {day}: stands there twice")
                seen.add(day)
                if given.kind is DayKind.workday and day.weekday() < _SATURDAY and not library_knows(day.year):
                    raise ValueError(f"days.{n} = {day}: a working day of 调休 falls on a weekend; this is no weekend")
        for year in sorted({day.year for day in seen if not library_knows(day.year)}):
            holidays = sum(g.kind is DayKind.holiday and day.year == year for g in self.days for day in g.days)
            if holidays < LEGAL_HOLIDAYS:
                raise ValueError(
                    f"days of {year}: {holidays} holidays; a year that the library does not know is entered whole,"
                    f" with at least {LEGAL_HOLIDAYS}"
                )
        return self

    def entries(self) -> dict[date, Entry]:
        return {day: Entry(given.kind, given.name, self.source) for given in self.days for day in given.days}


def read_plan(text: bytes, origin: str) -> Plan:
    return _read(Plan, text, origin)


def read_calendar(text: bytes, origin: str) -> CalendarFile:
    return _read(CalendarFile, text, origin)


def _read(model: type[ModelT], text: bytes, origin: str) -> ModelT:
    try:
        document = read_yaml(text, origin, at_most=AT_MOST)
    except YamlError as error:
        raise DutyError(str(error)) from None
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise DutyError("\n".join(_line(document, item) for item in error.errors())) from None


def _line(document: Document, item: Any) -> str:
    path = tuple(part for part in item["loc"] if not (isinstance(part, str) and ("[" in part or part in _UNION)))
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error" and isinstance(item["input"], dict | Plan | CalendarFile) and " = " in message:
        # The sentence of a whole thing's check names the field itself, from here on.
        named = message.partition(" = ")[0]
        path = (*path, *(int(part) if part.isdigit() else part for part in named.split(".") if " " not in part))
        return f"{document.origin}, line {document.line(path)}: {message}"
    where = ".".join(str(part) for part in path) or "file"
    value = "" if item["type"] == "missing" else f" = {_short(item['input'])}"
    if item["type"] == "extra_forbidden":
        message = "there is no such field"
    return f"{document.origin}, line {document.line(path)}: {where}{value}: {message}"


_UNION = ("literal", "tuple")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


Phones = Literal["masked", "whole"]


def plan_text(plan: Plan, phones: Phones = "masked") -> str:
    """The roster as a file that can be imported again. A masked number there means: as it is known."""
    given = plan if phones == "whole" else discreet(plan)
    body = given.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text: str = yaml.safe_dump(body, allow_unicode=True, sort_keys=False, width=120)
    return text
