"""Reconcile: what we pushed to a platform against what it has. docs/platforms.md.

its list, page by page → the database → matched there with our cases → each difference, one at a time, mended in a
transaction of its own. Neither side is ever in memory. What the platform has said while we compared counts for more
than its list, so it may be done at any time, and again.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from psycopg.types.json import Jsonb

from alerts.cases.callbacks import Found, PlatformSink, event_named, happened, see_to
from alerts.cases.events import Needs, Reached
from alerts.cases.record import Happened, apply, apply_all
from alerts.cases.states import FINAL, CaseState, Need
from alerts.channels.line import Line
from alerts.channels.platform.callbacks import Heard
from alerts.channels.platform.query import FEW, LONGEST_PAGE, Asking, Query, QueryError, Unread
from underfoot.audit.log import enter
from underfoot.clock import CLOCK
from underfoot.reports import moment
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

Scope = Literal["all", "open"]
What = Literal[
    "missing",
    "unknown",
    "differs",
    "ended_there",
    "ended_here",
    "goes_on_there",
    "confirmed",
    "number",
    "gone",
    "unread",
]

WHAT_LABELS: dict[str, str] = {
    "missing": "平台上没有（将重发）",
    "unknown": "平台有、本系统没有",
    "differs": "状态不一致",
    "ended_there": "平台已结束、本系统未结束",
    "ended_here": "本系统已结束、平台仍在办理",
    "goes_on_there": "平台结案后又在办理",
    "confirmed": "双方均已结束（补记平台结论）",
    "number": "平台编号补记或变更",
    "gone": "平台上已查不到的已结束案件",
    "unread": "无法识别的记录",
}

DONE_LABELS: dict[str, str] = {
    "applied": "按平台说法更新",
    "resent": "已重发",
    "under_way": "推送正在进行",
    "newer_word": "对账期间平台另有反馈",
    "kept_ours": "本系统进度在前，未变动",
    "needs_person": "待人工处理",
    "reported": "仅列出",
}

MOST_RESENT = 3
"""So often a case is sent again; then a person must look."""
_EXAMPLES = 20
_TOGETHER = 100
"""Differences that are mended in one transaction."""


class BusyError(Exception):
    """Another process compares this platform now."""


@dataclass
class Outcome:
    """What a comparison found, and what was done about it. `examples`: some of each difference, by name."""

    sink: str
    scope: Scope
    dry_run: bool
    listed: int = 0
    matched: int = 0
    ours: int = 0
    found: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    error: str | None = None

    def note(self, what: str, **example: Any) -> None:
        self.found[what] += 1
        kept = self.examples.setdefault(what, [])
        if len(kept) < _EXAMPLES:
            kept.append({name: value for name, value in example.items() if value is not None})

    def shown(self) -> dict[str, Any]:
        return asdict(self) | {"found": dict(self.found), "done": dict(self.done)}


@dataclass(frozen=True, slots=True)
class _Difference:
    what: What
    case_key: int | None
    platform_no: str | None
    state: str | None
    our_state: str | None
    heard: dict[str, Any] | None
    asked_at: datetime | None


def reconcile(
    database_url: str,
    sink: PlatformSink,
    scope: Scope,
    *,
    actor: str,
    timeout_s: float,
    dry_run: bool = False,
    force: bool = False,
    stop: threading.Event | None = None,
) -> Outcome:
    """Compare and mend. Raises BusyError, and QueryError where the platform cannot be asked at all, or its answer
    cannot be believed: so much is missing (`force`: believe it all the same)."""
    query = sink.config.query
    if query is None:
        raise QueryError(f"{sink.name}: query: is not set: its configuration does not say how it is asked")
    outcome = Outcome(sink.name, scope, dry_run)
    with (
        connect(database_url, "reconcile", autocommit=True) as reading,
        connect(database_url, "reconcile-acts", autocommit=True) as acting,
        _alone(acting, sink.sink_key),
        _on_record(acting, sink, outcome, actor),
    ):
        asking = _asking(sink, query, timeout_s, stop or threading.Event())
        try:
            _compare(reading, acting, sink, asking, outcome, actor, force=force)
        finally:
            asking.line.close()
    return outcome


def _compare(
    reading: Connection,
    acting: Connection,
    sink: PlatformSink,
    asking: Asking,
    outcome: Outcome,
    actor: str,
    *,
    force: bool,
) -> None:
    began = _now()
    reading.execute(statement("reconcile.make_theirs"))
    reading.execute(statement("reconcile.make_asked"))
    certain = outcome.scope == "open" and asking.query.ids is not None
    pages = _certain(reading, sink, asking) if certain else asking.everything()
    for page in _timed(pages):
        _keep(reading, page, outcome)
    key = {"sink_key": sink.sink_key}
    reading.execute("ANALYZE theirs")
    reading.execute(statement("reconcile.match"), key)
    reading.execute(statement("reconcile.index_matched"))
    reading.execute("ANALYZE matched")
    [(outcome.listed, outcome.matched, outcome.ours)] = reading.execute(statement("reconcile.sizes"), key).fetchall()
    params = {**key, "final": [state.value for state in FINAL], "began": began, "certain": certain}
    if not force:
        _believe(reading, asking.query, outcome, params)
    with reading.transaction(), reading.cursor("differences") as differences:
        differences.execute(statement("reconcile.differences"), params)
        while rows := differences.fetchmany(_TOGETHER):
            if asking.stop.is_set():
                raise QueryError("stopped before it was over")
            together = [_Difference(*row) for row in rows]
            for one in together:
                outcome.note(
                    one.what, case=one.case_key, platform_no=one.platform_no, theirs=one.state, ours=one.our_state
                )
            if not outcome.dry_run:
                outcome.done.update(_mend(acting, sink, together, actor))


def _believe(reading: Connection, query: Query, outcome: Outcome, params: dict[str, Any]) -> None:
    """A list with half of the cases gone is more likely cut off, or of somebody else, than a platform that lost them:
    sent again, they would all stand before the next alarm."""
    [(ours, missing)] = reading.execute(statement("reconcile.missing"), params).fetchall()
    if ours < FEW or missing * 100 <= ours * query.most_missing_percent:
        return
    refused = (
        f"{missing} of {ours} open cases are missing in its list, more than query.most_missing_percent ="
        f" {query.most_missing_percent}: nothing was mended. If it did lose them: underfoot platform reconcile"
        f" {outcome.sink} --force"
    )
    if outcome.dry_run:
        outcome.error = refused
        return
    outcome.found["missing"] = missing
    raise QueryError(refused)


# asking --------------------------------------------------------------------------------------------------------------


def _asking(sink: PlatformSink, query: Query, timeout_s: float, stop: threading.Event) -> Asking:
    config, written = sink.config, sink.config.times.written
    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    line = Line(max(timeout_s, 30.0), LONGEST_PAGE)
    return Asking(query, config.signer, headers, config.codes(required=False), written.form, written.zone, line, stop)


def _certain(reading: Connection, sink: PlatformSink, asking: Asking) -> Iterator[list[Heard | Unread]]:
    """What it has of our open cases, asked for a page of ids at a time."""
    by, after = asking.query.ids_are, 0
    while True:
        params = {"sink_key": sink.sink_key, "after": after, "by": by, "limit": asking.query.size}
        rows = reading.execute(statement("reconcile.to_ask"), params).fetchall()
        if not rows:
            return
        yield asking.certain([row[2] if by == "event_id" else row[1] for row in rows])
        reading.execute(statement("reconcile.note_asked"), {"case_keys": [row[0] for row in rows]})
        after = rows[-1][0]


def _timed(pages: Iterable[list[Heard | Unread]]) -> Iterator[tuple[datetime, list[Heard | Unread]]]:
    """Each page with the time before it was asked for: what came later is news to it."""
    asked = _now()
    for page in pages:
        yield asked, page
        asked = _now()


def _keep(reading: Connection, timed: tuple[datetime, list[Heard | Unread]], outcome: Outcome) -> None:
    asked_at, page = timed
    with reading.cursor() as cursor, cursor.copy(statement("reconcile.copy_theirs")) as copy:
        for one in page:
            if isinstance(one, Unread):
                outcome.note("unread", platform_no=one.platform_no, line=one.line, why=one.why)
            event = event_named(one.event_id)
            named = event.values() if event is not None else (None, None, None)
            read = (None, None) if isinstance(one, Unread) else (one.state.value, Jsonb(_plain(one)))
            copy.write_row((one.platform_no, one.push_id, *named, *read, asked_at))


def _plain(heard: Heard) -> dict[str, Any]:
    return asdict(heard) | {"at": None if heard.at is None else heard.at.isoformat()}


def _heard(plain: dict[str, Any]) -> Heard:
    at = plain["at"]
    when = None if at is None else datetime.fromisoformat(at)
    return Heard(**(plain | {"state": CaseState(plain["state"]), "at": when}))


# mending -------------------------------------------------------------------------------------------------------------


def _mend(acting: Connection, sink: PlatformSink, together: list[_Difference], actor: str) -> list[str]:
    """What was done about each difference, by name."""
    said: dict[int, _Difference] = {}
    done: list[str] = []
    for one in together:
        if one.case_key is None or one.what == "gone":
            done.append("reported")
        elif one.what in ("missing", "ended_here", "goes_on_there"):
            with acting.transaction():
                done.append(_see_to(acting, sink, one.what, one.case_key, actor))
        elif one.case_key in said:
            done.append("reported")  # it lists the case twice; the next comparison sees what is left of that
        else:
            said[one.case_key] = one
    if said:
        with acting.transaction():
            done += _as_said(acting, sink, said)
    return done


def _see_to(acting: Connection, sink: PlatformSink, what: What, case_key: int, actor: str) -> str:
    match what:
        case "missing":
            return _resend(acting, sink, case_key, actor, Need.not_on_platform, newest=False)
        case "ended_here":
            return _resend(acting, sink, case_key, actor, Need.goes_on_there, newest=True)
        case _:
            _needs(acting, case_key, Need.goes_on_there, actor)
            return "needs_person"


def _as_said(acting: Connection, sink: PlatformSink, said: dict[int, _Difference]) -> list[str]:
    """As if the platform had called back just now; of each of these cases."""
    now = _now()
    heard = {key: _heard(one.heard) for key, one in said.items() if one.heard is not None}
    rows = acting.execute(statement("reconcile.found"), {"case_keys": sorted(heard)})
    found = {one.case_key: one for one in (Found(*row) for row in rows)}
    see_to(acting, sink, [(one, heard[one.case_key].state) for one in found.values()], now)
    key = {"sink_key": sink.sink_key, "case_keys": sorted(found)}
    last_heard: dict[int, datetime | None] = dict(
        acting.execute(statement("reconcile.touch"), key | {"at": now}).fetchall()
    )
    last_known: dict[int, datetime | None] = dict(acting.execute(statement("reconcile.hold"), key).fetchall())
    events: list[Happened] = []
    lines: list[dict[str, Any]] = []
    done: list[str] = []
    for case_key in sorted(found):
        one, heard_at, known_at = said[case_key], last_heard[case_key], last_known[case_key]
        if one.asked_at is None or (heard_at is not None and heard_at > one.asked_at):
            done.append("newer_word")
            continue
        at = min(heard[case_key].at or one.asked_at, now)
        if known_at is not None and known_at >= at:
            # Its clock goes by seconds, or it says no time; that it is so now, we have just read.
            at = known_at + timedelta(microseconds=1)
        events += happened(sink, found[case_key], heard[case_key], at)
        lines.append({"case_key": case_key, "platform_no": heard[case_key].platform_no})
    acting.execute(statement("reconcile.heard"), {"sink_key": sink.sink_key, "at": now, "rows": Jsonb(lines)})
    for applied in apply_all(acting, events, actor=sink.actor, cause="reconcile"):
        if isinstance(applied.event, Reached):
            ours = applied.unmoved is not None and applied.after.state is not applied.event.to
            done.append(
                "kept_ours" if ours and said[applied.case_key].what in ("differs", "ended_there") else "applied"
            )
    return done


def _resend(acting: Connection, sink: PlatformSink, case_key: int, actor: str, need: Need, *, newest: bool) -> str:
    key = {"case_key": case_key, "sink_key": sink.sink_key}
    row = acting.execute(statement("reconcile.resent"), key).fetchone()
    if row is not None and row[0] >= MOST_RESENT:
        _needs(acting, case_key, need, actor)
        return "needs_person"
    [(under_way,)] = acting.execute(statement("reconcile.under_way"), key).fetchall()
    if under_way:
        return "under_way"
    owed = [delivery for (delivery,) in acting.execute(statement("reconcile.owe_again"), key | {"newest": newest})]
    if not owed:
        _needs(acting, case_key, need, actor)
        return "needs_person"
    acting.execute(statement("reconcile.count_resent"), key)
    enter(acting, actor, "case.resend", f"case:{case_key}", {"sink": sink.name, "deliveries": sorted(owed)})
    acting.execute(statement("reconcile.wake"))
    return "resent"


def _needs(acting: Connection, case_key: int, need: Need, actor: str) -> None:
    apply(acting, case_key, Needs(need), actor=actor, cause="reconcile", at=_now())


# around it -----------------------------------------------------------------------------------------------------------


@contextmanager
def _alone(acting: Connection, sink_key: int) -> Iterator[None]:
    [(ours,)] = acting.execute(statement("reconcile.lock"), {"sink_key": sink_key}).fetchall()
    if not ours:
        raise BusyError("another comparison with this platform is at work; it is on record when it is over")
    try:
        yield
    finally:
        if not acting.closed:
            acting.execute(statement("reconcile.unlock"), {"sink_key": sink_key})


@contextmanager
def _on_record(acting: Connection, sink: PlatformSink, outcome: Outcome, actor: str) -> Iterator[None]:
    """A dry run leaves no trace but in the log."""
    if outcome.dry_run:
        yield
        return
    begun = {"sink_key": sink.sink_key, "scope": outcome.scope, "actor": actor, "now": _now()}
    [(key,)] = acting.execute(statement("reconcile.begin"), begun).fetchall()
    try:
        yield
    except Exception as error:
        outcome.error = (str(error) or type(error).__name__)[:500]
        raise
    finally:
        if not acting.closed:
            ended = {"reconciliation_key": key, "now": _now(), "error": outcome.error, "found": Jsonb(outcome.shown())}
            with acting.transaction():
                acting.execute(statement("reconcile.end"), ended)
                said = {"scope": outcome.scope, "listed": outcome.listed, "ours": outcome.ours, "error": outcome.error}
                counts = {"found": dict(outcome.found), "done": dict(outcome.done)}
                enter(acting, actor, "platform.reconcile", f"sink:{sink.name}", said | counts)


def _now() -> datetime:
    return moment(CLOCK.now_us()).astimezone(UTC)
