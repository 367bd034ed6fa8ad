"""What the human and the suppression region must be, found the slow and obvious way: from everything that happened.

Nothing is remembered but the list of what happened; each answer reads all of it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass
class Happened:
    """`what`: raise, severity, clear, acknowledge, unacknowledge, realarm, begin, end, now."""

    what: str
    severity: int = 0
    kind: str = ""
    cause: str = ""
    until: datetime | None = None
    by: str = ""
    at: datetime | None = None


@dataclass
class Reference:
    history: list[Happened] = field(default_factory=list)

    def happens(self, what: str, **more: Any) -> None:
        self.history.append(Happened(what, **more))

    # the condition, as far as the regions depend on it --------------------------------------------------------------

    def severity_after(self, count: int) -> int:
        """Of the open episode after the first `count` of what happened; 0: none is open."""
        severity = 0
        for one in self.history[:count]:
            if one.what in ("raise", "severity"):
                severity = one.severity
            elif one.what == "clear":
                severity = 0
        return severity

    @property
    def severity(self) -> int:
        return self.severity_after(len(self.history))

    def last_severity_after(self, count: int) -> int | None:
        """Of the open or else the last episode; None: there was none."""
        found = [one.severity for one in self.history[:count] if one.what in ("raise", "severity")]
        return found[-1] if found else None

    def rose_at(self, number: int) -> bool:
        one = self.history[number]
        return one.what in ("raise", "severity") and one.severity > self.severity_after(number)

    # the regions ----------------------------------------------------------------------------------------------------

    @property
    def acknowledged_by(self) -> str | None:
        """Whoever acknowledged first since the last thing that takes it back; a person rather than the platform."""
        by = None
        for number, one in enumerate(self.history):
            if one.what in ("raise", "unacknowledge", "realarm") or self.rose_at(number):
                by = None
            elif one.what == "acknowledge" and (by is None or (by == "platform:city" != one.by)):
                by = one.by
        return by

    def in_force(self) -> set[tuple[str, str]]:
        """Kind and cause of everything that has begun and that nothing has ended since."""
        return {
            (one.kind, one.cause)
            for number, one in enumerate(self.history)
            if one.what == "begin" and not self._is_over(number)
        }

    def _is_over(self, begun: int) -> bool:
        return any(self._ends(begun, number) for number in range(begun + 1, len(self.history)))

    def _ends(self, begun: int, number: int) -> bool:
        one, later = self.history[begun], self.history[number]
        if later.what == "end":
            return (later.kind, later.cause) == (one.kind, one.cause)
        if later.what == "begin":  # a shelf put in its place is another one; of other kinds the first stays
            same = (later.kind, later.cause) == (one.kind, one.cause)
            return same and one.kind == "shelved"
        if later.what == "now":
            until = self._until(begun, number)
            return until is not None and later.at is not None and until <= later.at
        return one.kind in ("shelved", "by_design") and self.rose_at(number) and later.severity > self._bearable(begun)

    def _until(self, begun: int, number: int) -> datetime | None:
        """What is not shelved goes on until what was said last."""
        one = self.history[begun]
        said = [
            later.until
            for later in self.history[begun:number]
            if later.what == "begin" and (later.kind, later.cause) == (one.kind, one.cause)
        ]
        return said[-1]

    def _bearable(self, begun: int) -> int:
        known = self.last_severity_after(begun)
        if known is not None:
            return known
        return 3 if self.history[begun].kind == "by_design" else 4
