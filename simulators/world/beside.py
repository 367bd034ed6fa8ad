"""A load beside the fleet: plain reports of a large registry, sent by a process of its own while the run is played.

scenario.load → registry (a made-up city where the network is not) → `load_job` → counted in the same books
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from simulators.world.folder import RunError
from simulators.world.load_job import GO, READY, LoadJob
from underfoot.ledger.importer import import_ledger
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


def register_load(connection: Connection, job: LoadJob, ledger: Path, actor: str) -> int:
    """Put its registry into the database, unless it is there already; returns how many devices it has."""
    job.city.write(ledger, with_area_names=True)
    ids = [row.device_id for row in job.city.rows()]
    ((known,),) = connection.execute(statement("simulated.count_known"), {"device_ids": ids}).fetchall()
    connection.rollback()
    if known < len(ids):
        import_ledger(connection, ledger, actor=actor)
    return len(ids)


class LoadBeside:
    """Started early, since a million devices take a while to make; `wait_ready`, `go`, then `result`."""

    def __init__(self, job: LoadJob) -> None:
        self.job = job
        command = [sys.executable, "-m", "simulators.world.load_job"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._tell(job.model_dump_json())  # not as an argument: there may be a secret in its URL

    def wait_ready(self) -> None:
        if self._line() != READY:
            raise RunError(f"load: {self._told() or 'its process ended before it began'}")

    def go(self) -> None:
        self._tell(GO)

    def end_early(self) -> None:
        """What it has sent is waited for, what it has not is dropped."""
        self._process.terminate()

    def result(self) -> dict[str, Any]:
        """What was sent, once all of it is acknowledged."""
        said = self._line()
        if not said:
            raise RunError(f"load: {self._told() or 'its process ended without a result'}")
        made: dict[str, Any] = json.loads(said)
        return made

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def _line(self) -> str:
        return self._process.stdout.readline().strip() if self._process.stdout is not None else ""

    def _told(self) -> str:
        return self._process.stderr.read().strip() if self._process.stderr is not None else ""
