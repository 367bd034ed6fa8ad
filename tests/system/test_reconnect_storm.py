"""Power returns to a whole district: all its devices connect at once, each with the backlog that it has kept."""

from __future__ import annotations

import itertools

from tests.system import evidence
from tests.system.city import LONG, City, until
from tests.system.fleet import Episode, Fleet, Message, encoded, now_ms
from tests.system.platform import SINK, add_platform_sink
from tests.system.publisher import load
from tests.system.storm import Storm, at_once_allowed
from tests.system.verdict import ALERTS_MB, INGEST_MB, Endures, all_is_well, silence_is_noticed

DEVICES = 20_000 if LONG else 600
BACKLOG = 5
_MINUTE = 60_000


def returning(fleet: Fleet, numbers: itertools.count[int]) -> list[tuple[str, list[Message]]]:
    """Each device says how it was, minute by minute until now. Every tenth was opened while nobody heard of it."""
    devices = []
    for number in range(DEVICES):
        device_id = f"back-{number:05d}"
        opened_at = 3 if number % 10 == 0 else BACKLOG
        backlog = []
        for step in range(BACKLOG):
            ts = now_ms() - (BACKLOG - 1 - step) * _MINUTE
            opened = step >= opened_at
            n = next(numbers)
            report = {"ts": ts, "n": n, "values": {"open": opened, "tilt_deg": 80.0 if opened else 1.0}}
            backlog.append(Message(f"underfoot/v1/410502/cover/{device_id}/report", encoded(report)))
            fleet.sent.reports.add(n)
            if step == opened_at:
                fleet.sent.episodes.append(Episode(device_id, "cover.open", ts, 4))
        fleet.sent.messages += BACKLOG
        devices.append((device_id, backlog))
    return devices


def test_all_come_back_at_once(city: City) -> None:
    """Meanwhile others report as ever. Nothing is lost or counted twice, and nobody who reports is called offline."""
    add_platform_sink(city, SINK, "http://127.0.0.1:9/events")
    city.do(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT 'back-' || lpad((n - 1)::text, 5, '0'), 'cover', '410502', 1, 86400"
        " FROM generate_series(1, %s) AS n",
        DEVICES,
    )
    fleet = Fleet(seed=14)
    fleet.clocks_only()
    alerts = silence_is_noticed(city, 10)
    endures = [Endures(city.start_ingest(), INGEST_MB), Endures(alerts, ALERTS_MB)]
    with load(city, fleet.message, 300):
        until(lambda: evidence.stored_rows(city) > 500, "load under way")
        storm = Storm(city.broker_port, returning(fleet, itertools.count(10_000_000)), at_once_allowed())
        storm.rage(600 if LONG else 60)
        city.caught_up(seconds=300)
    assert storm.most_at_once >= min(DEVICES, at_once_allowed()) / 2, "they did not come at once"
    # A device that had to try again may have been heard the first time.
    all_is_well(city, fleet, endures=endures, resent=storm.tried_again > 0)
    assert city.value(
        "SELECT count(*) FROM device_latest JOIN devices USING (device_key) WHERE device_id LIKE 'back-%%'"
    ) == (DEVICES)
