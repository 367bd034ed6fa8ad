"""A rehearsal: what befalls a city in one evening, and which alarms that must raise. Read from a YAML file, checked.

`plan` gives its hazards to the devices of a ledger. Rules are named, not imported: simulators know nothing of alerts.
"""

from __future__ import annotations

import itertools
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulators.signals import Fraction, Signal, signal_values
from underfoot.families import FAMILIES

SeverityName = Literal["blue", "yellow", "orange", "red"]
FamilyName = Literal["cover", "road", "pipe", "pump", "rain", "lamp"]
RuleId = Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z0-9_]+$")]
FALLEN = "fallen_mm"
"""A rain gauge's signal: what has fallen on it since the storm began. What it reports follows from it."""


class RehearsalError(ValueError):
    """A rehearsal that cannot be used: says which hazard, which field, and why."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Rain(_Strict):
    """When the storm begins, is strongest and is over."""

    begins: Fraction = Field(alias="from")
    peak: Fraction
    until: Fraction

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.begins < self.peak < self.until:
            raise ValueError(f"from {self.begins}, peak {self.peak}, until {self.until}: must follow each other")
        return self


class Pick(_Strict):
    """Which devices: of a family, at a kind of place, if there are any whose address or name has `near`."""

    family: FamilyName
    place: str | None = None
    near: str = ""
    count: int = Field(1, ge=1, le=1000)


class Expectation(_Strict):
    """One alarm that the hazard is to raise on each of its devices, and what its rule waits for.

    The rule raises at the severity when the signal `reaches` and clears when it `leaves`; delays are in the shipped
    rules' seconds. `sum_over_s`: it judges the sum over this time. `intervals`: it judges silence, in the device's own
    expected intervals.
    """

    rule: RuleId
    severity: SeverityName
    reaches: float | None = None
    leaves: float | None = None
    raise_after_s: float = Field(0, ge=0)
    reports: int = Field(1, ge=1)
    clear_after_s: float = Field(0, ge=0)
    clear_reports: int = Field(1, ge=1)
    sum_over_s: float | None = Field(None, gt=0)
    intervals: float | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.reaches is None) != (self.leaves is None):
            raise ValueError(f"{self.rule}: reaches and leaves go together")
        return self

    @property
    def looks_below(self) -> bool:
        return self.reaches is not None and self.leaves is not None and self.reaches < self.leaves


class Hazard(_Strict):
    """Something that happens to devices, from one fraction of the run until another.

    `reports_every` (fraction of the run): how often its devices report meanwhile; absent, they report what happens at
    once and then as ever. `silent`: they send nothing.
    """

    hazard: str
    title: str = Field(description="What people read (Chinese)")
    pick: Pick
    begins: Fraction = Field(-1, alias="from", validate_default=False)
    until: Fraction = Field(-1, validate_default=False)
    signals: dict[str, Signal] = Field(default_factory=dict)
    silent: bool = False
    reports_every: Annotated[float, Field(gt=0, le=0.1)] | None = None
    expect: Annotated[list[Expectation], Field(min_length=1)]
    may_raise: list[RuleId] = Field(
        default_factory=list,
        description="Rules that judge how fast it comes: whether they raise depends on how long the run is",
    )

    @model_validator(mode="before")
    @classmethod
    def _times_from_points(cls, data: object) -> object:
        """Where it does not say from and until, its points do."""
        if isinstance(data, dict) and isinstance(data.get("signals"), dict):
            points = [signal for signal in data["signals"].values() if isinstance(signal, list) and signal]
            if points:
                data = {
                    "from": min(signal[0][0] for signal in points),
                    "until": max(signal[-1][0] for signal in points),
                    **data,
                }
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.silent == bool(self.signals):
            raise ValueError("either signals or silent: true")
        if not 0 <= self.begins < self.until:
            raise ValueError(f"from {self.begins}, until {self.until}: must follow each other")
        columns = FAMILIES[self.pick.family].column
        for name, signal in self.signals.items():
            if name == FALLEN and self.pick.family == "rain":
                low, high = 0.0, 10_000.0
            elif name in columns:
                low, high = columns[name].low or 0.0, columns[name].high or 0.0
            else:
                raise ValueError(f"{name}: family {self.pick.family} has no such field; it has {', '.join(columns)}")
            if name in columns and isinstance(signal, bool) != (columns[name].type == "boolean"):
                raise ValueError(f"{name}: {signal!r} is not of type {columns[name].type}")
            for value in signal_values(signal):
                if not isinstance(signal, bool) and not low <= value <= high:
                    raise ValueError(f"{name}: {value} is outside {low:g} to {high:g}")
            if isinstance(signal, list) and any(a[0] >= b[0] for a, b in itertools.pairwise(signal)):
                raise ValueError(f"{name}: points must go forward in time")
        for expected in self.expect:
            if expected.rule.partition(".")[0] != self.pick.family:
                raise ValueError(f"{expected.rule}: no rule for family {self.pick.family}")
            if self.silent != (expected.intervals is not None):
                raise ValueError(f"{expected.rule}: intervals belongs to silence, and to nothing else")
            if not self.silent:
                self.signal_of(expected)
        return self

    def signal_of(self, expected: Expectation) -> Signal:
        """The signal that an expected alarm's rule looks at."""
        fits = [signal for signal in self.signals.values() if isinstance(signal, bool) == (expected.reaches is None)]
        if len(fits) != 1:
            what = "state" if expected.reaches is None else "quantity"
            raise ValueError(
                f"{expected.rule}: {len(fits)} signals are a {what}, so which one it is about is not clear"
            )
        return fits[0]


class Rehearsal(_Strict):
    """An evening. `hours` is what the run stands for."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    title: str
    hours: float = Field(gt=0, le=168)
    lamps_on_at: Fraction
    rain: Rain
    hazards: Annotated[list[Hazard], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [hazard.hazard for hazard in self.hazards]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"hazard: {', '.join(sorted(twice))} stands there twice")
        return self


def shipped_rehearsals() -> list[str]:
    """The names that `load_rehearsal` knows without a file."""
    folder = files("simulators") / "rehearsals"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_rehearsal(name: str) -> Rehearsal:
    """A shipped rehearsal by its name, or one from a YAML file."""
    if name in shipped_rehearsals():
        text = (files("simulators") / "rehearsals" / f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise RehearsalError(f"{name!r}: no such file, and no shipped rehearsal: {', '.join(shipped_rehearsals())}")
    return parse_rehearsal(name, text)


def parse_rehearsal(name: str, text: str) -> Rehearsal:
    try:
        return Rehearsal.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise RehearsalError(f"{name}: no YAML: {error}") from None
    except ValidationError as error:
        lines = (
            f"{name}: {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)
        )
        raise RehearsalError("\n".join(lines)) from None
