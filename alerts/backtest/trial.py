"""What is tried on history: a rule, a span of time, and devices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from alerts.judge.outcome import RuleInForce
from alerts.rules import JudgedRule, NoDataRule
from alerts.rules.override import Scope
from underfoot.families import FAMILIES, Family
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


class BacktestError(ValueError):
    """It cannot be tried: says what, its value, and why."""


@dataclass(frozen=True)
class Trial:
    """A rule, when, and on whom: devices of its family in these areas (None: everywhere) and of these maintenance units
    (None: of all), or one device."""

    in_force: RuleInForce
    version: int | None
    since: datetime
    until: datetime
    areas: tuple[str, ...] | None = None
    device_id: str | None = None
    units: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.until <= self.since:
            raise BacktestError(f"to = {self.until.isoformat()}: must be after from = {self.since.isoformat()}")
        rule = self.in_force.rule
        if not isinstance(rule, JudgedRule | NoDataRule):
            raise BacktestError(
                f"{rule.rule_id}: a rule of kind {rule.kind} can't be tried on history; those can that judge reports"
                " of single devices: level, rate, forecast, mismatch and no_data"
            )

    @property
    def rule(self) -> JudgedRule | NoDataRule:
        rule = self.in_force.rule
        assert isinstance(rule, JudgedRule | NoDataRule)  # noqa: S101 - refused at the beginning
        return rule

    @property
    def family(self) -> Family:
        return FAMILIES[self.rule.family]


@dataclass(frozen=True)
class Fleet:
    """The devices of a trial, by slot."""

    device_key: NDArray[np.int32]
    device_id: list[str]
    interval_s: NDArray[np.int32]
    baseline: list[dict[str, float]]
    area_code: list[str]
    tags: list[list[str]]
    place: list[str]

    def __len__(self) -> int:
        return len(self.device_key)

    @property
    def reports_per_s(self) -> float:
        return float((1.0 / self.interval_s).sum()) if len(self) else 0.0

    def within(self, scope: Scope) -> NDArray[np.bool_]:
        """Which of them an override's scope holds for."""
        known = zip(self.device_id, self.area_code, self.tags, strict=True)
        return np.array(
            [scope.holds(device_id=name, area_code=area, tags=tags) for name, area, tags in known], np.bool_
        )


def fleet_of(connection: Connection, trial: Trial) -> Fleet:
    params = {
        "family": trial.family.name,
        "areas": list(trial.areas) if trial.areas is not None else None,
        "units": list(trial.units) if trial.units is not None else None,
        "device_id": trial.device_id,
    }
    rows = connection.execute(statement("history.devices"), params).fetchall()
    if not rows:
        where = f"device = {trial.device_id!r}" if trial.device_id is not None else "this area"
        raise BacktestError(f"{where}: there is no {trial.family.name} device ({trial.family.label})")
    keys, ids, intervals, baselines, areas, tags, names, addresses = zip(*rows, strict=True)
    return Fleet(
        np.array(keys, np.int32),
        list(ids),
        np.array(intervals, np.int32),
        list(baselines),
        list(areas),
        list(tags),
        [" ".join(part for part in place if part) for place in zip(names, addresses, strict=True)],
    )


def expected_reports(fleet: Fleet, trial: Trial) -> int:
    return round(fleet.reports_per_s * (trial.until - trial.since).total_seconds())
