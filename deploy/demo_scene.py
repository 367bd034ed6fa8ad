"""What `underfoot demo` shows: one look at the database, as plain data. `demo_view` draws it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import class_row

from alerts.messages.notice import message
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_RATE_OVER_S = 4.0


@dataclass(frozen=True)
class Books:
    received: int = 0
    redelivered: int = 0
    unpacked: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    late: int = 0

    @property
    def reports(self) -> int:
        return self.received + self.unpacked


@dataclass(frozen=True)
class OpenAlarm:
    severity: int
    title: str
    place: str
    asset_name: str
    label: str | None
    unit: str | None
    value: float | bool | None
    age_s: float

    @property
    def where(self) -> str:
        """The road corner and what stands there; the one if it says the other."""
        if self.asset_name.startswith(self.place.removesuffix("下")):
            return self.asset_name
        return f"{self.place} {self.asset_name}".rstrip()

    @property
    def reading(self) -> str:
        """What the device says now. A state's name alone: whether it still is so, the alarm tells."""
        if self.value is None or isinstance(self.value, bool):
            return self.label or ""
        return f"{self.label} {self.value:g} {self.unit or ''}".rstrip()


@dataclass(frozen=True)
class Happened:
    """An alarm was raised, or is over."""

    transition_key: int
    over: bool
    severity: int
    title: str
    place: str
    proof: str


@dataclass(frozen=True)
class Told:
    """How many deliveries an audience was told, is owed, will never get (dead), and need not get (dropped)."""

    delivered: int = 0
    owed: int = 0
    dead: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Scene:
    books: Books = field(default_factory=Books)
    reports_per_s: float = 0.0
    probe_delay_ms: float | None = None
    behind_s: float | None = None
    open_by_severity: dict[int, int] = field(default_factory=dict)
    episodes: int = 0
    alarms: list[OpenAlarm] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    told: dict[str, Told] = field(default_factory=dict)
    crew: str = ""
    crew_message: str = ""


class Watcher:
    """Looks at the database again and again; between looks it remembers how much there was, to tell the rate."""

    def __init__(self, connection: Connection, api_url: str, *, alarms_shown: int = 30) -> None:
        self._connection = connection
        self._alarms_url = f"{api_url}/api/v1/alarms"
        self._alarms_shown = alarms_shown
        self._counted: deque[tuple[float, int]] = deque()
        self._seen_transition = 0

    def look(self) -> Scene:
        one = self._one
        books = Books(*(int(value) for value in one("demo.books")))
        _, behind_s, probe_delay_ms = one("demo.shards")
        by_severity = self._connection.execute(statement("demo.count_alarms")).fetchall()
        crew, crew_message = self._last_crew_message()
        return Scene(
            books=books,
            reports_per_s=self._rate(books.reports),
            probe_delay_ms=probe_delay_ms,
            behind_s=behind_s,
            open_by_severity={severity: open_now for severity, open_now, _ in by_severity},
            episodes=sum(ever for *_, ever in by_severity),
            alarms=self._open_alarms(),
            happened=self._happened(),
            told={
                audience: Told(*counts)
                for audience, *counts in self._connection.execute(statement("demo.deliveries")).fetchall()
            },
            crew=crew,
            crew_message=crew_message,
        )

    def _one(self, name: str) -> tuple[Any, ...]:
        row = self._connection.execute(statement(name)).fetchone()
        if row is None:
            raise LookupError(f"{name} gave no row")
        return row

    def _rate(self, reports: int) -> float:
        now = time.monotonic()
        self._counted.append((now, reports))
        while len(self._counted) > 2 and now - self._counted[1][0] >= _RATE_OVER_S:
            self._counted.popleft()
        then, reports_then = self._counted[0]
        return (reports - reports_then) / (now - then) if now > then else 0.0

    def _open_alarms(self) -> list[OpenAlarm]:
        with self._connection.cursor(row_factory=class_row(OpenAlarm)) as cursor:
            return cursor.execute(statement("demo.open_alarms"), {"limit": self._alarms_shown}).fetchall()

    def _happened(self) -> list[Happened]:
        with self._connection.cursor(row_factory=class_row(Happened)) as cursor:
            rows = cursor.execute(statement("demo.happened_since"), {"after": self._seen_transition}).fetchall()
        if rows:
            self._seen_transition = rows[-1].transition_key
        return rows

    def _last_crew_message(self) -> tuple[str, str]:
        row = self._connection.execute(statement("demo.last_crew_delivery")).fetchone()
        if row is None:
            return "", ""
        unit, snapshot, episode_key, _ = row
        return unit or "", str(message(snapshot, f"{self._alarms_url}/{episode_key}"))
