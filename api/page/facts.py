"""Facts: all that the page of an alarm may say, read in one go. What of it is said, and how, is view.py's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import cos, radians
from typing import Any

from psycopg import sql

from alerts.rulebook.book import body_as_of, rule_as_last_known
from alerts.rules.override import Scope as RuleScope
from alerts.storm.rule import RULE_ID, numbers_of
from alerts.storm.summary import About, Member, Summary
from alerts.storm.telling import members_of, summary_of
from api.rows import Params, Row, composed, fetch_kept
from api.scope import Scope
from underfoot.families import FAMILIES
from underfoot.storage.connect import Connection

GASES = ("o2_vol_pct", "ch4_lel_pct", "h2s_mg_m3", "co_mg_m3")
LINES_AT_MOST = 60
POINTS_AT_MOST = 3000
ASSETS_AT_MOST = 150
PIPES_AT_MOST = 400

_BEFORE = timedelta(hours=2)
_AFTER = timedelta(minutes=30)
_LONGEST = timedelta(hours=24)
_INTERVALS_BEFORE = 6
_NEAR_M = 180.0
_NEAR_PIPE_M = 110.0
_M_PER_DEG = 111_320.0


@dataclass(frozen=True, slots=True)
class Series:
    """What one device measured, oldest first. `interval_s`: how often it is to report."""

    label: str
    unit: str
    interval_s: float
    points: Sequence[tuple[datetime, float]]
    is_state: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """Degrees."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True, slots=True)
class Around:
    """What lies about the place."""

    box: Box
    assets: Sequence[Row]
    pipes: Sequence[Row]


@dataclass(frozen=True, slots=True)
class IncidentFacts:
    summary: Summary
    members: Sequence[Member]


@dataclass(frozen=True, slots=True)
class Named:
    """Who is meant by the names on record."""

    of_sink: dict[str, str] = field(default_factory=dict)
    of_person: dict[str, str] = field(default_factory=dict)
    sinks: dict[str, Row] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    episode: Row
    rule: dict[str, Any] | None
    transitions: Sequence[Row]
    deliveries: Sequence[Row]
    comments: Sequence[Row]
    series: Sequence[Series]
    span: tuple[datetime, datetime]
    around: Around | None
    gas_limits: Sequence[Row]
    gas_read: Row | None
    case: Row | None
    case_steps: Sequence[Row]
    incident: IncidentFacts | None
    named: Named


def facts_of(connection: Connection, episode_key: int, now: datetime, scope: Scope) -> Facts | None:
    """None: there is no such episode in what the reader may see (`scope`; of a link, the whole city)."""
    episode = fetch_first(connection, "page.episode", {"episode_key": episode_key, **scope.params()})
    if episode is None:
        return None
    keys = {"alarm_key": episode["alarm_key"], "episode": episode["episode"], "limit": LINES_AT_MOST}
    incident = _incident(connection, episode, now, scope) if episode["subject_kind"] == "incident" else None
    transitions = fetch_kept(connection, "api_alarms.transitions_of", keys)
    deliveries = fetch_kept(connection, "api_alarms.deliveries_of", keys)
    comments = fetch_kept(connection, "api_alarms.comments_of", {"episode_key": episode_key, "limit": LINES_AT_MOST})
    case = fetch_first(connection, "page.case", keys)
    steps = fetch_kept(connection, "page.case_steps", {"case_key": case["case_key"], "limit": 20}) if case else []
    actors = {row["actor"] for row in (*transitions, *comments, *steps)} | {row["sink"] for row in deliveries}
    span = span_of(episode, now)
    gas = episode["pipe_key"] is not None or (episode["kind"] is not None and is_well(episode["kind"]))
    return Facts(
        episode=episode,
        rule=_rule(connection, episode),
        transitions=transitions,
        deliveries=deliveries,
        comments=comments,
        series=_series(connection, episode, span),
        span=span,
        around=_around(connection, episode, incident, scope),
        gas_limits=fetch_kept(connection, "page.gas_limits", {"fields": list(GASES)}) if gas else [],
        gas_read=fetch_first(connection, "page.gas_read", {"asset_key": episode["asset_key"]}) if gas else None,
        case=case,
        case_steps=steps,
        incident=incident,
        named=named(connection, actors | {episode["acknowledged_by"], episode["assigned_to"], episode["confirmed_by"]}),
    )


def named(connection: Connection, actors: Iterable[str | None]) -> Named:
    """Whoever of these is a sink, or has an account."""
    names = sorted({actor.removeprefix("link:") for actor in actors if actor})
    rows = fetch_kept(connection, "page.people_of", {"names": names})
    sinks = fetch_kept(connection, "page.sinks_of", {"names": names})
    return Named(
        of_sink={row["known_as"]: row["label"] for row in rows if row["kind"] == "sink"},
        of_person={row["known_as"]: row["label"] for row in rows if row["kind"] == "person"},
        sinks={row["name"]: row for row in sinks},
    )


def is_well(kind: str) -> bool:
    """Whether somebody could go down there: the classes 井盖 of GB/T 30428."""
    return kind[:2] == "01" and kind[2:4] in _WELLS


_WELLS = {*(f"{number:02}" for number in range(1, 15)), "27", "29", "30"} - {"04"}


def span_of(episode: Row, now: datetime) -> tuple[datetime, datetime]:
    """Which hours the curve shows: some before the raise, until now or until it was over for a while."""
    before = max(_BEFORE, timedelta(seconds=_INTERVALS_BEFORE * (episode["expected_interval_s"] or 0)))
    end = now if episode["cleared_at"] is None else min(now, episode["cleared_at"] + _AFTER)
    begin = episode["raised_at"] - min(before, _LONGEST)
    return max(begin, end - _LONGEST), max(end, begin + timedelta(minutes=1))


def fetch_first(connection: Connection, name: str, params: Params) -> Row | None:
    return next(iter(fetch_kept(connection, name, params)), None)


# each part ------------------------------------------------------------------------------------------------------------


def _rule(connection: Connection, episode: Row) -> dict[str, Any] | None:
    scope = RuleScope.parse(episode["proof"].get("scope", "city"))
    return body_as_of(connection, episode["rule_id"], episode["rule_version"], scope)


def _series(connection: Connection, episode: Row, span: tuple[datetime, datetime]) -> list[Series]:
    if episode["pipe_key"] is not None:
        gauges = fetch_kept(connection, "page.gauges_of_pipe", {"pipe_key": episode["pipe_key"]})
        return [
            _measured(
                connection, "pipe", "level_m", gauge, span, f"{'上游' if gauge['above'] else '下游'} {gauge['name']}"
            )
            for gauge in sorted(gauges, key=lambda gauge: not gauge["above"])
        ]
    name = episode["proof"].get("field")
    family = FAMILIES.get(episode["family"] or "")
    if episode["device_key"] is None or family is None or name not in family.column:
        return []
    return [_measured(connection, family.name, name, episode, span, family.column[name].label)]


def _measured(
    connection: Connection, family: str, name: str, device: Row, span: tuple[datetime, datetime], label: str
) -> Series:
    column = FAMILIES[family].column[name]
    parts = {"field": sql.Identifier(name), "reports": sql.Identifier(FAMILIES[family].table)}
    begin, end = span
    params = {
        "device_key": device["device_key"],
        "begin": begin,
        "end": end,
        "oldest": begin - timedelta(days=3),
        "limit": POINTS_AT_MOST,
    }
    rows = connection.execute(composed("page.series", **parts), params).fetchall()
    if len(rows) < POINTS_AT_MOST:
        # One more, so that the line does not begin in the middle of nowhere.
        rows += connection.execute(composed("page.value_before", **parts), params).fetchall()
    points = [(ts, float(value)) for ts, value in reversed(rows)]
    return Series(
        label, column.unit, device["expected_interval_s"], points, is_state=column.type in ("boolean", "smallint")
    )


def _around(connection: Connection, episode: Row, incident: IncidentFacts | None, scope: Scope) -> Around | None:
    box = _box(episode, incident)
    if box is None:
        return None
    params = {"west": box.west, "south": box.south, "east": box.east, "north": box.north, **scope.params()}
    # An incident's members are its map; what else stands there would hide them.
    assets = [] if incident else fetch_kept(connection, "page.assets_in_box", params | {"limit": ASSETS_AT_MOST})
    return Around(box, assets, fetch_kept(connection, "page.pipes_in_box", params | {"limit": PIPES_AT_MOST}))


def _box(episode: Row, incident: IncidentFacts | None) -> Box | None:
    """What the map shows; a little more than it must."""
    if incident is not None:
        places = [(member.lon, member.lat) for member in incident.members]
    elif episode["pipe_key"] is not None:
        places = [(episode["from_lon"], episode["from_lat"]), (episode["to_lon"], episode["to_lat"])]
    else:
        places = [(episode["lon"], episode["lat"])]
    known = [(lon, lat) for lon, lat in places if lon is not None and lat is not None]
    if not known:
        return None
    lons, lats = [lon for lon, _ in known], [lat for _, lat in known]
    near_m = _NEAR_M if episode["pipe_key"] is None else _NEAR_PIPE_M
    margin_m = max(near_m, 0.15 * _M_PER_DEG * max(max(lons) - min(lons), max(lats) - min(lats)))
    up = margin_m / _M_PER_DEG
    across = up / max(cos(radians(lats[0])), 0.01)
    return Box(min(lons) - across, min(lats) - up, max(lons) + across, max(lats) + up)


def _incident(connection: Connection, episode: Row, now: datetime, scope: Scope) -> IncidentFacts | None:
    """Of its members those in the scope."""
    key = episode["subject_key"]
    row = fetch_first(connection, "page.incident", {"incident_key": key})
    if row is None:
        return None
    members = members_of(connection, key, ever=episode["cleared_at"] is not None)
    if not scope.is_whole:
        params = {"alarm_keys": [member.alarm_key for member in members], **scope.params()}
        ours = {row["alarm_key"] for row in fetch_kept(connection, "page.alarms_within", params)}
        members = [member for member in members if member.alarm_key in ours]
    of = About(key, row["area_code"], row["area_name"], row["catchment"])
    rule = numbers_of(rule_as_last_known(connection, RULE_ID))
    return IncidentFacts(summary_of(connection, of, members, rule, now), members)
