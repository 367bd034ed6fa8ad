"""Who may call what: the one table of every route and the role it needs (or the door that it has instead).

Default deny: a route that does not stand here cannot be built (`needed_role` refuses), so the API does not start.
"""

from __future__ import annotations

from enum import StrEnum

V1 = "/api/v1"


class Role(StrEnum):
    """viewer < operator < administrator: each may do what the one before it may. A broker's key opens what a broker
    asks and nothing else, and no other key opens that: who may see every answer could try secrets there."""

    viewer = "viewer"
    operator = "operator"
    administrator = "administrator"
    broker = "broker"

    def may(self, needed: Role) -> bool:
        if Role.broker in (self, needed):
            return self is needed
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


class Door(StrEnum):
    """Doors that no key opens."""

    vendor = "vendor"
    """A vendor account's, by HTTP Basic (docs/push.md)."""


Needed = Role | Door | None
"""None: no key is asked for."""


class UndeclaredRouteError(Exception):
    """A route has no line in `NEEDED`."""


NEEDED: dict[tuple[str, str], Needed] = {
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/metrics"): Role.viewer,
    ("GET", f"{V1}/openapi.json"): Role.viewer,
    ("GET", f"{V1}/areas"): Role.viewer,
    ("GET", f"{V1}/areas/tree"): Role.viewer,
    ("GET", f"{V1}/areas/{{code}}"): Role.viewer,
    ("GET", f"{V1}/assets"): Role.viewer,
    ("GET", f"{V1}/assets/{{asset_key}}"): Role.viewer,
    ("GET", f"{V1}/pipes"): Role.viewer,
    ("GET", f"{V1}/pipes.geojson"): Role.viewer,
    ("GET", f"{V1}/pipes/{{pipe_id}}"): Role.viewer,
    ("GET", f"{V1}/pipes/graph/{{direction}}"): Role.viewer,
    ("GET", f"{V1}/devices"): Role.viewer,
    ("GET", f"{V1}/devices/{{device_id}}"): Role.viewer,
    ("GET", f"{V1}/devices/{{device_id}}/reports"): Role.viewer,
    ("GET", f"{V1}/alarms"): Role.viewer,
    ("GET", f"{V1}/alarms/{{episode_key}}"): Role.viewer,
    ("GET", f"{V1}/alarms/shelved"): Role.viewer,
    ("POST", f"{V1}/alarms/bulk"): Role.operator,
    ("POST", f"{V1}/alarms/{{episode_key}}/acknowledge"): Role.operator,
    ("POST", f"{V1}/alarms/{{episode_key}}/unacknowledge"): Role.operator,
    ("POST", f"{V1}/alarms/{{episode_key}}/comment"): Role.operator,
    ("POST", f"{V1}/alarms/{{episode_key}}/shelve"): Role.operator,
    ("POST", f"{V1}/alarms/{{episode_key}}/unshelve"): Role.operator,
    ("POST", f"{V1}/alarms/{{episode_key}}/assign"): Role.operator,
    ("POST", f"{V1}/alarms/{{episode_key}}/unassign"): Role.operator,
    ("POST", f"{V1}/alarms/{{episode_key}}/close"): Role.operator,
    ("POST", f"{V1}/alarms/{{episode_key}}/verdict"): Role.operator,
    ("GET", f"{V1}/out-of-service"): Role.viewer,
    ("POST", f"{V1}/out-of-service"): Role.operator,
    ("DELETE", f"{V1}/out-of-service/{{order}}"): Role.operator,
    ("GET", f"{V1}/incidents"): Role.viewer,
    ("GET", f"{V1}/incidents/{{incident_key}}"): Role.viewer,
    ("GET", f"{V1}/incidents/{{incident_key}}/members"): Role.viewer,
    ("GET", f"{V1}/incidents/{{incident_key}}/report"): Role.viewer,
    ("GET", f"{V1}/rules"): Role.viewer,
    ("GET", f"{V1}/rules/export"): Role.viewer,
    ("POST", f"{V1}/rules/check"): Role.operator,
    ("GET", f"{V1}/rules/{{rule_id}}"): Role.viewer,
    ("POST", f"{V1}/rules/{{rule_id}}/backtests"): Role.operator,
    ("PUT", f"{V1}/rules/{{rule_id}}"): Role.administrator,
    ("DELETE", f"{V1}/rules/{{rule_id}}"): Role.administrator,
    ("POST", f"{V1}/rules/{{rule_id}}/restore"): Role.administrator,
    ("PUT", f"{V1}/rules/{{rule_id}}/overrides/{{scope}}"): Role.administrator,
    ("DELETE", f"{V1}/rules/{{rule_id}}/overrides/{{scope}}"): Role.administrator,
    ("GET", f"{V1}/duty/now"): Role.viewer,
    ("GET", f"{V1}/duty/roster"): Role.operator,
    ("PUT", f"{V1}/duty/roster"): Role.administrator,
    ("POST", f"{V1}/duty/absences"): Role.administrator,
    ("POST", f"{V1}/duty/swaps"): Role.administrator,
    ("GET", f"{V1}/duty/handover"): Role.viewer,
    ("POST", f"{V1}/duty/notes"): Role.operator,
    ("GET", f"{V1}/duty/calendar/{{year}}"): Role.viewer,
    ("PUT", f"{V1}/duty/calendar"): Role.administrator,
    ("GET", f"{V1}/duty/deadline"): Role.viewer,
    ("DELETE", f"{V1}/duty/calendar/{{year}}"): Role.administrator,
    ("GET", f"{V1}/health/alarms"): Role.viewer,
    ("GET", f"{V1}/quarantine"): Role.viewer,
    ("GET", f"{V1}/quarantine/counts"): Role.viewer,
    # The payload is what somebody sent us, unread: it may hold anything.
    ("GET", f"{V1}/quarantine/{{quarantine_key}}"): Role.operator,
    ("POST", f"{V1}/quarantine/replay"): Role.operator,
    ("GET", f"{V1}/newcomers"): Role.viewer,
    ("POST", f"{V1}/newcomers/approve"): Role.operator,
    ("POST", f"{V1}/newcomers/{{device_id}}/approve"): Role.operator,
    ("POST", f"{V1}/newcomers/{{device_id}}/refuse"): Role.operator,
    ("POST", f"{V1}/push/{{mapping}}"): Door.vendor,
    ("GET", f"{V1}/books"): Role.viewer,
    ("GET", f"{V1}/books/totals"): Role.viewer,
    ("GET", f"{V1}/credentials"): Role.administrator,
    ("POST", f"{V1}/credentials"): Role.administrator,
    ("POST", f"{V1}/credentials/rotate"): Role.administrator,
    ("DELETE", f"{V1}/credentials/{{kind}}/{{name}}"): Role.administrator,
    ("POST", f"{V1}/broker/authenticate"): Role.broker,
    ("POST", f"{V1}/broker/authorize"): Role.broker,
    ("GET", f"{V1}/audit"): Role.administrator,
    ("GET", f"{V1}/keys"): Role.administrator,
    ("POST", f"{V1}/keys"): Role.administrator,
    ("DELETE", f"{V1}/keys/{{name}}"): Role.administrator,
}


def needed_role(method: str, path: str) -> Needed:
    """The role, or the door, that `method path` (its template) needs."""
    try:
        return NEEDED[method, path]
    except KeyError:
        raise UndeclaredRouteError(f"{method} {path}: declare in api/roles.py which role it needs") from None
