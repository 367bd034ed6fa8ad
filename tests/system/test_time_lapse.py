"""An installation in lapsed time: half an hour of silence is over in three seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tests.system.city import DEVICES, City, until
from tests.system.fleet import report
from tests.system.publisher import send

SPEED = 600
COVER = DEVICES["cover"][0]
INTERVAL_S = 1200
ALLOWED_S = 1.5 * INTERVAL_S
_OFFLINE = (
    "SELECT extract(epoch FROM e.raised_at)::float8, extract(epoch FROM e.committed_at)::float8 FROM episodes e"
    " JOIN alarms al USING (alarm_key) JOIN devices d USING (device_key)"
    " WHERE al.rule_id = 'cover.offline' AND d.device_id = %s"
)


def test_a_silence_of_half_an_hour_is_over_in_seconds(city: City) -> None:
    meets_at = time.time() + 60

    def ours_s() -> float:
        return meets_at - (meets_at - time.time()) * SPEED

    moment = datetime.fromtimestamp(meets_at, UTC).isoformat()
    city.installation.environment["UNDERFOOT_TIME_LAPSE"] = f"{SPEED}x until {moment}"
    city.do(
        "UPDATE devices SET expected_interval_s = %s, created_at = now() - interval '1 day',"
        " updated_at = clock_timestamp() WHERE device_id = ANY(%s)",
        INTERVAL_S,
        [COVER],
    )
    city.start("ingest")
    until(lambda: city.value("SELECT bool_and(caught_up_to IS NOT NULL) FROM shards"), "tenure")
    said_s = ours_s()
    sent = time.monotonic()
    send(city, report(COVER, round(said_s * 1000), open=False))
    [(raised_s, committed_s)] = until(lambda: city.rows(_OFFLINE, COVER), "cover offline", 12)
    took_s = time.monotonic() - sent
    assert ALLOWED_S / SPEED <= took_s < ALLOWED_S / SPEED + 3
    # Each delay of a second here is ten minutes there; before its time nothing is raised.
    assert ALLOWED_S <= committed_s - said_s < ALLOWED_S + 3 * SPEED
    assert raised_s <= committed_s
    send(city, report(COVER, round(ours_s() * 1000), open=False))
    until(lambda: city.open_alarms(COVER) == {}, "its return", 5)
