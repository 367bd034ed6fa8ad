"""`/readyz`: whether the database, its migrations and the broker are there, asked of them and not assumed.

The caller has no key: an answer names what is missing and how, never a host, a user or an error's text.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic

import psycopg
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from psycopg_pool import ConnectionPool

from api.rows import Row, fetch_all, fetch_one
from underfoot.brokers import Brokers
from underfoot.storage.connect import Connection
from underfoot.storage.migrate import pending

log = logging.getLogger("underfoot.api")

_PATIENCE_S = 2.0
_BEHIND_S = 60.0
_SHOWN = 10


@dataclass(frozen=True)
class State:
    """What was found: `missing` maps a dependency to what is wrong with it; `warnings` do not make it unready."""

    missing: dict[str, str]
    warnings: dict[str, str]


class Readiness:
    """Asks the dependencies, at most every `KEPT_S` however often it is asked."""

    KEPT_S = 2.0

    def __init__(
        self, pool: ConnectionPool[Connection], mqtt_url: str, receipt_after_s: float, mqtt_ca: Path | None = None
    ) -> None:
        self._pool = pool
        self._mqtt_url = mqtt_url
        self._mqtt_ca = mqtt_ca
        self._receipt_after_s = receipt_after_s
        self._lock = Lock()
        self._found: tuple[float, State] | None = None

    def state(self) -> State:
        with self._lock:
            if self._found is None or monotonic() - self._found[0] >= self.KEPT_S:
                state = self._ask()
                self._found = (monotonic(), state)
            return self._found[1]

    def _ask(self) -> State:
        missing: dict[str, str] = {}
        warnings: dict[str, str] = {}
        try:
            with self._pool.connection(timeout=_PATIENCE_S) as connection:
                waiting = pending(connection)
                oldest = None if waiting else fetch_one(connection, "api_metrics.oldest_red", {})
                shards = [] if waiting else fetch_all(connection, "api_metrics.shards", {})
        except psycopg.OperationalError as error:
            log.warning("not ready: the database does not answer: %s", str(error).strip())
            missing["database"] = "does not answer"
        else:
            if waiting:
                missing["migrations"] = f"{len(waiting)} to be applied: run `underfoot db migrate`"
            elif oldest is not None and (oldest["oldest_s"] or 0) > self._receipt_after_s:
                warnings["deliveries"] = f"a red delivery has waited {oldest['oldest_s']:.0f} s"
            if behind := _behind(shards):
                warnings["shards"] = behind
        refusal = ask_broker(self._mqtt_url, self._mqtt_ca)
        if refusal is not None:
            missing["broker"] = refusal
        return State(missing, warnings)


def _behind(shards: list[Row]) -> str | None:
    """Which shards nobody holds, and which are far behind: reports wait at the broker."""
    said = [f"{row['shard']}: no ingest holds it" for row in shards if not row["held"]]
    said += [
        f"{row['shard']}: {row['behind_s']:.0f} s behind"
        for row in shards
        if row["held"] and (row["behind_s"] or 0) > _BEHIND_S
    ]
    return "; ".join(said[:_SHOWN]) + (f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else "") or None


def ask_broker(mqtt_url: str, mqtt_ca: Path | None = None) -> str | None:
    """Connect to the broker as any client would. None when it accepts, of a cluster one of its nodes; else what is
    wrong with the last one."""
    brokers = Brokers.from_url(mqtt_url)
    refusal: str | None = None
    for host, port in brokers.hosts:
        refusal = _ask(brokers, host, port, mqtt_ca)
        if refusal is None:
            break
    return refusal


def _ask(brokers: Brokers, host: str, port: int, mqtt_ca: Path | None) -> str | None:
    answers: list[str | None] = []
    client = Client(CallbackAPIVersion.VERSION2, f"underfoot-ready-{secrets.token_hex(6)}", protocol=MQTTv311)
    client.connect_timeout = _PATIENCE_S
    client.on_connect = lambda _client, _userdata, _flags, code, _properties: answers.append(
        f"refuses us: {code}" if code.is_failure else None
    )
    if brokers.username is not None:
        client.username_pw_set(brokers.username, brokers.password or "")
    if brokers.tls:
        client.tls_set(ca_certs=str(mqtt_ca) if mqtt_ca is not None else None)
    deadline = monotonic() + _PATIENCE_S
    try:
        client.connect(host, port, keepalive=10)
        while not answers and monotonic() < deadline:
            client.loop(timeout=0.1)
        client.disconnect()
    except (OSError, ValueError) as error:
        log.warning("not ready: the broker at %s:%d does not answer: %s", host, port, error)
        return "does not answer"
    return answers[0] if answers else "accepts connections, but does not speak"
