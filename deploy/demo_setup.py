"""Prepares the stage of `underfoot demo`: servers, a fresh database, a city, a key, sinks, and the processes at work.

A demo plays on servers of its own (deploy/fresh.py), in `UNDERFOOT_HOME/demo`. Only the API's port comes from the
settings.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from alerts.deliver.sinks import Sink, add
from api.keys import create
from api.roles import Role
from deploy.children import Child, Children
from deploy.fresh import READY_WITHIN_S, Fresh, answers, caught_up, fresh_servers
from deploy.ports import any_free, refusal
from deploy.rootfs import Say
from simulators.city import City
from underfoot import terminal
from underfoot.alarms import Severity
from underfoot.ledger.importer import import_ledger
from underfoot.settings import Settings, load, origins
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

DATABASE = "underfoot_demo"
DEVICES = 600
MISBEHAVIOUR = ("duplicate=0.02", "poison=0.005")
"""What the fleet does wrong, so that the books have something to tell apart."""

_HOURLY_COVER_S = 3600
_SILENCE_SHOWN = 0.3
"""Covers that report hourly in life are expected so often in a demo (fraction of the storm): then the silence of one is
noticed within it."""

STORM_S = 300.0


@dataclass(frozen=True)
class Options:
    """`seconds` None: the storm, and then calm until somebody ends it."""

    seconds: float | None
    seed: int
    rate: float

    @property
    def storm_s(self) -> float:
        return STORM_S if self.seconds is None else self.seconds


@dataclass(frozen=True)
class Installation(Fresh):
    """One demo's: where everything is."""

    api_url: str
    platform_url: str
    ledger: Path
    key: str

    @property
    def fleet_summary(self) -> Path:
        return self.home / "fleet.json"

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"UNDERFOOT_API_PORT": str(urlsplit(self.api_url).port)}


def prepare(home: Path, options: Options, say: Say) -> Installation:
    """Everything up to the processes."""
    fresh = fresh_servers(home, DATABASE, say)
    api_url = f"http://127.0.0.1:{_api_port(load())}"
    platform_url = f"http://127.0.0.1:{any_free()}"
    say("导入示范城市 · importing the demo city")
    ledger = home / "city.csv"
    City(DEVICES, options.seed, pace=_pace(options)).write(ledger, with_area_names=True)
    with connect(fresh.database_url, "demo") as connection:
        actor = terminal.actor()
        import_ledger(connection, ledger, actor=actor)
        key = create(connection, "demo", Role.operator, actor).secret
        _add_sinks(connection, platform_url, actor)
    return Installation(home, fresh.database_url, fresh.mqtt_url, api_url, platform_url, ledger, key)


def start_processes(installation: Installation, children: Children, say: Say) -> None:
    """Start what makes up Underfoot, and the platform's stand-in; return when all of it is at work."""
    say("启动接入、告警、接口与平台 · starting ingest, alerts, API and the stand-in platform")
    children.start("platform", "standin", "--port", str(urlsplit(installation.platform_url).port))
    children.start("ingest", "ingest")
    children.start("alerts", "alerts")
    children.start("api", "api")
    with connect(installation.database_url, "demo", autocommit=True) as connection:
        children.until(lambda: caught_up(connection), "ingest", READY_WITHIN_S)
    children.until(lambda: answers(f"{installation.platform_url}/healthz"), "platform", READY_WITHIN_S)
    children.until(lambda: answers(f"{installation.api_url}/readyz"), "api", READY_WITHIN_S)


def start_storm(installation: Installation, children: Children, options: Options) -> Child:
    """The fleet through the storm. It leaves its own count in `fleet_summary`."""
    arguments = [
        *("simulate", "rehearsal", "--ledger", str(installation.ledger), "--scenario", "rehearsal"),
        *("--seconds", str(options.storm_s), "--rate", str(options.rate), "--seed", str(options.seed)),
        *(word for what in MISBEHAVIOUR for word in ("--misbehave", what)),
        *("--summary", str(installation.fleet_summary)),
    ]
    return children.start("fleet", *arguments, ends_by_itself=True)


def start_calm(installation: Installation, children: Children, options: Options) -> Child:
    """The same fleet with nothing happening to it, for as long as anybody looks."""
    arguments = [
        *("simulate", "rehearsal", "--ledger", str(installation.ledger), "--scenario", "quiet"),
        *("--seconds", str(10 * 86_400), "--rate", str(options.rate), "--seed", str(options.seed)),
    ]
    return children.start("calm", *arguments)


def _pace(options: Options) -> float:
    """How many times faster than in life the city's devices are expected to report."""
    return max(1.0, math.ceil(_HOURLY_COVER_S / (_SILENCE_SHOWN * options.storm_s)))


def _add_sinks(connection: Connection, platform_url: str, actor: str) -> None:
    """The platform, and a robot for every crew there is."""
    sink = Sink("platform", "platform", "platform", None, Severity.blue, {"url": f"{platform_url}/events"})
    add(connection, sink, actor=actor)
    units = [unit for (unit,) in connection.execute(statement("demo.maintenance_units")).fetchall()]
    for number, unit in enumerate(units, start=1):
        url = f"{platform_url}/cgi-bin/webhook/send?key={secrets.token_hex(8)}"
        add(connection, Sink(f"crew-{number}", "wecom", "crew", unit, Severity.orange, {"url": url}), actor=actor)


def _api_port(settings: Settings) -> int:
    """The port that was set; by default another, should it be taken."""
    return settings.api_port if origins(settings)["api_port"] != "default" else _free(settings.api_port)


def _free(port: int) -> int:
    return port if refusal(port) is None else any_free()
