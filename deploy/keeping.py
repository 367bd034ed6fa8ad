"""The mosquitto that `underfoot broker keep` keeps in step: the local stack's, or one that has written a process id."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from deploy.errors import StackError
from deploy.mosquitto import Mosquitto
from deploy.processes import Process, process_of
from underfoot.identity.keep import BrokerError

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
_RELOAD_PATIENCE_S = 30
# A reload is done between two rounds of the broker's loop: after that the revoked certificate opens nothing any more,
# and whoever is thrown out stays out.
_AFTER_RELOAD_S = 0.5


@dataclass(frozen=True)
class KeptMosquitto:
    """`find` tells its process. `reload_command` is run instead of a signal, where we may not send one."""

    find: Callable[[], Process | None]
    mqtt_url: str | None = None
    mqtt_ca: Path | None = None
    reload_command: Sequence[str] = ()

    def started(self) -> datetime | None:
        process = self.find()
        return None if process is None else datetime.fromtimestamp(_boot_time() + process.started / _TICKS, UTC)

    def reload(self) -> None:
        if self.reload_command:
            done = subprocess.run(
                self.reload_command, capture_output=True, text=True, timeout=_RELOAD_PATIENCE_S, check=False
            )
            if done.returncode != 0:
                raise BrokerError(
                    f"--reload-command {' '.join(self.reload_command)} ended with {done.returncode}:"
                    f" {done.stderr.strip() or done.stdout.strip()}"
                )
            return
        process = self.find()
        if process is not None:
            try:
                os.kill(process.pid, signal.SIGHUP)
            except PermissionError:
                raise BrokerError(
                    f"may not signal mosquitto (process {process.pid}): run as its user, or give --reload-command"
                ) from None

    def throw_out(self, client_ids: Iterable[str]) -> None:
        """Connect under each id: the broker ends the connection that had it."""
        if self.mqtt_url is None:
            log.error(
                "clients with revoked certificates stay connected until they reconnect: UNDERFOOT_MQTT_URL is not set"
            )
            return
        time.sleep(_AFTER_RELOAD_S)
        for client_id in client_ids:
            self._take_over(client_id, self.mqtt_url)

    def _take_over(self, client_id: str, mqtt_url: str) -> None:
        url = urlsplit(mqtt_url)
        answers: list[bool] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
        client.connect_timeout = _PATIENCE_S
        client.on_connect = lambda _client, _data, _flags, code, _properties: answers.append(not code.is_failure)
        if url.username:
            client.username_pw_set(unquote(url.username), unquote(url.password or ""))
        if url.scheme == "mqtts":
            client.tls_set(ca_certs=str(self.mqtt_ca) if self.mqtt_ca is not None else None)
        deadline = time.monotonic() + _PATIENCE_S
        try:
            client.connect(url.hostname or "", url.port or (8883 if url.scheme == "mqtts" else 1883), keepalive=10)
            while not answers and time.monotonic() < deadline:
                client.loop(0.1)
            client.disconnect()
        except OSError as error:
            log.error("%s could not be thrown out: %s", client_id, error)  # noqa: TRY400 - what matters is said
            return
        if not any(answers):
            log.error("%s could not be thrown out: the broker does not let us in", client_id)


_TICKS = os.sysconf("SC_CLK_TCK")


def _boot_time() -> int:
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    raise StackError("/proc/stat has no btime")


def local(home: Path) -> Callable[[], Process | None]:
    return Mosquitto(home).server.running


def by_pid_file(path: Path) -> Callable[[], Process | None]:
    """The process whose id mosquitto wrote (`pid_file`); None where it does not run."""

    def find() -> Process | None:
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        if not text.isdecimal():
            raise StackError(f"--pid-file {path}: {text!r} is no process id")
        return process_of(int(text))

    return find
