"""Silence is neither alarm nor all-clear, and what was under way when a process died goes on where it was."""

from __future__ import annotations

import itertools
import signal

from tests.system.city import DEVICES, City, signal_and_wait, until
from tests.system.fleet import Message, now_ms, report
from tests.system.publisher import load, send

BEATING = DEVICES["cover"][:10]
COVER = DEVICES["cover"][-1]
_OFFLINE = (
    "SELECT d.device_id FROM episodes e JOIN alarms al USING (alarm_key) JOIN devices d USING (device_key)"
    " WHERE al.rule_id = 'cover.offline'"
)


def test_after_our_own_outage_nobody_is_called_offline(city: City) -> None:
    """Ten covers report twice a second and may be silent for 3 s. We are away for longer; then one falls silent."""
    city.installation.environment |= {"UNDERFOOT_TIMER_INTERVAL_S": "0.1"}
    city.do(
        "UPDATE devices SET expected_interval_s = 2, updated_at = clock_timestamp() WHERE device_id = ANY(%s)", BEATING
    )
    turn = itertools.cycle(BEATING)
    silent: set[str] = set()

    def beat() -> Message:
        while (device_id := next(turn)) in silent:
            pass
        return report(device_id, now_ms(), open=False)

    ingest = city.start_ingest()
    city.start("alerts")
    with load(city, beat, 20):
        assert signal_and_wait(ingest, signal.SIGTERM) == 0
        away = city.value("SELECT now()")
        until(lambda: city.value("SELECT now() - %s > interval '5 seconds'", away), "end of the outage", 10)
        city.start_ingest()
        city.caught_up()
        until(lambda: city.value("SELECT max(caught_up_to) > now() - interval '1 second' FROM shards"), "catching up")
        assert city.rows(_OFFLINE) == []
        silent.add(BEATING[0])
        until(lambda: city.rows(_OFFLINE) == [(BEATING[0],)], "the one that is silent, offline", 15)
        silent.clear()
        until(lambda: city.rows(f"{_OFFLINE} AND e.cleared_at IS NOT NULL") == [(BEATING[0],)], "its return", 15)
    assert city.rows(_OFFLINE) == [(BEATING[0],)]


def test_a_duration_under_way_outlives_kills(city: City) -> None:
    """A tilt has to be held for 3 s without a contrary word. Both processes are killed meanwhile; it is raised all the
    same, with the time of the report that began it, and once."""
    city.installation.environment["UNDERFOOT_TIMER_INTERVAL_S"] = "0.1"
    city.start_ingest()
    began = now_ms()
    send(city, report(COVER, began, tilt_deg=12.0))
    city.caught_up()
    assert city.open_alarms(COVER) == {}
    city.installation.end_processes()
    city.start("alerts")
    city.start_ingest()
    until(lambda: city.open_alarms(COVER) == {"cover.tilt": 2}, "alarm that silence has proven", 15)
    raised = city.rows("SELECT (extract(epoch FROM raised_at) * 1000)::bigint, proof ->> 'value' FROM episodes")
    assert raised == [(began, "12.0")]
    city.installation.end_processes()
    city.start("alerts")
    city.start_ingest()
    send(city, report(COVER, now_ms(), tilt_deg=1.0))
    until(lambda: city.open_alarms(COVER) == {}, "its end")
    assert city.value("SELECT count(*) FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'cover.tilt'") == 1
