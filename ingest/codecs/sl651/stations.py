"""The station map: which elements of which stations become which fields of which devices. Data, not code: a YAML file
(setting stations_map), or stations.yaml beside this one."""

from __future__ import annotations

from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from ingest.codecs.sl651.elements import UNITS
from underfoot.families import FAMILIES
from underfoot.settings import SettingsError
from underfoot.topics import DEVICE_ID

SHIPPED = Path(__file__).with_name("stations.yaml")

_VOLTAGE = "38"
_TOTALS = {"1F", "20", "26"}
_FACTORS: dict[tuple[str, str], Decimal] = {("m", "cm"): Decimal(100), ("m³/s", "m³/h"): Decimal(3600)}

Element = Annotated[str, Field(pattern=r"^(FF)?[0-9A-F]{2}$")]


class StationMapError(SettingsError):
    """A station map is wrong: says where, the value, and what is allowed."""


class MappedDevice(BaseModel):
    """One device of a station: its fields by element, and the elements that show that it has something to say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device_id: str
    family: str
    fields: dict[Element, str] = Field(min_length=1)
    shown_by: frozenset[Element] = frozenset()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if "{station}" not in self.device_id or not DEVICE_ID.fullmatch(self.device_id.replace("{station}", "0" * 10)):
            raise ValueError(
                f"device_id = {self.device_id!r}: an id of letters, digits, _ and - with {{station}} in it"
            )
        if self.family not in FAMILIES:
            raise ValueError(f"family = {self.family!r}: one of {', '.join(FAMILIES)}")
        for element, field in self.fields.items():
            self._check(element, field)
        if not self.shown_by:
            object.__setattr__(self, "shown_by", frozenset(self.fields) - {_VOLTAGE})
        if not self.shown_by:
            raise ValueError("shown_by: empty; some element other than 38 must show the device")
        return self

    def _check(self, element: str, field: str) -> None:
        column = FAMILIES[self.family].column.get(field)
        if column is None:
            raise ValueError(f"fields.{element} = {field!r}: the family {self.family} has no such field")
        if element not in UNITS:
            raise ValueError(f"fields.{element}: an element without a unit that a field could have")
        if UNITS[element] != column.unit and (UNITS[element], column.unit) not in _FACTORS:
            raise ValueError(
                f"fields.{element} = {field!r}: in {UNITS[element]}, which is not turned into {column.unit}"
            )
        if field == "amount_mm":
            if element in _TOTALS:
                raise ValueError(f"fields.{element} = {field!r}: a running total, not what fell since the last report")
            if sum(other == field for other in self.fields.values()) > 1:
                raise ValueError(f"fields: {field!r} by more than one element: the same rain would count twice")

    @property
    def elements(self) -> frozenset[str]:
        """Those that are its own."""
        return self.shown_by | self.fields.keys() - {_VOLTAGE}

    def value(self, element: str, number: Decimal) -> tuple[str, float]:
        """The field that an element is, and its value in the field's unit."""
        field = self.fields[element]
        factor = _FACTORS.get((UNITS[element], FAMILIES[self.family].column[field].unit))
        return field, float(number if factor is None else number * factor)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    stations: list[str] = Field(min_length=1)
    devices: list[MappedDevice] = Field(min_length=1)


class StationMap(RootModel[Annotated[list[_Entry], Field(min_length=1)]]):
    """The entries, in the order in which they are tried."""

    def devices(self, station: str) -> list[MappedDevice]:
        for entry in self.root:
            if any(fnmatchcase(station, pattern) for pattern in entry.stations):
                return entry.devices
        return []


def load_station_map(path: Path | None = None) -> StationMap:
    """The map in a YAML file; None: the one that is shipped. Raises StationMapError."""
    file = path or SHIPPED
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        return StationMap.model_validate(content)
    except OSError as error:
        raise StationMapError(f"stations_map = {file}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StationMapError(f"stations_map = {file}: not YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise StationMapError(f"stations_map = {file}: {problems}") from error
