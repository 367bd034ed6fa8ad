"""From the ledger and the newest reports to a judgement: graph, heads and blockage on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from alerts.drainage.blockage import judge_blockage
from alerts.drainage.graph import catchments, load, outfalls, version
from alerts.drainage.params import BlockageParams
from alerts.drainage.readings import Reading, load_readings
from underfoot.storage.connect import Connection, connect

# 1 → 2 → 3 → 4 (a pump station); level gauges at 1 and 3, a cover that measures at 2 (rim at 75 m), one at 5 (no pipe)
CITY = """
INSERT INTO areas (code, name, level) VALUES ('410502', '文峰区', 'district');
INSERT INTO assets (asset_code, kind, name, area_code, attributes) VALUES
    ('a1', '0102', '井1', '410502', '{}'), ('a2', '0102', '井2', '410502', '{"地面标高": "75.00"}'),
    ('a3', '0102', '井3', '410502', '{}'), ('a4', '2115', '洹滨泵站', '410502', '{}'),
    ('a5', '0102', '井5', '410502', '{}');
INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m) VALUES
    ('W1', 1, 2, 'foul', 300, 50, 72, 71.75), ('W2', 2, 3, 'foul', 300, 50, 71.75, 71.5),
    ('W3', 3, 4, 'foul', 300, 50, 71.5, 71.25);
INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s, status) VALUES
    ('P1', 'pipe', '410502', 1, 900, 'in_service'), ('C2', 'cover', '410502', 2, 86400, 'in_service'),
    ('P3', 'pipe', '410502', 3, 900, 'in_service'), ('P3old', 'pipe', '410502', 3, 900, 'retired'),
    ('P5', 'pipe', '410502', 5, 900, 'in_service'), ('C1', 'cover', '410502', 1, 86400, 'in_service');
INSERT INTO latest_pipe (device_key, ts, received_at, quality, level_m, fill_ratio, flow_m3_h)
SELECT device_key, '2026-07-01T13:00:00Z', now(), 0, level, NULL, flow FROM devices
JOIN (VALUES ('P1', 0.6, NULL), ('P3', 0.06, 7.2), ('P3old', 9, NULL), ('P5', 0.1, NULL))
    AS said (device_id, level, flow) USING (device_id);
INSERT INTO latest_cover (device_key, ts, received_at, quality, water_below_rim_m)
SELECT device_key, '2026-07-01T13:00:00.25Z', now(), 0, 2.4 FROM devices WHERE family = 'cover';
"""
AT_US = 1_782_910_800_000_000


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, "test") as opened:
        opened.execute(CITY)
        opened.commit()
        yield opened


def about(value: float) -> Any:
    """A number that a reading may hold."""
    return pytest.approx(value)


def test_newest_values_become_heads_at_nodes(connection: Connection) -> None:
    graph = load(connection)
    readings = {reading.device_key: reading for reading in load_readings(connection, graph)}
    assert readings == {
        1: Reading(1, about(72.6), about(2.0), AT_US, None, 1, of_pipe=True),
        2: Reading(2, about(72.6), about(0.85 / 0.3), AT_US + 250_000, None, 2),
        3: Reading(3, about(71.56), about(0.2), AT_US, about(0.002), 3, of_pipe=True),
    }  # not the retired gauge, not that off the network, not the cover whose rim nobody knows


def test_a_blockage_is_named_from_what_is_stored(connection: Connection) -> None:
    graph = load(connection)
    judgement = judge_blockage(graph, load_readings(connection, graph), BlockageParams(), now_us=AT_US + 60_000_000)
    [suspicion] = judgement.suspicions
    assert graph.pipes[suspicion.pipe_key].pipe_id == "W2"
    assert suspicion.explained_nodes == (2, 1)
    late = judge_blockage(graph, load_readings(connection, graph), BlockageParams(), now_us=AT_US + 3_600_000_000)
    assert late.suspicions == ()


def test_the_version_changes_with_the_pipes(connection: Connection) -> None:
    before = version(connection)
    connection.commit()
    assert version(connection) == before
    for change in (
        "UPDATE pipes SET diameter_mm = 400, updated_at = clock_timestamp() WHERE pipe_id = 'W1'",
        "DELETE FROM pipes WHERE pipe_id = 'W1'",
    ):
        connection.execute(change)
        assert version(connection) != before
        before = version(connection)


def test_catchments_of_the_ledger(connection: Connection) -> None:
    graph = load(connection)
    assert set(catchments(graph).values()) == {"洹滨泵站汇水区"}
    assert outfalls(graph) == {1: 4, 2: 4, 3: 4, 4: 4}
