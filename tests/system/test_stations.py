"""`underfoot stations` with a fleet of hydrological stations: what is acknowledged is in the inbox, once."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.system.city import LONG, City, signal_and_wait, until, write_ledger
from tests.system.installation import free_port

STATIONS = 60 if LONG else 30
STEPS = 96 if LONG else 24
KILLS = 20 if LONG else 3


@pytest.fixture
def listened(city: City) -> City:
    city.installation.environment["UNDERFOOT_STATIONS_PORT"] = str(free_port())
    return city


def start(city: City) -> subprocess.Popen[str]:
    before = city.log("stations").count("listening on") if (city.installation.folder / "stations.log").exists() else 0
    process = city.start("stations")
    until(lambda: city.log("stations").count("listening on") > before, "listener")
    return process


def fleet(city: City, *options: str, succeeds: bool = True) -> dict[str, Any]:
    command = ["simulate", "stations", "--stations", str(STATIONS), "--steps", str(STEPS), "--json", *options]
    result: dict[str, Any] = json.loads(city.installation.run(*command, succeeds=succeeds, timeout=400).stdout)
    return result


@contextmanager
def fleet_meanwhile(city: City, *options: str) -> Iterator[dict[str, Any]]:
    """The fleet reports while the body goes on; the result is there afterwards."""
    result: dict[str, Any] = {}
    errors: list[BaseException] = []

    def report() -> None:
        try:
            result.update(fleet(city, *options))
        except BaseException as error:
            errors.append(error)
            raise

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield result
    finally:
        thread.join()
    assert not errors


def messages(city: City) -> int:
    return int(city.value("SELECT count(*) FROM inbox WHERE kind = 'message' AND key NOT LIKE 'sl651/-/%'"))


def malformed(city: City) -> int:
    return int(city.value("SELECT count(*) FROM inbox WHERE kind = 'message' AND key LIKE 'sl651/-/%'"))


def test_a_fleet_on_a_bad_network_is_taken_whole(listened: City) -> None:
    process = start(listened)
    result = fleet(listened, "--corrupt", "0.1", "--split", "0.1", "--repeat", "0.1")
    assert result["acknowledged"] == result["sent"] >= STATIONS * STEPS
    assert result["corrupted"] > 0
    assert result["repeats"] > 0
    assert result["resent"] == result["reconnects"] == 0
    assert messages(listened) == result["sent"]
    assert malformed(listened) == result["corrupted"]
    topics = "SELECT count(DISTINCT payload->>'topic') FROM inbox WHERE key NOT LIKE 'sl651/-/%'"
    assert listened.value(topics) == STATIONS
    assert signal_and_wait(process, signal.SIGTERM) == 0
    assert "Traceback" not in listened.log("stations")


def test_what_stations_measured_is_stored_once_and_to_the_millimetre(listened: City) -> None:
    numbers = [f"{41_050_001 + number:010d}" for number in range(STATIONS)]
    ledger = listened.installation.folder / "stations.csv"
    write_ledger(ledger, {kind: [f"{number}-{kind}" for number in numbers] for kind in ("rain", "pipe")})
    listened.installation.run("devices", "import", str(ledger))
    start(listened)
    listened.start("ingest")
    result = fleet(listened, "--corrupt", "0.1", "--split", "0.1", "--repeat", "0.2")
    waiting = "SELECT count(*) FROM inbox WHERE consumed_at IS NULL"
    until(lambda: listened.value(waiting) == 0, "everything carried out", 60)
    assert result["rain_mm"] > 0
    rain = listened.rows("SELECT count(*), sum(amount_mm)::float8 FROM report_rain")
    assert rain == [(result["rain_reports"], pytest.approx(result["rain_mm"], abs=0.05))]
    assert listened.value("SELECT count(*) FROM report_pipe") == result["level_reports"]
    in_quarantine = "SELECT count(*) FROM quarantine WHERE reason <> 'checksum'"
    assert listened.value(in_quarantine) == 0
    booked = listened.rows("SELECT sum(received)::int, sum(by_inbox)::int FROM books")
    assert booked == [(result["sent"] + result["corrupted"],) * 2]


def test_the_same_fleet_again_is_the_same_messages(listened: City) -> None:
    start(listened)
    options = ("--stations", "5", "--steps", "12")
    first = fleet(listened, *options)
    again = fleet(listened, *options)
    assert again["acknowledged"] == again["sent"] == first["sent"]
    assert messages(listened) in (first["sent"], 2 * first["sent"]), "twice only where a full hour came between"


def test_a_listener_that_is_killed_again_and_again(listened: City) -> None:
    process = start(listened)
    with fleet_meanwhile(listened, "--rate", "300", "--retry-s", "2") as result:
        until(lambda: messages(listened) > 100, "frames under way")
        for _ in range(KILLS):
            time.sleep(listened.random.uniform(0.1, 1.0))
            signal_and_wait(process, signal.SIGKILL)
            process = start(listened)
    assert result["reconnects"] > 0
    assert result["acknowledged"] == result["sent"]
    assert messages(listened) == result["sent"]


def test_a_database_that_is_killed_meanwhile(listened: City) -> None:
    process = start(listened)
    with fleet_meanwhile(listened, "--rate", "100", "--retry-s", "2") as result:
        until(lambda: messages(listened) > 100, "frames under way")
        listened.installation.kill_server("postgres")
        time.sleep(3)
        assert process.poll() is None
        listened.installation.start_server("postgres")
    assert result["resent"] > 0
    assert result["acknowledged"] == result["sent"]
    assert messages(listened) == result["sent"]
    assert signal_and_wait(process, signal.SIGTERM) == 0
    assert "Traceback" not in listened.log("stations")


def test_without_a_database_nobody_is_acknowledged(listened: City) -> None:
    process = start(listened)
    listened.installation.stop_server("postgres")
    result = fleet(listened, "--retry-s", "1", "--patience-s", "4", succeeds=False)
    assert result["acknowledged"] == 0
    assert result["unacknowledged"] > 0
    assert signal_and_wait(process, signal.SIGTERM) == 0
    listened.installation.start_server("postgres")
    assert messages(listened) == 0
