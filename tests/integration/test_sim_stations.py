"""A simulated fleet, the listener and the codec together: what the stations lived through is what is read."""

from __future__ import annotations

import json
from datetime import datetime
from threading import Event
from typing import Any

import pytest

from ingest.arrival import Arrival
from ingest.codecs.contract import Decoded, Unusable
from ingest.codecs.sl651 import decode
from simulators.stations.fleet import Fleet, Habits, StationsError
from simulators.stations.life import CHINA, Station, lives_from
from tests.integration.listener import listener_on


def fleet(port: int, habits: Habits) -> dict[str, Any]:
    began = lives_from(datetime.now(CHINA), 24)
    stations = [Station(f"{41_050_001 + number:010d}", began, 24, seed=3) for number in range(8)]
    return Fleet(stations, "127.0.0.1", port, habits, seed=3).run(Event())


@pytest.mark.parametrize("habits", [Habits(), Habits(window=4, corrupt=0.2, split=0.2, repeat=0.2)])
def test_what_was_lived_through_is_what_is_read(database: str, habits: Habits) -> None:
    with listener_on(database) as listener:
        result = fleet(listener.port, habits)
        rows = listener.rows()
    assert result["acknowledged"] == result["sent"] > 0
    assert result["heartbeats"] == 8 * 6
    assert set(result["by_function"]) == {"timed", "hourly", "additional"}
    found = [item for row in rows for item in decode(Arrival(row[2], row[4], 0, 0, False, False, 0, 0))]
    broken = [item.reason.value for item in found if isinstance(item, Unusable)]
    assert broken == ["checksum"] * result["corrupted"]
    reports = {
        (item.device_id, item.family, json.dumps(item.report, sort_keys=True))
        for item in found
        if isinstance(item, Decoded)
    }
    by_family = {family: [json.loads(text) for _, of, text in reports if of == family] for family in ("rain", "pipe")}
    assert len(by_family["rain"]) == result["rain_reports"]
    assert len(by_family["pipe"]) == result["level_reports"]
    amounts = [report["values"].get("amount_mm", 0) for report in by_family["rain"]]
    assert round(sum(amounts), 1) == result["rain_mm"] > 0


@pytest.mark.parametrize("wrong", [{"corrupt": 1.5}, {"rate": 0}, {"window": 0}])
def test_habits_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(StationsError, match=next(iter(wrong))):
        Habits(**wrong)
