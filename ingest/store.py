"""Store: new reports into their hypertable, once each, and no bad row at its neighbours' cost.

The fast path is a binary COPY straight into the hypertable. Only a batch that holds a report the table already has goes
by a staging table; only a batch that holds a row the database refuses is taken apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from alerts.outcome import Outcome
from ingest.decode import Item
from ingest.pack import copy_columns, pack
from underfoot.families import FAMILIES
from underfoot.reports import SUBSTITUTED, Reports, digest
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

Rows = NDArray[np.intp]
Key = tuple[int, int, int]


class RecentKeys:
    """The keys committed lately, so that most redeliveries are recognised without asking the database."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._newer: set[Key] = set()
        self._older: set[Key] = set()

    def __contains__(self, key: Key) -> bool:
        return key in self._newer or key in self._older

    def add(self, keys: Iterable[Key]) -> None:
        self._newer.update(keys)
        if len(self._newer) > self._size:
            self._older, self._newer = self._newer, set()


class Stored:
    """What became of a family's reports: `new` rows are in the table now, `refused` ones have the database's reason."""

    def __init__(self) -> None:
        self.new: Rows = np.zeros(0, np.intp)
        self.refused: list[tuple[int, str]] = []
        self.duplicates = 0


def create_staging(connection: Connection) -> None:
    """A staging table a family, for this session."""
    for family in FAMILIES.values():
        connection.execute(
            sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} (LIKE {}) ON COMMIT DELETE ROWS").format(
                sql.Identifier(f"stage_{family.name}"), sql.Identifier(family.table)
            )
        )


def store(connection: Connection, batch: Sequence[tuple[Reports, list[Item]]], recent: RecentKeys) -> list[Stored]:
    """Put each family's reports into its table. Within the caller's transaction; the caller tells `recent` after it."""
    stored = [Stored() for _ in batch]
    fresh = []
    for reports, items in batch:
        rows = _not_seen(reports, recent)
        fresh.append(rows[~_redelivered(connection, reports, items, rows)])
    everything = [(reports, rows) for (reports, _), rows in zip(batch, fresh, strict=True) if len(rows)]
    all_new = _copy_all(connection, everything)
    for (reports, _), rows, result in zip(batch, fresh, stored, strict=True):
        if len(rows):
            result.new = rows if all_new else np.sort(_insert(connection, reports, rows, result.refused))
        result.duplicates = len(reports) - len(result.new) - len(result.refused)
    return stored


def keys_of(reports: Reports) -> list[Key]:
    return list(zip(reports.device_key.tolist(), reports.ts_us.tolist(), reports.digest.tolist(), strict=True))


def _not_seen(reports: Reports, recent: RecentKeys) -> Rows:
    seen: set[Key] = set()
    fresh: list[int] = []
    for row, key in enumerate(keys_of(reports)):
        if key not in seen and key not in recent:
            seen.add(key)
            fresh.append(row)
    return np.array(fresh, np.intp)


def _redelivered(connection: Connection, reports: Reports, items: list[Item], rows: Rows) -> NDArray[np.bool_]:
    """Which of `rows` are redeliveries of reports filed under their receipt: DUP, and the same packet on record, or
    before it in this batch. With `seq` one may look otherwise than it did at first: what a clock set back had said as
    news is older than the newest by now, like backlog.
    """
    repeated = np.zeros(len(rows), np.bool_)
    if not any(items[row].arrival.dup for row in rows):
        return repeated
    filed: set[tuple[int, int]] = set()
    suspects = []
    for place, row in enumerate(rows.tolist()):
        substituted = bool(reports.substituted[row])
        if not (substituted or (items[row].arrival.dup and reports.seq[row] is not None)):
            continue
        known_by = int(reports.digest[row]) if substituted else digest(items[row].packet)
        packet = (int(reports.device_key[row]), known_by)
        if not items[row].arrival.dup:
            filed.add(packet)
        elif packet in filed:
            repeated[place] = True
        else:
            suspects.append({"row": place, "device_key": packet[0], "digest": packet[1]})
            if substituted:
                filed.add(packet)
    if suspects:
        query = sql.SQL(statement("reports.already_substituted")).format(table=sql.Identifier(reports.family.table))
        params = {"rows": Jsonb(suspects), "marks": int(SUBSTITUTED)}
        repeated[[place for (place,) in connection.execute(query, params)]] = True
    return repeated


def _copy_all(connection: Connection, everything: list[tuple[Reports, Rows]]) -> bool:
    """The fast path, under one savepoint; False where any row of any family is refused, and nothing is stored."""
    try:
        with connection.transaction():
            for reports, rows in everything:
                _copy(connection, reports.family.table, _taken(reports, rows))
    except (psycopg.DataError, psycopg.IntegrityError):
        return False
    return True


def _taken(reports: Reports, rows: Rows) -> Reports:
    return reports if len(rows) == len(reports) else reports.take(rows)


def _insert(connection: Connection, reports: Reports, rows: Rows, refused: list[tuple[int, str]]) -> Rows:
    try:
        with connection.transaction():
            _copy(connection, reports.family.table, _taken(reports, rows))
    except psycopg.errors.UniqueViolation:
        pass
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        return _take_apart(connection, reports, rows, refused, error)
    else:
        return rows
    try:
        with connection.transaction():
            return _insert_new(connection, reports, rows)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        return _take_apart(connection, reports, rows, refused, error)


def _take_apart(
    connection: Connection, reports: Reports, rows: Rows, refused: list[tuple[int, str]], error: psycopg.Error
) -> Rows:
    """Halve until the refused row stands alone: its neighbours are stored."""
    if len(rows) == 1:
        refused.append((int(rows[0]), str(error).strip()))
        return rows[:0]
    middle = len(rows) // 2
    halves = [_insert(connection, reports, half, refused) for half in (rows[:middle], rows[middle:])]
    return np.concatenate(halves)


def _insert_new(connection: Connection, reports: Reports, rows: Rows) -> Rows:
    """By the staging table, which also tells which rows were new."""
    stage = f"stage_{reports.family.name}"
    _copy(connection, stage, reports.take(rows))
    query = sql.SQL(statement("reports.insert_new")).format(
        table=sql.Identifier(reports.family.table), stage=sql.Identifier(stage)
    )
    inserted = {(device_key, ts_us, number) for device_key, ts_us, number in connection.execute(query)}
    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(stage)))
    keys = keys_of(reports.take(rows))
    return rows[[key in inserted for key in keys]]


def _copy(connection: Connection, table: str, reports: Reports) -> None:
    names = sql.SQL(", ").join(sql.Identifier(name) for name in copy_columns(reports.family))
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.write(pack(reports))


def put_latest(connection: Connection, judged: Iterable[tuple[Reports, Outcome]]) -> None:
    """Keep each device's newest values; a late report only says that the device has been heard."""
    latest: list[dict[str, Any]] = []
    heard: dict[int, dict[str, Any]] = {}
    for reports, outcome in judged:
        latest += _latest(reports, np.array(outcome.latest_rows, np.intp))
        for row in outcome.late_rows:
            device_key = int(reports.device_key[row])
            heard[device_key] = {"device_key": device_key, "received_us": int(reports.received_us[row])}
    if latest:
        connection.execute(statement("reports.put_latest"), {"rows": Jsonb(latest)})
    if heard:
        connection.execute(statement("reports.put_heard"), {"rows": Jsonb(list(heard.values()))})


def _latest(reports: Reports, rows: Rows) -> list[dict[str, Any]]:
    return [
        {
            "device_key": device_key,
            "ts_us": ts_us,
            "received_us": received_us,
            "seq": reports.seq[row],
            "quality": quality,
            "values": {name: value for name, value in reports.values[row].items() if value is not None},
        }
        for row, device_key, ts_us, received_us, quality in zip(
            rows.tolist(),
            reports.device_key[rows].tolist(),
            reports.ts_us[rows].tolist(),
            reports.received_us[rows].tolist(),
            reports.quality[rows].tolist(),
            strict=True,
        )
    ]
