"""Store: the calendar and the roster in the database. Each change is one commit with its line in the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from alerts.duty.calendar import USUAL, Calendar, DayKind, Entry, WorkingHours, years_of
from alerts.duty.files import CalendarFile, DutyError
from alerts.duty.roster import Absence, Person, Plan, Roster, Swap, masked
from alerts.rulebook.book import rules_in_force
from alerts.rules import WorkingTimeRule
from underfoot.alarms import Severity
from underfoot.audit.log import enter
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

# the calendar --------------------------------------------------------------------------------------------------------


def load_calendar(connection: Connection) -> Calendar:
    rows = connection.execute(statement("duty.calendar_days"))
    return Calendar({day: Entry(DayKind(kind), name, source) for day, kind, name, source in rows})


def working_hours(connection: Connection) -> WorkingHours:
    """By the rule in force; where a city has withdrawn it, the usual ones."""
    spans = (one.rule.spans for one in rules_in_force(connection) if isinstance(one.rule, WorkingTimeRule))
    found = next(spans, None)
    return USUAL if found is None else WorkingHours(found)


def put_calendar(connection: Connection, file: CalendarFile, *, actor: str) -> list[int]:
    """Say anew what the days of the file's years are. Returns these years."""
    entries = file.entries()
    years = years_of(entries)
    rows = [{"day": day, "kind": e.kind.value, "name": e.name, "source": e.source} for day, e in entries.items()]
    with connection.transaction():
        connection.execute(statement("duty.forget_years"), {"years": years})
        connection.execute(statement("duty.put_calendar_days"), {"rows": Jsonb(rows)})
        _audit(connection, actor, "duty.calendar", "calendar", years=years, days=len(rows), source=file.source)
    return years


def forget_calendar(connection: Connection, year: int, *, actor: str) -> int:
    """Take back what the city has said of a year. Returns how many days that was."""
    with connection.transaction():
        gone = connection.execute(statement("duty.forget_years"), {"years": [year]}).rowcount
        if gone:
            _audit(connection, actor, "duty.calendar_forget", "calendar", year=year, days=gone)
    return gone


# the roster ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DutySink:
    """A sink by which somebody on duty can be told of what is at least so severe."""

    sink_key: int
    min_severity: Severity


def load_plan(connection: Connection) -> Plan:
    people, shifts, assignments, absences, swaps = connection.execute(statement("duty.plan")).fetchall()[0]
    return Plan.model_validate(
        {
            "people": [_only(row, Person) for row in people],
            "shifts": [
                {"name": row["name"], "begin": row["begins"], "end": row["ends"], "days": _days(row["days"])}
                for row in shifts
            ],
            "assignments": [_assignment(row) for row in assignments],
            "absences": [
                {
                    "person": row["person"],
                    "from": row["since"],
                    "until": row["until"],
                    "stand_in": row["stand_in"],
                    "reason": row["reason"],
                }
                for row in absences
            ],
            "swaps": [_only(row, Swap) for row in swaps],
        }
    )


def load_roster(connection: Connection) -> Roster:
    parents: dict[str, str] = dict(connection.execute(statement("duty.area_parents")).fetchall())
    return Roster(load_plan(connection), load_calendar(connection), parents)


def has_roster(connection: Connection) -> bool:
    [(there,)] = connection.execute(statement("duty.has_roster")).fetchall()
    return bool(there)


def duty_sinks(connection: Connection) -> dict[str, DutySink]:
    rows = connection.execute(statement("duty.duty_sinks"))
    return {name: DutySink(key, Severity(least)) for name, key, least in rows}


def top_area(connection: Connection) -> str:
    """The area of what has none: the highest there is."""
    row = connection.execute(statement("duty.top_area")).fetchone()
    return row[0] if row is not None else "0"


def area_names(connection: Connection, codes: Sequence[str]) -> dict[str, str]:
    return dict(connection.execute(statement("duty.area_names"), {"codes": list(codes)}).fetchall())


def put_plan(connection: Connection, plan: Plan, *, actor: str) -> dict[str, int]:
    """Write the roster anew, whole. Returns how many of each thing it has."""
    with connection.transaction():
        connection.execute(statement("duty.lock_plan"))
        known = {person.name: person.phone for person in load_plan(connection).people}
        people = [_whole(n, person, known) for n, person in enumerate(plan.people)]
        _check_places(connection, plan)
        for name in ("swaps", "absences", "assignments", "shifts", "people"):
            connection.execute(statement(f"duty.drop_{name}"))
        rows: Mapping[str, list[dict[str, Any]]] = {
            "people": [person.model_dump(mode="json", by_alias=True) | {"place": n} for n, person in enumerate(people)],
            "shifts": [
                {
                    "name": shift.name,
                    "place": n,
                    "begins": shift.begin,
                    "ends": shift.end,
                    "days": [shift.days] if isinstance(shift.days, str) else [str(day) for day in shift.days],
                }
                for n, shift in enumerate(plan.shifts)
            ],
            "assignments": [
                {
                    "shift": a.shift,
                    "place": n,
                    "level": a.level,
                    "areas": a.areas,
                    "turns": a.teams,
                    "turn_days": a.turn_days,
                    "first_day": a.from_,
                    "last_day": a.until,
                }
                for n, a in enumerate(plan.assignments)
            ],
            "absences": [
                {
                    "person": b.person,
                    "since": b.from_,
                    "until": b.until,
                    "stand_in": b.stand_in,
                    "reason": b.reason,
                }
                for b in plan.absences
            ],
            "swaps": [swap.model_dump(mode="json") for swap in plan.swaps],
        }
        for name, some in rows.items():
            connection.execute(statement(f"duty.put_{name}"), {"rows": Jsonb(some)})
        counts = {name: len(some) for name, some in rows.items()}
        _audit(connection, actor, "duty.roster", "roster", **counts)
    return counts


def add_absence(connection: Connection, absence: Absence, *, actor: str) -> None:
    """Somebody is away: the roster with one absence more."""
    with connection.transaction():
        connection.execute(statement("duty.lock_plan"))
        plan = load_plan(connection)
        put_plan(connection, _checked(plan, absences=(*plan.absences, absence)), actor=actor)


def add_swap(connection: Connection, swap: Swap, *, actor: str) -> None:
    """Somebody takes a shift of somebody else: the roster with one swap more."""
    with connection.transaction():
        connection.execute(statement("duty.lock_plan"))
        plan = load_plan(connection)
        put_plan(connection, _checked(plan, swaps=(*plan.swaps, swap)), actor=actor)


def _checked(plan: Plan, **changes: object) -> Plan:
    try:
        return Plan.model_validate(plan.model_copy(update=changes).model_dump(by_alias=True))
    except ValidationError as error:
        raise DutyError("; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())) from None


def note_phones_shown(connection: Connection, *, actor: str) -> None:
    """Personal information goes out: who had it is on record."""
    with connection.transaction():
        _audit(connection, actor, "duty.phones", "roster")


def _whole(n: int, person: Person, known: Mapping[str, str | None]) -> Person:
    """The person with the number as it is known, where it is given masked."""
    if person.phone is None or "*" not in person.phone:
        return person
    phone = known.get(person.name)
    if masked(phone) != person.phone:
        raise DutyError(
            f"people.{n}.phone = {person.phone!r}: no number of {person.name} is known that looks so; give it whole"
        )
    return person.model_copy(update={"phone": phone})


def _check_places(connection: Connection, plan: Plan) -> None:
    """Areas and sinks that the roster names must be there."""
    codes = {code for a in plan.assignments for code in a.areas} | {code for p in plan.people for code in p.areas}
    missing = sorted(codes - area_names(connection, sorted(codes)).keys())
    if missing:
        raise DutyError(f"areas = {missing[0]!r}: there is no such area; see `underfoot devices areas` or the ledger")
    sinks = duty_sinks(connection)
    for n, person in enumerate(plan.people):
        if person.sink is not None and person.sink not in sinks:
            raise DutyError(
                f"people.{n}.sink = {person.sink!r}: there is no sink of this name with audience duty;"
                f" `underfoot sinks add {person.sink} --audience duty --channel …` makes it"
            )


def _only(row: Mapping[str, Any], model: type[Person] | type[Swap]) -> dict[str, Any]:
    return {name: row[name] for name in model.model_fields}


def _assignment(row: Mapping[str, Any]) -> dict[str, Any]:
    several = len(row["turns"]) > 1
    return {
        "shift": row["shift"],
        "level": row["level"],
        "areas": row["areas"],
        "turns": row["turns"] if several else [],
        "people": [] if several else row["turns"][0],
        "turn_days": row["turn_days"],
        "from": row["first_day"],
        "until": row["last_day"],
    }


def _days(stored: Sequence[str]) -> str | list[int]:
    return stored[0] if not stored[0].isdigit() else [int(day) for day in stored]


# notes ---------------------------------------------------------------------------------------------------------------


def add_note(connection: Connection, text: str, *, area: str | None, actor: str, at: datetime) -> dict[str, Any]:
    """Write down something for the next shift."""
    with connection.transaction():
        params = {"at": at, "actor": actor, "area": area, "text": text}
        [(key, at, actor, area, text)] = connection.execute(statement("duty.add_note"), params).fetchall()
        _audit(connection, actor, "duty.note", f"note:{key}", area=area)
    return {"note_key": key, "at": at, "actor": actor, "area_code": area, "text": text}


def _audit(connection: Connection, actor: str, action: str, subject: str, **detail: object) -> None:
    enter(connection, actor, action, subject, detail)
