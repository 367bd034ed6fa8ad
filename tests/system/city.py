"""A small city on a database of its own: its ledger, the processes that serve it, its rows as a stranger reads them."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql

from tests.system.installation import Installation

DISTRICT = "410502"
LONG = os.environ.get("UNDERFOOT_TEST_LONG") == "1"
FAMILIES = ("cover", "road", "pipe", "pump", "rain", "lamp")
_HEADER = (
    "device_id,family,area_code,asset_code,asset_name,address,lon,lat,owner_unit,maintenance_unit,vendor,model,"
    "expected_interval_s"
)
_CLASSES = {"cover": "0103", "road": "2101", "pipe": "0102", "pump": "2115", "rain": "2199", "lamp": "0118"}
_SIZES = {"cover": 60, "road": 10, "pipe": 4, "pump": 6, "rain": 4, "lamp": 10}

DEVICES = {family: [f"{family}-{number:03d}" for number in range(1, _SIZES[family] + 1)] for family in FAMILIES}
"""Every device of the ledger, by family."""

PROBE_S = 0.2


def write_ledger(path: Path, devices: Mapping[str, Iterable[str]] = DEVICES) -> None:
    """`devices`: device_ids by family."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_HEADER.split(","))
        for family, ids in devices.items():
            for number, device_id in enumerate(ids, 1):
                code = f"{DISTRICT}{_CLASSES[family]}{number:06d}"
                place = f"114.{352000 + number:06d}", f"36.{102000 + number:06d}"
                unit = "文峰养护所" if number % 2 else "北关养护所"
                row = [
                    device_id,
                    family,
                    f"{DISTRICT}003",
                    code,
                    f"{family}{number:03d}",
                    f"人民大道{number}号",
                    *place,
                ]
                rows.writerow([*row, "市水务局", unit, "", "", 86_400])


DISTRICTS = (DISTRICT, "410503", "410505", "410506", "410522")


def spread(device_id: str) -> str:
    """The district of a device, in a city that lies in all of them."""
    return DISTRICTS[int(device_id.rpartition("-")[2]) % len(DISTRICTS)]


def topic(device_id: str, *, district: str = DISTRICT, family: str | None = None) -> str:
    return f"underfoot/v1/{district}/{family or device_id.partition('-')[0]}/{device_id}/report"


# `...`: what a lambda keeps of the loop around it is a parameter too.
def until(condition: Callable[..., Any], what: str, seconds: float = 30, every: float = 0.05) -> Any:
    """Wait for a condition, and return what it said."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(every)


class City:
    """One test's database on a stack that it may break. `start` launches a process of the product."""

    def __init__(self, installation: Installation, database_url: str, mqtt_url: str) -> None:
        self.installation = installation
        self.database_url = database_url
        self.mqtt_url = mqtt_url
        self.random = random.Random(20_261_121)
        self._asking = threading.Lock()
        self._kept: psycopg.Connection[tuple[Any, ...]] | None = None

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    @property
    def broker_port(self) -> int:
        return self.broker_ports[0]

    @property
    def broker_ports(self) -> list[int]:
        """All on this machine; several where the broker is a cluster."""
        return [int(address.rpartition(":")[2]) for address in self.mqtt_url.split(",")]

    # the database, as psycopg sees it -------------------------------------------------------------------------------

    @contextmanager
    def connected(self, *, autocommit: bool = True) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        with psycopg.connect(self.database_url, autocommit=autocommit, connect_timeout=10) as connection:
            yield connection

    def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Asked on a connection that is kept: what a test waits for it asks again and again, and logging in each time
        would take a third of a processor from what it waits for. One that a fault has broken is made anew."""
        with self._asking:
            try:
                return self._asked(query, params)
            except psycopg.OperationalError:
                if self._kept is None or not self._kept.closed:
                    raise
            self.close()
            return self._asked(query, params)

    def _asked(self, query: str, params: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if self._kept is None:
            self._kept = psycopg.connect(self.database_url, autocommit=True, connect_timeout=10, prepare_threshold=None)
        return self._kept.execute(query.encode(), params or None).fetchall()

    def value(self, query: str, *params: Any) -> Any:
        found = self.rows(query, *params)
        assert len(found) == 1, f"{query}: {len(found)} rows"
        return found[0][0]

    def do(self, query: str, *params: Any) -> None:
        with self.connected() as connection:
            connection.execute(query.encode(), params or None)

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody can write this table meanwhile."""
        with self.connected(autocommit=False) as connection:
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(table)))
            yield
            connection.rollback()

    # processes ------------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, log: str | None = None) -> subprocess.Popen[str]:
        return self.installation.launch(*arguments, log=log)

    def start_ingest(self) -> subprocess.Popen[str]:
        """Start it, and wait until it holds the shard and reads."""
        before = self.value("SELECT sum(epoch) FROM shards")
        began = time.time()
        process = self.start("ingest")
        until(lambda: self.value("SELECT sum(epoch) FROM shards") > before, "tenure")
        self.caught_up(began)
        return process

    def caught_up(self, since: float | None = None, seconds: float = 60) -> None:
        """Wait until ingest says of every shard that all the broker had at `since` (now) is committed."""
        moment = time.time() if since is None else since
        until(
            lambda: self.value(
                "SELECT bool_and(coalesce(extract(epoch FROM caught_up_to) >= %s, false)) FROM shards", moment
            ),
            "end of what waited at the broker",
            seconds,
        )

    def log(self, name: str) -> str:
        return (self.installation.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def forget_session(self, shard: str = "main") -> None:
        """Nothing of an earlier test waits at the broker."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"underfoot-{shard}", clean_session=True)
        client.connect("127.0.0.1", self.broker_port)
        deadline = time.monotonic() + 10
        while not client.is_connected():
            client.loop(0.1)
            assert time.monotonic() < deadline, "no CONNACK within 10 s"
        client.disconnect()
        client.loop(0.1)

    # alarms ---------------------------------------------------------------------------------------------------------

    def open_alarms(self, device_id: str) -> dict[str, int]:
        """The device's open episodes: rule → severity."""
        found = self.rows(
            "SELECT al.rule_id, e.severity FROM episodes e JOIN alarms al USING (alarm_key)"
            " JOIN devices d USING (device_key) WHERE e.cleared_at IS NULL AND d.device_id = %s",
            device_id,
        )
        assert len(found) == len(dict(found)), f"{device_id}: two open episodes of one rule: {found}"
        return dict(found)


def signal_and_wait(process: subprocess.Popen[str], number: signal.Signals, seconds: float = 20) -> int:
    process.send_signal(number)
    return process.wait(seconds)
