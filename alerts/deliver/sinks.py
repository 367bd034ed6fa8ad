"""Sinks: who is told, by which channel. What operators do with them; each act is in the audit log."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.channels import ChannelError, channel, parse_config
from alerts.channels.interface import Channel, Delivered, Delivery, Outcome
from alerts.channels.line import Line
from alerts.deliver.breaker import Breaker
from alerts.deliver.outbox import Audience, move_breakers, sent_lately
from alerts.duty.shifts import Quiet
from alerts.duty.store import area_names
from alerts.record.snapshot import Snapshot
from underfoot.alarms import Reason, Severity
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


class SinkError(ValueError):
    """What was asked of a sink can't be done; says which and why."""


@dataclass(frozen=True)
class Sink:
    """What an operator says about a sink. `maintenance_unit`, `owner_unit`, `area_code`: what a crew's is for, in this
    order; none of them: whatever no other is for. `bundle_s`: how long what is not red waits for company; None: as its
    channel has it. `quiet`: when it is told of red only."""

    name: str
    channel: str
    audience: Audience
    maintenance_unit: str | None
    min_severity: Severity
    config: dict[str, Any]
    owner_unit: str | None = None
    area_code: str | None = None
    bundle_s: float | None = None
    quiet: tuple[Quiet, ...] = ()


BUNDLE_S = 3.0
"""A cabinet's lamps go out within seconds; nobody notices so little a delay of what is not red."""


def add(connection: Connection, sink: Sink, *, actor: str, replace: bool = False) -> Literal["added", "replaced"]:
    """Add a sink, or with `replace` give a known one other settings; a failing one is then tried at once."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", sink.name, re.ASCII):
        raise SinkError(f"name = {sink.name!r}: up to 64 letters, digits, - and _ are allowed")
    for name, value in (("unit", sink.maintenance_unit), ("owner", sink.owner_unit), ("area", sink.area_code)):
        if sink.audience != "crew" and value is not None:
            whose = "a person on duty" if sink.audience == "duty" else "a platform"
            raise SinkError(f"{name} = {value!r}: a sink for {whose} has no {_ROUTES[name]}")
    if sink.audience not in ("crew", "duty") and sink.quiet:
        raise SinkError(f"quiet = {', '.join(map(str, sink.quiet))}: a platform is told at any time")
    if sink.area_code is not None and not area_names(connection, [sink.area_code]):
        raise SinkError(f"area = {sink.area_code!r}: there is no such area in the ledger")
    bundle_s = _bundle_s(sink)
    if sink.audience == "duty" and sink.channel == "platform":
        raise SinkError(f"channel = {sink.channel!r}: nobody on duty reads the city's platform")
    if sink.audience == "upward" and sink.channel != "platform":
        raise SinkError(f"channel = {sink.channel!r}: a link upward is a platform's; `--channel platform` is needed")
    parsed = parse_config(sink.channel, sink.config)
    if parsed.alternate == sink.name:
        raise SinkError(f"alternate = {parsed.alternate!r}: a sink can't be its own alternate")
    if parsed.alternate is not None and not _rows(connection, parsed.alternate):
        raise SinkError(f"alternate = {parsed.alternate!r}: there is no such sink")
    values = {
        "name": sink.name,
        "channel": sink.channel,
        "audience": sink.audience,
        "maintenance_unit": sink.maintenance_unit,
        "owner_unit": sink.owner_unit,
        "area_code": sink.area_code,
        "bundle_s": bundle_s,
        "quiet": Jsonb([span.model_dump(mode="json", by_alias=True) for span in sink.quiet]),
        "min_severity": int(sink.min_severity),
        "config": Jsonb({name: _typed(getattr(parsed, name), value) for name, value in sink.config.items()}),
    }
    with connection.transaction():
        done: Literal["added", "replaced"] = "added"
        if connection.execute(statement("sinks.add"), values).rowcount == 0:
            if not replace:
                raise SinkError(f"{sink.name}: there is such a sink already; --replace gives it these settings")
            [(sink_key,)] = connection.execute(statement("sinks.replace"), values).fetchall()
            connection.execute(statement("sinks.end_quiet"), {"sink_key": sink_key})
            done = "replaced"
        told = {name: value for name, value in values.items() if name not in ("name", "config", "quiet")}
        _audit(
            connection,
            actor,
            "sink.add" if done == "added" else "sink.replace",
            sink.name,
            told | {"place": parsed.place(), "quiet": [str(span) for span in sink.quiet]},
        )
        connection.execute("SELECT pg_notify('underfoot_outbox', '')")
    return done


_ROUTES = {"unit": "maintenance unit", "owner": "owner unit", "area": "area"}


def _bundle_s(sink: Sink) -> float:
    gathers = channel(sink.channel).gathers and sink.audience in ("crew", "duty")
    if sink.bundle_s is None:
        return BUNDLE_S if gathers else 0.0
    if sink.bundle_s and not gathers:
        raise SinkError(f"bundle = {sink.bundle_s:g}: {sink.channel} sends each alarm by itself")
    if not 0 <= sink.bundle_s <= 10:
        raise SinkError(f"bundle = {sink.bundle_s:g}: 0 to 10 seconds")
    return sink.bundle_s


def _typed(understood: object, given: Any) -> Any:
    """Numbers as numbers, however they were given. Secrets and what is made of parts stay as given."""
    return understood if isinstance(understood, int | float) else given


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every sink for the eye: nothing secret."""
    rows = _rows(connection, None)
    for row in rows:
        config = row.pop("config")
        row["alternate"] = config.get("alternate")
        row["quiet"] = [str(Quiet.model_validate(span)) for span in row["quiet"]]
        row["per_minute"], row["sent_last_minute"] = None, None
        try:
            parsed = parse_config(row["channel"], config)
            row["place"], row["per_minute"] = parsed.place(), parsed.per_minute
            if parsed.per_minute is not None:
                row["sent_last_minute"] = len(sent_lately(connection, [row["sink_key"]], 60))
        except ChannelError as error:
            row["place"] = f"unusable: {error}"
        row["state"] = _state(row)
    return rows


def remove(connection: Connection, name: str, *, actor: str, drop_owed: bool = False) -> Literal["removed", "disabled"]:
    """Take a sink out of use; one that nothing was ever owed to goes for good."""
    with connection.transaction():
        row = _one(connection, name)
        if row["owed"] and not drop_owed:
            raise SinkError(f"{name} is owed {row['owed']} deliveries; --drop-owed gives them up")
        users = [r[0] for r in connection.execute(statement("sinks.alternates_to"), {"name": name})]
        if users:
            raise SinkError(f"{name} is the alternate of {', '.join(users)}; give them another first")
        key = {"sink_key": row["sink_key"]}
        dropped = connection.execute(statement("sinks.drop_owed"), key).rowcount
        if Breaker(row["failures"], 0.0).open:
            # Nobody will find out whether it works again; the alarm about it ends here.
            _works(connection, row)
        gone = connection.execute(statement("sinks.remove"), key).rowcount == 1
        if not gone:
            connection.execute(statement("sinks.disable"), key)
        done: Literal["removed", "disabled"] = "removed" if gone else "disabled"
        _audit(connection, actor, "sink.remove", name, {"done": done, "dropped": dropped})
    return done


def test(connection: Connection, name: str, *, link: str, timeout_s: float, actor: str) -> Outcome:
    """Send a sink a message that says it is a test. If it is taken, a failing sink is in use again."""
    row = _one(connection, name)
    found: Channel[Any] = channel(row["channel"])
    now = datetime.now(UTC)
    line = Line(timeout_s)
    try:
        outcome: Outcome = found.send(
            Delivery(f"test-{name}-{now:%Y%m%dT%H%M%S%f}", _test_snapshot(now), link),
            parse_config(row["channel"], row["config"]),
            line,
        )
    finally:
        line.close()
    with connection.transaction():
        _audit(connection, actor, "sink.test", name, {"outcome": type(outcome).__name__})
        if isinstance(outcome, Delivered):
            # It works: the breaker closes, the alarm about it clears, and what waits is due.
            _works(connection, row)
            connection.execute("SELECT pg_notify('underfoot_outbox', '')")
    return outcome


def _works(connection: Connection, row: dict[str, Any]) -> None:
    move_breakers(
        connection,
        {row["sink_key"]: [Delivered({})]},
        names={row["sink_key"]: row["name"]},
        retry_base_s=0.0,
        draw=random.Random(0),  # noqa: S311 (nothing is drawn for a success)
    )


def _test_snapshot(now: datetime) -> Snapshot:
    moment = (now - timedelta(seconds=1)).isoformat()
    return {
        "installation_id": "test",
        "alarm_key": -int(now.timestamp()),  # no alarm's, and another one at every test
        "episode": 1,
        "transition_no": 1,
        "notice": "raise",
        "reason": Reason.limit_reached.value,
        "rule_id": "test.test",
        "rule_version": 0,
        "title": "推送测试，请勿处置",
        "severity": int(Severity.blue),
        "worst_severity": int(Severity.blue),
        "event_at": moment,
        "raised_at": moment,
        "raised_received_at": moment,
        "cleared_at": None,
        "proof": None,
        "crew": None,
        "case": None,
        "device": None,
        "asset": None,
        "area": None,
    }


def _state(row: dict[str, Any]) -> str:
    if not row["enabled"]:
        return "disabled"
    if Breaker(row["failures"], 0.0).open:
        return "failing"
    paused = row["open_until"] is not None and row["open_until"] > datetime.now(UTC)
    return "paused" if paused else "working"


def _rows(connection: Connection, name: str | None) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("sinks.list_sinks"), {"name": name}).fetchall()


def _one(connection: Connection, name: str) -> dict[str, Any]:
    rows = _rows(connection, name)
    if not rows:
        known = ", ".join(row["name"] for row in _rows(connection, None)) or "none"
        raise SinkError(f"{name}: there is no such sink; there are: {known}")
    return rows[0]


def _audit(connection: Connection, actor: str, action: str, subject: str, detail: dict[str, Any]) -> None:
    connection.execute(
        statement("ledger.audit"),
        {"actor": actor, "action": action, "subject": f"sink:{subject}", "detail": Jsonb(detail)},
    )
