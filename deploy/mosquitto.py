"""The local MQTT broker: its configuration, its start and its end."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Literal

from deploy.errors import StackError
from deploy.processes import Process, Server, listens
from deploy.rootfs import Say
from deploy.secure import Identities

# Anybody on this machine may publish and subscribe: that is for a developer's machine, never for production.
_OPEN = "listener {port} 127.0.0.1\nallow_anonymous true\n"
_STORE = "persistence_location /data/store/\n\n"


@dataclass(frozen=True)
class Mosquitto:
    """mosquitto under the stack's home: `mosquitto/store` holds its sessions and what waits for them."""

    name: ClassVar[Literal["mosquitto"]] = "mosquitto"
    setting: ClassVar[str] = "UNDERFOOT_MQTT_PORT"
    default_port: ClassVar[int] = 51883
    url_setting: ClassVar[str] = "mqtt_url"

    home: Path

    @property
    def server(self) -> Server:
        return Server("mosquitto", self.home / "mosquitto", self.home / "logs" / "mosquitto.log")

    @property
    def session_store(self) -> Path:
        return self.server.folder / "store" / "mosquitto.db"

    @property
    def identities(self) -> Identities:
        return Identities(self.home)

    def url(self, port: int) -> str:
        login = f"{self.identities.login()}@" if self.identities.listeners() is not None else ""
        return f"mqtt://{login}127.0.0.1:{port}"

    def admit(self, accounts_in: str | None) -> None:
        """Whom it lets in from its next start on: the accounts of that database, or everybody on this machine. While it
        runs its door stays as it is."""
        if self.server.running() is not None:
            if accounts_in is not None and self.identities.listeners() is None:
                raise StackError(
                    "mosquitto already runs, open to all on this machine: `underfoot down` first, then"
                    " `underfoot up --secure`"
                )
        elif accounts_in is None:
            self.identities.open()
        else:
            self.identities.close(accounts_in)

    @property
    def prepared(self) -> bool:
        return self.session_store.parent.is_dir()

    def prepare(self, rootfs: Path, say: Say) -> None:
        self.session_store.parent.mkdir(parents=True, exist_ok=True)

    def start(self, rootfs: Path, port: int) -> Process:
        folder = self.server.folder
        shared = (files("deploy") / "mosquitto.conf").read_text(encoding="utf-8")
        closed = self.identities.listeners()
        listeners = _OPEN.format(port=port) if closed is None else closed.configuration(port)
        (folder / "mosquitto.conf").write_text(f"{listeners}{_STORE}{shared}", encoding="utf-8")
        return self.server.start(rootfs, ["/usr/sbin/mosquitto", "-c", "/data/mosquitto.conf"])

    def wait_until_ready(self, port: int, say: Say) -> None:
        """Return when it listens; it has its sessions again by then."""
        deadline = time.monotonic() + 60
        while True:
            process = self.server.running()
            if process is None:
                raise self.server.failure()
            if listens(process, port):
                return
            if time.monotonic() > deadline:
                raise StackError(f"mosquitto does not listen on port {port} after 60 s; see {self.server.log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """An orderly end: sessions and queues are saved."""
        self.server.stop(signal.SIGTERM, patience=30)

    def forget_sessions(self) -> None:
        """Remove the session store, like a broker that lost its disk. Running, it would write it again."""
        if self.server.running() is not None:
            raise StackError("mosquitto runs: stop it before its session store is removed")
        self.session_store.unlink(missing_ok=True)
