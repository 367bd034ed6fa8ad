"""How the API asks the database: a named statement in, rows as dictionaries out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import dict_row

from underfoot.audit.log import enter
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

Row = dict[str, Any]
Params = Mapping[str, object]


def fetch_all(connection: Connection, name: str, params: Params) -> list[Row]:
    """Every row of the statement `name`.

    Never prepared: a list's absent filters are nulls, and only a plan made for these very values can leave them out.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), params, prepare=False).fetchall()


def fetch_one(connection: Connection, name: str, params: Params) -> Row | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), params, prepare=False).fetchone()


def fetch_kept(connection: Connection, name: str, params: Params) -> list[Row]:
    """Every row of the statement `name`, which has no filters to leave out: its plan is kept with the connection, since
    planning it takes longer than doing it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), params).fetchall()


def run(connection: Connection, name: str, params: Params) -> None:
    """The statement `name`, which has nothing to say."""
    connection.execute(statement(name), params, prepare=False)


def composed(name: str, **parts: sql.Composable) -> sql.Composed:
    """The statement `name` with identifiers put in its `{…}`: for the families' tables, which differ in columns."""
    text: LiteralString = statement(name)
    return sql.SQL(text).format(**parts)


def one_page(rows: list[Row], limit: int, issue_cursor: Callable[[Row], str]) -> tuple[list[Row], str | None]:
    """The page's rows, and its `next`: every list asks for one row more than it may show."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], issue_cursor(rows[limit - 1])


def audit(connection: Connection, actor: str, action: str, subject: str, **detail: object) -> None:
    """Append to the audit log; it is committed with what it tells of."""
    enter(connection, actor, action, subject, detail)
