"""Services: the database role whose members may do what services do; of the audit log they read, and add to it."""

from __future__ import annotations

from typing import Any

from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import dict_row

from underfoot.audit.log import enter
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

GROUP = "underfoot_services"


class ServicesError(Exception):
    """A role can't be let in; says which and why."""


def let_serve(connection: Connection, role: str, *, actor: str) -> None:
    """Make `role` a member of the group of services. Again is the same as once."""
    with connection.transaction():
        try:
            connection.execute(statement("audit.ensure_services"))
            found = _role(connection, role)
            if found is None:
                raise ServicesError(f"{role}: there is no such role; CREATE ROLE … LOGIN makes it")
            for means in ("superuser", "owner", "more"):
                if found[means]:
                    raise ServicesError(f"{role}: {_WHY[means].format(found[means])}; nothing was granted")
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(GROUP), sql.Identifier(role)))
        except InsufficientPrivilege as error:
            raise ServicesError(f"{role}: {str(error).strip()}; whoever may make roles must do it") from None
        enter(connection, actor, "database.grant", f"role:{role}", {"group": GROUP})


_WHY = {
    "superuser": "is a superuser (or may make roles, or bypass rights), to whom nothing can be refused",
    "owner": "owns the audit log (or is a member of {}, who does), and could remove what guards it",
    "more": "has other rights on the audit log already ({}); revoke these first",
}


def _role(connection: Connection, role: str) -> dict[str, Any] | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("audit.rights_of"), {"role": role}).fetchone()
