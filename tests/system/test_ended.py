"""SIGTERM under load: each process ends in order, soon, and leaves nothing undone that it had begun."""

from __future__ import annotations

import signal
import time

from tests.system import evidence
from tests.system.city import City, signal_and_wait, until
from tests.system.fleet import Fleet
from tests.system.platform import deliver_quickly, everything_owed_is_delivered, standing_in
from tests.system.publisher import load


def test_each_process_ends_when_it_is_asked_to(city: City) -> None:
    deliver_quickly(city)
    with standing_in(city) as platform:
        platform.tell("delay", delay_s=0.1)
        fleet = Fleet(seed=5)
        ingest, alerts = city.start_ingest(), city.start("alerts")
        with load(city, fleet.message, 400):
            until(lambda: evidence.stored_rows(city) > 500, "load under way")
            until(lambda: len(platform.accepted()) > 20, "deliveries under way")
            asked = time.monotonic()
            assert [signal_and_wait(process, signal.SIGTERM) for process in (ingest, alerts)] == [0, 0]
            assert time.monotonic() - asked < 10
            # Nothing is left as if somebody were still at it.
            assert city.value("SELECT count(*) FROM outbox WHERE lease_until > now()") == 0
            held = "SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory'"
            assert city.value(f"{held} AND granted AND datname = current_database()") == 0
            platform.behave()
            city.start_ingest()
            city.start("alerts")
        city.caught_up()
        evidence.everything_is_kept(city, fleet.sent)
        evidence.the_books_balance(city, fleet.sent)
        evidence.the_alarms_are_right(city, fleet.sent)
        assert everything_owed_is_delivered(city, platform) > 0
        assert not platform.records("repeat"), "an orderly end has left it unclear what was told"
    for name in ("ingest", "alerts"):
        assert "Traceback" not in city.log(name)
