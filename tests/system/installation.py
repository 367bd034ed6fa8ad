"""The product as its user has it: a command, its environment, the servers and processes that it started."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.folders import folder_of_servers

COMMAND = str(Path(sys.executable).with_name("underfoot"))
_KEPT = ("UNDERFOOT_ROOTFS", "UNDERFOOT_TEST_LONG")


@dataclass
class Installation:
    """One installation: its own home, its own ports, its own servers. `environment` may be changed before a command."""

    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return Path(self.environment["UNDERFOOT_HOME"])

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.environment['UNDERFOOT_API_PORT']}"

    def run(self, *arguments: str, succeeds: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `underfoot ARGUMENTS` to its end; it must succeed, or with `succeeds=False` fail."""
        done = subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (done.returncode == 0) == succeeds, f"underfoot {' '.join(arguments)}: {done}"
        return done

    def launch(self, *arguments: str, log: str | None = None) -> subprocess.Popen[str]:
        """Start `underfoot ARGUMENTS` in a process group of its own, its output in `log`; killed at the test's end."""
        with (self.folder / (log or f"{arguments[0]}.log")).open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [COMMAND, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def stop_server(self, name: str, *options: str) -> None:
        """Stop `postgres` or `mosquitto`; option: `--forget-sessions`."""
        self.run("stack", "stop", name, *options)

    def kill_server(self, name: str) -> None:
        """As a power cut would, and now: what a command does comes seconds later on a busy machine."""
        os.kill(json.loads((self.home / "stack.json").read_text())[name]["pid"], signal.SIGKILL)

    def start_server(self, name: str) -> None:
        self.run("stack", "start", name)

    def end_processes(self) -> None:
        """Kill whatever was launched and still runs."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.started.clear()

    def end(self) -> None:
        self.end_processes()
        self.run("down")


@contextmanager
def installed() -> Iterator[Installation]:
    """An installation on which nothing has been done yet; at the end nothing of it is left."""
    with folder_of_servers("underfoot-system-") as folder:
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("UNDERFOOT_") or key in _KEPT
        }
        environment |= {"UNDERFOOT_HOME": str(folder / "home"), "UNDERFOOT_API_PORT": str(free_port())}
        created = Installation(folder, environment)
        try:
            yield created
        finally:
            created.end()


def ports_to_keep() -> dict[str, str]:
    """Settings for servers that will be stopped and started again: on ports that nobody else takes meanwhile."""
    return {name: str(free_port()) for name in ("UNDERFOOT_POSTGRES_PORT", "UNDERFOOT_MQTT_PORT")}


def free_port() -> int:
    """Below the range from which the kernel takes ports for connections, and for whoever asks for any."""
    while True:
        port = random.randrange(20_000, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
