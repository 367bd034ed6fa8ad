"""Which alarms are meant: the filters that the list of alarms and what is done to many of them share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api.dependencies import device_key_of, known_rule, places
from api.parameters import AreaCode, BigKey, DeviceId, FamilyName, IntKey, Paged, RuleId, Span, Text
from api.scope import Scope
from underfoot.storage.connect import Connection

NO_FILTER: dict[str, object] = {
    "state": "all",
    "suppressed": "any",
    **dict.fromkeys(("episode_key", "severity", "alarm_key", "family", "rule_id", "device_key", "asset_key", "areas")),
    **dict.fromkeys(("units", "assigned_to", "from", "to", "reached", "reached_key")),
}
"""The parameters of `api_alarms.list_alarms` that let everything through."""


class AlarmSelection(Span):
    """`from` and `to` bound when an alarm was raised (event time)."""

    state: Literal["open", "unacknowledged", "cleared", "all"] = Field(
        "open", description="unacknowledged: open or cleared, and nobody has acknowledged it"
    )
    suppressed: Literal["any", "hide", "only"] = Field(
        "any", description="hide: without what nobody is told of now (shelved, explained, out of service, flapping)"
    )
    severity: list[Annotated[int, Field(ge=1, le=4)]] = Field(
        default_factory=list, description="1 蓝, 2 黄, 3 橙, 4 红; repeat for several", examples=[[3, 4]], max_length=4
    )
    family: FamilyName | None = Field(None, description="设备类别")
    area: AreaCode | None = Field(None, description="Only in this area and below", examples=["410502"])
    rule: RuleId | None = Field(None, description="Only by this rule", examples=["cover.open"])
    device: DeviceId | None = Field(None, description="Only of this device", examples=["cover-0312"])
    asset: IntKey | None = Field(None, description="Only of this asset (its key)", examples=[312])
    alarm: BigKey | None = Field(None, description="Only episodes of this alarm (its key)", examples=[12])
    assigned_to: Text | None = Field(None, description="Only what this person is to see to", examples=["王工"])

    def params(self, connection: Connection, scope: Scope) -> dict[str, object]:
        """The parameters of `api_alarms.list_alarms`, within the caller's scope. What a filter names must be there."""
        return {
            **NO_FILTER,
            **self.bounds,
            "state": self.state,
            "suppressed": self.suppressed,
            "severity": self.severity or None,
            "family": self.family,
            **places(connection, scope, self.area),
            "rule_id": known_rule(connection, self.rule),
            "device_key": device_key_of(connection, scope, self.device),
            "asset_key": self.asset,
            "alarm_key": self.alarm,
            "assigned_to": self.assigned_to,
        }


class AlarmFilters(Paged, AlarmSelection):
    """`from` and `to` bound when an alarm was raised (event time)."""
