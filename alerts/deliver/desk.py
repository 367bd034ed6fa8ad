"""Desk: what the dispatcher asks of the roster when it sends: whom to @, and until when somebody is not disturbed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from datetime import timedelta

from pydantic import SecretStr, ValidationError

from alerts.channels.interface import Mention
from alerts.deliver.outbox import Claimed, SinkAtWork
from alerts.duty.roster import Person
from alerts.duty.shifts import Quiet, quiet_until
from alerts.duty.store import load_calendar
from alerts.telling.present import Present
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection

log = logging.getLogger(__name__)

REFRESHED_EVERY_S = 5.0
MOST_MENTIONED = 10
_NEWS = ("raise", "change", "escalate", "case")


class Desk:
    """Asks the roster again when it is asked and some seconds have passed."""

    def __init__(self) -> None:
        self._present: Present | None = None
        self._loaded_at = float("-inf")
        self._quiet: dict[int, tuple[str, tuple[Quiet, ...]]] = {}

    def quiet_s(self, connection: Connection, sink: SinkAtWork) -> float:
        """For how many seconds nothing but red is told to this sink; 0: anything is."""
        quiet = self._of(sink)
        present = self._now(connection) if sink.audience == "duty" else None
        if present is not None:
            quiet += tuple(span for person in present.of_sink(sink.name) for span in person.quiet)
        if not quiet:
            return 0.0
        now = CLOCK.now()
        calendar = present.roster.calendar if present is not None else load_calendar(connection)
        until = quiet_until(quiet, now, calendar)
        # A little over, so that it is not asked again in the last instant.
        return 0.0 if until is None else CLOCK.machine_s((until - now + timedelta(seconds=0.2)).total_seconds(), 0.05)

    def mentions(self, connection: Connection, sink: SinkAtWork, told: Sequence[Claimed]) -> tuple[Mention, ...]:
        """Whom to @ in a message about these: whose sink it is, else whoever is first on duty where it happened, of the
        sink's own units where it has any. Nobody, where nobody has anything to do."""
        news = [one for one in told if one.notice in _NEWS]
        if not news:
            return ()
        present = self._now(connection)
        people: dict[str, Person] = {}
        for one in news:
            area = one.snapshot.get("area")
            code = area["code"] if area else None
            found = present.of_sink(sink.name) if sink.audience == "duty" else present.first(code, sink.units)
            people |= {person.name: person for person in found}
        return tuple(_mention(person) for person in list(people.values())[:MOST_MENTIONED])

    def _now(self, connection: Connection) -> Present:
        if self._present is None or time.monotonic() - self._loaded_at > REFRESHED_EVERY_S:
            self._present = Present.load(connection, CLOCK.now())
            self._loaded_at = time.monotonic()
        return self._present

    def _of(self, sink: SinkAtWork) -> tuple[Quiet, ...]:
        if not sink.quiet:
            return ()
        written = json.dumps(sink.quiet)
        known = self._quiet.get(sink.sink_key)
        if known is None or known[0] != written:
            try:
                spans = tuple(Quiet.model_validate(one) for one in sink.quiet)
            except ValidationError:
                log.exception("sink %s: its quiet hours can't be read, so it has none", sink.name)
                spans = ()
            known = self._quiet[sink.sink_key] = (written, spans)
        return known[1]


def _mention(person: Person) -> Mention:
    return Mention(person.name, SecretStr(person.phone) if person.phone else None, person.feishu)
