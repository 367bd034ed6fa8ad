"""The database's disk is full: nothing that was acknowledged is lost, and with room again everything goes on.

A part of the server's data lies on a small file system of its own, in a mount namespace that one sleeping process keeps
(as the stack itself does, this needs user namespaces, not root); a ballast file fills it up to the last byte.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.system import evidence
from tests.system.city import PROBE_S, City, until, write_ledger
from tests.system.fleet import Fleet
from tests.system.installation import COMMAND, Installation, ports_to_keep
from tests.system.platform import SINK, add_platform_sink
from tests.system.publisher import load
from tests.system.verdict import INGEST_MB, Endures, all_is_well, silence_is_noticed

_MOUNT = """
set -e
small="$1.small"
mkdir "$small"
mount -t tmpfs -o size=$(( $(du -sk "$1" | cut -f1) + $2 + $3 ))k tmpfs "$small"
cp -a "$1/." "$small"
dd if=/dev/zero of="$small/reserve" bs=1024 count=$3 status=none
mount --bind "$small" "$1"
echo mounted
exec sleep 3600
"""

# What somebody who makes room gives the server at the least: two segments of its log, of 16 MiB each.
RESERVE_KB = 40_000


class SmallDisk:
    """A folder of the server's data on a disk with `room_kb` to spare, and a reserve that is there to be given up."""

    def __init__(self, folder: Path, room_kb: int, installation: Installation) -> None:
        self._installation = installation
        self._ballast = folder / "ballast"
        self._reserve = folder / "reserve"
        namespace = ["unshare", "--user", "--map-root-user", "--mount"]
        self._keeper = subprocess.Popen(
            [*namespace, "sh", "-c", _MOUNT, "sh", str(folder), str(room_kb), str(RESERVE_KB)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "mounted\n"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command where the small disk is mounted."""
        enter = ["nsenter", "--target", str(self._keeper.pid), "--user", "--mount", "--preserve-credentials"]
        return subprocess.run(
            [*enter, *command],
            env=self._installation.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start_server(self) -> None:
        started = self.run(COMMAND, "stack", "start", "postgres")
        assert started.returncode == 0, started

    def fill(self) -> None:
        filled = self.run("sh", "-c", f"cat /dev/zero > '{self._ballast}'")
        assert "No space left on device" in filled.stderr, filled

    def make_room(self) -> None:
        assert self.run("rm", str(self._ballast), str(self._reserve)).returncode == 0

    def close(self) -> None:
        self._keeper.kill()
        self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()


@contextmanager
def on_a_small_disk(installation: Installation, folder: str, room_kb: int) -> Iterator[tuple[City, SmallDisk]]:
    """A city whose server keeps `folder` of its data directory there."""
    installation.environment |= {"UNDERFOOT_PROBE_INTERVAL_S": str(PROBE_S), **ports_to_keep()}
    installation.run("up")
    ledger = installation.folder / "ledger.csv"
    write_ledger(ledger)
    installation.run("devices", "import", str(ledger))
    status = installation.status()
    installation.stop_server("postgres")
    disk = SmallDisk(installation.home / "postgres" / "data" / folder, room_kb, installation)
    try:
        disk.start_server()
        with closing(City(installation, status["database_url"], status["mqtt_url"])) as city:
            yield city, disk
    finally:
        installation.end_processes()
        installation.run("down")
        disk.close()


def test_no_room_for_rows(installation: Installation) -> None:
    """The server refuses what needs room, and lives on: ingest tries again until there is some."""
    with on_a_small_disk(installation, "base", 24_000) as (city, disk):
        add_platform_sink(city, SINK, "http://127.0.0.1:9/events")
        fleet = Fleet(seed=8)
        silence_is_noticed(city, 4)
        endures = [Endures(city.start_ingest(), INGEST_MB)]
        with load(city, fleet.message, 600):
            until(lambda: evidence.stored_rows(city) > 500, "load under way")
            disk.fill()
            until(lambda: city.log("ingest").count("No space left on device") >= 3, "refusals for want of room", 60)
            full_at = evidence.stored_rows(city)
            disk.make_room()
            until(lambda: evidence.stored_rows(city) > full_at + 500, "recovery by itself")
        all_is_well(city, fleet, endures=endures)


@pytest.mark.long
def test_no_room_for_the_servers_log(installation: Installation) -> None:
    """Without room for its write-ahead log the server itself dies. Ingest waits until somebody has started it again."""
    with on_a_small_disk(installation, "pg_wal", 20_000) as (city, disk):
        add_platform_sink(city, SINK, "http://127.0.0.1:9/events")
        fleet = Fleet(seed=9)
        silence_is_noticed(city, 4)
        endures = [Endures(city.start_ingest(), INGEST_MB)]
        with load(city, fleet.message, 300):
            until(lambda: evidence.stored_rows(city) > 500, "load under way")
            disk.fill()
            until(lambda: not _writes(city), "end of the server", 60)
            until(lambda: "tenure over" in city.log("ingest"), "end of the tenure")
            disk.make_room()
            installation.stop_server("postgres")
            disk.start_server()
            city.caught_up(seconds=90)
        all_is_well(city, fleet, endures=endures)


def _writes(city: City) -> bool:
    """Whether the server still takes something; a new log segment each time, so that it needs room soon."""
    try:
        city.do("SELECT pg_switch_wal()")
    except psycopg.OperationalError:
        return False
    return True
