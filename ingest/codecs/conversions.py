"""From what a vendor writes to what a report says: one value, one time. Part of a mapping's declaration.

What can't be converted stays in the report with the reason beside it: validation sets it aside, and the rest lives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ingest.codecs.paths import At, Path, as_key
from underfoot.reports import canonical, microseconds

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_LONGEST_TEXT = 64
_MOST_BITS = 1000
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
_A_MOMENT = datetime(2026, 7, 11, 12, 34, 56, tzinfo=UTC)

Find = Callable[[At], Any]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def several(given: Any) -> Any:
    """One, or a list of them."""
    return given if isinstance(given, list | tuple) else [given]


def _keys(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    found: dict[str, Any] = {}
    for key, value in given.items():
        text = as_key(key)
        if text in found:
            raise ValueError(f"{key!r} stands there twice")
        found[text] = value
    return found


def _as_keys(given: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(as_key(value) for value in given)


Paths = Annotated[tuple[Path, ...], BeforeValidator(several), Field(min_length=1, max_length=8)]
Choices = Annotated[dict[str, bool | int | float | None], BeforeValidator(_keys)]
OneOf = Annotated[tuple[bool | int | float | str, ...], BeforeValidator(several), AfterValidator(_as_keys)]
Conditions = dict[Path, OneOf]


def first(find: Find, paths: tuple[At, ...]) -> Any:
    """What sits at the first of the paths where something does."""
    for path in paths:
        value = find(path)
        if value is not None:
            return value
    return None


def failing(find: Find, conditions: dict[At, Any]) -> str | None:
    """What keeps these conditions from holding: a path with another value than its own. None: they hold."""
    for path, allowed in conditions.items():
        value = find(path)
        if not is_scalar(value) or as_key(value) not in allowed:
            return f"{path} = {shown(value)}, not {' or '.join(allowed)}"
    return None


def shown(value: Any) -> str:
    """A value in a sentence: cut, since it may be anything."""
    if value is None:
        return "nothing"
    text = repr(value) if is_scalar(value) else type(value).__name__
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | float) or (isinstance(value, int) and value.bit_length() <= _MOST_BITS)


class _Missing:
    """Nothing sits at any of the paths."""


MISSING = _Missing()


def _short(given: Any) -> Any:
    return {"path": given} if isinstance(given, str | int | list) else given


class Value(Strict):
    """One field of a report. Conversions happen in the order in which they stand here."""

    path: Paths = Field(description="Where it sits: the first of these that is there")
    absent: OneOf = Field((), description="What the vendor writes where there is no value, e.g. -9999")
    valid_if: Conditions = Field({}, description="Only where these paths, if there, have one of these values")
    choices: Choices | None = Field(None, description="What each of the vendor's values means; null: nothing for this")
    bit: int | None = Field(None, ge=0, le=63, description="Of a number: this bit, as true or false; 0 is the lowest")
    suffix: str = Field("", max_length=8, description="What stands behind the number in a text, e.g. %")
    sign: Literal["negative", "positive"] | None = Field(None, description="The sign it has, whatever was sent")
    scale: float = 1.0
    offset: float = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        counted = self.sign or self.suffix or (self.scale, self.offset) != (1.0, 0.0)
        if sum((self.choices is not None, self.bit is not None, bool(counted))) > 1:
            raise ValueError(
                "choices, bit, and what is done to a number (suffix, sign, scale, offset) exclude each other"
            )
        if self.scale == 0:
            raise ValueError("scale 0 would make every value the same")
        return self

    def read(self, find: Find) -> Any:
        """The value for the report: `MISSING`, None where it says nothing, or an object with what is wrong."""
        raw = first(find, self.path)
        if raw is None:
            return MISSING
        if not is_scalar(raw):
            return raw
        if as_key(raw) in self.absent:
            return None
        for path, allowed in self.valid_if.items():
            flag = find(path)
            if flag is not None and (not is_scalar(flag) or as_key(flag) not in allowed):
                return _wrong(raw, f"{path} = {shown(flag)}")
        if self.choices is not None:
            key = as_key(raw)
            return self.choices[key] if key in self.choices else _wrong(raw, f"none of {', '.join(self.choices)}")
        if self.bit is not None:
            number = to_number(raw, "")
            whole = number is not None and float(number).is_integer() and number >= 0
            return bool(int(number or 0) >> self.bit & 1) if whole else _wrong(raw, "bits of what is no whole number")
        if not self.suffix and self.sign is None and (self.scale, self.offset) == (1.0, 0.0):
            return raw
        return self._counted(raw)

    def _counted(self, raw: Any) -> Any:
        number = to_number(raw, self.suffix)
        if number is None:
            return _wrong(raw, "no number")
        if self.sign is not None:
            number = abs(number) if self.sign == "positive" else -abs(number)
        # 12 digits: a sensor has fewer, and 224 × 0.1 is 22.4.
        converted = float(f"{number * self.scale + self.offset:.12g}")
        return converted if math.isfinite(converted) else _wrong(raw, "too large")


AnyValue = Annotated[Value, BeforeValidator(_short)]
"""A field, or only its path."""


def _wrong(raw: Any, problem: str) -> dict[str, Any]:
    return {"given": raw, "problem": problem}


def to_number(raw: Any, suffix: str) -> int | float | None:
    if isinstance(raw, str):
        text = raw.strip().removesuffix(suffix).strip()
        if len(text) > _LONGEST_TEXT or not _NUMBER.fullmatch(text):
            return None
        raw = float(text)
    if isinstance(raw, float) and not math.isfinite(raw):
        return None
    return raw if isinstance(raw, int | float) and abs(raw) < 1e300 else None


class Time(Strict):
    """When the values were true."""

    path: Paths
    unit: Literal["s", "ms", "us", "rfc3339"] | None = Field(None, description="Since 1970, or text")
    format: str | None = Field(None, max_length=40, description="As strptime reads it, e.g. %Y%m%d%H%M%S")
    zone: str | None = Field(None, description="Of a time that does not say its own, e.g. Asia/Shanghai")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.unit is None) == (self.format is None):
            raise ValueError("one of unit and format is needed")
        if self.zone is not None:
            _zone(self.zone)
        if self.unit in _PER_SECOND and self.zone is not None:
            raise ValueError("what counts from 1970 has no zone")
        if self.format is not None:
            _readable(self.format)
            if self.zone is None and "%z" not in self.format:
                raise ValueError(f"format {self.format!r} says no zone: zone is needed, e.g. Asia/Shanghai")
        return self

    def read(self, find: Find) -> Any:
        """The report's `ts`; None where there is no time. What can't be read is handed on, to be marked so."""
        raw = first(find, self.path)
        if raw is None:
            return None
        if self.unit in _PER_SECOND:
            number = to_number(raw, "")
            if number is not None:
                return _milliseconds(round(number * 1_000_000 / _PER_SECOND[self.unit or "s"]))
        elif is_scalar(raw):
            try:
                return _milliseconds(microseconds(self._moment(str(raw).strip()[:_LONGEST_TEXT])))
            except (ValueError, OverflowError):
                pass
        return raw[:_LONGEST_TEXT] if isinstance(raw, str) else canonical(raw).decode()[:_LONGEST_TEXT] + "?"

    def _moment(self, text: str) -> datetime:
        # DTZ007: its zone is set below.
        moment = datetime.strptime(text, self.format) if self.format else datetime.fromisoformat(text.upper())  # noqa: DTZ007
        if moment.tzinfo is None:
            if self.zone is None:
                raise ValueError("no zone")
            moment = moment.replace(tzinfo=_zone(self.zone))
        return moment


def _milliseconds(us: int) -> int | float:
    return us // 1000 if us % 1000 == 0 else us / 1000


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"zone {name!r}: there is no such time zone; one like Asia/Shanghai is needed") from None


def _readable(form: str) -> None:
    try:
        again = datetime.strptime(_A_MOMENT.strftime(form), form)  # noqa: DTZ007
    except (ValueError, re.error, KeyError, IndexError):
        raise ValueError(f"format {form!r}: not one that strptime reads, like %Y%m%d%H%M%S") from None
    if again.replace(tzinfo=None).date() != _A_MOMENT.date():
        raise ValueError(f"format {form!r}: year, month and day are needed")
