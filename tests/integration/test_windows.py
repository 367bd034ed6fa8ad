"""What rules remember of the past beside their conditions: over a restart, and from the ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts.drainage.graph import DrainageGraph
from alerts.judge.measures import AT_RIM
from tests.integration.shard import HOUR, MINUTE, SECOND, Shard, shard_of
from underfoot.ledger.pipes import RIM_ATTRIBUTES, load_pipes
from underfoot.storage.connect import connect


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database, replay_settle_s=0) as made:
        yield made


# the mean of a day --------------------------------------------------------------------------------------------------


def test_a_days_mean_goes_on_over_a_restart(shard: Shard) -> None:
    begin = shard.now_us - shard.now_us % HOUR
    for hour in range(19):
        shard.commit(
            shard.says("L-1", {"pm2_5_ug_m3": 90.0}, begin + hour * HOUR),
            shard.says("L-1", {"pm2_5_ug_m3": 70.0}, begin + hour * HOUR + MINUTE),
        )
        shard.wait(HOUR)
    assert shard.open("L-1") == {}, "19 hours are not enough"
    shard.restart()
    shard.commit(shard.says("L-1", {"pm2_5_ug_m3": 60.0}, begin + 19 * HOUR))
    assert shard.open("L-1") == {"lamp.pm2_5": 1}
    proof = shard.one("SELECT proof FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'lamp.pm2_5'")["proof"]
    assert (proof["value"], proof["limit"], proof["label"]) == (79.0, 75, "PM2.5 24小时平均")


def test_a_late_hour_raises_what_it_would_have_raised_in_its_place(shard: Shard) -> None:
    begin = shard.now_us - shard.now_us % HOUR - 30 * HOUR
    hours = [hour for hour in range(24) if hour != 10]
    for hour in hours:
        shard.commit(shard.says("L-1", {"pm2_5_ug_m3": 74.0}, begin + hour * HOUR))
    assert shard.open("L-1") == {}
    shard.commit(shard.says("L-1", {"pm2_5_ug_m3": 400.0}, begin + 10 * HOUR))
    shard.look_around()
    raised = shard.rows("SELECT raised_at FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'lamp.pm2_5'")
    assert [int(row["raised_at"].timestamp() * SECOND) for row in raised] == [begin + 19 * HOUR], "its twentieth hour"


# the rim ------------------------------------------------------------------------------------------------------------

NETWORK = """
INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)
SELECT v.pipe_id, a.asset_key, b.asset_key, 'storm', v.mm, 100, v.up, v.up - 0.5
FROM (VALUES ('A', '4105020103000004', '4105022115000005', 600, 70.0),
    ('B', '4105020103000004', '4105022115000005', 800, 70.2),
    ('C', '4105020103000001', '4105020103000004', 500, 71.0)) AS v (pipe_id, upper, lower, mm, up)
JOIN assets a ON a.asset_code = v.upper JOIN assets b ON b.asset_code = v.lower;
"""


def _rises(shard: Shard, first: float) -> None:
    for number in range(9):
        shard.commit(shard.says("P-1", {"fill_ratio": first + number / 10, "network": 1}))
        shard.wait(5 * MINUTE)


def test_a_forecast_of_overflow_goes_up_to_the_rim_that_the_ledger_says(shard: Shard) -> None:
    shard.ask.execute(NETWORK.encode())
    shard.ask.execute(
        "UPDATE assets SET attributes = '{\"井口标高\": \"７3.6 米\"}' WHERE asset_code = '4105020103000004'"
    )
    shard.restart()
    slot = shard.tenure.device(shard.device_key("P-1"))
    assert slot.family.evaluator.baseline[AT_RIM][slot.slot] == pytest.approx(3.6 / 0.6)
    _rises(shard, 1.1)
    assert "pipe.overflow_forecast" not in shard.open("P-1"), "220 minutes from the rim; 20 from h/D 2.0"


def test_without_a_rim_it_goes_up_to_the_rules_own_limit(shard: Shard) -> None:
    shard.ask.execute(NETWORK.encode())
    shard.ask.execute('UPDATE assets SET attributes = \'{"井口标高": "约73"}\'')
    shard.restart()
    _rises(shard, 1.1)
    assert shard.open("P-1")["pipe.overflow_forecast"] == 2


def test_the_view_of_rims_is_as_the_drainage_graph_has_it(shard: Shard) -> None:
    shard.ask.execute(NETWORK.encode())
    for number, name in enumerate(RIM_ATTRIBUTES):
        shard.ask.execute(
            "UPDATE assets SET attributes = jsonb_build_object(%s::text, %s::text)", [name, f"{74 + number}.5m"]
        )
        with connect(shard.database, "test") as connection:
            pipes, nodes = load_pipes(connection)
        graph = DrainageGraph(pipes, nodes)
        wanted = {}
        for node in nodes:
            outlet, invert_m = graph.outlet(node.asset_key), graph.invert_m(node.asset_key)
            assert outlet is not None
            assert invert_m is not None
            assert node.rim_m is not None
            wanted[node.asset_key] = pytest.approx((node.rim_m - invert_m) / (outlet.diameter_mm / 1000))
        rows = shard.rows("SELECT asset_key, fill FROM fill_at_rim")
        assert {row["asset_key"]: row["fill"] for row in rows} == wanted
        assert len(wanted) == 3
