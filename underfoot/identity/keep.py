"""Keep a mosquitto in step with the accounts: write its files when they change, make it read them, and cut off whoever
lost his rights.

At SIGHUP mosquitto 2.0 reads its files anew and asks for each client's password again: whose secret is gone is
disconnected. It does not look at certificates again, so a client with a revoked one is thrown out by connecting under
its client id, which on the certificates' listener is its user name.

One thing is waited for. A session that was restored from mosquitto's disk and has not connected since has no password
in memory: at SIGHUP mosquitto takes the rights from it, and reports for an absent ingest would be dropped. So a broker
that restarted is made to reload only when every shard's session has proven, by its probe, that it has connected since.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import psycopg

from underfoot.identity.certificates import Authority
from underfoot.identity.certify import void_certificates
from underfoot.identity.files import write_all
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

_POLL_S = 5.0
_WAITING_S = 1.0
_SETTLE_S = 0.2  # changes that come together are written together
_SHARE = 20  # of its time, one part at most goes into looking at a large database for nothing
_CLOCKS_APART = timedelta(seconds=2)


class BrokerError(Exception):
    """The broker could not be made to do something; says what and why."""


class Broker(Protocol):
    """The mosquitto that is kept."""

    def started(self) -> datetime | None:
        """Since when it runs; None: it does not, and will read its files when it starts."""

    def reload(self) -> None:
        """Make it read its files anew."""

    def throw_out(self, client_ids: Iterable[str]) -> None:
        """Disconnect these clients."""


@dataclass
class Keeper:
    """`run` until `stop` is set. `rounds` counts how often the files were compared with the database."""

    database_url: str
    folder: Path
    broker: Broker
    authority: Authority | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    rounds: int = 0
    # At first nobody knows what the broker has read.
    _owed: bool = True
    _waiting: bool = False
    _void: dict[str, str] = field(default_factory=dict)
    _to_throw_out: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Never ends because the database is away: the files stay as they are, and are compared when it is back."""
        pause = 0.5
        while not self.stop.is_set():
            try:
                with connect(self.database_url, "broker", autocommit=True) as connection:
                    connection.execute("LISTEN underfoot_identity")
                    pause = 0.5
                    self._follow(connection)
            except psycopg.OperationalError as error:
                log.warning("the database does not answer: %s; files stay as they are", str(error).strip())
                self.stop.wait(pause)
                pause = min(pause * 2, _POLL_S)

    def once(self, connection: Connection) -> list[str]:
        """Bring the files up to date, and the broker where that is safe; the names of the files that changed."""
        changed = write_all(connection, self.folder, self.authority)
        void = {serial: user_name for serial, (_, user_name) in void_certificates(connection).items()}
        self._to_throw_out |= {user_name for serial, user_name in void.items() if serial not in self._void}
        self._void = void
        self.rounds += 1
        if changed:
            log.info("written: %s", ", ".join(changed))
        self._owed = self._owed or bool(changed)
        if self._owed:
            self._apply(connection)
        return changed

    def _apply(self, connection: Connection) -> None:
        started = self.broker.started()
        if started is None:
            # It reads the files when it starts, and nobody is connected.
            self._owed = False
            self._to_throw_out.clear()
            return
        row = connection.execute(
            statement("identity.sessions_seen_since"), {"since": started + _CLOCKS_APART}
        ).fetchone()
        if row is None or not row[0]:
            if not self._waiting:
                log.error(
                    "the broker started at %s, and not every shard's session has connected since: a reload now would"
                    " drop reports that wait for it. Start `underfoot ingest`; or restart the broker, which reads its"
                    " files then",
                    started.isoformat(timespec="seconds"),
                )
            self._waiting = True
            return
        try:
            self.broker.reload()
        except BrokerError as error:
            log.error("%s; tried again in a moment", error)  # noqa: TRY400 - what matters is said
            return
        self._owed = self._waiting = False
        if self._to_throw_out:
            self.broker.throw_out(sorted(self._to_throw_out))
            log.info("thrown out: %s", ", ".join(sorted(self._to_throw_out)))
            self._to_throw_out.clear()

    def _follow(self, connection: Connection) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            self.once(connection)
            took = time.monotonic() - began
            wait = _WAITING_S if self._owed else max(_POLL_S, took * _SHARE)
            row = connection.execute(statement("identity.next_expiry")).fetchone()
            if row is not None and row[0] is not None:
                wait = min(wait, max(float(row[0]), 0.05))
            self._await_change(connection, wait)

    def _await_change(self, connection: Connection, seconds: float) -> None:
        """Wait for a commit that may change the files, at most so long; then a moment for others that come with it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stop.is_set():
            if list(connection.notifies(timeout=min(left, 0.5), stop_after=1)):
                self.stop.wait(_SETTLE_S)
                list(connection.notifies(timeout=0))
                return
