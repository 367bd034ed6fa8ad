"""The outbox as the dispatcher uses it: what is due for whom, claiming it, and settling what became of it.

Every function here is part of its caller's transaction.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson

from alerts.cases.receipts import received
from alerts.channels.interface import BadMessage, Delivered, Outcome, Retry, SinkFailure
from alerts.deliver.breaker import RETRY_FOR, Breaker, SinkEvent, after, backoff_s, event
from alerts.deliver.verdict import Facts, Verdict, behind
from alerts.duty.message import AT_ONCE
from alerts.record.snapshot import Notice, Snapshot
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

Audience = Literal["platform", "crew", "duty", "upward"]
"""platform: every notice of alarms that are cases. upward: by a stream of its own (alerts/upward). crew: alarms of its
unit, its area, or whatever no other crew is for, and their end. duty: one person, told by name that nobody has
answered, or of an alarm that no crew's sink is for; and of the end of what was told."""

ALTERNATE_AFTER = timedelta(seconds=60)
_LONGEST_ERROR = 500
_LONGEST_RECEIPT = 8192


@dataclass(frozen=True)
class SinkAtWork:
    """A sink that may be sent to. `next_in_s`: when something will be due, if nothing is."""

    sink_key: int
    name: str
    channel: str
    audience: Audience
    config: dict[str, Any]
    breaker: Breaker
    due: bool
    next_in_s: float | None
    units: tuple[str, ...]
    quiet: list[Any]


@dataclass(frozen=True)
class Claimed:
    """A delivery that is ours until `lease_until`, with what decides whether its receiver is told."""

    delivery_key: int
    sink_key: int
    idempotency_key: str
    notice: Notice
    snapshot: Snapshot
    attempts: int
    lease_until: datetime
    episode_key: int | None
    owed_for_s: float
    over: bool
    told: bool
    answered: bool
    suppressed: bool
    overtaken: bool
    quieted: bool
    company: str | None
    owed_since: datetime
    alarm_key: int
    episode: int
    severity: int

    def facts(self, *, to_crew: bool, quiet: bool = False) -> Facts:
        return Facts(
            to_crew,
            self.notice,
            self.over,
            self.told,
            behind(self.snapshot),
            timedelta(seconds=self.owed_for_s),
            self.answered,
            self.suppressed,
            quiet,
            self.overtaken,
            _at_once(self.snapshot),
        )


@dataclass(frozen=True)
class Attempted:
    """A claimed delivery, and what came of the attempt. `told_with`: the delivery by whose link several were told."""

    claimed: Claimed
    outcome: Outcome
    told_with: int | None = None


@dataclass(frozen=True)
class NotTold:
    """A claimed delivery whose verdict is not to tell, ever or for `wait_s`."""

    claimed: Claimed
    verdict: Verdict
    wait_s: float = 0.0


@dataclass
class Settled:
    """What the database did. `states`: of deliveries, by key. `events`: which sinks began or ceased to fail.
    `closed`: sinks that are to be sent nothing for a while.
    """

    states: dict[int, str] = field(default_factory=dict)
    events: dict[int, SinkEvent] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)


def sinks_at_work(connection: Connection) -> list[SinkAtWork]:
    rows = connection.execute(statement("outbox.sinks_at_work")).fetchall()
    return [
        SinkAtWork(
            key,
            name,
            channel,
            audience,
            config,
            Breaker(failures, max(closed_s, 0.0)),
            due,
            next_in_s,
            tuple(units),
            quiet,
        )
        for key, name, channel, audience, config, failures, closed_s, due, next_in_s, units, quiet in rows
    ]


def claim(
    connection: Connection, counts: dict[int, int], lease_s: float, least: dict[int, int] | None = None
) -> list[Claimed]:
    """Lease up to `counts[sink_key]` due deliveries for each sink, at least so severe as `least` says: the first owed
    one of each alarm, red first."""
    given = {
        "sinks": list(counts),
        "counts": list(counts.values()),
        "least": [(least or {}).get(sink_key, 0) for sink_key in counts],
        "lease_s": lease_s,
    }
    return _claimed(connection, [row[0] for row in connection.execute(statement("outbox.claim"), given)])


def claim_company(connection: Connection, claimed: Sequence[Claimed], lease_s: float, most: int) -> list[Claimed]:
    """Lease what is told in one message with what has been claimed: its company, due or not; what waited for the end of
    quiet hours with it."""
    wanted = {(one.sink_key, one.company) for one in claimed if one.company is not None}
    quieted = {one.sink_key for one in claimed if one.quieted}
    if not wanted and not quieted:
        return []
    given = {
        "sinks": [sink_key for sink_key, _ in wanted],
        "companies": [company for _, company in wanted],
        "quieted": list(quieted),
        "most": most,
        "lease_s": lease_s,
    }
    return _claimed(connection, [row[0] for row in connection.execute(statement("outbox.claim_company"), given)])


def sent_lately(connection: Connection, sink_keys: Sequence[int], within_s: float) -> list[float]:
    """How many seconds ago each message of the last so many was sent to these sinks."""
    given = {"sinks": list(sink_keys), "within_s": within_s}
    return [float(row[0]) for row in connection.execute(statement("outbox.sent_lately"), given)]


def claim_probe(connection: Connection, sink_key: int, lease_s: float) -> list[Claimed]:
    """Lease one delivery to try a failing sink with."""
    given = {"sink_key": sink_key, "lease_s": lease_s}
    return _claimed(connection, [row[0] for row in connection.execute(statement("outbox.claim_probe"), given)])


def reserve_probe(connection: Connection, sink_key: int, probe_every_s: float) -> bool:
    """Whether we are the one to probe this sink now."""
    given = {"sink_key": sink_key, "probe_every_s": probe_every_s}
    return connection.execute(statement("outbox.reserve_probe"), given).rowcount == 1


def _claimed(connection: Connection, delivery_keys: list[int]) -> list[Claimed]:
    if not delivery_keys:
        return []
    rows = connection.execute(statement("outbox.claimed"), {"delivery_keys": delivery_keys}).fetchall()
    return [Claimed(*row) for row in rows]


def owe_alternates(connection: Connection) -> int:
    """Owe to alternates what their sinks have not taken in time. Returns how many deliveries are new."""
    return connection.execute(statement("outbox.owe_alternates"), {"after_s": ALTERNATE_AFTER.total_seconds()}).rowcount


def release(connection: Connection, claimed: Sequence[Claimed]) -> None:
    if claimed:
        connection.execute(
            statement("outbox.release"),
            {"delivery_keys": [c.delivery_key for c in claimed], "leases": [c.lease_until for c in claimed]},
        )


def settle(
    connection: Connection,
    results: Sequence[Attempted | NotTold],
    *,
    names: dict[int, str],
    retry_base_s: float,
    draw: random.Random,
) -> Settled:
    """Write what became of claimed deliveries, and what that means for their sinks.

    Doing it again after an error at COMMIT, when nobody knows whether it was done, changes nothing twice: only what is
    still owed and ours is written, and only what was written counts for a sink's breaker.
    """
    # By delivery key: two transactions that settle the same rows lock them in the same order.
    draws: dict[int, float] = {}
    rows = sorted(
        (_row(result, retry_base_s, draw, draws) for result in results), key=lambda row: int(row["delivery_keys"])
    )
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    if not columns:
        return Settled()
    columns["retry_for_s"] = RETRY_FOR.total_seconds()
    settled = Settled(dict(connection.execute(statement("outbox.settle"), columns).fetchall()))
    received(
        connection,
        [
            (result.claimed.delivery_key, result.outcome.receipt.get("platform_no"))
            for result in results
            if isinstance(result, Attempted)
            and isinstance(result.outcome, Delivered)
            and settled.states.get(result.claimed.delivery_key) == "delivered"
        ],
    )
    outcomes: dict[int, list[Outcome]] = {}
    counted: set[int] = set()
    for result in results:
        if isinstance(result, Attempted) and result.claimed.delivery_key in settled.states:
            if result.told_with in counted:
                continue  # several told in one message are one attempt
            if result.told_with is not None:
                counted.add(result.told_with)
            outcomes.setdefault(result.claimed.sink_key, []).append(result.outcome)
    if outcomes:
        settled.events, settled.closed = move_breakers(
            connection, outcomes, names=names, retry_base_s=retry_base_s, draw=draw
        )
    return settled


def _row(
    result: Attempted | NotTold, retry_base_s: float, draw: random.Random, draws: dict[int, float]
) -> dict[str, Any]:
    """`draws`: what was told in one message is tried again together."""
    row: dict[str, Any] = {
        "delivery_keys": result.claimed.delivery_key,
        "leases": result.claimed.lease_until,
        "states": "owed",
        "attempted": isinstance(result, Attempted),
        "delays_s": 0.0,
        "errors": None,
        "receipts": None,
        "verdicts": Verdict.tell.value,
        "maybe_told": False,
        "expires": False,
        "told_with": None,
    }
    if isinstance(result, NotTold):
        return row | {
            "states": "dropped" if result.verdict.drops else "owed",
            "delays_s": result.wait_s,
            "verdicts": result.verdict.value,
        }
    row["told_with"] = result.told_with
    delay_s = backoff_s(result.claimed.attempts + 1, retry_base_s, draw)
    if result.told_with is not None:
        delay_s = draws.setdefault(result.told_with, delay_s)
    match result.outcome:
        case Delivered(receipt):
            return row | {"states": "delivered", "receipts": _stored(receipt)}
        case BadMessage(error):
            return row | {"states": "dead", "errors": _shown(error)}
        case SinkFailure(error):
            return row | {"delays_s": delay_s, "errors": _shown(error)}
        case Retry(error, after_s, _, maybe_received):
            return row | {
                "delays_s": max(delay_s, after_s or 0.0),
                "errors": _shown(error),
                "maybe_told": maybe_received,
                "expires": True,
            }


def move_breakers(
    connection: Connection,
    outcomes: dict[int, list[Outcome]],
    *,
    names: dict[int, str],
    retry_base_s: float,
    draw: random.Random,
) -> tuple[dict[int, SinkEvent], set[int]]:
    """Move the sinks' breakers by what came of attempts, and tell the first shard's holder which began or ceased to
    fail."""
    events: dict[int, SinkEvent] = {}
    closed: set[int] = set()
    locked = connection.execute(statement("outbox.lock_breakers"), {"sinks": list(outcomes)}).fetchall()
    for sink_key, failures, closed_for_s in locked:
        before = Breaker(failures, max(closed_for_s, 0.0))
        now = after(before, outcomes[sink_key], retry_base_s, draw)
        error = _last_error(outcomes[sink_key])
        if now != before or error is not None:
            connection.execute(
                statement("outbox.put_breaker"),
                {"sink_key": sink_key, "failures": now.failures, "closed_for_s": now.closed_for_s, "last_error": error},
            )
        if now.closed_for_s > 0:
            closed.add(sink_key)
        happened = event(before, now)
        if happened is SinkEvent.working:
            connection.execute(statement("outbox.bring_forward"), {"sink_key": sink_key})
        if happened is not None:
            events[sink_key] = happened
            command = {
                "kind": happened.value,
                "sink": names[sink_key],
                "sink_key": sink_key,
                "error": error,
            }
            connection.execute(statement("outbox.post_sink_command"), command)
    return events, closed


def _at_once(snapshot: Snapshot) -> bool:
    """Whether it says that somebody has not answered what was raised only just now."""
    told = snapshot.get("escalation")
    if told is None or told["sink"]:
        return False
    return datetime.fromisoformat(told["told_at"]) - datetime.fromisoformat(told["since"]) < AT_ONCE


def _last_error(outcomes: list[Outcome]) -> str | None:
    """What the sink last failed with, unless it has worked since."""
    last = outcomes[-1]
    return _shown(last.error) if isinstance(last, Retry | SinkFailure) else None


def _shown(error: str) -> str:
    return error.replace("\x00", "").encode("utf-8", "replace").decode()[:_LONGEST_ERROR]


def _stored(receipt: dict[str, Any]) -> str:
    """The receipt as jsonb takes it: no NUL, and no longer than an answer of use is."""
    text = orjson.dumps(receipt, default=str).decode()
    if len(text) > _LONGEST_RECEIPT or "\\u0000" in text:
        text = orjson.dumps({"begins": text[:1000].replace("\\u0000", "")}).decode()
    return text
