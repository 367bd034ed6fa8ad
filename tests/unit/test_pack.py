"""Binary COPY: what is packed, read back by the documented format ("COPY", "Binary Format" in PostgreSQL's manual)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.pack import copy_columns, pack
from tests.unit.batches import One, reports
from underfoot.families import FAMILIES, Family
from underfoot.reports import POSTGRES_EPOCH_US

READ = {"real": ">f", "double precision": ">d", "boolean": ">?", "smallint": ">h"}


def read(stream: bytes) -> Iterator[list[bytes | None]]:
    """The tuples of a binary COPY stream, each field's bytes; anything out of form fails."""
    assert stream[:11] == b"PGCOPY\n\xff\r\n\0"
    flags, extension = struct.unpack_from(">ii", stream, 11)
    assert (flags, extension) == (0, 0)
    at = 19
    while True:
        (count,) = struct.unpack_from(">h", stream, at)
        at += 2
        if count == -1:
            assert at == len(stream), "nothing follows the trailer"
            return
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", stream, at)
            at += 4
            assert length >= -1
            if length == -1:
                fields.append(None)
                continue
            assert at + length <= len(stream)
            fields.append(stream[at : at + length])
            at += length
        yield fields


def unpacked(family: Family, stream: bytes) -> list[dict[str, Any]]:
    rows = []
    for fields in read(stream):
        named = dict(zip(copy_columns(family), fields, strict=True))
        row: dict[str, Any] = {}
        for name, raw in named.items():
            if name in family.column:
                wire = READ[family.column[name].type]
                row[name] = None if raw is None else number(struct.unpack(wire, raw)[0])
        for name, wire in (("device_key", ">i"), ("digest", ">i"), ("quality", ">h")):
            row[name] = struct.unpack(wire, named[name] or b"")[0]
        for name in ("ts", "received_at"):
            row[name] = struct.unpack(">q", named[name] or b"")[0] + POSTGRES_EPOCH_US
        row["seq"] = None if named["seq"] is None else struct.unpack(">q", named["seq"])[0]
        extra = named["extra"]
        assert extra is None or extra[0] == 1, "jsonb's version"
        row["extra"] = None if extra is None else extra[1:]
        rows.append(row)
    return rows


def number(value: float | bool) -> float:
    return float(value)


def expected(family: Family, one: One, device_keys: list[int]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in family.fields:
        value = one.values.get(name)
        if value is not None and family.column[name].type == "real":
            value = struct.unpack("f", struct.pack("f", value))[0]
        row[name] = None if value is None else float(value)
    return row | {
        "device_key": device_keys[one.slot],
        "ts": one.ts_us,
        "digest": one.digest,
        "received_at": one.received_us,
        "quality": one.quality,
        "seq": one.seq,
        "extra": one.extra,
    }


def values_of(family: Family) -> st.SearchStrategy[dict[str, Any]]:
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for column in family.columns:
        if column.type == "boolean":
            fields[column.name] = st.booleans()
        elif column.choices:
            fields[column.name] = st.sampled_from(sorted(column.choices.values()))
        elif column.type == "smallint":
            fields[column.name] = st.integers(int(column.low or 0), int(column.high or 0))
        else:
            fields[column.name] = st.floats(column.low, column.high)
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Family, list[One], list[int]]:
    family = draw(st.sampled_from(list(FAMILIES.values())))
    int4 = st.integers(-(2**31), 2**31 - 1)
    keys = draw(st.lists(st.integers(1, 2**31 - 1), min_size=3, max_size=3))
    ones = st.builds(
        One,
        slot=st.integers(0, 2),
        at_s=st.integers(-(10**9), 10**9).map(lambda us: us / 1000),
        values=values_of(family),
        received_s=st.integers(-(10**9), 10**9).map(lambda us: us / 1000),
        seq=st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
        extra=st.none() | st.just(b"{}") | st.text(max_size=5).map(lambda text: b'{"a":"' + text.encode() + b'"}'),
        digest=int4,
        quality=st.integers(0, 127),
    )
    return family, draw(st.lists(ones, max_size=12)), keys


def in_words(row: dict[str, Any]) -> str:
    return repr(sorted(row.items()))


@given(batches())
def test_every_row_comes_back(batch: tuple[Family, list[One], list[int]]) -> None:
    """Rows of one pattern are packed together, so the order among them may change; nothing else may."""
    family, ones, keys = batch
    rows = unpacked(family, pack(reports(family, ones, keys)))
    wanted = [expected(family, one, keys) for one in ones]
    assert sorted(rows, key=in_words) == sorted(wanted, key=in_words)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_nothing_said_is_all_null(family: Family) -> None:
    (row,) = unpacked(family, pack(reports(family, [One(0, 0, {})])))
    assert all(row[name] is None for name in (*family.fields, "seq", "extra"))


def test_columns_are_named_in_the_order_they_are_packed() -> None:
    columns = copy_columns(FAMILIES["rain"])
    assert columns[:3] == ("device_key", "ts", "digest")
    assert columns[-4:] == ("received_at", "quality", "seq", "extra")
    assert columns[3:-4] == FAMILIES["rain"].fields


def test_an_empty_batch_is_a_header_and_a_trailer() -> None:
    assert list(read(pack(reports(FAMILIES["cover"], [])))) == []


def test_microseconds_are_exact() -> None:
    """No time goes through floating point on its way to the table."""
    made = reports(FAMILIES["cover"], [One(0, 0.000_001, {}), One(0, 0.000_002, {})])
    first, second = sorted(row["ts"] for row in unpacked(FAMILIES["cover"], pack(made)))
    assert second - first == 1
    assert not math.isnan(first)
