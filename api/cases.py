"""Finding a case in the caller's scope, and doing something to it: what the router of cases is made of."""

from __future__ import annotations

from alerts.cases.acts import act, refile
from alerts.cases.events import CaseEvent
from alerts.cases.lifecycle import REFUSAL_LABELS, Refusal, Refused
from alerts.cases.record import Happened
from api.callers import Caller
from api.problems import Problem, not_found
from api.rows import Row, fetch_one
from api.scope import Scope
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection

NO_FILTER: dict[str, object] = {
    **dict.fromkeys(("case_key", "open", "states", "filing", "alarm_key", "episode", "unit", "areas", "units")),
    **dict.fromkeys(("from", "to", "reached", "reached_key")),
    "needs_person": False,
    "overdue": False,
}
"""The parameters of `api_cases.list_cases` that let everything through."""


def find_case(connection: Connection, case_key: int, scope: Scope) -> Row | None:
    """None where there is none in the scope."""
    params = {**NO_FILTER, **scope.params(), "case_key": case_key, "limit": 1}
    return fetch_one(connection, "api_cases.list_cases", params)


def case_of_episode(connection: Connection, alarm_key: int, episode: int) -> Row | None:
    """The newest case of an alarm's episode that the caller may see already."""
    params = {**NO_FILTER, "alarm_key": alarm_key, "episode": episode, "limit": 1}
    return fetch_one(connection, "api_cases.list_cases", params)


def within_reach(connection: Connection, case_key: int, scope: Scope) -> Row:
    found = find_case(connection, case_key, scope)
    if found is None:
        raise not_found(f"case with the key {case_key}")
    return found


def do(connection: Connection, case_key: int, event: CaseEvent, caller: Caller, note: str | None = None) -> Row:
    """Do it, and answer the case as it is then. Again is the same as once."""
    within_reach(connection, case_key, caller.scope)
    applied = act(connection, Happened(case_key, event, CLOCK.now(), note or ""), actor=caller.name)
    if applied.refused is not None:
        raise _refused(applied.refused)
    return within_reach(connection, case_key, caller.scope)


def file_again(connection: Connection, case_key: int, caller: Caller, note: str | None) -> Row:
    """Answers the new case."""
    within_reach(connection, case_key, caller.scope)
    done = refile(connection, case_key, actor=caller.name, at=CLOCK.now(), note=note or "")
    if isinstance(done, Refused):
        raise _refused(done.reason)
    return within_reach(connection, done.case_key, caller.scope)


def _refused(reason: Refusal) -> Problem:
    return Problem("conflict", f"{REFUSAL_LABELS[reason]} ({reason.value})")
