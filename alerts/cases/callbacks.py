"""Callbacks: what a platform tells back of cases, from the request to each case's next step. docs/platforms.md.

signature → once only → read by the sink's configuration → whose case → the case's steps, and the alarm is acknowledged.
A request has one callback, or a list of them, each judged alone. All of it is one transaction: a callback is answered
as taken only when it is committed.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import orjson
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.cases.events import Reached, Received, Supervised
from alerts.cases.record import Happened, apply_all
from alerts.cases.states import FINAL, RANK, CaseState
from alerts.channels import ChannelError, parse_config
from alerts.channels.platform.callbacks import CallbackError, Heard
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.verifiers.incoming import Incoming, NotVerifiedError, Opened
from alerts.regions.actions import acknowledge, unacknowledge
from alerts.regions.human import PLATFORM
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

ONCE_IN_S = 600.0
"""For so long a nonce is not used again."""

_AHEAD = timedelta(minutes=3)
"""So far a platform's clock may be ahead of ours and still say what came after what."""

PUSH_ID = "x-push-id"
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_EVENT = re.compile(r"([0-9]{1,18})-([0-9]{1,9})(?:-([0-9]{1,4}))?", re.ASCII)

SEEN = frozenset(state for state in CaseState if RANK[state] >= RANK[CaseState.accepted] and state not in FINAL)
"""Where a case is, somebody on the platform sees to it: the alarm is acknowledged, and its escalation stops."""


class RefusedError(Exception):
    """A callback that is not taken. `status` is HTTP's; `why` is what the audit log has."""

    def __init__(self, status: Literal[400, 401, 403, 404], why: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class PlatformSink:
    """A platform that may call back."""

    sink_key: int
    name: str
    config: PlatformConfig

    @property
    def actor(self) -> str:
        """In the record: as whose doing it stands there."""
        return f"{PLATFORM}{self.name}"


@dataclass(frozen=True, slots=True)
class Found:
    """A case that a platform speaks of, as it was when it was looked for. `sink_key`: whose number it has.
    `open`: neither the case is over nor its alarm."""

    case_key: int
    sink_key: int | None
    episode_key: int
    acknowledged_by: str | None
    open: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What a callback did. `moved`: the case is elsewhere by it. `repeated`: it had come before."""

    case_key: int
    state: CaseState
    moved: bool
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a request did, callback by callback. `listed`: it had a list of them."""

    listed: bool
    each: tuple[Taken | RefusedError, ...]


def platform_sink(connection: Connection, name: str) -> PlatformSink:
    """The sink that a path names. RefusedError: there is none to which a platform may call back."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement("callbacks.platform_sink"), {"name": name.replace("\0", "")}).fetchone()
    if row is None or row["channel"] != "platform" or row["audience"] != "platform":
        raise RefusedError(404, "no_such_sink", f"{name[:64]!r}: there is no platform of this name")
    if not row["enabled"]:
        raise RefusedError(403, "disabled", f"{name}: is not in use")
    try:
        config = _parsed(orjson.dumps(row["config"], option=orjson.OPT_SORT_KEYS))
    except ChannelError as error:
        raise RefusedError(404, "unusable", f"{name}: its configuration cannot be used: {error}") from None
    return PlatformSink(row["sink_key"], row["name"], config)


@lru_cache(16)
def _parsed(config: bytes) -> PlatformConfig:
    """Reading a configuration takes longer than all else that a callback takes."""
    parsed = parse_config("platform", orjson.loads(config))
    if not isinstance(parsed, PlatformConfig):
        raise TypeError(f"channel platform has {type(parsed).__name__} for its settings")
    return parsed


def take(connection: Connection, sink: PlatformSink, incoming: Incoming, now: datetime) -> Told:
    """What a request tells, in its caller's transaction. Raises RefusedError where none of it can be taken, and then
    nothing may be committed."""
    opened = _opened(connection, sink, incoming, now)
    callbacks = sink.config.callbacks
    if not callbacks.fields:
        raise RefusedError(404, "no_fields", f"{sink.name}: its configuration does not say how callbacks are read")
    _storable(opened.body)
    try:
        listed = callbacks.listed(opened.body)
    except CallbackError as error:
        raise RefusedError(400, "unreadable", str(error)) from None
    bodies = [opened.body] if listed is None else listed
    heard, refused = _heard(sink, bodies)
    found, strange = find(connection, sink, heard, incoming.headers.get(PUSH_ID) if listed is None else None)
    refused |= strange
    if len(refused) == len(bodies):
        raise refused[0]
    taken = _taken(connection, sink, _callbacks(heard, found, bodies, opened.once), now)
    return Told(listed is not None, tuple(taken[at] if at in taken else refused[at] for at in range(len(bodies))))


def _storable(body: Any) -> None:
    try:
        plain = orjson.dumps(body)
    except TypeError:
        raise RefusedError(400, "unreadable", "the body has objects in objects beyond measure") from None
    if _NUL.search(plain) is not None:
        raise RefusedError(400, "unreadable", "the body has a NUL character in it")


def _heard(sink: PlatformSink, bodies: Sequence[Any]) -> tuple[dict[int, Heard], dict[int, RefusedError]]:
    callbacks, times = sink.config.callbacks, sink.config.times.written
    heard: dict[int, Heard] = {}
    refused: dict[int, RefusedError] = {}
    for at, body in enumerate(bodies):
        try:
            heard[at] = callbacks.heard(body, callbacks.time or times.form, times.zone)
        except CallbackError as error:
            refused[at] = RefusedError(400, "unreadable", str(error))
    return heard, refused


@dataclass(frozen=True, slots=True)
class _Callback:
    """A callback, and the case that it is about. The same again has the same `key`."""

    heard: Heard
    found: Found
    body: Any
    key: tuple[int, bytes]


def _callbacks(
    heard: Mapping[int, Heard], found: Mapping[int, Found], bodies: Sequence[Any], once: str | None
) -> dict[int, _Callback]:
    """Without a time, what has the same words is the same only within one request, and there only at the same place of
    a case's course: a list may say that it is handled, suspended, and handled again."""
    said: Counter[tuple[int, bytes]] = Counter()
    callbacks: dict[int, _Callback] = {}
    for at in sorted(found):
        one, case_key = heard[at], found[at].case_key
        digest = one.digest()
        if one.at is None:
            said[case_key, digest] += 1
            digest = _digest(repr((once, digest, said[case_key, digest])))
        callbacks[at] = _Callback(one, found[at], bodies[at], (case_key, digest))
    return callbacks


def _taken(
    connection: Connection, sink: PlatformSink, callbacks: Mapping[int, _Callback], now: datetime
) -> dict[int, Taken]:
    see_to(connection, sink, [(one.found, one.heard.state) for one in callbacks.values()], now)
    first: dict[tuple[int, bytes], int] = {}
    for at, one in callbacks.items():
        first.setdefault(one.key, at)
    new = _kept(connection, sink, {key: callbacks[at].body for key, at in first.items()}, now)
    told = _told(connection, sink, {first[key]: callbacks[first[key]] for key in first if key in new}, now)
    return {
        at: told[at] if at in told else Taken(one.found.case_key, one.heard.state, moved=False, repeated=True)
        for at, one in callbacks.items()
    }


def see_to(connection: Connection, sink: PlatformSink, said: Iterable[tuple[Found, CaseState]], now: datetime) -> None:
    """Whose case the platform has taken up, that alarm is acknowledged; where it ends the case while the alarm is open,
    nobody sees to it any more: what it has acknowledged is taken back. Before cases are held, as alarms are locked
    before their cases."""
    last = {found.episode_key: (found, state) for found, state in said}
    taken_up = [key for key, (found, state) in last.items() if state in SEEN and found.acknowledged_by is None]
    left = [
        key
        for key, (found, state) in last.items()
        if state in FINAL and found.open and found.acknowledged_by == sink.actor
    ]
    if taken_up:
        acknowledge(connection, taken_up, sink.actor, now)
    if left:
        unacknowledge(connection, left, sink.actor, now)


def _kept(
    connection: Connection, sink: PlatformSink, bodies: Mapping[tuple[int, bytes], Any], now: datetime
) -> set[tuple[int, bytes]]:
    """Keep callbacks as they came; which of them had not come before."""
    rows = [{"case_key": case, "digest": digest.hex(), "body": body} for (case, digest), body in bodies.items()]
    params = {"sink_key": sink.sink_key, "at": now, "rows": Jsonb(rows)}
    return {(case_key, digest) for case_key, digest in connection.execute(statement("callbacks.keep"), params)}


def _told(
    connection: Connection, sink: PlatformSink, callbacks: Mapping[int, _Callback], now: datetime
) -> dict[int, Taken]:
    """What the platform says of cases, as steps of them."""
    if not callbacks:
        return {}
    numbers: dict[int, str | None] = {}
    for one in callbacks.values():
        numbers[one.found.case_key] = one.heard.platform_no or numbers.get(one.found.case_key)
    params = {"sink_key": sink.sink_key, "at": now, "case_keys": list(numbers), "platform_nos": list(numbers.values())}
    connection.execute(statement("callbacks.heard"), params)
    events: list[Happened] = []
    last: dict[int, int] = {}
    for at, one in callbacks.items():
        # Those without a time were one after the other, too.
        when = now + timedelta(microseconds=at) if one.heard.at is None else min(one.heard.at, now + _AHEAD)
        events += happened(sink, one.found, one.heard, when)
        last[at] = len(events) - 1
    done = apply_all(connection, events, actor=sink.actor, cause="callback")
    return {at: Taken(done[i].case_key, done[i].after.state, done[i].moved) for at, i in last.items()}


def happened(sink: PlatformSink, found: Found, heard: Heard, at: datetime) -> list[Happened]:
    """What follows for the case from what the platform says of it; last of all, where it is. What is so already is no
    step."""
    detail = {"status": heard.status, **({"operator": heard.operator} if heard.operator else {})}
    events: list[Happened] = []
    if found.sink_key in (None, sink.sink_key):
        events.append(Happened(found.case_key, Received(sink.sink_key, heard.platform_no), at))
    if heard.supervised is not None:
        events.append(Happened(found.case_key, Supervised(heard.supervised), at, detail=detail))
    duplicate_of = heard.duplicate_of if heard.state in FINAL else None
    reached = Reached(heard.state, heard.rework, duplicate_of)
    return [*events, Happened(found.case_key, reached, at, heard.note, detail)]


def find(
    connection: Connection, sink: PlatformSink, heard: Mapping[int, Heard], push_id: str | None
) -> tuple[dict[int, Found], dict[int, RefusedError]]:
    """The cases that are meant: by the delivery's key in the header or the body, by the event, by the number."""
    found: dict[int, Found] = {}
    strangers: set[int] = set()
    for name, asked in (
        ("callbacks.by_push_id", {at: {"push_id": push_id} for at in heard if push_id}),
        ("callbacks.by_push_id", {at: {"push_id": one.push_id} for at, one in heard.items() if one.push_id}),
        ("callbacks.by_event", {at: event for at, one in heard.items() if (event := event_named(one.event_id))}),
        ("callbacks.by_number", {at: {"number": one.platform_no} for at, one in heard.items() if one.platform_no}),
    ):
        sought = [{"at": at, **key} for at, key in asked.items() if at not in found]
        if not sought:
            continue
        params = {"sink_key": sink.sink_key, "sought": Jsonb(sought)}
        for at, owner, *case in connection.execute(statement(name), params):
            if owner == sink.sink_key:
                found[at] = Found(*case)
            else:
                strangers.add(at)
    missing = {at: _not_found(one, push_id, stranger=at in strangers) for at, one in heard.items() if at not in found}
    return found, missing


def _not_found(heard: Heard, push_id: str | None, *, stranger: bool) -> RefusedError:
    said = f"push_id = {push_id or heard.push_id!r}, event_id = {heard.event_id!r}, platform_no = {heard.platform_no!r}"
    if stranger:
        return RefusedError(403, "not_its_case", f"{said}: the case was never told to this platform")
    return RefusedError(404, "no_such_case", f"{said}: there is no such case")


def event_named(event_id: str | None) -> dict[str, int] | None:
    """An event's id as we wrote it: of an alarm's episode, which may have had cases before."""
    written = _EVENT.fullmatch(event_id or "")
    if written is None:
        return None
    return {"alarm_key": int(written[1]), "episode": int(written[2]), "again": int(written[3] or 0)}


def _opened(connection: Connection, sink: PlatformSink, incoming: Incoming, now: datetime) -> Opened:
    signer = sink.config.callbacks.signer
    if signer is None:
        raise RefusedError(404, "no_signer", f"{sink.name}: takes no callbacks: callbacks.signer is not set")
    try:
        opened = signer.opened(incoming, now.timestamp())
    except NotVerifiedError as error:
        raise RefusedError(403 if error.why == "stranger" else 401, error.why, str(error)) from None
    if opened.once is not None:
        once = {"sink_key": sink.sink_key, "digest": _digest(opened.once), "kept_s": ONCE_IN_S}
        if connection.execute(statement("callbacks.use_up"), once).fetchone() is None:
            raise RefusedError(401, "replayed", f"nonce: was used already within {ONCE_IN_S / 60:.0f} min")
        connection.execute(statement("callbacks.forget_used"), {"kept_s": ONCE_IN_S})
    return opened


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]
