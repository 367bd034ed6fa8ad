"""Filing: what is to be a case becomes one in the transaction that records it, and what its platform is told of it.

Called with the notices that a transaction owes (alerts/record/owe.py), before they are owed: the first notice of an
episode that a 立案条件 is for opens its case; the notice of its end ends the case, or says that it is only for the
platform to check. What is over while its alarm goes on, and gets worse, is a case again. What is nobody's case, or
waits for an operator's 核实, the platform is not told of; and what is our own matter never (alerts/cases/internal.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from psycopg.types.json import Jsonb

from alerts.cases.book import Book, InForce, book, said_case
from alerts.cases.clocks import started
from alerts.cases.events import CaseEvent, Clock, ConditionOver, Needs, Recurred, Refiled, Worsened
from alerts.cases.internal import is_internal_proof
from alerts.cases.record import Applied, Cause, Happened, apply_all, hold
from alerts.cases.states import CaseState, Need
from alerts.record.snapshot import CaseShown
from alerts.record.snapshot import Notice as NoticeName
from alerts.rules.parts import CaseCode
from underfoot.alarms import Severity, SubjectKind
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

if TYPE_CHECKING:
    from alerts.record.owe import Notice

ENGINE = "engine"

Of = tuple[int, int]
"""Alarm key and episode."""


@dataclass(frozen=True, slots=True)
class Filed:
    """What a notice says of the case, and what platforms are told by it: None, nothing. `told`, `untold`: those that
    have, or may have, an earlier notice of the episode, and those that have none."""

    case: CaseShown | None
    platform: NoticeName | None
    to: Literal["all", "told", "untold"] = "all"


@dataclass(slots=True)
class _About:
    """An episode as far as it takes to file it. `case`: its newest case, a row as JSON; `before`: the one before it,
    where that was opened just now."""

    subject_kind: str
    device_id: str
    area_code: str
    tags: list[str]
    asset_kind: str | None
    asset_scheme: str | None
    case: dict[str, Any] | None
    follows: int | None
    members: list[tuple[str, int]]
    opened_by: int | None = None
    """The notice that opens its case, by its place."""
    before: dict[str, Any] | None = None


def file(connection: Connection, notices: Sequence[Notice]) -> list[Filed]:
    """Open, worsen and end cases as these notices say. Returns of each what its message says, in their order."""
    asked = [one for one in notices if one.filed is None and _may_concern_a_case(one)]
    if not asked:
        return [one.filed or _NOTHING for one in notices]
    work = _Work(connection, notices, *_about(connection, {_of(one) for one in asked}))
    work.let_happen(work.open_cases())
    return list(work.filed())


_NOTHING = Filed(None, None)


def _may_concern_a_case(one: Notice) -> bool:
    said = one.addressed is not None and one.addressed.case is not None
    return one.facts["notice"] != "escalate" and (said or one.facts["notice"] != "raise")


def _of(one: Notice) -> Of:
    return one.facts["alarm_key"], one.facts["episode"]


def _about(connection: Connection, wanted: set[Of]) -> tuple[Book, dict[Of, _About]]:
    listed = sorted(wanted)
    params = {"alarm_keys": [key for key, _ in listed], "episodes": [episode for _, episode in listed]}
    found: dict[Of, _About] = {}
    stamp = ""
    for row in connection.execute(statement("cases.about"), params):
        alarm_key, episode, kind, device_id, area_code, tags, asset_kind, scheme, case, follows, members, stamp = row
        found[alarm_key, episode] = _About(
            kind, device_id, area_code, tags, asset_kind, scheme, case, follows, members or []
        )
    return book(connection, stamp), found


@dataclass
class _Work:
    connection: Connection
    notices: Sequence[Notice]
    book: Book
    about: dict[Of, _About]
    now: datetime = field(default_factory=CLOCK.now)
    applied: dict[int, Applied] = field(default_factory=dict)
    """What became of the event of a notice, by its place."""
    actor: str = ENGINE
    cause: Cause = "engine"

    def __post_init__(self) -> None:
        refiling = next((one.refiling for one in self.notices if one.refiling is not None), None)
        if refiling is not None:
            self.actor, self.cause = refiling.actor, "operator"

    # opening --------------------------------------------------------------------------------------------------------

    def open_cases(self) -> list[Happened]:
        """What follows from it for earlier cases of the same alarms."""
        self._hold_ended()
        rows: list[dict[str, Any]] = []
        for place, one in enumerate(self.notices):
            about = self.about.get(_of(one))
            if about is None or one.filed is not None or about.opened_by is not None or not _may_open(one, about):
                continue
            filing = self._filing(one, about)
            if filing is not None:
                about.opened_by = place
                rows.append(self._row(one, about, filing))
        if not rows:
            return []
        opened = self.connection.execute(statement("cases.open"), {"rows": Jsonb(rows)}).fetchall()
        keys = {(alarm_key, episode): case_key for case_key, alarm_key, episode in opened}
        earlier = []
        for row in rows:
            of = (row["alarm_key"], row["episode"])
            by = {name: row[name].isoformat() if row[name] is not None else None for name in ("arrive_by", "repair_by")}
            about = self.about[of]
            new = {"case_key": keys[of], "ended_at": None, "ended_how": None, "false_alarm_at": None}
            about.before, about.case = about.case, row | by | new | {"severity": row["detail"]["severity"]}
            if row["follows"] is not None:
                earlier.append(Happened(row["follows"], Recurred(keys[of]), self.now))
            if about.before is not None:
                earlier.append(Happened(about.before["case_key"], Refiled(keys[of]), self.now))
        return earlier

    def _hold_ended(self) -> None:
        """Cases that may be followed by another of their episode, held: the platform's late word may begin one again
        meanwhile. With all that this transaction will hold, as cases are held in one order."""
        known = [(one, self.about[_of(one)]) for one in self.notices if _of(one) in self.about]
        if not any(about.case is not None and _may_open(one, about) for one, about in known):
            return
        cases = [about.case for about in self.about.values() if about.case is not None]
        followed = {about.follows for about in self.about.values() if about.follows is not None}
        held = hold(self.connection, followed | {case["case_key"] for case in cases})
        for case in cases:
            now = held[case["case_key"]]
            case |= {"state": now.state, "ended_how": now.ended_how}
            case |= {"ended_at": now.ended_at, "false_alarm_at": now.false_alarm_at}

    def _filing(self, one: Notice, about: _About) -> InForce | None:
        """The 立案条件 that this notice's alarm is filed by; None: it is none."""
        kind = said_case(one.addressed.case) if one.addressed is not None else None
        if kind is None or self._internal(one):
            return None
        found = self._in_force(kind, about)
        if found is None or one.facts["severity"] < Severity[found.rule.from_severity]:
            return None
        if about.subject_kind == SubjectKind.incident and found.rule.members:
            return found if any(self._has(found, rule_id, worst, about) for rule_id, worst in about.members) else None
        return found

    def _in_force(self, kind: CaseCode, about: _About) -> InForce | None:
        return self.book.filing(kind, device_id=about.device_id, area_code=about.area_code, tags=about.tags)

    def _internal(self, one: Notice) -> bool:
        return one.facts["rule_id"] in self.book.internal or is_internal_proof(one.facts["proof"])

    def _has(self, incident: InForce, rule_id: str, worst: int, about: _About) -> bool:
        """Whether an incident's member of this rule makes it what it is filed as."""
        said = self.book.cases.get(rule_id)
        if said is None or said.filing not in incident.rule.members or rule_id in self.book.internal:
            return False
        found = self._in_force(said, about)
        return found is not None and worst >= Severity[found.rule.from_severity]

    def _row(self, one: Notice, about: _About, filing: InForce) -> dict[str, Any]:
        rule, kind = filing.rule, _kind(filing, about, Severity(one.facts["severity"]), self.book)
        first = one.facts["notice"] == "raise" and one.receivers == "all" and about.case is None
        at = one.facts["raised_received_at"] if first else self.now
        severity = Severity(one.facts["severity"])
        # Once: of what was verified, or the platform knew, it knows again.
        waits = rule.verify == "operator" and (about.case is None or about.case["filed_at"] is None)
        alarm_key, episode = _of(one)
        return {
            "alarm_key": alarm_key,
            "episode": episode,
            "again": 0 if about.case is None else about.case["again"] + 1,
            "filing_id": rule.rule_id,
            "filing_version": filing.version,
            **kind,
            "state": CaseState.pending_verify if waits else CaseState.reported,
            "opened_at": at,
            "filed_at": None if waits else at,
            "needs_person": Need.verify if waits else None,
            **_columns("arrive", started(rule.limit_of("arrive", severity), at, self.book.working)),
            **_columns("repair", started(rule.limit_of("repair", severity), at, self.book.working)),
            "suspension_stops": list(rule.suspension_stops),
            "follows": about.follows,
            "actor": self.actor,
            "cause": self.cause,
            "note": one.refiling.note if one.refiling is not None else "",
            "detail": {"filing": rule.rule_id, "version": filing.version, "severity": int(severity)},
        }

    # what happens to them -------------------------------------------------------------------------------------------

    def let_happen(self, earlier: Sequence[Happened]) -> None:
        """All at once: cases are held in one order by whoever holds several."""
        places, happened = [], []
        for place, one in enumerate(self.notices):
            about = self.about.get(_of(one))
            if about is None or about.case is None or one.filed is not None or about.opened_by == place:
                continue
            if about.before is not None and about.opened_by is not None and place < about.opened_by:
                continue
            for event in self._events(one, about, about.case):
                places.append(place)
                said = None if isinstance(event, ConditionOver) else {"severity": int(one.facts["severity"])}
                happened.append(Happened(about.case["case_key"], event, self.now, detail=said))
        done = apply_all(self.connection, [*earlier, *happened], actor=self.actor, cause=self.cause)
        self.applied = dict(zip(places, done[len(earlier) :], strict=True))

    def _events(self, one: Notice, about: _About, case: dict[str, Any]) -> Iterator[CaseEvent]:
        if one.facts["notice"] == "clear":
            yield ConditionOver()
        if one.facts["notice"] != "change":
            return
        if case["false_alarm_at"] is not None and _worse(one, case):
            yield Needs(Need.worse_after_false_alarm)
        worsened = self._worsened(one, about, case)
        if worsened is not None:
            yield worsened

    def _worsened(self, one: Notice, about: _About, case: dict[str, Any]) -> Worsened | None:
        kind = said_case(one.addressed.case) if one.addressed is not None else None
        found = self._in_force(kind, about) if kind is not None else None
        if found is None or found.rule.rule_id != case["filing_id"]:
            return None
        severity = Severity(one.facts["severity"])
        working = self.book.working
        return Worsened(
            found.rule.level_of(severity),
            started(found.rule.limit_of("arrive", severity), self.now, working),
            started(found.rule.limit_of("repair", severity), self.now, working),
        )

    # telling --------------------------------------------------------------------------------------------------------

    def filed(self) -> Iterator[Filed]:
        for place, one in enumerate(self.notices):
            about = self.about.get(_of(one))
            if one.filed is not None or about is None:
                yield one.filed or _NOTHING
            else:
                yield self._told(place, one, about)

    def _told(self, place: int, one: Notice, about: _About) -> Filed:
        name: NoticeName = one.facts["notice"]
        if about.before is not None and about.opened_by is not None and place < about.opened_by:
            return Filed(shown(about.before), None)
        if about.case is None or (about.opened_by is not None and place < about.opened_by):
            # Raised before there were cases, and told: it is told the end too.
            legacy = name in ("change", "clear", "correct") and not self._internal(one)
            return Filed(self._as_it_would_be(one, about), name, "told") if legacy else _NOTHING
        applied = self.applied.get(place)
        said = shown(about.case, applied)
        if about.case["filed_at"] is None:
            return Filed(said, None)
        if about.opened_by is not None:
            opener = self.notices[about.opened_by]
            if place == about.opened_by:
                return Filed(said, "raise")
            if one.facts["transition_no"] == opener.facts["transition_no"]:
                return Filed(said, None)
            return Filed(said, name)
        over = applied.before.ended if applied is not None else about.case["ended_at"] is not None
        if (over and name != "correct") or one.receivers == "named":
            return Filed(said, None)
        return Filed(said, name, _TO[one.receivers])

    def _as_it_would_be(self, one: Notice, about: _About) -> CaseShown | None:
        """Of what has no case: as what it would be filed."""
        kind = said_case(one.addressed.case) if one.addressed is not None else None
        found = self._in_force(kind, about) if kind is not None else None
        return None if found is None else _would_be(found, about, Severity(one.facts["severity"]), self.book)


_TO: dict[str, Literal["all", "told", "untold"]] = {
    "all": "all",
    "told": "told",
    "told_but_crews": "told",
    "untold": "untold",
}


def _may_open(one: Notice, about: _About) -> bool:
    """An episode has one case; but one whose case was merged, and which is told by itself again, needs its own. So does
    one that is over and has got worse than its platform ever knew, or that somebody files again. A citizen's case goes
    on; and a verdict stands until somebody takes it back."""
    if one.facts["notice"] not in ("raise", "change"):
        return False
    case = about.case
    if case is None:
        return True
    if case["ended_at"] is None:
        return False
    if one.refiling is not None or case["ended_how"] == "merged":
        return True
    return case["ended_how"] != "duplicate" and case["false_alarm_at"] is None and _worse(one, case)


def _worse(one: Notice, case: dict[str, Any]) -> bool:
    return one.facts["cleared_at"] is None and one.facts["severity"] > case["severity"]


def _code(filing: InForce, about: _About) -> tuple[str, str]:
    """Scheme and code."""
    rule = filing.rule
    code = rule.code if rule.code != "rule" else (filing.case.code or "")
    if code != "asset":
        return rule.code_scheme, code
    if about.asset_kind:
        return about.asset_scheme or rule.code_scheme, about.asset_kind
    return rule.code_scheme, rule.code_if_none or ""


def _kind(filing: InForce, about: _About, severity: Severity, known: Book) -> dict[str, Any]:
    """What a case by this 立案条件 is, as columns of `cases`."""
    scheme, code = _code(filing, about)
    return {
        "code_scheme": scheme,
        "case_type": filing.case.type or filing.rule.type,
        "code": code,
        "code_name": known.name_of(scheme, code),
        "condition_name": filing.rule.title,
        "level": filing.rule.level_of(severity),
    }


def _would_be(filing: InForce, about: _About, severity: Severity, known: Book) -> CaseShown:
    limits = [f"{clock}_{part}" for clock in ("arrive", "repair") for part in ("by", "kind", "amount")]
    nothing = dict.fromkeys(("case_key", "ended_how", *limits))
    return shown({**_kind(filing, about, severity, known), **nothing, "again": 0, "state": CaseState.reported})


def would_be(connection: Connection, of: Of, said: dict[str, Any], severity: Severity) -> CaseShown | None:
    """As what an alarm that has no case would be filed, by what its rule says; None: it would not be."""
    known, abouts = _about(connection, {of})
    kind, about = said_case(said), abouts.get(of)
    if kind is None or about is None:
        return None
    found = known.filing(kind, device_id=about.device_id, area_code=about.area_code, tags=about.tags)
    return None if found is None else _would_be(found, about, severity, known)


def _columns(name: str, clock: Clock | None) -> dict[str, Any]:
    return {
        f"{name}_kind": clock.kind if clock is not None else None,
        f"{name}_amount": clock.amount if clock is not None else None,
        f"{name}_by": clock.by if clock is not None else None,
    }


def shown(case: dict[str, Any], applied: Applied | None = None) -> CaseShown:
    """What messages may say of it."""
    said: CaseShown = {
        "case_key": case["case_key"],
        "again": case["again"],
        "type": case["case_type"],
        "code": case["code"],
        "code_scheme": case["code_scheme"],
        "code_name": case["code_name"],
        "condition_name": case["condition_name"],
        "level": case["level"],
        "state": case["state"],
        "ended_how": case["ended_how"],
        "arrive_by": case["arrive_by"],
        "repair_by": case["repair_by"],
        "arrive_kind": case["arrive_kind"],
        "arrive_amount": case["arrive_amount"],
        "repair_kind": case["repair_kind"],
        "repair_amount": case["repair_amount"],
        "supervised": case.get("supervised", False),
        "rework": case.get("rework", 0),
    }
    if applied is not None:
        after = applied.after
        said["state"], said["ended_how"], said["level"] = after.state, after.ended_how, after.level
        said["arrive_by"] = after.arrive.by.isoformat() if after.arrive is not None else None
        said["repair_by"] = after.repair.by.isoformat() if after.repair is not None else None
        said |= {
            "arrive_kind": after.arrive.kind if after.arrive is not None else None,
            "arrive_amount": after.arrive.amount if after.arrive is not None else None,
            "repair_kind": after.repair.kind if after.repair is not None else None,
            "repair_amount": after.repair.amount if after.repair is not None else None,
            "supervised": after.supervised,
            "rework": after.rework,
        }
    return said
