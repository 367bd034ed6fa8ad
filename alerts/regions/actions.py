"""What people do to alarms, here or on the city's platform: in their caller's transaction, under the alarms' locks.

`actor` is whose doing it is: a key's name, or the platform's that a receipt came from. All of it may be done again with
the same result. The condition is not written here: closing by hand is a command to the shard's holder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.record.locked import Locked
from alerts.regions import human
from alerts.regions.human import Change, Seen
from alerts.regions.suppress import suppress, unsuppress
from alerts.regions.suppression import Region, found
from underfoot.alarms import Reason, Severity, Suppression
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an action. Episodes that are in neither were as wanted already; `unknown`: there are none such."""

    changed: frozenset[int]
    unknown: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Known:
    episode_key: int
    alarm_key: int
    episode: int


def acknowledge(connection: Connection, episode_keys: Iterable[int], actor: str, at: datetime) -> Done:
    """Somebody has taken notice of them, open or cleared; it stops escalation."""
    return change_human(connection, episode_keys, actor, at, lambda seen, _open: human.acknowledge(seen, actor, at))


def unacknowledge(connection: Connection, episode_keys: Iterable[int], actor: str, at: datetime) -> Done:
    """They are to be seen to again, as if nobody had taken notice."""
    return change_human(connection, episode_keys, actor, at, lambda seen, _open: human.unacknowledge(seen))


def change_human(
    connection: Connection,
    episode_keys: Iterable[int],
    actor: str,
    at: datetime,
    decide: Callable[[Seen, bool], Change | None],
) -> Done:
    """Change the operators' region where `decide` says so, asked once the alarms are locked: of the region, and of
    whether the episode is open."""
    wanted = set(episode_keys)
    known = _known(connection, wanted)
    locked = Locked(connection)
    locked.lock_keys(sorted({one.alarm_key for one in known}))
    episodes = locked.episodes((one.alarm_key, one.episode) for one in known)
    changed = set()
    for one in known:
        episode = episodes[one.alarm_key, one.episode]
        change = decide(episode.seen, episode.cleared_at is None)
        if change is not None:
            locked.change_human(locked[one.alarm_key], episode, change, actor, at=at, received_at=at)
            changed.add(one.episode_key)
    if changed:
        locked.write()
    return Done(frozenset(changed), _unknown(wanted, known))


def assign(connection: Connection, episode_keys: Iterable[int], to: str | None, at: datetime) -> Done:
    """Somebody is to see to them; None: nobody in particular."""
    wanted = set(episode_keys)
    known = _known(connection, wanted)
    Locked(connection).lock_keys(sorted({one.alarm_key for one in known}))
    params = {"episode_keys": sorted(wanted), "to": to, "at": at}
    changed = {key for (key,) in connection.execute(statement("human.assign"), params)}
    return Done(frozenset(changed), _unknown(wanted, known))


def comment(connection: Connection, episode_keys: Iterable[int], text: str, actor: str, at: datetime) -> Done:
    """Somebody has something to say about them."""
    wanted = set(episode_keys)
    params = {"episode_keys": sorted(wanted), "text": text, "actor": actor, "at": at}
    said = {key for (key,) in connection.execute(statement("human.comment"), params)}
    return Done(frozenset(said), frozenset(wanted - said))


@dataclass(frozen=True, slots=True)
class Shelved(Done):
    """`unreasoned`: red alarms, which nobody shelves without saying why."""

    unreasoned: frozenset[int]


def shelve(
    connection: Connection, episode_keys: Iterable[int], actor: str, at: datetime, *, until: datetime, reason: str
) -> Shelved:
    """Nobody is told of the alarms of these episodes, nor of their next episodes, `until` then or until it gets worse.
    Again changes the time and the reason."""
    wanted = set(episode_keys)
    known = _known(connection, wanted)
    locked = Locked(connection)
    locked.lock_keys(sorted({one.alarm_key for one in known}))
    episodes = locked.episodes((one.alarm_key, one.episode) for one in known)
    unreasoned = set()
    for one in known:
        current = locked[one.alarm_key].open or episodes[one.alarm_key, one.episode]
        if current.severity == Severity.red and not reason:
            unreasoned.add(one.episode_key)
    taken = [one for one in known if one.episode_key not in unreasoned]
    before = {one.alarm_key: locked[one.alarm_key].region for one in taken}
    suppress(connection, sorted(before), Suppression.shelved, reason=reason, actor=actor, until=until, at=at)
    changed = {one.episode_key for one in taken if not _is_so(before[one.alarm_key], until, reason)}
    return Shelved(frozenset(changed), _unknown(wanted, known), frozenset(unreasoned))


def unshelve(connection: Connection, episode_keys: Iterable[int], actor: str, at: datetime) -> Done:
    """The alarms of these episodes are told of again, beginning with their present state."""
    wanted = set(episode_keys)
    known = _known(connection, wanted)
    locked = Locked(connection)
    locked.lock_keys(sorted({one.alarm_key for one in known}))
    shelved = {one for one in known if any(s.kind is Suppression.shelved for s in locked[one.alarm_key].region)}
    unsuppress(
        connection,
        alarm_keys=sorted({one.alarm_key for one in shelved}),
        kind=Suppression.shelved,
        reason=Reason.unshelved,
        actor=actor,
        at=at,
    )
    return Done(frozenset(one.episode_key for one in shelved), _unknown(wanted, known))


@dataclass(frozen=True, slots=True)
class Order:
    """A work order on an asset or on one device of it, and the rules it is about (ids, and groups such as `cover`)."""

    order: str
    device_key: int | None
    asset_key: int | None
    rules: Sequence[str]
    groups: Sequence[str]

    @property
    def cause(self) -> str:
        return cause_of(self.order)


def cause_of(order: str) -> str:
    return f"order:{order}"


def begin_out_of_service(connection: Connection, order: Order, actor: str, at: datetime, *, reason: str) -> list[int]:
    """The crew has arrived: what the order is about is told to nobody until it is done, alarms that have never been
    raised included. Returns the alarms' keys; none: the order is about nothing that there is."""
    params = {
        "device_key": order.device_key,
        "asset_key": order.asset_key,
        "rules": list(order.rules),
        "groups": list(order.groups),
    }
    subjects = connection.execute(statement("human.subjects_of_order"), params).fetchall()
    if not subjects:
        return []
    locked = Locked(connection)
    locked.lock_subjects((kind, key, rule_id) for kind, key, rule_id in subjects)
    keys = [alarm.alarm_key for alarm in locked]
    suppress(connection, keys, Suppression.out_of_service, cause=order.cause, reason=reason, actor=actor, at=at)
    return keys


def end_out_of_service(connection: Connection, order: str, actor: str, at: datetime) -> int:
    """The order is done. Returns of how many alarms that ended the suppression."""
    return unsuppress(
        connection,
        kind=Suppression.out_of_service,
        cause=cause_of(order),
        reason=Reason.in_service_again,
        actor=actor,
        at=at,
    )


def _known(connection: Connection, episode_keys: set[int]) -> list[_Known]:
    rows = connection.execute(statement("human.known"), {"episode_keys": sorted(episode_keys)})
    return [_Known(*row) for row in rows]


def _unknown(wanted: set[int], known: Iterable[_Known]) -> frozenset[int]:
    return frozenset(wanted - {one.episode_key for one in known})


def _is_so(region: Region, until: datetime, reason: str) -> bool:
    shelved = found(region, Suppression.shelved, "")
    return shelved is not None and (shelved.until, shelved.reason) == (until, reason)
