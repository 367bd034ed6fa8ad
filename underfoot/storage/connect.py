"""Connections to the database, all opened in one way: named, in UTC, by our clock (`our_clock()` in SQL), and with
time-outs that notice a dead network.
"""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool

from underfoot.clock import CLOCK

set_json_dumps(orjson.dumps)
set_json_loads(orjson.loads)

Connection = psycopg.Connection[tuple[Any, ...]]


def conninfo(database_url: str, application: str, *, statement_timeout_s: int = 0) -> str:
    """`database_url` with our name for the session and TCP time-outs (a peer that vanished is noticed in about 20 s).

    `statement_timeout_s` ends a statement that takes longer; 0: none does.
    """
    session: dict[str, str | float] = {
        "timezone": "UTC",
        "statement_timeout": f"{statement_timeout_s}s",
        # The server's side, too: the lock of a machine that vanished must not outlive it by hours.
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
    }
    if CLOCK.lapse is not None:
        session["underfoot.lapse_speed"] = CLOCK.lapse.speed
        session["underfoot.lapse_until"] = CLOCK.lapse.until_us / 1e6
    return make_conninfo(
        database_url,
        application_name=f"underfoot-{application}",
        connect_timeout=5,
        keepalives=1,
        keepalives_idle=5,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
        options=" ".join(f"-c {name}={value}" for name, value in session.items()),
    )


def connect(database_url: str, application: str, *, autocommit: bool = False) -> Connection:
    return psycopg.connect(conninfo(database_url, application), autocommit=autocommit)


def open_pool(
    database_url: str, application: str, *, max_size: int, statement_timeout_s: int = 0
) -> ConnectionPool[Connection]:
    """A pool that is usable at once and survives the database's absence: a request then fails after 3 s."""
    pool: ConnectionPool[Connection] = ConnectionPool(
        conninfo(database_url, application, statement_timeout_s=statement_timeout_s),
        min_size=1,
        max_size=max_size,
        timeout=3,
        check=ConnectionPool.check_connection,
        open=False,
    )
    pool.open()
    return pool
