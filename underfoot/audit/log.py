"""Log: enter an act in the caller's transaction, so that it is committed with what it tells of; and list acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from underfoot.settings import Settings
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


@dataclass(frozen=True, slots=True)
class Acts:
    """Which acts: of `since` and later, before `until`; None: of any."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def enter(connection: Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    params = {"actor": actor, "action": action, "subject": subject, "detail": Jsonb(dict(detail))}
    connection.execute(statement("ledger.audit"), params)


def listed(
    connection: Connection, acts: Acts, *, after: tuple[datetime, int] | None = None, limit: int
) -> list[dict[str, Any]]:
    """The newest first, each with its seal; `after`: the last one of the page before."""
    reached, reached_key = after if after is not None else (None, None)
    params = {
        "actor": acts.actor,
        "action": acts.action,
        "subject": acts.subject,
        "since": acts.since,
        "until": acts.until,
        "reached": reached,
        "reached_key": reached_key,
        "limit": limit,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        # Never prepared: only a plan made for these very values can leave absent filters out.
        return cursor.execute(statement("audit.listed"), params, prepare=False).fetchall()


def note_settings(connection: Connection, process: str, settings: Settings) -> bool:
    """Enter the settings that a process goes by, where they are others than those it went by before. Secrets are
    masked, so that a secret that was changed does not show. Returns whether there was anything new."""
    subject = f"process:{process}"
    shown = settings.shown()
    row = connection.execute(statement("audit.settings_noted"), {"subject": subject}).fetchone()
    before: dict[str, str] = row[0] if row is not None else {}
    if before == shown:
        return False
    changed = sorted(name for name in shown.keys() | before.keys() if shown.get(name) != before.get(name))
    enter(connection, "system", "settings.in_force", subject, {"settings": shown, "changed": changed if before else []})
    return True
