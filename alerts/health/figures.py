"""Health: what the engine itself is measured by (ISA-18.2), from the record of a window: each figure with its limit.

The limits are the rule `health.alarms` (alerts/rules/duty.py). A step of the city's thread reckons the last 24 hours
every minute for whoever exports them; the API and `underfoot alarms health` reckon any window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.duty.roster import everybody
from alerts.duty.store import load_roster
from alerts.rulebook.book import rules_in_force
from alerts.rules import HealthRule, shipped_pack
from alerts.rules.duty import Share
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

WINDOW = timedelta(hours=24)
LONGEST = timedelta(days=31)

_EVERY = timedelta(seconds=60)
_BUCKET = timedelta(minutes=10)
_FEW = 20
"""Of fewer alarms than this, shares of severities say nothing."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`kept`: whether it is within its limit; None: it has none, or there is too little to judge. `detail`: where or
    whom the value is about, for people."""

    name: str
    label: str
    value: float | None
    unit: str
    limit: str
    kept: bool | None
    detail: str = ""


def step(connection: Connection, now: datetime) -> None:
    """Once a minute: the last 24 hours, kept for whoever exports them."""
    if connection.execute(statement("health.take_turn"), {"now": now, "every": _EVERY}).fetchone() is None:
        return
    found = figures(connection, now - WINDOW, now)
    state = {"at": now, "figures": [asdict(figure) for figure in found]}
    connection.execute(statement("health.keep"), {"state": Jsonb(state)})


def kept(connection: Connection) -> tuple[datetime, list[Figure]] | None:
    """The figures that `step` reckoned last; None: it never has."""
    row = connection.execute(statement("health.kept")).fetchone()
    if row is None or "figures" not in row[0]:
        return None
    return datetime.fromisoformat(row[0]["at"]), [Figure(**figure) for figure in row[0]["figures"]]


def figures(connection: Connection, since: datetime, until: datetime) -> list[Figure]:
    """Every figure of the window."""
    if not timedelta() < until - since <= LONGEST:
        raise ValueError(
            f"from {since.isoformat()} to {until.isoformat()}: `to` is after `from`, by {LONGEST.days} days at most"
        )
    limits = _limits(connection)
    return [
        *_rates(connection, limits, since, until),
        _flood(connection, limits, since, until),
        _stale(connection, limits, until),
        *_of_episodes(_row(connection, "health.episodes", since, until, chattering=limits.chattering_per_min), limits),
        *_of_deliveries(connection, limits, since, until),
        *_of_reports(connection, since, until),
    ]


def _limits(connection: Connection) -> HealthRule:
    """The rule in force; where a city has withdrawn it, as shipped."""
    in_force = (one.rule for one in rules_in_force(connection))
    return next(rule for rule in (*in_force, *shipped_pack()) if isinstance(rule, HealthRule))


# alarms an operator ---------------------------------------------------------------------------------------------------


def _rates(connection: Connection, limits: HealthRule, since: datetime, until: datetime) -> list[Figure]:
    load = connection.execute(statement("health.load"), {"since": since, "until": until}).fetchall()
    names = _districts(connection)
    total = sum(alarms for _, _, alarms in load)
    operators, by_district = _operators(connection, limits, names, until)
    busiest, where = _busiest(load, None if by_district else operators)
    per_operator = total / operators
    windows = (until - since) / _BUCKET
    people = f"{operators}人" if not by_district else f"{operators}个区"
    place = names.get(where, where)
    return [
        _at_most(
            "mean_per_10_min", "每人每10分钟告警（平均）", per_operator / windows, "条", limits.mean_per_10_min, people
        ),
        _at_most("most_per_10_min", "每人每10分钟告警（最多）", busiest, "条", limits.most_per_10_min, place),
        _at_most("per_hour", "每人每小时告警", per_operator / windows * 6, "条", limits.per_hour, people),
        _at_most("per_day", "每人每日告警", per_operator / windows * 144, "条", limits.per_day, people),
    ]


def _busiest(load: Iterable[tuple[str, int, int]], operators: int | None) -> tuple[float, str]:
    """Most alarms that one operator had in 10 minutes, and where: one a district, or so many who share all."""
    if operators is None:
        return max(((float(alarms), district) for district, _, alarms in load), default=(0.0, ""))
    shared: Counter[int] = Counter()
    for _, bucket, alarms in load:
        shared[bucket] += alarms
    return max(shared.values(), default=0) / operators, ""


def _operators(connection: Connection, limits: HealthRule, districts: dict[str, str], at: datetime) -> tuple[int, bool]:
    """How many share the alarms, and whether each has a district of their own."""
    match limits.operators:
        case "districts":
            return max(len(districts), 1), True
        case "duty":
            present = {one.person.name for one in everybody(load_roster(connection), at) if one.level == 1}
            return max(len(present), 1), False
        case number:
            return number, False


def _districts(connection: Connection) -> dict[str, str]:
    return dict(connection.execute(statement("health.districts")).fetchall())


def _flood(connection: Connection, limits: HealthRule, since: datetime, until: datetime) -> Figure:
    """Of the district that was in flood longest."""
    found = connection.execute(statement("health.floods"), {"since": since, "until": until}).fetchall()
    seconds, code = max(((float(seconds), code) for code, seconds in found), default=(0.0, ""))
    share = seconds / (until - since).total_seconds()
    name = _districts(connection).get(code, code)
    return Figure(
        "flood_share", "告警泛滥时间占比", share, "", f"<{limits.flood_share:g}", share < limits.flood_share, name
    )


def _stale(connection: Connection, limits: HealthRule, until: datetime) -> Figure:
    after = timedelta(hours=limits.stale_after_h)
    rows = connection.execute(statement("health.stale"), {"until": until, "after": after}).fetchall()
    label = f"超过{limits.stale_after_h:g}小时未变化的告警"
    detail = f"最久：{rows[0][1]}" if rows else ""
    return Figure("stale", label, len(rows), "条", f"<{limits.stale}", len(rows) < limits.stale, detail)


# the alarms themselves -----------------------------------------------------------------------------------------------


def _of_episodes(row: dict[str, Any], limits: HealthRule) -> list[Figure]:
    raised = row["raised"]
    top_ten = row["top_ten"] / raised if raised else None
    judged = raised * limits.top_ten_share >= 10  # with fewer, ten alarms that came once each would be too many
    shares = (
        ("low", "蓝、黄告警占比", limits.low),
        ("medium", "橙色告警占比", limits.medium),
        ("high", "红色告警占比", limits.high),
    )
    return [
        Figure("raised", "告警总数", raised, "条", "", None),
        _at_most(
            "chattering",
            f"每分钟触发{limits.chattering_per_min}次及以上的告警",
            row["chattering"],
            "条",
            limits.chattering,
        ),
        Figure(
            "top_ten_share",
            "最频繁十条告警占比",
            top_ten,
            "",
            f"≤{limits.top_ten_share:g}",
            top_ten <= limits.top_ten_share if top_ten is not None and judged else None,
        ),
        *(_share(f"{name}_share", label, row[name], raised, share) for name, label, share in shares),
        _at_most("record_p95_s", "告警入库用时（95%）", row["record_p95_s"], "秒", limits.record_p95_s),
    ]


def _share(name: str, label: str, count: int, of: int, share: Share) -> Figure:
    value = count / of if of else None
    within = share.least <= value <= share.most if value is not None and of >= _FEW else None
    return Figure(name, label, value, "", f"{share.least:g}–{share.most:g}", within)


# what goes out, and what comes in ------------------------------------------------------------------------------------


def _of_deliveries(connection: Connection, limits: HealthRule, since: datetime, until: datetime) -> list[Figure]:
    taken = _row(connection, "health.deliveries", since, until)["receipt_p95_s"]
    oldest = _row(connection, "health.oldest_owed", since, until)["seconds"]
    return [
        _at_most("oldest_owed_s", "最久未送达", max(oldest, 0.0), "秒", limits.oldest_owed_s),
        _at_most("receipt_p95_s", "送达用时（95%）", taken, "秒", limits.receipt_p95_s),
    ]


def _of_reports(connection: Connection, since: datetime, until: datetime) -> list[Figure]:
    books = _row(connection, "health.books", since, until)
    probe = _row(connection, "health.probes", since, until)["seconds"]
    labels = {"late": "迟到上报", "duplicate": "重复上报", "quarantined": "隔离上报"}
    return [
        Figure("probe_s", "研判用时（探针发布到入库）", probe, "秒", "", None),
        *(Figure(name, label, float(books[name]), "条", "", None) for name, label in labels.items()),
    ]


def _row(connection: Connection, name: str, since: datetime, until: datetime, **more: Any) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        # Never prepared: only a plan made for this very window can choose the index.
        [row] = cursor.execute(statement(name), {"since": since, "until": until, **more}, prepare=False).fetchall()
    return row


def _at_most(name: str, label: str, value: float | None, unit: str, limit: float, detail: str = "") -> Figure:
    return Figure(name, label, value, unit, f"≤{limit:g}", value <= limit if value is not None else None, detail)
