"""A gauge that drifts: doubted before its alarms come, of which nobody is told; real water is told all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.foul_street import gauges_say, lay
from tests.integration.town import Town, town_of

DOUBTED = ("pipe.doubtful", "device")


@pytest.fixture
def row(module_database: str) -> Iterator[Town]:
    """W21 → W22 → W23 → W24."""
    with town_of(module_database) as town:
        lay(town, 21)
        yield town


def levels(town: Town, *fills: float) -> None:
    gauges_say(town, 21, *fills, flow_m3_h=10.0)


def told(town: Town, rule_id: str, device_id: str = "P-23") -> int:
    rows = town.rows(
        "SELECT FROM outbox WHERE snapshot ->> 'rule_id' = %s AND snapshot -> 'device' ->> 'device_id' = %s",
        rule_id,
        device_id,
    )
    return len(rows)


def high_water(town: Town, device_id: str) -> list[str]:
    """What keeps the gauge's alarm of high water from being told."""
    return list(
        town.one(
            "SELECT suppressed FROM alarms JOIN devices USING (device_key)"
            " WHERE rule_id = 'pipe.foul_full' AND device_id = %s",
            device_id,
        )["suppressed"]
    )


def test_a_gauge_that_drifts_is_doubted_and_its_high_water_is_told_to_nobody(row: Town) -> None:
    row.shard.sink("crew", "crew")
    for fill in (0.3, 0.5, 0.65):
        levels(row, 0.3, 0.3, fill, 0.3)
    assert DOUBTED not in row.open(), "a quarter of its bore too high, but in two reports only"
    levels(row, 0.3, 0.3, 0.75, 0.3)
    assert row.open()[DOUBTED] == 2
    asked = row.one(
        "SELECT e.proof, e.withheld FROM episodes e JOIN alarms USING (alarm_key) WHERE rule_id = 'pipe.doubtful'"
    )
    assert not asked["withheld"]
    assert asked["proof"]["against"] == ["P-24"], "as much flows there as here, and it runs low"
    assert asked["proof"]["words"]["reading"] == "充满度读数0.75，与W24等相邻监测点不符"
    for fill in (0.85, 0.95, 1.05, 1.15):
        levels(row, 0.3, 0.3, fill, 0.3)
    assert row.open()["pipe.foul_full", "device"] == 3
    assert told(row, "pipe.foul_full") == 0


def test_what_follows_is_kept_back_from_the_beginning_and_told_when_the_doubt_is_over(row: Town) -> None:
    row.shard.sink("crew", "crew")
    for _ in range(3):
        levels(row, 0.3, 0.3, 0.79, 0.3)
    for _ in range(3):
        levels(row, 0.3, 0.3, 2.0, 0.3)
    assert {DOUBTED, ("pipe.foul_full", "device")} <= row.open().keys()
    assert high_water(row, "P-23") == ["by_design"]
    assert told(row, "pipe.foul_full") == 0
    # Now the water is there: the gauge was right after all.
    for _ in range(4):
        levels(row, 1.3, 2.1, 2.9, 3.7)
    row.tick()
    assert DOUBTED not in row.open()
    assert high_water(row, "P-23") == []
    assert told(row, "pipe.foul_full") >= 1


def test_a_doubted_gauge_is_no_witness_of_a_blockage(row: Town) -> None:
    for _ in range(5):
        levels(row, 0.3, 0.3, 2.0, 0.3)
    assert DOUBTED in row.open()
    assert ("drainage.blockage", "pipe") not in row.open()


def test_a_blocked_pipe_is_named_and_its_gauges_are_believed(row: Town) -> None:
    for _ in range(4):
        levels(row, 2.0, 3.0, 0.1, 0.1)
    assert row.open()["drainage.blockage", "pipe"] == 3
    assert DOUBTED not in row.open()
