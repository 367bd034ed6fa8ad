"""What every command of the CLI that works on the database begins with: a connection, and in whose name."""

from __future__ import annotations

import getpass

from underfoot.settings import load
from underfoot.storage.connect import Connection, connect
from underfoot.storage.migrate import MigrationError, pending


def connect_migrated(application: str) -> Connection:
    """A connection to the database of the settings. Raises MigrationError where its tables are not this version's."""
    connection = connect(load().require_database(), application)
    missing = pending(connection)
    connection.rollback()
    if missing:
        connection.close()
        raise MigrationError(f"the database lacks {', '.join(missing)}: run `underfoot db migrate` (or `underfoot up`)")
    return connection


def actor() -> str:
    """Who types, for the audit log: the system's user, told apart from a key's name by its prefix."""
    return f"cli:{getpass.getuser()}"
