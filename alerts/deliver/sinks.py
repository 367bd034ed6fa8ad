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
from alerts.deliver.outbox import Audience, move_breakers
from alerts.record.snapshot import Snapshot
from underfoot.alarms import Reason, Severity
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


class SinkError(ValueError):
    """What was asked of a sink can't be done; says which and why."""


@dataclass(frozen=True)
class Sink:
    """What an operator says about a sink. `maintenance_unit`: whose crew; none: crews without a sink of their own."""

    name: str
    channel: str
    audience: Audience
    maintenance_unit: str | None
    min_severity: Severity
    config: dict[str, Any]


def add(connection: Connection, sink: Sink, *, actor: str, replace: bool = False) -> Literal["added", "replaced"]:
    """Add a sink, or with `replace` give a known one other settings; a failing one is then tried at once."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", sink.name, re.ASCII):
        raise SinkError(f"name = {sink.name!r}: up to 64 letters, digits, - and _ are allowed")
    if sink.audience != "crew" and sink.maintenance_unit is not None:
        whose = "the platform" if sink.audience == "platform" else "a person on duty"
        raise SinkError(f"unit = {sink.maintenance_unit!r}: a sink for {whose} has no maintenance unit")
    if sink.audience == "duty" and sink.channel == "platform":
        raise SinkError(f"channel = {sink.channel!r}: nobody on duty reads the city's platform")
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
        "min_severity": int(sink.min_severity),
        "config": Jsonb({name: _typed(getattr(parsed, name), value) for name, value in sink.config.items()}),
    }
    with connection.transaction():
        done: Literal["added", "replaced"] = "added"
        if connection.execute(statement("sinks.add"), values).rowcount == 0:
            if not replace:
                raise SinkError(f"{sink.name}: there is such a sink already; --replace gives it these settings")
            connection.execute(statement("sinks.replace"), values)
            done = "replaced"
        told = {name: value for name, value in values.items() if name not in ("name", "config")}
        _audit(
            connection,
            actor,
            "sink.add" if done == "added" else "sink.replace",
            sink.name,
            told | {"place": parsed.place()},
        )
        connection.execute("SELECT pg_notify('underfoot_outbox', '')")
    return done


def _typed(understood: object, given: Any) -> Any:
    """Numbers as numbers, however they were given. Secrets and what is made of parts stay as given."""
    return understood if isinstance(understood, int | float) else given


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every sink for the eye: nothing secret."""
    rows = _rows(connection, None)
    for row in rows:
        config = row.pop("config")
        row["alternate"] = config.get("alternate")
        try:
            row["place"] = parse_config(row["channel"], config).place()
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
