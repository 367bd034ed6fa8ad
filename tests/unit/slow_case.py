"""A case's life again, the slow and plain way: for tests to hold alerts/cases/lifecycle.py against.

It keeps everything that was ever said and works out from the beginning, at each question, where the case is. The ways
between states are written out as a text, and found by trying all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

LINE = list(
    {
        "reported": 0,
        "pending_verify": 1,
        "pending_register": 2,
        "accepted": 3,
        "pending_dispatch": 4,
        "dispatched": 5,
        "pending_handle": 6,
        "handling": 7,
        "handle_finish": 8,
        "pending_check": 9,
        "checking": 10,
        "check_pass": 11,
        "pending_close": 12,
        "closed": 13,
    }
)
BESIDE = """
    reported > not_accepted
    pending_verify > not_accepted
    pending_register > not_accepted
    dispatched > returned suspended
    pending_handle > returned suspended
    handling > returned suspended
    suspended > handling pending_handle
    returned > pending_dispatch dispatched
    checking > check_not_pass
    check_not_pass > handling pending_handle dispatched pending_dispatch
"""
FINAL = {"closed", "forced_close", "cancelled", "not_accepted"}
STATES = [*LINE, "not_accepted", "suspended", "returned", "check_not_pass", "forced_close", "cancelled"]
PLACE = {name: number for number, name in enumerate(LINE)} | {
    "not_accepted": 3,
    "suspended": 7,
    "returned": 7,
    "check_not_pass": 11,
    "forced_close": 13,
    "cancelled": 13,
}


def next_of(state: str) -> list[str]:
    if state in FINAL:
        return []
    found = [LINE[LINE.index(state) + 1]] if state in LINE else []
    for line in BESIDE.strip().splitlines():
        before, after = line.split(">")
        if before.strip() == state:
            found += after.split()
    return [*found, "forced_close", "cancelled"]


def ways(before: str, after: str, been: tuple[str, ...] = ()) -> list[list[str]]:
    """Every way without going in circles, but that it may come back to where it began."""
    found = []
    for one in next_of(before):
        if one == after:
            found.append([before, one])
        elif one not in been and one != before:
            found += [[before, *way] for way in ways(one, after, (*been, before))]
    return found


_SHORTEST: dict[tuple[str, str], list[str] | None] = {}


def shortest(before: str, after: str) -> list[str] | None:
    if (before, after) not in _SHORTEST:
        all_ways = ways(before, after)
        _SHORTEST[before, after] = min(all_ways, key=len) if all_ways else None
    return _SHORTEST[before, after]


@dataclass
class SlowCase:
    """Its history, and what follows from it."""

    filed: bool = True
    answered: bool = False
    history: list[tuple[str, Any, datetime]] = field(default_factory=list)

    def say(self, name: str, what: Any, at: datetime) -> None:
        self.history.append((name, what, at))

    def now(self) -> dict[str, Any]:
        self.state = "reported" if self.filed else "pending_verify"
        self.told = self.filed
        self.has_platform = self.answered
        self.how: str | None = None
        self.certain = False
        self.over = self.false = self.newer = False
        self.arrived = self.handled = False
        self.rework = 0
        self.known: tuple[str, datetime] | None = None
        for name, what, at in self.history:
            getattr(self, f"_{name}")(what, at)
        return {
            "state": self.state,
            "how": self.how,
            "confirmed": self.certain,
            "arrived": self.arrived,
            "handled": self.handled,
            "rework": self.rework,
            "filed": self.told,
        }

    @property
    def early(self) -> bool:
        return PLACE[self.state] < PLACE["dispatched"]

    def _end(self, how: str) -> None:
        self.how, self.state = how, "closed" if how == "closed" else "cancelled"

    def _perhaps_done(self) -> None:
        if not self.has_platform and self.handled and (self.over or self.false):
            self._end("false_alarm" if self.false else "closed")

    # ours

    def _received(self, _what: Any, _at: datetime) -> None:
        self.has_platform = self.told = True

    def _verified(self, _what: Any, _at: datetime) -> None:
        if self.how is None and not self.told:
            self.state, self.told = "pending_register", True

    def _condition_over(self, _what: Any, _at: datetime) -> None:
        if self.over:
            return
        self.over = True
        if self.how is None:
            if self.early:
                self._end("cancelled")
            else:
                self._perhaps_done()

    def _false_alarm(self, _what: Any, _at: datetime) -> None:
        if self.false:
            return
        self.false = True
        if self.how is None and (self.early or not self.has_platform):
            self._end("false_alarm")

    def _refiled(self, _what: Any, _at: datetime) -> None:
        self.newer = self.newer or self.how is not None

    def _cancelled(self, _what: Any, _at: datetime) -> None:
        if self.how is None and (self.early or not self.has_platform):
            self._end("cancelled")

    def _merged(self, _what: Any, _at: datetime) -> None:
        if self.how is None and self.early:
            self._end("merged")

    def _duplicate(self, _what: Any, _at: datetime) -> None:
        if self.how is None:
            self._end("duplicate")

    def _arrived(self, _what: Any, _at: datetime) -> None:
        if self.how is None and self.told:
            self.arrived = True
            if PLACE[self.state] < PLACE["handling"]:
                self.state = "handling"

    def _handled(self, _what: Any, _at: datetime) -> None:
        if self.how is not None or not self.told:
            return
        if PLACE[self.state] < PLACE["handle_finish"] or self.state == "check_not_pass":
            self.state, self.arrived, self.handled = "handle_finish", True, True
            self._perhaps_done()

    def _suspended(self, _what: Any, _at: datetime) -> None:
        late = PLACE[self.state] >= PLACE["handle_finish"]
        if self.how is None and self.told and not late and not (self.has_platform and self.early):
            self.state = "suspended"

    def _resumed(self, _what: Any, _at: datetime) -> None:
        if self.how is None and self.state == "suspended":
            self.state = "handling" if self.arrived else "pending_handle"

    # the platform's

    def _reached(self, to: str, at: datetime) -> None:
        if self.certain:
            return
        self.told = True
        if to in FINAL:
            self._platform_end(to)
            return
        last, when = self.known if self.known is not None else ("reported", None)
        if when is not None and at < when:
            return
        if self.known is not None and to == last:
            self.known = (last, at)
            return
        way = shortest(last, to)
        if way is None:
            return
        if when is not None and at == when and PLACE[to] <= PLACE[last] and len(way) > 2:
            return
        self.known = (to, at)
        plain = all(PLACE[b] > PLACE[a] for a, b in pairwise(way))
        turned = not plain or to in ("returned", "suspended", "check_not_pass")
        if self.how is not None:
            if PLACE[to] < PLACE["dispatched"] or self.newer or self.how not in ("cancelled", "false_alarm"):
                return
            self.how = None
        elif not turned and PLACE[to] <= PLACE[self.state]:
            return
        self.rework += way[1:].count("check_not_pass")
        self.state = to
        if PLACE[to] >= PLACE["handling"] and to not in ("returned", "suspended"):
            self.arrived = True
        self.handled = PLACE[to] >= PLACE["handle_finish"] and to != "check_not_pass"

    def _platform_end(self, to: str) -> None:
        said = to
        if self.how is not None:
            self.how = said if self.how in ("cancelled", "closed") else self.how
        else:
            if to == "closed" and not self.early:
                self.arrived = self.handled = True
            self.how = "false_alarm" if self.false else said
        self.state, self.certain = to, True
