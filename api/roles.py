"""Who may call what: the one table of every route, the roles that may call it (or the door that it has instead), and
how it is bound to the caller's scope.

Default deny: a route that does not stand here cannot be built (`needed` refuses), so the API does not start.
"""

from __future__ import annotations

from enum import StrEnum

V1 = "/api/v1"


class Role(StrEnum):
    """viewer < operator < administrator: each may do what the one before it may. Crew and integrator have no rank: they
    may what names them. A broker's key opens what a broker asks and nothing else, and no other key opens that: who may
    see every answer could try secrets there."""

    viewer = "viewer"
    operator = "operator"
    crew = "crew"
    integrator = "integrator"
    administrator = "administrator"
    broker = "broker"

    @property
    def label(self) -> str:
        return _LABELS[self]

    def may(self, needed: Role) -> bool:
        """Whether this role's rank is enough; a role without rank is enough for itself alone."""
        if self in _RANKS and needed in _RANKS:
            return _RANKS.index(self) >= _RANKS.index(needed)
        return self is needed


_RANKS = (Role.viewer, Role.operator, Role.administrator)
_LABELS = {
    Role.viewer: "查看员",
    Role.operator: "值班操作员",
    Role.crew: "养护班组",
    Role.integrator: "集成商",
    Role.administrator: "管理员",
    Role.broker: "消息服务器",
}


class Door(StrEnum):
    """Doors that no key opens."""

    vendor = "vendor"
    """A vendor account's, by HTTP Basic (docs/push.md)."""
    platform = "platform"
    """A city platform's, by the signature of its callback (docs/platforms.md): its route looks at that itself."""
    link = "link"
    """Of whoever has a message's link (docs/page.md): its route looks at the token itself."""


class Reach(StrEnum):
    """How a route is bound to the caller's scope (areas × units)."""

    open = "open"
    """No caller of ours: there is nothing to bind it to. It says nothing of what lies where."""

    same = "same"
    """The same for everybody: it concerns no place."""

    own = "own"
    """Only what is the caller's own: their account, their sessions."""

    within = "within"
    """Only what lies in the caller's scope: lists leave the rest out, a single thing elsewhere is not found. An
    endpoint that answers without having asked `caller.scope` is refused its answer (api/access.py)."""

    whole = "whole"
    """What has no place, or concerns the whole city: only for who has the whole city."""


class Need:
    """Who may call a route: a rank or a role, and roles without rank beside it; and how far it reaches."""

    def __init__(self, role: Role | Door | None, reach: Reach, *also: Role) -> None:
        self.role = role
        self.reach = reach
        self.also = frozenset(also)

    def admits(self, role: Role) -> bool:
        return isinstance(self.role, Role) and (role.may(self.role) or role in self.also)

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(role for role in Role if self.admits(role))


class UndeclaredRouteError(Exception):
    """A route has no line in `NEEDED`."""


NEEDED: dict[tuple[str, str], Need] = {
    ("GET", "/healthz"): Need(None, Reach.open),
    ("GET", "/readyz"): Need(None, Reach.open),
    ("GET", "/metrics"): Need(Role.viewer, Reach.whole),
    ("GET", f"{V1}/openapi.json"): Need(Role.viewer, Reach.same, Role.crew, Role.integrator),
    ("GET", f"{V1}/areas"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/areas/tree"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/areas/{{code}}"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/assets"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/assets/{{asset_key}}"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/pipes"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/pipes.geojson"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/pipes/{{pipe_id}}"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/pipes/graph/{{direction}}"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/devices"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/devices/{{device_id}}"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/devices/{{device_id}}/reports"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/alarms"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/alarms/{{episode_key}}"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/alarms/shelved"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("POST", f"{V1}/alarms/bulk"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/alarms/{{episode_key}}/acknowledge"): Need(Role.operator, Reach.within, Role.crew),
    ("POST", f"{V1}/alarms/{{episode_key}}/unacknowledge"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/alarms/{{episode_key}}/comment"): Need(Role.operator, Reach.within, Role.crew),
    ("POST", f"{V1}/alarms/{{episode_key}}/shelve"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/alarms/{{episode_key}}/unshelve"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/alarms/{{episode_key}}/assign"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/alarms/{{episode_key}}/unassign"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/alarms/{{episode_key}}/close"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/alarms/{{episode_key}}/verdict"): Need(Role.operator, Reach.within, Role.crew),
    ("GET", f"{V1}/cases"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("GET", f"{V1}/cases/{{case_key}}"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("POST", f"{V1}/cases/{{case_key}}/verify"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/cases/{{case_key}}/arrive"): Need(Role.operator, Reach.within, Role.crew),
    ("POST", f"{V1}/cases/{{case_key}}/handled"): Need(Role.operator, Reach.within, Role.crew),
    ("POST", f"{V1}/cases/{{case_key}}/suspend"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/cases/{{case_key}}/resume"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/cases/{{case_key}}/supervise"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/cases/{{case_key}}/cancel"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/cases/{{case_key}}/duplicate"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/cases/{{case_key}}/refile"): Need(Role.operator, Reach.within),
    ("POST", f"{V1}/cases/{{case_key}}/note"): Need(Role.operator, Reach.within, Role.crew),
    ("GET", f"{V1}/out-of-service"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("POST", f"{V1}/out-of-service"): Need(Role.operator, Reach.within, Role.crew),
    ("DELETE", f"{V1}/out-of-service/{{order}}"): Need(Role.operator, Reach.within, Role.crew),
    ("GET", f"{V1}/incidents"): Need(Role.viewer, Reach.within, Role.crew),
    ("GET", f"{V1}/incidents/{{incident_key}}"): Need(Role.viewer, Reach.within, Role.crew),
    ("GET", f"{V1}/incidents/{{incident_key}}/members"): Need(Role.viewer, Reach.within, Role.crew),
    ("GET", f"{V1}/incidents/{{incident_key}}/report"): Need(Role.viewer, Reach.within),
    ("GET", f"{V1}/rules"): Need(Role.viewer, Reach.same, Role.integrator),
    ("GET", f"{V1}/rules/export"): Need(Role.viewer, Reach.same),
    ("POST", f"{V1}/rules/check"): Need(Role.operator, Reach.same),
    ("GET", f"{V1}/rules/{{rule_id}}"): Need(Role.viewer, Reach.same, Role.integrator),
    ("POST", f"{V1}/rules/{{rule_id}}/backtests"): Need(Role.operator, Reach.within),
    ("PUT", f"{V1}/rules/{{rule_id}}"): Need(Role.administrator, Reach.whole),
    ("DELETE", f"{V1}/rules/{{rule_id}}"): Need(Role.administrator, Reach.whole),
    ("POST", f"{V1}/rules/{{rule_id}}/restore"): Need(Role.administrator, Reach.whole),
    ("PUT", f"{V1}/rules/{{rule_id}}/overrides/{{scope}}"): Need(Role.administrator, Reach.whole),
    ("DELETE", f"{V1}/rules/{{rule_id}}/overrides/{{scope}}"): Need(Role.administrator, Reach.whole),
    ("GET", f"{V1}/indicators"): Need(Role.viewer, Reach.within),
    ("GET", f"{V1}/cases/waiting"): Need(Role.viewer, Reach.within),
    ("GET", f"{V1}/duty/now"): Need(Role.viewer, Reach.within, Role.crew),
    ("GET", f"{V1}/duty/roster"): Need(Role.operator, Reach.whole),
    ("PUT", f"{V1}/duty/roster"): Need(Role.administrator, Reach.whole),
    ("POST", f"{V1}/duty/absences"): Need(Role.administrator, Reach.whole),
    ("POST", f"{V1}/duty/swaps"): Need(Role.administrator, Reach.whole),
    ("GET", f"{V1}/duty/handover"): Need(Role.viewer, Reach.within),
    ("POST", f"{V1}/duty/notes"): Need(Role.operator, Reach.within),
    ("GET", f"{V1}/duty/calendar/{{year}}"): Need(Role.viewer, Reach.same, Role.crew),
    ("PUT", f"{V1}/duty/calendar"): Need(Role.administrator, Reach.whole),
    ("GET", f"{V1}/duty/deadline"): Need(Role.viewer, Reach.same, Role.crew),
    ("DELETE", f"{V1}/duty/calendar/{{year}}"): Need(Role.administrator, Reach.whole),
    ("GET", f"{V1}/health/alarms"): Need(Role.viewer, Reach.whole),
    ("GET", f"{V1}/quarantine"): Need(Role.viewer, Reach.whole, Role.integrator),
    ("GET", f"{V1}/quarantine/counts"): Need(Role.viewer, Reach.whole, Role.integrator),
    # The payload is what somebody sent us, unread: it may hold anything.
    ("GET", f"{V1}/quarantine/{{quarantine_key}}"): Need(Role.operator, Reach.whole, Role.integrator),
    ("POST", f"{V1}/quarantine/replay"): Need(Role.operator, Reach.whole, Role.integrator),
    ("GET", f"{V1}/newcomers"): Need(Role.viewer, Reach.within, Role.integrator),
    ("POST", f"{V1}/newcomers/approve"): Need(Role.operator, Reach.within, Role.integrator),
    ("POST", f"{V1}/newcomers/{{device_id}}/approve"): Need(Role.operator, Reach.within, Role.integrator),
    ("POST", f"{V1}/newcomers/{{device_id}}/refuse"): Need(Role.operator, Reach.within, Role.integrator),
    ("GET", "/a/{token}"): Need(Door.link, Reach.open),
    ("POST", "/a/{token}"): Need(Door.link, Reach.open),
    ("GET", "/alarms/{episode_key}"): Need(Role.viewer, Reach.within, Role.crew, Role.integrator),
    ("POST", "/alarms/{episode_key}"): Need(Role.operator, Reach.within, Role.crew),
    ("POST", f"{V1}/push/{{mapping}}"): Need(Door.vendor, Reach.open),
    ("POST", f"{V1}/platforms/{{sink}}/callback"): Need(Door.platform, Reach.open),
    ("GET", f"{V1}/books"): Need(Role.viewer, Reach.whole, Role.integrator),
    ("GET", f"{V1}/books/totals"): Need(Role.viewer, Reach.whole, Role.integrator),
    ("GET", f"{V1}/credentials"): Need(Role.administrator, Reach.whole, Role.integrator),
    ("POST", f"{V1}/credentials"): Need(Role.administrator, Reach.whole, Role.integrator),
    ("POST", f"{V1}/credentials/rotate"): Need(Role.administrator, Reach.whole, Role.integrator),
    ("DELETE", f"{V1}/credentials/{{kind}}/{{name}}"): Need(Role.administrator, Reach.whole, Role.integrator),
    ("POST", f"{V1}/broker/authenticate"): Need(Role.broker, Reach.whole),
    ("POST", f"{V1}/broker/authorize"): Need(Role.broker, Reach.whole),
    ("GET", "/login"): Need(None, Reach.open),
    ("GET", "/login/provider"): Need(None, Reach.open),
    ("GET", "/login/return"): Need(None, Reach.open),
    ("GET", "/login/{part}"): Need(None, Reach.open),
    ("POST", f"{V1}/session"): Need(None, Reach.open),
    ("POST", f"{V1}/session/refresh"): Need(None, Reach.open),
    ("POST", f"{V1}/session/password"): Need(None, Reach.open),
    ("DELETE", f"{V1}/session"): Need(Role.viewer, Reach.own, Role.crew, Role.integrator),
    ("GET", f"{V1}/me"): Need(Role.viewer, Reach.same, Role.crew, Role.integrator),
    ("PUT", f"{V1}/me/password"): Need(Role.viewer, Reach.own, Role.crew, Role.integrator),
    ("GET", f"{V1}/me/sessions"): Need(Role.viewer, Reach.own, Role.crew, Role.integrator),
    ("DELETE", f"{V1}/me/sessions"): Need(Role.viewer, Reach.own, Role.crew, Role.integrator),
    ("DELETE", f"{V1}/me/sessions/{{session_key}}"): Need(Role.viewer, Reach.own, Role.crew, Role.integrator),
    ("GET", f"{V1}/people"): Need(Role.administrator, Reach.whole),
    ("POST", f"{V1}/people"): Need(Role.administrator, Reach.whole),
    ("GET", f"{V1}/people/{{name}}"): Need(Role.administrator, Reach.whole),
    ("PATCH", f"{V1}/people/{{name}}"): Need(Role.administrator, Reach.whole),
    ("POST", f"{V1}/people/{{name}}/disable"): Need(Role.administrator, Reach.whole),
    ("POST", f"{V1}/people/{{name}}/enable"): Need(Role.administrator, Reach.whole),
    ("POST", f"{V1}/people/{{name}}/reset"): Need(Role.administrator, Reach.whole),
    ("POST", f"{V1}/people/{{name}}/log-out"): Need(Role.administrator, Reach.whole),
    ("GET", f"{V1}/audit"): Need(Role.administrator, Reach.whole),
    ("GET", f"{V1}/keys"): Need(Role.administrator, Reach.whole),
    ("POST", f"{V1}/keys"): Need(Role.administrator, Reach.whole),
    ("DELETE", f"{V1}/keys/{{name}}"): Need(Role.administrator, Reach.whole),
}


def needed(method: str, path: str) -> Need:
    """Who may call `method path` (its template)."""
    try:
        return NEEDED[method, path]
    except KeyError:
        raise UndeclaredRouteError(
            f"{method} {path}: declare in api/roles.py which role it needs, and how it is bound to the caller's scope"
        ) from None
