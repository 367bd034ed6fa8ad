"""A device's reports read from its family's table: as they came, or by bucket of time, with gaps filled where asked.

The database counts buckets; pandas fills gaps, which no query of ours does in both editions of TimescaleDB.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import pandas as pd
from psycopg import sql

from api.models.ledger import marks
from api.parameters import CITY_ZONE
from api.rows import Params, Row, composed, fetch_one
from underfoot.families import FAMILIES, Column, Family
from underfoot.storage.connect import Connection

Fill = Literal["empty", "previous", "linear"]


@dataclass(frozen=True)
class Width:
    """A bucket's width: for the database, for pandas, and about how long it is."""

    interval: str
    frequency: str
    about: timedelta


WIDTHS: dict[str, Width] = {
    **{f"{n}m": Width(f"{n} minutes", f"{n}min", timedelta(minutes=n)) for n in (1, 5, 10, 15, 30)},
    **{f"{n}h": Width(f"{n} hours", f"{n}h", timedelta(hours=n)) for n in (1, 3, 6, 12)},
    "1d": Width("1 day", "1D", timedelta(days=1)),
    "7d": Width("7 days", "7D", timedelta(days=7)),
    "1mo": Width("1 month", "MS", timedelta(days=30)),
}


def statistics(column: Column) -> tuple[str, ...]:
    """What a bucket says of a field: a state has no average, an enumeration no order."""
    if column.type == "boolean":
        return ("count", "true", "last")
    if column.choices:
        return ("count", "last")
    return ("count", "min", "max", "avg", "sum", "last")


def read_reports(
    connection: Connection, family: Family, columns: list[Column], order: str, params: Params
) -> list[Any]:
    """Reports as tuples: ts, digest, received_at, seq, quality, extra, then the columns."""
    query = composed(
        f"api_reports.{'newest_first' if order == 'desc' else 'oldest_first'}",
        table=sql.Identifier(family.table),
        columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
    )
    return connection.execute(query, params, prepare=False).fetchall()


_MARKS = [marks(quality) for quality in range(128)]


def report_item(row: tuple[Any, ...], names: list[str]) -> Row:
    ts, _digest, received_at, seq, quality, extra, *values = row
    return {
        "ts": ts,
        "received_at": received_at,
        "seq": seq,
        "quality": _MARKS[quality & 127],
        "values": {name: value for name, value in zip(names, values, strict=True) if value is not None},
        "extra": extra,
    }


def window(connection: Connection, width: Width, begin: datetime, buckets: int) -> tuple[datetime, datetime]:
    """Where the bucket of `begin` begins, and where `buckets` of them end."""
    row = fetch_one(connection, "api_reports.window", {"width": width.interval, "from": begin, "buckets": buckets})
    if row is None:
        raise LookupError("api_reports.window always answers with one row")
    return row["first"], row["past"]


def read_buckets(
    connection: Connection, family: Family, columns: list[Column], width: Width, params: Params
) -> pd.DataFrame:
    """One row a bucket that has reports: its start, how many, then `field.statistic` columns."""
    aggregates = [
        sql.SQL("{} AS {}").format(_aggregate(column, statistic), sql.Identifier(f"{column.name}.{statistic}"))
        for column in columns
        for statistic in statistics(column)
    ]
    query = composed(
        "api_reports.bucketed",
        table=sql.Identifier(family.table),
        aggregates=sql.SQL(", ").join(aggregates),
    )
    cursor = connection.execute(query, {**params, "width": width.interval}, prepare=False)
    names = [column.name for column in cursor.description or ()]
    frame = pd.DataFrame.from_records(cursor.fetchall(), columns=names).astype(object)
    frame["bucket"] = pd.DatetimeIndex(frame["bucket"], tz="UTC").tz_convert(CITY_ZONE)
    return frame.set_index("bucket")


def _aggregate(column: Column, statistic: str) -> sql.Composed:
    name = sql.Identifier(column.name)
    # A mean of 4-byte numbers is as exact as they are; shown with 15 digits, it would seem to be more.
    rounded = sql.SQL("::real") if column.type == "real" else sql.SQL("")
    patterns: dict[str, sql.SQL] = {
        "count": sql.SQL("count({name})"),
        "true": sql.SQL("count(*) FILTER (WHERE {name})"),
        "min": sql.SQL("min({name})"),
        "max": sql.SQL("max({name})"),
        "avg": sql.SQL("avg({name}::double precision){rounded}"),
        "sum": sql.SQL("sum({name}::double precision){rounded}"),
        "last": sql.SQL("last({name}, turn) FILTER (WHERE {name} IS NOT NULL)"),
    }
    return patterns[statistic].format(name=name, rounded=rounded)


def fill_gaps(
    frame: pd.DataFrame,
    columns: list[Column],
    fill: Fill,
    width: Width,
    span: tuple[datetime, datetime],
    max_gap: timedelta,
) -> pd.DataFrame:
    """`frame` on the regular grid of all buckets from `span[0]` until before `span[1]`.

    `previous` carries `last` on, `linear` draws `avg` between its neighbours; counts stay 0 there, and nothing is
    filled over a gap longer than `max_gap`: silence is not a measurement.
    """
    grid = pd.date_range(
        span[0].astimezone(CITY_ZONE),
        span[1].astimezone(CITY_ZONE),
        freq=width.frequency,
        inclusive="left",
        name="bucket",
    )
    full = frame.reindex(grid)
    counts = [name for name in full.columns if name == "reports" or name.endswith((".count", ".true"))]
    full[counts] = full[counts].fillna(0).astype(int)
    times = pd.Series(grid, index=grid)
    for column in columns:
        known = times.where(full[f"{column.name}.count"] > 0)
        since, until = known.ffill(), known.bfill()
        if fill == "previous":
            near = (times - since) <= max_gap
            name = f"{column.name}.last"
            full[name] = full[name].ffill().where(near)
        elif fill == "linear" and "avg" in statistics(column):
            near = (until - since) <= max_gap
            name = f"{column.name}.avg"
            drawn = full[name].astype(float).interpolate(method="time", limit_area="inside")
            full[name] = drawn.where(near | known.notna())
    return full


def bucket_items(frame: pd.DataFrame, columns: list[Column]) -> list[Row]:
    shape = [(column.name, [(each, f"{column.name}.{each}") for each in statistics(column)]) for column in columns]
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    starts = pd.DatetimeIndex(frame.index).tz_convert("UTC").to_pydatetime()
    return [
        {
            "ts": start,
            "reports": record["reports"],
            "values": {field: {each: record[name] for each, name in names} for field, names in shape},
        }
        for start, record in zip(starts, records, strict=True)
    ]


def columns_of(family: str, wanted: list[str]) -> list[Column]:
    """The family's columns, only the `wanted` ones where any are named; KeyError for one that it has not."""
    known = FAMILIES[family].column
    return [known[name] for name in dict.fromkeys(wanted)] if wanted else list(known.values())
