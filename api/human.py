"""What people do to alarms, each with its audit rows in the same transaction. The regions are written by
alerts/regions/actions.py; closing is a command to the shard's holder, which alone writes conditions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from alerts.cases.acts import judged
from alerts.regions import actions as human_actions
from alerts.regions.actions import Done, Shelved
from api.alarm_filters import NO_FILTER
from api.callers import Caller
from api.models.actions import Act, Judging, Shelving
from api.parameters import rfc3339
from api.problems import invalid
from api.rows import Row, audit, fetch_all, fetch_one
from api.scope import Scope
from underfoot.clock import CLOCK
from underfoot.settings import Settings
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

NOT_THERE = "there is no such alarm"
UNREASONED = "red alarms are not shelved without a reason"


class CloseRefusedError(Exception):
    """The alarm cannot be closed now; says why."""


@dataclass(frozen=True)
class Acted:
    """What became of an action: episodes that it changed, and those with which nothing was done, each with why.
    All others were as wanted already."""

    changed: frozenset[int]
    failed: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Close:
    """A close command (its inbox row; None: there was nothing to close) and the alarm as it is."""

    command: Row | None
    alarm: Row
    posted: bool = False


def find_episode(connection: Connection, episode_key: int, scope: Scope) -> Row | None:
    """None where there is none in the scope."""
    params = {**NO_FILTER, **scope.params(), "episode_key": episode_key, "limit": 1}
    return fetch_one(connection, "api_alarms.list_alarms", params)


def within(connection: Connection, episode_keys: Iterable[int], scope: Scope) -> list[int]:
    """Those of these episodes that lie in the scope."""
    keys = sorted(set(episode_keys))
    if scope.is_whole:
        return keys
    rows = fetch_all(connection, "people.episodes_within", {"episode_keys": keys, **scope.params()})
    return sorted(row["episode_key"] for row in rows)


def until_when(wanted: Shelving, now: datetime, settings: Settings) -> datetime:
    """When a shelf ends; one that is over, or too long, is refused."""
    until, longest = wanted.ends(now), timedelta(hours=settings.shelve_longest_h)
    name = "until" if wanted.until is not None else "minutes"
    value = rfc3339(until) if wanted.until is not None else wanted.minutes
    if until <= now:
        raise invalid(name, value, f"must be after now, which is {rfc3339(now)}", place="body")
    if until > now + longest:
        raise invalid(name, value, f"at most {settings.shelve_longest_h:g} hours ahead", place="body")
    return until


def act(connection: Connection, episode_keys: Iterable[int], wanted: Act, caller: Caller, settings: Settings) -> Acted:
    """Do it to each of these episodes, and audit what changed. Again is the same as once. What lies outside the
    caller's scope is not there."""
    wanted_keys = set(episode_keys)
    keys, actor, now = within(connection, wanted_keys, caller.scope), caller.name, CLOCK.now()
    acted = _act(connection, keys, wanted, caller, settings, actor, now)
    return Acted(acted.changed, acted.failed | dict.fromkeys(wanted_keys.difference(keys), NOT_THERE))


def _act(
    connection: Connection,
    keys: list[int],
    wanted: Act,
    caller: Caller,
    settings: Settings,
    actor: str,
    now: datetime,
) -> Acted:
    detail: dict[str, object] = {"note": wanted.note} if wanted.note else {}
    match wanted.action:
        case "acknowledge":
            done = human_actions.acknowledge(connection, keys, actor, now)
        case "unacknowledge":
            done = human_actions.unacknowledge(connection, keys, actor, now)
        case "shelve":
            until, reason = until_when(wanted.shelving, now, settings), wanted.reason or ""
            done = human_actions.shelve(connection, keys, actor, now, until=until, reason=reason)
            detail = {"until": rfc3339(until), "reason": reason}
        case "unshelve":
            done = human_actions.unshelve(connection, keys, actor, now)
        case "assign":
            done = human_actions.assign(connection, keys, wanted.to, now)
            detail = {"to": wanted.to}
        case "unassign":
            done = human_actions.assign(connection, keys, None, now)
        case "comment":
            done = human_actions.comment(connection, keys, wanted.text or "", actor, now)
            detail = {"text": wanted.text}
        case "close":
            return _close_all(connection, keys, caller, wanted.reason or "")
    _audit_all(connection, done, caller, f"alarm.{wanted.action}", detail)
    return Acted(done.changed, _failures(done))


def _failures(done: Done) -> dict[int, str]:
    failed = dict.fromkeys(done.unknown, NOT_THERE)
    if isinstance(done, Shelved):
        failed |= dict.fromkeys(done.unreasoned, UNREASONED)
    return failed


def _audit_all(connection: Connection, done: Done, caller: Caller, action: str, detail: dict[str, object]) -> None:
    rows = fetch_all(connection, "human.known", {"episode_keys": sorted(done.changed)}) if done.changed else []
    with connection.cursor() as cursor:
        cursor.executemany(
            statement("ledger.audit"),
            [
                {
                    "actor": caller.name,
                    "action": action,
                    "subject": f"episode:{row['episode_key']}",
                    "detail": Jsonb({"alarm_key": row["alarm_key"], "episode": row["episode"]} | detail),
                }
                for row in rows
            ],
        )


def confirm(connection: Connection, episode_key: int, caller: Caller, wanted: Judging) -> Row | None:
    """Keep what people found of an episode, open or over; None where there is none. Again is the same as once."""
    if not within(connection, [episode_key], caller.scope):
        return None
    confirmed = None if wanted.verdict is None else wanted.verdict == "real"
    now = CLOCK.now()
    params = {"episode_key": episode_key, "confirmed": confirmed, "actor": caller.name, "at": now}
    # First, since it takes the alarm's lock, which comes before the episode's everywhere.
    judged(connection, episode_key, confirmed, actor=caller.name, at=now, note=wanted.note or "")
    changed = fetch_one(connection, "human.confirm", params)
    if changed is not None:
        detail = {**changed, "verdict": wanted.verdict} | ({"note": wanted.note} if wanted.note else {})
        audit(connection, caller.name, "alarm.verdict", f"episode:{episode_key}", **detail)
    return find_episode(connection, episode_key, caller.scope)


# closing --------------------------------------------------------------------------------------------------------------


def close(connection: Connection, episode_key: int, caller: Caller, reason: str) -> Close | None:
    """Ask the shard's holder to close the episode; None where there is none.

    The command's key is the same for every try, so that two operators, or one on a bad line, close it once. Only when
    the holder has answered and the episode is open nevertheless does a new try get a key of its own.
    """
    episode = _locked(connection, episode_key, caller.scope)
    if episode is None:
        return None
    key = f"close:{episode_key}"
    command = fetch_one(connection, "api_alarms.find_command", {"key": key})
    if episode["cleared_at"] is not None:
        return Close(command, episode)
    while command is not None and command["consumed_at"] is not None:
        key = f"close:{episode_key}:{command['inbox_key']}"
        command = fetch_one(connection, "api_alarms.find_command", {"key": key})
    if command is not None:
        return Close(command, episode)
    _post(connection, episode, key, caller, reason)
    return Close(fetch_one(connection, "api_alarms.find_command", {"key": key}), episode, posted=True)


def _close_all(connection: Connection, episode_keys: Iterable[int], caller: Caller, reason: str) -> Acted:
    changed, failed = set(), {}
    for episode_key in sorted(episode_keys):
        try:
            closed = close(connection, episode_key, caller, reason)
        except CloseRefusedError as refused:
            failed[episode_key] = str(refused)
            continue
        if closed is None:
            failed[episode_key] = NOT_THERE
        elif closed.posted:
            changed.add(episode_key)
    return Acted(frozenset(changed), failed)


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


def _locked(connection: Connection, episode_key: int, scope: Scope) -> Row | None:
    """The episode, read only after its alarm is locked: what another wrote meanwhile is seen."""
    known = fetch_one(connection, "human.known", {"episode_keys": [episode_key]})
    if known is None:
        return None
    fetch_all(connection, "alarms.lock_alarms_by_key", {"alarm_keys": [known["alarm_key"]]})
    return find_episode(connection, episode_key, scope)
