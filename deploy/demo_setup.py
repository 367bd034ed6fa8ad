"""Prepares the stage of `underfoot demo`: servers, a fresh database, a city, a key, sinks, and the processes at work.

A demo plays on servers of its own, in `UNDERFOOT_HOME/demo`: a real installation on this machine never sees its
reports, and its books begin at nothing. Only the API's port and the servers' programs come from the settings.
"""

from __future__ import annotations

import math
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
from psycopg import sql

from alerts.deliver.sinks import Sink, add
from api.keys import create
from api.roles import Role
from deploy import stack
from deploy.children import Child, Children
from deploy.ports import any_free, refusal
from deploy.rootfs import Say
from simulators.city import City
from underfoot import terminal
from underfoot.alarms import Severity
from underfoot.ledger.importer import import_ledger
from underfoot.settings import Settings, load, origins
from underfoot.storage.connect import Connection, connect
from underfoot.storage.migrate import migrate
from underfoot.storage.statements import statement

DATABASE = "underfoot_demo"
PLATFORM_PORT = 58090
DEVICES = 600
MISBEHAVIOUR = ("duplicate=0.02", "poison=0.005")
"""What the fleet does wrong, so that the books have something to tell apart."""

_HOURLY_COVER_S = 3600
_SILENCE_SHOWN = 0.3
"""Covers that report hourly in life are expected so often in a demo (fraction of the storm): then the silence of one is
noticed within it."""

_READY_WITHIN_S = 60


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
class Installation:
    """One demo's: where everything is."""

    home: Path
    database_url: str
    mqtt_url: str
    api_url: str
    platform_url: str
    ledger: Path
    key: str

    @property
    def fleet_summary(self) -> Path:
        return self.home / "fleet.json"

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are told: nothing that is set for another installation."""
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("UNDERFOOT_")}
        return inherited | {
            "UNDERFOOT_HOME": str(self.home),
            "UNDERFOOT_DATABASE_URL": self.database_url,
            "UNDERFOOT_MQTT_URL": self.mqtt_url,
            "UNDERFOOT_API_PORT": str(urlsplit(self.api_url).port),
            # Minutes stand for hours here: what is looked at every 10 s in life is looked at every second.
            "UNDERFOOT_PROBE_INTERVAL_S": "1",
        }


def prepare(home: Path, options: Options, say: Say) -> Installation:
    """Everything up to the processes."""
    settings = load()
    say("启动 TimescaleDB 与消息代理 · starting TimescaleDB and the broker")
    stack.down(home)
    stack.stop(home, "mosquitto", forget_sessions=True)  # nothing queued for an earlier demo
    ports = stack.Ports(any_free(), any_free())
    started = stack.up(home, ports, ready_rootfs=settings.rootfs, say=say)
    say("新建数据库 · a fresh database")
    database_url = _fresh_database(started["database_url"])
    migrate(database_url)
    api_url = f"http://127.0.0.1:{_api_port(settings)}"
    platform_url = f"http://127.0.0.1:{_free(PLATFORM_PORT)}"
    say("导入示范城市 · importing the demo city")
    ledger = home / "city.csv"
    City(DEVICES, options.seed, pace=_pace(options)).write(ledger, with_area_names=True)
    with connect(database_url, "demo") as connection:
        actor = terminal.actor()
        import_ledger(connection, ledger, actor=actor)
        key = create(connection, "demo", Role.operator, actor).secret
        _add_sinks(connection, platform_url, actor)
    return Installation(home, database_url, started["mqtt_url"], api_url, platform_url, ledger, key)


def start_processes(installation: Installation, children: Children, say: Say) -> None:
    """Start what makes up Underfoot, and the platform's stand-in; return when all of it is at work."""
    say("启动接入、告警、接口与平台 · starting ingest, alerts, API and the stand-in platform")
    children.start("platform", "platform", "--port", str(urlsplit(installation.platform_url).port))
    children.start("ingest", "ingest")
    children.start("alerts", "alerts")
    children.start("api", "api")
    with connect(installation.database_url, "demo", autocommit=True) as connection:
        children.until(lambda: _caught_up(connection), "ingest", _READY_WITHIN_S)
    children.until(lambda: _answers(f"{installation.platform_url}/healthz"), "platform", _READY_WITHIN_S)
    children.until(lambda: _answers(f"{installation.api_url}/readyz"), "api", _READY_WITHIN_S)


def start_storm(installation: Installation, children: Children, options: Options) -> Child:
    """The fleet through the storm. It leaves its own count in `fleet_summary`."""
    arguments = [
        *("simulate", "--ledger", str(installation.ledger), "--scenario", "evening-storm"),
        *("--seconds", str(options.storm_s), "--rate", str(options.rate), "--seed", str(options.seed)),
        *(word for what in MISBEHAVIOUR for word in ("--misbehave", what)),
        *("--summary", str(installation.fleet_summary)),
    ]
    return children.start("fleet", *arguments, ends_by_itself=True)


def start_calm(installation: Installation, children: Children, options: Options) -> Child:
    """The same fleet with nothing happening to it, for as long as anybody looks."""
    arguments = [
        *("simulate", "--ledger", str(installation.ledger), "--scenario", "quiet"),
        *("--seconds", str(10 * 86_400), "--rate", str(options.rate), "--seed", str(options.seed)),
    ]
    return children.start("calm", *arguments)


def _fresh_database(server_url: str) -> str:
    with psycopg.connect(_in_database(server_url, "postgres"), autocommit=True) as connection:
        name = sql.Identifier(DATABASE)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    return _in_database(server_url, DATABASE)


def _in_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


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


def _caught_up(connection: Connection) -> bool:
    row = connection.execute(statement("demo.shards")).fetchone()
    return bool(row and row[0])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        time.sleep(0.05)
        return False
