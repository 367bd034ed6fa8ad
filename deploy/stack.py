"""The local stack: TimescaleDB and mosquitto for one home folder, without Docker and without root.

`up`, `down` and `status` may be called at any time, in any state, by two processes at once. What runs is asked of the
servers themselves (`deploy.processes`). `stack.json` keeps the ports from one time to the next, and publishes the rest
for settings, tests and people.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from deploy import rootfs
from deploy.errors import StackError
from deploy.locks import exclusive
from deploy.mosquitto import Mosquitto
from deploy.ports import Wanted, choose, refusal
from deploy.postgres import Postgres
from deploy.rootfs import Say, silent
from deploy.secure import Identities
from underfoot.settings import SettingsError

Server = Postgres | Mosquitto
ServerName = Literal["postgres", "mosquitto"]
BOTH: tuple[ServerName, ...] = ("postgres", "mosquitto")

Recorded = dict[ServerName, int]  # the ports of stack.json


@dataclass(frozen=True)
class Ports:
    """The ports that were configured; None: the one of last time, or the default, or a free one."""

    postgres: int | None = None
    mqtt: int | None = None


def up(
    home: Path,
    ports: Ports | None = None,
    *,
    servers: tuple[ServerName, ...] = BOTH,
    accounts_in: str | None = None,
    ready_rootfs: Path | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Start what does not run yet, and return what `stack.json` says then. Data is kept from one time to the next.

    `accounts_in`: the migrated database whose accounts the broker asks for; without, it is open on this machine.
    """
    configured = ports or Ports()
    with _locked(home, say) as recorded:
        if "postgres" in servers:
            postgres = Postgres(home)
            _start(postgres, configured.postgres, recorded, ready_rootfs, say)
            postgres.create_database(recorded["postgres"])
        if "mosquitto" in servers:
            Mosquitto(home).admit(accounts_in)
            _start(Mosquitto(home), configured.mqtt, recorded, ready_rootfs, say)
        return _publish(home, recorded)


def down(home: Path, say: Say = silent) -> None:
    """End every process of the stack. Data and ports are kept."""
    if not home.exists():
        return
    with _locked(home, say) as recorded:
        Mosquitto(home).stop()
        Postgres(home).stop()
        _publish(home, recorded)


def start(home: Path, name: ServerName, *, ready_rootfs: Path | None = None, say: Say = silent) -> None:
    """Start one server again, on its own port."""
    with _locked(home, say) as recorded:
        if name not in recorded:
            raise StackError(f"{name} has never run in {home}: `underfoot up` first")
        _start(_server(home, name), recorded[name], recorded, ready_rootfs, say)
        _publish(home, recorded)


def stop(home: Path, name: ServerName, *, kill: bool = False, forget_sessions: bool = False) -> None:
    """Stop one server alone: in order, or with `kill` as a power cut would. For fault tests."""
    if forget_sessions and name != "mosquitto":
        raise StackError("only mosquitto has a session store")
    if not home.exists():
        return
    with _locked(home, silent) as recorded:
        chosen = _server(home, name)
        if kill:
            chosen.server.kill()
        else:
            chosen.stop()
        if forget_sessions:
            Mosquitto(home).forget_sessions()
        _publish(home, recorded)


def status(home: Path) -> dict[str, Any]:
    """What runs now, in the form of `stack.json`."""
    return _observed(home, _recorded_ports(home))


def _server(home: Path, name: ServerName) -> Server:
    return Postgres(home) if name == "postgres" else Mosquitto(home)


def _start(chosen: Server, configured: int | None, recorded: Recorded, ready_rootfs: Path | None, say: Say) -> None:
    wanted = Wanted(chosen.setting, configured, recorded.get(chosen.name), chosen.default_port)
    if chosen.server.running() is not None and wanted.recorded is not None:
        if configured not in (None, wanted.recorded):
            raise SettingsError(
                f"{wanted.setting} = {configured}: {chosen.name} already runs on port {wanted.recorded};"
                " `underfoot down` first, then `underfoot up`"
            )
        chosen.wait_until_ready(wanted.recorded, say)
        return
    chosen.stop()  # nobody knows its port: stack.json was removed
    files = rootfs.ensure(ready_rootfs, say)
    chosen.prepare(files, say)
    say(f"Starting {chosen.server.name}")
    for tries_left in (4, 3, 2, 1, 0):
        port = recorded[chosen.name] = choose(wanted)
        _publish(chosen.home, recorded)  # before it runs: whoever finds it running knows its port
        try:
            chosen.start(files, port)
            chosen.wait_until_ready(port, say)
        except StackError:
            taken_since_we_looked = chosen.server.running() is None and refusal(port) is not None
            if not (taken_since_we_looked and tries_left):
                raise
        else:
            return


@contextmanager
def _locked(home: Path, say: Say) -> Iterator[Recorded]:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive(home / "lock", patience=900, waiting=lambda: say("Waiting for another `underfoot up` or `down`")):
        yield _recorded_ports(home)


def _recorded_ports(home: Path) -> Recorded:
    path = home / "stack.json"
    if not path.exists():
        return {}
    try:
        published = json.loads(path.read_text(encoding="utf-8"))
        return {name: int(published[name]["port"]) for name in BOTH if published[name]["port"] is not None}
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{path} was changed ({error!r}): remove it, `underfoot up` writes it anew") from None


def _observed(home: Path, recorded: Recorded) -> dict[str, Any]:
    """Everything that is known: pids are as this machine sees them; `started` tells a process from a later one."""
    seen: dict[str, Any] = {"home": str(home), "database_url": None, "mqtt_url": None}
    for chosen in (Postgres(home), Mosquitto(home)):
        process = chosen.server.running()
        port = recorded.get(chosen.name)
        if port is not None and chosen.prepared:
            seen[chosen.url_setting] = chosen.url(port)
        seen[chosen.name] = {
            "running": process is not None,
            "pid": process.pid if process else None,
            "started": process.started if process else None,
            "port": port,
            "log": str(chosen.server.log),
        }
    closed = Identities(home).listeners()
    seen["mosquitto"]["secure"] = None if closed is None else asdict(closed) | {"ca": str(Identities(home).ca)}
    return seen


def _publish(home: Path, recorded: Recorded) -> dict[str, Any]:
    seen = _observed(home, recorded)
    path, new = home / "stack.json", home / "stack.json.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it holds the password
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(seen, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return seen
