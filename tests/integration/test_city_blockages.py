"""A blocked pipe, from levels in manholes to one alarm with a crew's order: raised, explained, frozen, over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from alerts.messages.notice import message
from alerts.record.snapshot import Snapshot
from tests.integration.foul_street import gauges_say, lay
from tests.integration.shard import HOUR
from tests.integration.town import Town, town_of

BLOCKED = ("drainage.blockage", "pipe")


@pytest.fixture
def row(module_database: str) -> Iterator[Town]:
    """W11 → W12 → W13 → W14."""
    with town_of(module_database) as town:
        lay(town, 11)
        yield town


def levels(town: Town, *fills: float) -> None:
    gauges_say(town, 11, *fills)


def sent(town: Town, sink: str) -> list[dict[str, Any]]:
    rows = town.rows(
        "SELECT snapshot FROM outbox JOIN sinks USING (sink_key) WHERE name = %s AND snapshot ->> 'rule_id' = %s"
        " ORDER BY delivery_key",
        sink,
        BLOCKED[0],
    )
    return [row["snapshot"] for row in rows]


HIGH = (2.0, 3.0, 0.2, 0.2)
SOUND = (0.3, 0.3, 0.3, 0.3)


def test_a_blockage_is_named_and_explains_the_high_water_above_it(row: Town) -> None:
    row.shard.sink("crew", "crew", min_severity=3)
    row.shard.sink("platform", "platform")
    levels(row, *HIGH)
    assert BLOCKED not in row.open(), "once may be a wave"
    levels(row, *HIGH)
    assert row.open()["pipe.foul_full", "device"] == 3
    levels(row, *HIGH)
    assert row.open()[BLOCKED] == 3
    named = row.one(
        "SELECT pipe_id FROM pipes p JOIN alarms al ON al.subject_key = p.pipe_key"
        " JOIN episodes e USING (alarm_key) WHERE al.subject_kind = 'pipe'"
    )
    assert named["pipe_id"] == "W12-W13"
    explained = row.rows(
        "SELECT device_id, rule_id, suppressed FROM alarms JOIN devices USING (device_key)"
        " WHERE rule_id = 'pipe.foul_full' AND episode > 0 ORDER BY device_id"
    )
    assert [(one["device_id"], one["suppressed"]) for one in explained] == [
        ("P-11", ["by_design"]), ("P-12", ["by_design"]),
    ]  # fmt: skip
    assert row.suppressed("drainage.blockage") == [""]
    [told] = sent(row, "crew")
    text = message(cast(Snapshot, told), "").text
    assert text.startswith("【橙】疑似堵管｜安钢大道 W12→W13，上游满管、下游0.1m，已30分钟")
    assert "带疏通车查W13，禁止下井" in text
    assert len(text) <= 70
    [case] = sent(row, "platform")
    assert (case["case"]["type"], case["case"]["code"], case["case"]["condition_name"]) == (
        "event",
        "0404",
        "下水道堵塞",
    )
    assert case["asset"]["name"] == "W13"


def test_what_follows_is_told_when_the_blockage_is_over(row: Town) -> None:
    for _ in range(3):
        levels(row, *HIGH)
    row.shard.sink("crew", "crew", min_severity=3)
    levels(row, 1.2, *SOUND[1:])
    assert row.open()[BLOCKED] == 3, "it is over when two readings in turn say so"
    levels(row, 1.2, *SOUND[1:])
    assert BLOCKED not in row.open()
    row.tick()
    assert row.suppressed("pipe.foul_full") == ["", ""]
    assert row.open()["pipe.foul_full", "device"] == 3, "W11 is still high, for another reason"


def test_gauges_that_fall_silent_freeze_it(row: Town) -> None:
    for _ in range(3):
        levels(row, *HIGH)
    assert BLOCKED in row.open()
    row.shard.wait(6 * HOUR)
    row.begin()
    row.tick()
    assert row.open()[BLOCKED] == 3
    assert row.suppressed("pipe.foul_full") == ["by_design", "by_design"], "and so is what it explains"
    for _ in range(2):
        levels(row, *SOUND)
    assert BLOCKED not in row.open()


def test_restart_while_pending(row: Town) -> None:
    levels(row, *HIGH)
    for _ in range(3):
        row.begin()
        row.tick()
    assert BLOCKED not in row.open(), "the same readings again prove nothing"
    levels(row, *HIGH)
    row.begin()
    levels(row, *HIGH)
    assert BLOCKED in row.open()
    held = row.one(
        "SELECT e.raised_at - min(t.event_at) AS held FROM episodes e JOIN alarms al USING (alarm_key)"
        " JOIN transitions t USING (alarm_key) WHERE al.rule_id = 'drainage.blockage' GROUP BY e.raised_at"
    )["held"]
    assert 1800 <= held.total_seconds() < 1900


def test_a_pipe_that_the_ledger_has_no_more_is_not_blocked(row: Town) -> None:
    for _ in range(3):
        levels(row, *HIGH)
    row.ask.execute("DELETE FROM pipes WHERE pipe_id = 'W12-W13'")
    for _ in range(2):
        row.tick()
        row.tick()
    assert BLOCKED not in row.open()


def test_red_speaks_for_itself(row: Town) -> None:
    """Sewage on the road is told whatever its cause."""
    row.device("C-9", "cover")
    row.ask.execute(
        "UPDATE devices SET asset_key = (SELECT asset_key FROM devices WHERE device_id = 'P-12')"
        " WHERE device_id = 'C-9'"
    )
    row.shard.restart()
    row.says(("C-9", {"water_below_rim_m": -0.1}))
    for _ in range(3):
        levels(row, *HIGH)
    assert row.open()[BLOCKED] == 3
    assert row.open()["cover.overflow", "device"] == 4
    assert row.suppressed("cover.overflow") == [""]
