"""A server that outlives the command which started it, and is found again by any later command.

Whether it is alive is told by a lock that it holds (`deploy.locks`); which process it is, by the status file that
bubblewrap writes. Neither depends on the starter having lived long enough to write anything down, and a process id
that has gone to somebody else is never signalled.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy import sandbox
from deploy.errors import StackError
from deploy.locks import exclusive, held
from deploy.rootfs import tail

_LOG_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Process:
    """One process, told apart from a later one with the same id by when it started."""

    pid: int
    started: int  # clock ticks since the machine's boot, field 22 of /proc/PID/stat


@dataclass(frozen=True)
class Server:
    """One server of the local stack. `folder` is all it can write; beside its data lie its lock and its status file."""

    name: str
    folder: Path
    log: Path

    @property
    def lock(self) -> Path:
        return self.folder / "server.lock"

    @property
    def status_file(self) -> Path:
        return self.folder / "server.status"

    def running(self) -> Process | None:
        """The server's process, None if it does not run. Waits for a start that is just under way."""
        deadline = time.monotonic() + 10
        while held(self.lock):
            pid = self._written_pid()
            if pid is not None:
                return process_of(pid) if held(self.lock) else None
            if time.monotonic() > deadline:
                raise StackError(f"{self.lock} is held, but {self.status_file} names no process; see {self.log}")
            time.sleep(0.01)
        return None

    def start(self, rootfs: Path, program: Sequence[str]) -> Process:
        """Start it, detached from this process, its session and its terminal."""
        self._turn_log_over()
        with exclusive(self.lock, patience=5) as lock, self.log.open("ab") as log:
            # A file of its own: the bubblewrap of the server before may still write its exit code into the old one.
            new = self.status_file.with_name(f"{self.status_file.name}.new")
            status = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                new.replace(self.status_file)
                line = sandbox.command(rootfs, program, folder=self.folder, status_descriptor=status)
                # setsid --fork leaves the server to process 1, so that its starter need not reap it.
                subprocess.run(
                    ["setsid", "--fork", *line],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock, status),
                    check=True,
                )
            finally:
                os.close(status)
        process = self.running()
        if process is None:
            raise self.failure()
        return process

    def stop(self, asking: signal.Signals, patience: float) -> None:
        """End it: ask with `asking`, and after `patience` seconds kill. Returns when none of its processes is left."""
        process = self.running()
        if process is None:
            return
        if not _signal(process, asking, patience):
            _signal(process, signal.SIGKILL, 10)
        self._wait_until_gone()

    def kill(self) -> None:
        """End it as a power cut would."""
        process = self.running()
        if process is not None:
            _signal(process, signal.SIGKILL, 10)
            self._wait_until_gone()

    def failure(self) -> StackError:
        return StackError(f"{self.name} does not start; the last lines of {self.log}:\n{tail(self.log)}")

    def _wait_until_gone(self) -> None:
        with exclusive(self.lock, patience=10):
            return

    def _written_pid(self) -> int | None:
        first, newline, _ = self.status_file.read_text(encoding="utf-8").partition("\n")
        return int(json.loads(first)["child-pid"]) if newline else None

    def _turn_log_over(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.old"))


def process_of(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state == "Z" else Process(pid, int(fields[18]))


def _signal(process: Process, what: signal.Signals, patience: float) -> bool:
    """Signal exactly that process; True once it has ended, False if it has not within `patience` seconds.

    Process 1 of a namespace misses a signal that it has no handler for yet: a server just starting is asked again.
    """
    deadline = time.monotonic() + patience
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        while process_of(process.pid) == process:
            with suppress(ProcessLookupError):  # ended meanwhile: then its handle is ready
                signal.pidfd_send_signal(handle, what)
            if not select.select([handle], [], [], 1)[0] and time.monotonic() > deadline:
                return False
    finally:
        os.close(handle)
    return True


def listens(process: Process, port: int) -> bool:
    """Whether that very process listens on 127.0.0.1:`port`: an open port alone may be somebody else's."""
    sockets = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[1] == f"0100007F:{port:04X}" and fields[3] == "0A":
            sockets.add(f"socket:[{fields[9]}]")
    try:
        return any(_target(entry) in sockets for entry in Path(f"/proc/{process.pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""
