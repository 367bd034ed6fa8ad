"""Migrations: numbered SQL files, each applied once, in order, in a transaction of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import LiteralString

import psycopg

_LOCK = 0x756E6465  # any number no one else locks: two migrations at once wait for each other


class MigrationError(Exception):
    """The database's history and ours do not fit."""


@dataclass(frozen=True)
class Migration:
    name: str
    sql: LiteralString

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    folder = files("underfoot.storage") / "migrations"
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return sorted(
        (Migration(entry.name, entry.read_text(encoding="utf-8")) for entry in found),
        key=lambda migration: migration.name,
    )


def migrate(database_url: str) -> list[str]:
    """Bring the database up to date; return the names of the migrations that were applied now."""
    applied: list[str] = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        known: dict[str, str] = dict(connection.execute("SELECT name, checksum FROM migrations").fetchall())
        ours = migrations()
        unknown = sorted(known.keys() - {migration.name for migration in ours})
        if unknown:
            raise MigrationError(
                f"the database has migration {unknown[0]}, which this version does not know: newer data"
            )
        for migration in ours:
            if migration.name in known:
                if known[migration.name] != migration.checksum:
                    raise MigrationError(f"{migration.name} was changed after it had been applied")
                continue
            with connection.transaction():
                connection.execute(migration.sql)
                connection.execute(
                    "INSERT INTO migrations (name, checksum) VALUES (%s, %s)", [migration.name, migration.checksum]
                )
            applied.append(migration.name)
    return applied


def pending(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    """The names of our migrations that this database has not seen."""
    exists = connection.execute("SELECT to_regclass('migrations')").fetchone()
    known: set[object] = set()
    if exists is not None and exists[0] is not None:
        known = {row[0] for row in connection.execute("SELECT name FROM migrations")}
    return [migration.name for migration in migrations() if migration.name not in known]
