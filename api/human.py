"""What people do to alarms. Acknowledging is written here, in the human region, under the alarm row's lock; closing is
a command to the shard's holder, which alone writes conditions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg.types.json import Jsonb

from api.keys import Caller
from api.rows import Row, audit, fetch_all, fetch_one
from underfoot.alarms import Human, Reason
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

NO_FILTER: dict[str, object] = {
    "state": "all",
    **dict.fromkeys(
        ("episode_key", "severity", "alarm_key", "family", "rule_id", "device_key", "asset_key", "areas", "from", "to")
    ),
    **dict.fromkeys(("reached", "reached_key")),
}


class CloseRefusedError(Exception):
    """The alarm cannot be closed now; says why."""


@dataclass(frozen=True)
class Close:
    """A close command (its inbox row; None: there was nothing to close) and the alarm as it is."""

    command: Row | None
    alarm: Row


def find_episode(connection: Connection, episode_key: int) -> Row | None:
    rows = fetch_all(connection, "api_alarms.list_alarms", {**NO_FILTER, "episode_key": episode_key, "limit": 1})
    return rows[0] if rows else None


def acknowledge(connection: Connection, episode_key: int, caller: Caller, note: str | None) -> Row | None:
    """Acknowledge the episode and return it as it is then; None where there is none. Again is the same as once."""
    episode = _locked(connection, episode_key)
    if episode is None or episode["human"] == Human.acknowledged:
        return episode
    number = fetch_one(connection, "api_alarms.next_transition", {"alarm_key": episode["alarm_key"]})
    if number is None:
        raise LookupError(f"alarm {episode['alarm_key']} is locked and yet not there")
    now = datetime.now(UTC)
    connection.execute(
        statement("api_alarms.acknowledge"), {"episode_key": episode_key, "actor": caller.name, "at": now}
    )
    connection.execute(
        statement("api_alarms.record_human_transition"),
        {
            "alarm_key": episode["alarm_key"],
            "transition_no": number["transition_no"],
            "episode": episode["episode"],
            "from_state": Human.unacknowledged.value,
            "to_state": Human.acknowledged.value,
            "severity": episode["severity"],
            "reason": Reason.acknowledged.value,
            "actor": caller.name,
            "at": now,
        },
    )
    detail = {"alarm_key": episode["alarm_key"], "episode": episode["episode"]} | ({"note": note} if note else {})
    audit(connection, caller.name, "alarm.acknowledge", f"episode:{episode_key}", **detail)
    return find_episode(connection, episode_key)


def close(connection: Connection, episode_key: int, caller: Caller, reason: str) -> Close | None:
    """Ask the shard's holder to close the episode; None where there is none.

    The command's key is the same for every try, so that two operators, or one on a bad line, close it once. Only when
    the holder has answered and the episode is open nevertheless does a new try get a key of its own.
    """
    episode = _locked(connection, episode_key)
    if episode is None:
        return None
    key = f"close:{episode_key}"
    command = fetch_one(connection, "api_alarms.find_command", {"key": key})
    if episode["cleared_at"] is not None:
        return Close(command, episode)
    while command is not None and command["consumed_at"] is not None:
        key = f"close:{episode_key}:{command['inbox_key']}"
        command = fetch_one(connection, "api_alarms.find_command", {"key": key})
    if command is None:
        _post(connection, episode, key, caller, reason)
        command = fetch_one(connection, "api_alarms.find_command", {"key": key})
    return Close(command, episode)


def _post(connection: Connection, episode: Row, key: str, caller: Caller, reason: str) -> None:
    found = fetch_one(connection, "api_alarms.shard_of_alarm", {"alarm_key": episode["alarm_key"]})
    if found is None or found["shard"] is None:
        raise CloseRefusedError("no shard keeps the condition of this alarm: the installation has none")
    payload = {
        "episode_key": episode["episode_key"],
        "alarm_key": episode["alarm_key"],
        "actor": caller.name,
        "reason": reason,
    }
    fetch_one(
        connection,
        "api_alarms.post_command",
        {"shard": found["shard"], "kind": "close", "payload": Jsonb(payload), "key": key},
    )
    audit(connection, caller.name, "alarm.close", f"episode:{episode['episode_key']}", reason=reason, command=key)


def _locked(connection: Connection, episode_key: int) -> Row | None:
    """The episode, read only after its alarm is locked: what another wrote meanwhile is seen."""
    alarm = fetch_one(connection, "api_alarms.alarm_of_episode", {"episode_key": episode_key})
    if alarm is None:
        return None
    fetch_one(connection, "api_alarms.lock_alarm", alarm)
    return find_episode(connection, episode_key)
