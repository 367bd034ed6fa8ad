"""What a benchmark stands on: a stack of its own with every durability setting on, a city, processes watched."""

from __future__ import annotations

import json
import os
import socket
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

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Rig:
    home: Path
    database_url: str
    mqtt_url: str
    rootfs: Path
    asking: psycopg.Connection[tuple[Any, ...]]
    """Open all the time: while something is measured, asking how far it is must cost next to nothing."""

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.database_url, autocommit=True)

    def value(self, query: str) -> Any:
        row = self.asking.execute(query).fetchone()
        assert row is not None
        return row[0]

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.csv"

    def call(self, *arguments: str) -> str:
        """Run `underfoot …` to its end; its standard output."""
        done = subprocess.run([underfoot(), *arguments], env=self._environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"underfoot {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def load(self, reports: int, seed: int, *, devices: int, rate: float | None = None) -> dict[str, Any]:
        """Send reports of the ledger's first `devices`, at a rate or at full speed; what was sent and when it began."""
        command = ["simulate", "load", "--ledger", str(self.ledger), "--devices", str(devices), "--json"]
        command += ["--reports", str(reports), "--seed", str(seed)] + (["--rate", str(rate)] if rate else [])
        found: dict[str, Any] = json.loads(self.call(*command))
        assert found["sent"] == reports, found
        return found

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "UNDERFOOT_HOME": str(self.home),
            "UNDERFOOT_DATABASE_URL": self.database_url,
            "UNDERFOOT_MQTT_URL": self.mqtt_url,
        }

    def restart_broker(self) -> None:
        """A broker without anybody's queue, so that one consumer's leftovers do not load the next one's run."""
        stack.stop(self.home, "mosquitto", forget_sessions=True)
        stack.start(self.home, "mosquitto")

    @contextmanager
    def run(self, *command: str, log: str, **settings: str) -> Iterator[Watched]:
        """`underfoot …` or a module of ours, ended at the end."""
        environment = {**self._environment(), **settings}
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
        time.sleep(0.1)


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def rig(devices: int) -> Iterator[Rig]:
    """A stack, migrated, with a city of `devices` registered; torn down at the end."""
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
            ready_rootfs = rootfs.ensure(load().rootfs, rootfs.silent)
            with psycopg.connect(url, autocommit=True) as asking:
                made = Rig(home, url, started["mqtt_url"], ready_rootfs, asking)
                _assert_durable(made)
                _register(made, devices)
                yield made
        finally:
            stack.down(home)


def _assert_durable(made: Rig) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert made.value(f"SHOW {setting}") == "on", f"{setting} is off: the figures would be lies"


def _register(made: Rig, devices: int) -> None:
    """A city by the product's own commands, so that the benchmark's devices are like anybody's."""
    made.call("city", "--devices", str(devices), "--bare", "0", str(made.ledger))
    made.call("devices", "import", str(made.ledger))
    with made.connect() as connection:
        connection.execute("VACUUM ANALYZE")


def wait_until_ready(made: Rig, *, workers: int = 1) -> None:
    """`underfoot ingest` holds every shard and is subscribed, and so many processes share them: a probe of each shard's
    own has come back."""
    since = time.time()
    wait_for(
        lambda: bool(
            made.value(
                f"SELECT bool_and(coalesce(caught_up_to > to_timestamp({since}), false))"
                f" AND count(DISTINCT worker_key) = {workers} FROM shards"
            )
        ),
        90,
        "ingest ready",
    )


def stored(made: Rig) -> int:
    return int(made.value("SELECT coalesce(sum(stored), 0) FROM books"))


def last_commit(made: Rig) -> float:
    """When the books were last written, in seconds since 1970."""
    return float(made.value("SELECT max(extract(epoch FROM pg_xact_commit_timestamp(xmin))) FROM books"))
