"""What it takes to try a rule on a month of a city's history: 2 000 gauges that report every 15 minutes, four storms.

Beside it what reading those reports alone takes.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from alerts.history.stored import Devices, in_slices, slice_for
from alerts.rulebook.book import install_shipped
from ingest.pack import copy_columns, pack
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.rig import Rig, rig
from underfoot.families import FAMILIES
from underfoot.reports import NO_SEQ, Reports, microseconds
from underfoot.storage.connect import connect

GAUGES = 2_000
DAYS = 30
INTERVAL_S = 900
REPEATS = 3
BEGIN = datetime(2026, 5, 31, 16, tzinfo=UTC)
RULE = "road.ponding"
_ROAD = FAMILIES["road"]
_A_DAY = 86_400 // INTERVAL_S
_STORMS = ((3.2, 0.3, 0.2), (9.6, 0.5, 0.5), (17.1, 0.25, 0.3), (24.4, 0.6, 0.8))
"""On which day it begins, how long it lasts (days), which share of the gauges it floods."""


def figures() -> list[Figure]:
    with rig(1) as made:
        keys = _gauges(made)
        _month(made, keys)
        with connect(made.database_url, "bench", autocommit=True) as connection:
            install_shipped(connection)
        made.asking.execute("ANALYZE")
        tried = [_tried(made) for _ in range(REPEATS)]
        read = [_read(made, keys) for _ in range(REPEATS)]
    return [Figure("alerts.backtest_month_s", median(tried), "s", "read_month_s", median(read))]


def _gauges(made: Rig) -> NDArray[np.int32]:
    made.asking.execute(
        "INSERT INTO assets (asset_code, kind, name, area_code)"
        " SELECT 'gauge-' || n, '2100', '积水点' || n, (SELECT min(code) FROM areas WHERE level = 'district')"
        " FROM generate_series(1, %s) n",
        [GAUGES],
    )
    rows = made.asking.execute(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT asset_code, 'road', left(area_code, 6), asset_key, %s FROM assets WHERE asset_code LIKE 'gauge-%%'"
        " RETURNING device_key",
        [INTERVAL_S],
    )
    return np.array([key for (key,) in rows], np.int32)


def _month(made: Rig, keys: NDArray[np.int32]) -> None:
    draw = np.random.default_rng(1)
    floods = [
        (at, lasts, draw.random(GAUGES) < share, draw.random(GAUGES) * 0.15, draw.gamma(2.0, 9.0, GAUGES))
        for at, lasts, share in _STORMS
    ]
    offset_s = draw.integers(0, INTERVAL_S, GAUGES)
    names = sql.SQL(", ").join(map(sql.Identifier, copy_columns(_ROAD)))
    copy_in = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(sql.Identifier(_ROAD.table), names)
    with psycopg.connect(made.database_url) as connection:
        for day in range(DAYS):
            seconds = day * 86_400 + np.arange(_A_DAY)[None, :] * INTERVAL_S + offset_s[:, None]
            depth: NDArray[np.float64] = np.zeros((GAUGES, _A_DAY))
            for at, lasts, hit, later, peak in floods:
                through = (seconds / 86_400 - at - later[:, None]) / lasts
                wave = np.sin(np.pi * np.clip(through, 0, 1)) * peak[:, None] * hit[:, None]
                depth = np.maximum(depth, wave)
            noisy = np.maximum(depth + draw.normal(0, 0.3, depth.shape), 0.0).round(1).astype(np.float64)
            reports = _reports(keys, microseconds(BEGIN) + seconds * 1_000_000, noisy)
            with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
                copy.write(pack(reports))
            connection.commit()


def _reports(keys: NDArray[np.int32], ts_us: NDArray[np.int64], depth: NDArray[np.float64]) -> Reports:
    """In the order in which a shard stores them: as they come."""
    order = np.argsort(ts_us.ravel(), kind="stable")
    count = len(order)
    columns = {name: np.full(count, np.nan) for name in _ROAD.fields}
    columns["depth_cm"] = depth.ravel()[order]
    columns["place"] = np.zeros(count)
    columns["battery_v"] = np.full(count, 3.6)
    columns["rsrp_dbm"] = np.full(count, -95.0)
    times = ts_us.ravel()[order].astype(np.int64)
    return Reports(
        family=_ROAD,
        slot=np.zeros(count, np.int32),
        device_key=np.repeat(keys, _A_DAY)[order],
        ts_us=times,
        received_us=times + 2_000_000,
        digest=np.arange(count, dtype=np.int32),
        substituted=np.zeros(count, np.bool_),
        quality=np.zeros(count, np.int16),
        columns=columns,
        values=[{}] * count,
        seq=np.full(count, NO_SEQ),
        extra=[None] * count,
    )


def _tried(made: Rig) -> float:
    """As a person types it, from the start of the process to its end."""
    began = time.monotonic()
    found = json.loads(made.call("rules", "backtest", RULE, "--from", "2026-06-01", "--to", "2026-07-01", "--json"))
    took = time.monotonic() - began
    assert found["reports"] == GAUGES * DAYS * _A_DAY, found["reports"]
    assert found["raised"] > 1000, found["raised"]
    return took


def _read(made: Rig, keys: NDArray[np.int32]) -> float:
    begin_us = microseconds(BEGIN)
    until_us = begin_us + DAYS * 86_400_000_000
    began = time.monotonic()
    with connect(made.database_url, "bench") as connection:
        slices = in_slices(
            connection,
            _ROAD,
            Devices(keys),
            begin_us,
            until_us,
            slice_for(GAUGES / INTERVAL_S),
            ("depth_cm", "place"),
        )
        assert sum(len(reports) for _, reports in slices) == GAUGES * DAYS * _A_DAY
    return time.monotonic() - began
