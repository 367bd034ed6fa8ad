"""What is in quarantine, for people: listed, counted, shown whole, and replayed once the mistake is mended.

A replay puts a message's own bytes into the inbox, with its topic and its time of receipt; the shard's holder judges
it like any other. Understood, it is released; rejected again, its row says why now (`ingest/quarantine.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from underfoot.inbox import Message, post_messages
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

State = Literal["waiting", "released", "all"]
Row = dict[str, Any]

_BATCH = 1000
_BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Selection:
    """Which messages are meant; what is None does not matter. `since` belongs to the range, `until` does not."""

    reason: str | None = None
    source: str | None = None
    vendor: str | None = None
    shard: str | None = None
    device_ids: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    quarantine_keys: Sequence[int] | None = None

    @property
    def params(self) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "source": self.source,
            "vendor": self.vendor,
            "shard": self.shard,
            "device_ids": None if self.device_ids is None else list(self.device_ids),
            "since": self.since,
            "until": self.until,
            "quarantine_keys": None if self.quarantine_keys is None else list(self.quarantine_keys),
        }

    @property
    def said(self) -> dict[str, Any]:
        """What was asked for, for the audit log: a long list by its number."""
        shown: dict[str, Any] = {}
        for name, value in self.params.items():
            if isinstance(value, datetime):
                shown[name] = value.isoformat()
            elif isinstance(value, list) and len(value) > 20:
                shown[name] = f"{len(value)} of them"
            elif value is not None:
                shown[name] = value
        return shown


@dataclass(frozen=True)
class Replayed:
    """`matching` messages were waiting to be understood; of them `under_way` were in the inbox already."""

    matching: int
    under_way: int
    posted: int


def listed(
    connection: Connection,
    selection: Selection,
    *,
    state: State = "waiting",
    after: tuple[datetime, int] | None = None,
    limit: int,
) -> list[Row]:
    """Messages without their payload, newest first, from after that one on."""
    reached, reached_key = after or (None, None)
    more = {"state": state, "reached": reached, "reached_key": reached_key, "limit": limit}
    return _fetch(connection, "quarantine.listed", selection.params | more)


def counts(connection: Connection, selection: Selection, *, state: State = "waiting") -> list[Row]:
    """How many there are by reason, source and vendor, the most frequent first."""
    return _fetch(connection, "quarantine.counts", selection.params | {"state": state})


def shown(connection: Connection, quarantine_key: int) -> Row | None:
    """One message whole; None where there is none."""
    rows = _fetch(connection, "quarantine.shown", {"quarantine_key": quarantine_key})
    return rows[0] if rows else None


def to_replay(connection: Connection, selection: Selection) -> Replayed:
    """What a replay would find, and post."""
    (row,) = _fetch(connection, "quarantine.to_replay", selection.params)
    return Replayed(row["matching"], row["under_way"], 0)


def replay(
    connection: Connection,
    selection: Selection,
    *,
    actor: str,
    most: int | None = None,
    progress: Callable[[int], None] = lambda posted: None,
) -> Replayed:
    """Post what is selected, and not released, to the inbox: oldest first, batch by batch, each with its audit row in
    one transaction (within the caller's, where there is one). What is in the inbox already is not posted twice."""
    found = to_replay(connection, selection)
    (newest,) = connection.execute(statement("quarantine.newest")).fetchone() or (0,)
    after: tuple[datetime, int] | None = None
    posted = 0
    while most is None or posted < most:
        reached, reached_key = after or (None, None)
        page = {
            "newest": newest,
            "reached": reached,
            "reached_key": reached_key,
            "limit": _BATCH if most is None else min(_BATCH, most - posted),
            "most_bytes": _BATCH_BYTES,
        }
        with connection.transaction():
            rows = _fetch(connection, "quarantine.replayable", selection.params | page)
            new = sum(post_messages(connection, [_message(row) for row in rows]))
            if new:
                detail = selection.said | {"posted": new}
                params = {"actor": actor, "action": "quarantine.replay", "subject": "quarantine"}
                connection.execute(statement("ledger.audit"), params | {"detail": Jsonb(detail)})
        if not rows:
            break
        posted += new
        progress(posted)
        after = rows[-1]["received_at"], rows[-1]["quarantine_key"]
    return Replayed(found.matching, found.under_way, posted)


def _message(row: Row) -> Message:
    return Message(
        shard=row["shard"],
        topic=row["topic"],
        body=row["payload"],
        received_us=row["received_us"],
        source=row["source"],
        key=f"replay:{row['quarantine_key']}:{row['replays']}",
        # Only a push was in an account's name; elsewhere the vendor is the ledger's word, which may have changed.
        vendor=(row["vendor"] or None) if row["source"] == "http" else None,
        quarantine_key=row["quarantine_key"],
    )


def _fetch(connection: Connection, name: str, params: Mapping[str, Any]) -> list[Row]:
    """Never prepared: absent filters are nulls, and only a plan made for these very values can leave them out."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), params, prepare=False).fetchall()
