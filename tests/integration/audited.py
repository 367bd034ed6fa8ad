"""An audit log as it is used, sealed and meddled with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from underfoot.audit.sealer import Sealer
from underfoot.audit.verify import Verdict, verify
from underfoot.storage.connect import Connection, connect

EMPTIED = """
SET session_replication_role = replica;  -- without the triggers that keep the log append-only
DELETE FROM audit; DELETE FROM audit_seals;
RESET session_replication_role;
"""


class Log:
    """An audit log: acts of people come in, the sealer ticks, and a superuser meddles."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.connection: Connection = connect(database, "test", autocommit=True)
        self.sealer = Sealer()
        self.connection.execute(EMPTIED)

    def act(self, connection: Connection | None = None, actor: str = "wang", subject: str = "episode:1") -> int:
        query = "INSERT INTO audit (actor, action, subject, detail) VALUES (%s, 'alarm.acknowledge', %s, %s)"
        detail = Jsonb({"note": "已电话通知，“井盖”\n第二行", "n": 1.50})
        row = (connection or self.connection).execute(f"{query} RETURNING audit_key".encode(), [actor, subject, detail])
        key: int = row.fetchall()[0][0]
        return key

    def seal(self) -> int:
        with self.connection.transaction():
            return self.sealer.seal(self.connection, datetime.now(UTC))

    def sealed(self) -> list[int]:
        return [row[0] for row in self.connection.execute("SELECT audit_key FROM audit_seals ORDER BY audit_key")]

    def meddle(self, sql: str) -> None:
        """As a superuser can: with the triggers off."""
        self.connection.execute("SET session_replication_role = replica")
        self.connection.execute(sql.encode())
        self.connection.execute("RESET session_replication_role")

    def verify(self, **more: Any) -> Verdict:
        with connect(self.database, "verify") as connection:
            return verify(connection, **({"now": datetime.now(UTC)} | more))

    def broken(self, **more: Any) -> tuple[int, str]:
        broken = self.verify(**more).broken
        assert broken is not None
        return broken.audit_key, broken.kind


def five(log: Log) -> list[int]:
    keys = [log.act() for _ in range(5)]
    assert log.seal() == 5
    return keys
