"""`no_data`: a device that says nothing. `late_hazard`: one that says it too late."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from alerts.rules.parts import FamilyRule, SeverityName


class NoDataRule(FamilyRule):
    """Silence longer than `intervals` of the device's own expected interval plus `grace_s`, as far as the shard is
    caught up."""

    kind: Literal["no_data"]
    intervals: float = Field(ge=1)
    grace_s: float = Field(0.0, ge=0)
    severity: SeverityName


class LateHazardRule(FamilyRule):
    """A hazard that only a late report shows: raised for an operator to check, ended by the next newer report."""

    kind: Literal["late_hazard"]
    severity: SeverityName
    of_at_least: SeverityName = Field(
        "orange", description="Least severity of the rule whose limit the late report reaches"
    )
