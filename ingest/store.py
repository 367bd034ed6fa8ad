"""Store: new reports into their hypertable, once each, and no bad row at its neighbours' cost.

What is newer than all that its device has in the table is surely new, and goes by binary COPY straight into the
hypertable. Only what may be there already is asked for row by row; only what the database refuses is taken apart.
A small batch goes to all tables at once by INSERT: there it is not the rows that take time but the way there and back,
two for each COPY, on a machine that has more to do than us.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from alerts.judge.outcome import Outcome
from ingest.decode import Item
from ingest.pack import copy_columns, pack
from ingest.registry import FamilyDevices
from underfoot.families import Family
from underfoot.families.declaration import ColumnType
from underfoot.reports import NO_SEQ, POSTGRES_EPOCH_US, SUBSTITUTED, Reports, digest
from underfoot.storage.arrays import ElementType, as_array
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_FEW = 200
"""So many rows, and INSERT costs no more than COPY (measured)."""

Rows = NDArray[np.intp]
Key = tuple[int, int, int]


class Stored:
    """What became of a family's reports: `new` rows are in the table now, `refused` ones have the database's reason."""

    def __init__(self) -> None:
        self.new: Rows = np.zeros(0, np.intp)
        self.refused: list[tuple[int, str]] = []
        self.duplicates = 0


def store(connection: Connection, batch: Sequence[tuple[FamilyDevices, Reports, list[Item]]]) -> list[Stored]:
    """Put each family's reports into its table, within the caller's transaction."""
    stored = [Stored() for _ in batch]
    known: list[Rows] = []
    news: list[tuple[Reports, Rows]] = []
    for devices, reports, items in batch:
        surely = _surely_new(devices, reports, items)
        news.append((reports, np.flatnonzero(surely)))
        known.append(np.flatnonzero(~surely))
    all_new = _all_new(connection, news)
    for number, ((_, reports, items), (_, rows), doubtful, result) in enumerate(
        zip(batch, news, known, stored, strict=True)
    ):
        result.new = _insert(connection, reports, rows, result.refused) if all_new is None else all_new[number]
        if len(doubtful):
            fresh = doubtful[~_redelivered(connection, reports, items, doubtful)]
            fresh = _insert_new(connection, reports, _first_of_each(reports, fresh), result.refused)
            result.new = np.sort(np.concatenate([result.new, fresh]))
        result.duplicates = len(reports) - len(result.new) - len(result.refused)
    return stored


def _surely_new(devices: FamilyDevices, reports: Reports, items: list[Item]) -> NDArray[np.bool_]:
    """Reports newer than anything that their device has in the table, and the only ones of their time in this batch:
    nobody needs to look for them. A redelivered packet may be on record under another time."""
    surely: NDArray[np.bool_] = reports.ts_us > devices.evaluator.newest_us[reports.slot]
    order = np.lexsort((reports.ts_us, reports.slot))
    slot, ts_us = reports.slot[order], reports.ts_us[order]
    same = (slot[1:] == slot[:-1]) & (ts_us[1:] == ts_us[:-1])
    surely[order[1:][same]] = False
    surely[order[:-1][same]] = False
    surely[[row for row, item in enumerate(items) if item.arrival.dup]] = False
    return surely


def keys_of(reports: Reports, rows: Rows) -> list[Key]:
    return list(
        zip(reports.device_key[rows].tolist(), reports.ts_us[rows].tolist(), reports.digest[rows].tolist(), strict=True)
    )


def _first_of_each(reports: Reports, rows: Rows) -> Rows:
    first: dict[Key, int] = {}
    for row, key in zip(rows.tolist(), keys_of(reports, rows), strict=True):
        first.setdefault(key, row)
    return np.array(list(first.values()), np.intp)


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
        if not (substituted or (items[row].arrival.dup and reports.seq[row] != NO_SEQ)):
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


def _all_new(connection: Connection, news: list[tuple[Reports, Rows]]) -> list[Rows] | None:
    """The fast path: what is stored of each family; None where any row of any family is refused, and nothing is."""
    if sum(len(rows) for _, rows in news) <= _FEW:
        return _insert_all(connection, news)
    return [rows for _, rows in news] if _copy_all(connection, news) else None


def _insert_all(connection: Connection, news: list[tuple[Reports, Rows]]) -> list[Rows] | None:
    """In one go there and back."""
    given = [(_taken(reports, rows), rows) for reports, rows in news]
    done: list[psycopg.Cursor[Any] | None] = []
    try:
        with connection.pipeline():
            connection.execute("SAVEPOINT few")
            for taken, rows in given:
                parameters = _parameters(taken, with_extra=True) if len(rows) else None
                done.append(connection.execute(_insert_query(taken.family), parameters) if parameters else None)
            connection.execute("RELEASE few")
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.PipelineAborted):
        connection.execute("ROLLBACK TO few")
        return None
    stored = []
    for (taken, rows), cursor in zip(given, done, strict=True):
        inserted = set(cursor) if cursor is not None else set()
        # Should one be there all the same, it is a duplicate.
        every = len(inserted) == len(rows)
        stored.append(rows if every else rows[[key in inserted for key in keys_of(taken, np.arange(len(rows)))]])
    return stored


def _copy_all(connection: Connection, news: list[tuple[Reports, Rows]]) -> bool:
    """Under one savepoint; False where any row of any family is refused."""
    try:
        with connection.transaction():
            for reports, rows in news:
                if len(rows):
                    _copy(connection, _taken(reports, rows))
    except (psycopg.DataError, psycopg.IntegrityError):
        return False
    return True


def _taken(reports: Reports, rows: Rows) -> Reports:
    return reports if len(rows) == len(reports) else reports.take(rows)


def _insert(connection: Connection, reports: Reports, rows: Rows, refused: list[tuple[int, str]]) -> Rows:
    """Rows that are surely new, of a batch that was refused; should one be there all the same, it is a duplicate."""
    try:
        with connection.transaction():
            _copy(connection, reports.take(rows))
    except (psycopg.DataError, psycopg.IntegrityError):
        return _insert_new(connection, reports, rows, refused)
    return rows


def _insert_new(connection: Connection, reports: Reports, rows: Rows, refused: list[tuple[int, str]]) -> Rows:
    """What of these the table does not have yet; all keys in `rows` differ. A refused row stands alone in the end, by
    halving: its neighbours are stored."""
    if not len(rows):
        return rows
    taken = reports.take(rows)
    try:
        with connection.transaction():
            inserted = set(connection.execute(_insert_query(reports.family), _parameters(taken, with_extra=True)))
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        if len(rows) == 1:
            refused.append((int(rows[0]), str(error).strip()))
            return rows[:0]
        middle = len(rows) // 2
        halves = [_insert_new(connection, reports, half, refused) for half in (rows[:middle], rows[middle:])]
        return np.concatenate(halves)
    return rows[[key in inserted for key in keys_of(reports, rows)]]


def _copy(connection: Connection, reports: Reports) -> None:
    with connection.cursor() as cursor, cursor.copy(_copy_query(reports.family)) as copy:
        copy.write(pack(reports))


def put_latest(connection: Connection, judged: Iterable[tuple[Reports, Outcome]]) -> None:
    """Keep each device's newest values; a late report only says that the device has been heard."""
    for reports, outcome in judged:
        family = reports.family
        if outcome.latest_rows:
            latest = reports.take(np.array(outcome.latest_rows, np.intp))
            connection.execute(_latest_query(family), _parameters(latest, with_extra=False))
        if outcome.late_rows:
            heard = {int(reports.device_key[row]): int(reports.received_us[row]) for row in outcome.late_rows}
            query = sql.SQL(statement("reports.put_heard")).format(table=sql.Identifier(family.latest_table))
            connection.execute(query, {"device_keys": list(heard), "received_us": list(heard.values())})


# columns as parameters ----------------------------------------------------------------------------------------------

_ELEMENT: dict[ColumnType, ElementType] = {
    "real": "float4",
    "double precision": "float8",
    "boolean": "float4",
    "smallint": "float4",
}
_VALUE: dict[ColumnType, str] = {
    "real": "nullif({0}, 'NaN')",
    "double precision": "nullif({0}, 'NaN')",
    "boolean": "nullif({0}, 'NaN') <> 0",
    "smallint": "nullif({0}, 'NaN')::smallint",
}


def _parameters(reports: Reports, *, with_extra: bool) -> list[Any]:
    """In the order of `_row_source`."""
    parameters = [
        as_array(reports.device_key, "int4"),
        as_array(reports.ts_us - POSTGRES_EPOCH_US, "timestamptz"),
        as_array(reports.received_us - POSTGRES_EPOCH_US, "timestamptz"),
        as_array(reports.quality, "int2"),
        as_array(reports.seq, "int8"),
        *(as_array(reports.columns[column.name], _ELEMENT[column.type]) for column in reports.family.columns),
    ]
    if with_extra:
        extra = [one.decode() if one is not None else None for one in reports.extra]
        parameters += [as_array(reports.digest, "int4"), extra]
    return parameters


def _row_source(family: Family, *, with_extra: bool) -> sql.Composable:
    """The parameters as rows, by unnest: device_key, ts, received_at, quality, seq, the fields; digest and extra."""
    names = ["device_key", "ts", "received_at", "quality", "seq", *family.fields]
    names += ["digest", "extra"] if with_extra else []
    # psycopg knows the type of each array but that of the texts
    places = [sql.SQL("%s")] * (len(names) - 1) + [sql.SQL("%s::text[]" if with_extra else "%s")]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    return sql.SQL("unnest({}) AS r ({})").format(sql.SQL(", ").join(places), columns)


def _fields(family: Family) -> dict[str, sql.Composable]:
    columns = [(column, sql.Identifier(column.name)) for column in family.columns]
    return {
        "fields": sql.SQL(", ").join(name for _, name in columns),
        "values": sql.SQL(", ").join(sql.SQL(_VALUE[column.type]).format(name) for column, name in columns),
        "keeps": sql.SQL(", ").join(sql.SQL("{0} = coalesce(EXCLUDED.{0}, l.{0})").format(name) for _, name in columns),
        "no_seq": sql.Literal(NO_SEQ),
    }


@cache
def _copy_query(family: Family) -> bytes:
    names = sql.SQL(", ").join(map(sql.Identifier, copy_columns(family)))
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(sql.Identifier(family.table), names)
    return query.as_bytes()


@cache
def _insert_query(family: Family) -> bytes:
    table, source = sql.Identifier(family.table), _row_source(family, with_extra=True)
    query = sql.SQL(statement("reports.insert_new")).format(table=table, source=source, **_fields(family))
    return query.as_bytes()


@cache
def _latest_query(family: Family) -> bytes:
    table, source = sql.Identifier(family.latest_table), _row_source(family, with_extra=False)
    query = sql.SQL(statement("reports.put_latest")).format(table=table, source=source, **_fields(family))
    return query.as_bytes()
