"""Owe: what a transition owes to sinks, in the transaction that records it. Which crew is told, alerts/telling decides;
that the platform is, and whoever was told before, `alarms.enqueue` sees to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from psycopg.types.json import Jsonb

from alerts.cases.filing import Filed, file
from alerts.record.snapshot import Notice as NoticeName
from alerts.telling.whom import Found, Wanted, whom
from underfoot.alarms import Reason
from underfoot.reports import moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

if TYPE_CHECKING:
    from alerts.record.locked import Alarm, Episode

Receivers = Literal["all", "told", "told_but_crews", "untold", "named"]
"""`all`: whom the alarm concerns by its rule, asset and severity, and whoever was told of the episode. `told` and
`untold`: those who have, or may have, an earlier notice of the episode, and those of all who have none;
`told_but_crews`: no crews of the former. `named`: the sinks that the notice names."""


@dataclass(frozen=True, slots=True)
class Addressed:
    """Whom the alarm concerns: its rule's order for a crew, and what it is on the city's platform."""

    crew: dict[str, Any] | None
    case: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Refiling:
    """Somebody files an alarm again (再次立案) whose case is over."""

    actor: str
    note: str


@dataclass(slots=True)
class Notice:
    """One notice to some receivers, with the episode as it was at its transition. `addressed` and `proof` are None
    where they are the present ones in the database."""

    alarm: Alarm
    facts: dict[str, Any]
    addressed: Addressed | None
    receivers: Receivers
    sinks: tuple[int, ...] = ()
    filed: Filed | None = None
    """What its case is, and what platforms are told; None: as alerts/cases/filing.py finds."""
    refiling: Refiling | None = None


def notice(
    alarm: Alarm,
    episode: Episode,
    name: NoticeName,
    *,
    number: int,
    reason: Reason,
    at: datetime,
    title: str | None = None,
    rule_version: int | None = None,
    proof: dict[str, Any] | None = None,
    addressed: Addressed | None = None,
    receivers: Receivers = "all",
    sinks: Sequence[int] = (),
) -> Notice:
    """What a notice of this episode says, for the transition `number`."""
    facts: dict[str, Any] = {
        "alarm_key": alarm.alarm_key,
        "episode": episode.episode,
        "transition_no": number,
        "notice": name,
        "reason": reason.value,
        "rule_id": alarm.subject[2],
        "rule_version": rule_version if rule_version is not None else episode.rule_version,
        "title": title if title is not None else episode.title,
        "severity": episode.severity,
        "worst_severity": episode.worst,
        "event_at": at,
        "raised_at": episode.raised_at,
        "raised_received_at": episode.raised_received_at,
        "cleared_at": episode.cleared_at,
        "proof": proof,
    }
    return Notice(alarm, facts, addressed, receivers, tuple(sinks))


def enqueue(connection: Connection, notices: Sequence[Notice]) -> None:
    """Owe them; if anything is new by that, the dispatcher is woken with the commit."""
    _complete(connection, [one for one in notices if one.addressed is None])
    for one, filed in zip(notices, file(connection, notices), strict=True):
        one.filed = filed
    found = _routed(connection, notices)
    rows = [_row(one, found.get(number)) for number, one in enumerate(notices)]
    connection.execute(statement("alarms.enqueue"), {"rows": Jsonb(rows)})
    unrouted = [
        {"alarm_key": notices[number].alarm.alarm_key, "episode": notices[number].facts["episode"]}
        for number, one in found.items()
        if one.nobody
    ]
    if unrouted:
        connection.execute(statement("telling.add_unrouted"), {"rows": Jsonb(unrouted)})


def _routed(connection: Connection, notices: Sequence[Notice]) -> dict[int, Found]:
    """By the place of a notice: which crews are told of it. Of what follows in the same transaction, they are told too:
    in the outbox nothing can be seen of them yet."""
    news = [one for one in notices if _is_news(one)]
    wanted = [
        Wanted(
            one.alarm.alarm_key,
            one.facts["worst_severity"],
            one.filed is not None and one.filed.platform is not None,
        )
        for one in news
    ]
    decided = {id(one): found for one, found in zip(news, whom(connection, wanted), strict=True)}
    found: dict[int, Found] = {}
    told: dict[tuple[int, int], Found] = {}
    for number, one in enumerate(notices if news else ()):
        episode = (one.alarm.alarm_key, one.facts["episode"])
        before, now = told.get(episode), decided.get(id(one))
        if now is not None:
            told[episode] = found[number] = now if before is None else now.joined(before)
        elif before is not None and one.receivers == "all" and one.facts["notice"] == "clear":
            found[number] = Found(before.sinks, nobody=False)
    return found


_FOR_THE_WORSE = (Reason.severity_rose.value, Reason.incident_grew.value)


def _is_news(one: Notice) -> bool:
    """Whether crews that know nothing of it are told: of what begins, and of what gets worse."""
    if one.addressed is None or one.addressed.crew is None:
        return False
    if one.receivers not in ("all", "untold") or one.facts["notice"] not in ("raise", "change"):
        return False
    if one.facts["notice"] == "raise" or one.facts["reason"] in _FOR_THE_WORSE:
        return True
    at_its_worst = one.facts["severity"] == one.facts["worst_severity"]
    return bool(one.facts["reason"] == Reason.late_data.value and at_its_worst)


def _complete(connection: Connection, notices: Sequence[Notice]) -> None:
    """Whom it concerns by the rule as it is now, and what last proved it, unless the notice says so itself."""
    if not notices:
        return
    keys = sorted({one.alarm.alarm_key for one in notices})
    rows = connection.execute(statement("suppression.shown_now"), {"alarm_keys": keys})
    found = {alarm_key: (proof, Addressed(crew, case)) for alarm_key, proof, crew, case in rows}
    for one in notices:
        proof, one.addressed = found[one.alarm.alarm_key]
        if one.facts["proof"] is None:
            one.facts["proof"] = proof


def _row(one: Notice, found: Found | None) -> dict[str, Any]:
    addressed = one.addressed or Addressed(None, None)
    same = (
        "alarm_key",
        "episode",
        "transition_no",
        "notice",
        "reason",
        "severity",
        "worst_severity",
        "raised_at",
    )
    return {
        **{name: one.facts[name] for name in same},
        "facts": {**one.facts, "crew": addressed.crew, "case": one.filed.case if one.filed is not None else None},
        "platform": one.filed.platform if one.filed is not None else None,
        "platform_to": one.filed.to if one.filed is not None else None,
        "receivers": one.receivers,
        "sinks": one.sinks,
        "routed": found.sinks if found is not None else (),
    }


def present_state(
    alarm: Alarm, episode: Episode, *, number: int, reason: Reason, at: datetime, proof: dict[str, Any] | None = None
) -> list[Notice]:
    """An alarm that was suppressed is told of as it is now: as new to whom it is new, as changed to the others."""
    to_new = notice(alarm, episode, "raise", number=number, reason=reason, at=at, proof=proof, receivers="untold")
    to_others = notice(alarm, episode, "change", number=number, reason=reason, at=at, proof=proof, receivers="told")
    return [to_new, to_others]


def shown_proof(proof: dict[str, Any]) -> dict[str, Any]:
    """A proof as it is kept and shown: its times as RFC 3339."""
    shown = {name: value for name, value in proof.items() if not name.endswith("_us")}
    if "values" in shown:
        shown["values"] = {name: value for name, value in shown["values"].items() if value is not None}
    for name in ("ts", "received"):
        if f"{name}_us" in proof:
            shown["ts" if name == "ts" else "received_at"] = moment(proof[f"{name}_us"])
    return shown
