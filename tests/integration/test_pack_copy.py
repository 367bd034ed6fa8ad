"""What is packed goes through the real tables and comes out as it went in: every family, every field, its extremes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from psycopg import sql

from ingest.pack import copy_columns, pack
from tests.unit.batches import One, reports
from underfoot.families import FAMILIES, Family
from underfoot.reports import moment
from underfoot.storage.connect import Connection, connect


@pytest.fixture(scope="module")
def connection(module_database: str) -> Iterator[Connection]:
    with connect(module_database, "test", autocommit=True) as opened:
        yield opened


def copied(connection: Connection, family: Family, ones: list[One]) -> list[dict[str, Any]]:
    """Into the table by COPY, and back as Python has it, in the order of `digest`."""
    names = sql.SQL(", ").join(sql.Identifier(name) for name in copy_columns(family))
    table = sql.Identifier(family.table)
    connection.execute(sql.SQL("DELETE FROM {}").format(table))
    with connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, names)) as copy:
            copy.write(pack(reports(family, ones)))
        assert cursor.rowcount == len(ones)
        cursor.execute(sql.SQL("SELECT {} FROM {} ORDER BY digest").format(names, table))
        return [dict(zip(copy_columns(family), row, strict=True)) for row in cursor]


def as_stored(family: Family, one: One) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in family.columns:
        value = one.values.get(column.name)
        if value is not None and column.type == "boolean":
            value = bool(value)
        elif value is not None and column.type == "real":
            value = float(np.float32(value))
        row[column.name] = value
    return row


def check(connection: Connection, family: Family, ones: list[One]) -> None:
    found = copied(connection, family, ones)
    for one, row in zip(sorted(ones, key=lambda one: one.digest), found, strict=True):
        for name, value in as_stored(family, one).items():
            # PostgreSQL shows a real by its shortest decimal; it is the same number again as a real.
            shown = row[name]
            real = family.column[name].type == "real" and shown is not None
            assert (float(np.float32(shown)) if real else shown) == value, name
        assert (row["device_key"], row["digest"], row["quality"]) == (100 + one.slot, one.digest, one.quality)
        assert (row["ts"], row["received_at"]) == (moment(one.ts_us), moment(one.received_us))
        assert row["seq"] == one.seq


def extreme(family: Family, bound: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column in family.columns:
        if column.type == "boolean":
            values[column.name] = bound == "high"
        elif column.choices:
            values[column.name] = (max if bound == "high" else min)(column.choices.values())
        else:
            values[column.name] = getattr(column, bound)
    return values


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_extremes_and_nulls(connection: Connection, family: Family) -> None:
    check(
        connection,
        family,
        [
            One(0, 0.0, {}, digest=1),
            One(0, 0.000_001, extreme(family, "low"), seq=-(2**63) + 1, digest=2, quality=127),
            One(0, 0.999_999, extreme(family, "high"), seq=2**63 - 1, digest=2**31 - 1),
            One(1, -86_400.0, {family.fields[-1]: extreme(family, "high")[family.fields[-1]]}, digest=-(2**31)),
        ],
    )


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_any_pattern_of_nulls(connection: Connection, family: Family) -> None:
    chance = random.Random(family.name)
    ones = []
    for number in range(300):
        whole = extreme(family, chance.choice(("low", "high")))
        values = {name: value for name, value in whole.items() if chance.random() < 0.6}
        ones.append(
            One(
                number % 3,
                chance.uniform(-3e5, 300),
                values,
                seq=chance.choice((None, number)),
                extra=chance.choice((None, None, b'{"fw":"1.2"}')),
                digest=number,
                quality=number % 128,
            )
        )
    check(connection, family, ones)


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b"{}", {}),
        ('{"型号":"JG-200","note":"a\\\\u0000b","list":[1,2.5,null,true]}'.encode(), None),
        (b'{"big":' + b"9" * 300 + b"}", None),
        (b'{"small":1e-300,"emoji":"\xf0\x9f\x95\xb3"}', {"small": 1e-300, "emoji": "🕳"}),
    ],
)
def test_extra_is_jsonb(connection: Connection, raw: bytes, read: dict[str, Any] | None) -> None:
    (row,) = copied(connection, FAMILIES["cover"], [One(0, 0, {"tilt_deg": 1}, extra=raw, digest=1)])
    [(shown,)] = connection.execute("SELECT extra::text = %s::jsonb::text FROM report_cover", [raw.decode()]).fetchall()
    assert shown
    if read is not None:
        assert row["extra"] == read


def test_measured_values_keep_their_resolution(connection: Connection) -> None:
    """A real has 7 digits: enough for each field's own step at its range; what needs more is declared precise."""
    for family in FAMILIES.values():
        for column in family.columns:
            if column.type == "real" and column.high is not None and column.resolution is not None:
                largest = max(abs(column.high), abs(column.low or 0))
                assert np.spacing(np.float32(largest)) <= column.resolution, (family.name, column.name)
    check(connection, FAMILIES["lamp"], [One(0, 0, {"energy_kwh": 123_456_789.01}, digest=1)])
