"""What a benchmark stands on: a stack of its own with every durability setting on, a registered fleet, processes watched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from deploy import rootfs, stack
from deploy.ports import any_free
from deploy.stack import Ports
from underfoot.settings import load
from underfoot.storage.migrate import migrate

AREA = "410502"
FAMILIES = ("cover", "road", "lamp", "pipe")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Rig:
    home: Path
    database_url: str
    mqtt_url: str
    rootfs: Path

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.database_url, autocommit=True)

    def value(self, query: str) -> Any:
        with self.connect() as connection:
            row = connection.execute(query).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row[0]

    def restart_broker(self) -> None:
        """A broker without anybody's queue, so that one consumer's leftovers do not load the next one's run."""
        stack.stop(self.home, "mosquitto", forget_sessions=True)
        stack.start(self.home, "mosquitto")

    @contextmanager
    def run(self, *command: str, log: str, **settings: str) -> Iterator[Watched]:
        """`underfoot …` or a module of ours, ended at the end."""
        environment = {
            **os.environ,
            "UNDERFOOT_HOME": str(self.home),
            "UNDERFOOT_DATABASE_URL": self.database_url,
            "UNDERFOOT_MQTT_URL": self.mqtt_url,
            **settings,
        }
        with (self.home / f"{log}.log").open("ab") as output:
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=output)
            try:
                yield Watched(process)
            finally:
                process.terminate()
                process.wait(30)


@dataclass
class Watched:
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """CPU seconds, user and system, that it has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_rss_mb(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmHWM")

    def answer(self) -> dict[str, Any]:
        """The JSON object it prints before it ends."""
        output, _ = self.process.communicate(timeout=300)
        found: dict[str, Any] = json.loads(output.splitlines()[-1])
        return found


def underfoot() -> str:
    return str(Path(sys.executable).parent / "underfoot")


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


@contextmanager
def rig(devices: int) -> Iterator[Rig]:
    """A stack, migrated, with `devices` registered over four families; torn down at the end."""
    with tempfile.TemporaryDirectory(prefix="underfoot-bench-") as folder:
        home = Path(folder) / "home"
        try:
            started = stack.up(home, Ports(any_free(), any_free()))
            url = started["database_url"]
            with psycopg.connect(url, autocommit=True) as connection:
                # When each row was committed, by the database's own clock; needs a restart to take effect.
                connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
            stack.stop(home, "postgres")
            stack.start(home, "postgres")
            migrate(url)
            made = Rig(home, url, started["mqtt_url"], rootfs.ensure(load().rootfs, rootfs.silent))
            _assert_durable(made)
            _register(made, devices)
            yield made
        finally:
            stack.down(home)


def _assert_durable(made: Rig) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert made.value(f"SHOW {setting}") == "on", f"{setting} is off: the figures would be lies"


def _register(made: Rig, devices: int) -> None:
    with made.connect() as connection:
        connection.execute("INSERT INTO areas VALUES (%s, '文峰区', NULL, 'district')", [AREA])
        connection.execute(
            "INSERT INTO assets (asset_code, kind, name, area_code, address, maintenance_unit)"
            " VALUES ('4105020103000001', '0103', '雨水井', %s, '人民大道文峰路口', '市政一所')",
            [AREA],
        )
        for family in FAMILIES:
            connection.execute(
                "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
                " SELECT %s || number, %s, %s, 1, 86400 FROM generate_series(0, %s) number",
                [f"{family}-", family, AREA, devices // len(FAMILIES) - 1],
            )
        connection.execute("VACUUM ANALYZE")
