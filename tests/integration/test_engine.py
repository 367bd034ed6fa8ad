"""The engine in the batch's transaction: a rule that fails, an alarm that flaps, numbers by scope, slopes; each over a
restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from alerts.judge.measures import Measuring
from alerts.timers import post_due
from tests.integration.shard import HOUR, MINUTE, SECOND, Shard, shard_of
from underfoot.storage.connect import connect


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        yield made


def breaks(monkeypatch: pytest.MonkeyPatch, rule_id: str) -> None:
    measured = Measuring._guarded

    def broken(self: Measuring, rule: Any, *rest: Any) -> Any:
        if rule.rule_id == rule_id:
            raise ZeroDivisionError("no such number")
        return measured(self, rule, *rest)

    monkeypatch.setattr(Measuring, "_guarded", broken)


# a rule that fails --------------------------------------------------------------------------------------------------


def test_failing_rule_has_an_alarm_of_its_own_and_stops_nothing(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        breaks(patched, "cover.tilt")
        shard.commit(shard.says("C-1", {"open": True, "tilt_deg": 3.0}))
        shard.commit(shard.says("C-2", {"open": False, "tilt_deg": 70.0}))
        assert shard.open() == {"cover.open": 4, "rule.failing": 3}
        shard.restart()
        shard.commit(shard.says("C-2", {"open": False, "tilt_deg": 70.0}))
    assert shard.reasons("rule.failing") == ["rule_failing"], "once, and over a restart"
    proof = shard.one("SELECT proof FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'rule.failing'")[
        "proof"
    ]
    assert proof["label"] == "cover.tilt：ZeroDivisionError: no such number"
    shard.commit(shard.says("C-2", {"open": False, "tilt_deg": 70.0}))
    assert shard.reasons("rule.failing") == ["rule_failing", "rule_working"]
    assert shard.open() == {"cover.open": 4, "cover.tilt": 4}


def test_failing_of_a_rule_that_is_withdrawn_is_over(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        breaks(patched, "cover.tilt")
        shard.commit(shard.says("C-2", {"tilt_deg": 70.0}))
    shard.ask.execute(
        "INSERT INTO rules (rule_id, version, body, withdrawn, created_by)"
        " SELECT rule_id, version + 1, body, true, 'li' FROM rules WHERE rule_id = 'cover.tilt'"
    )
    shard.restart()
    assert shard.open() == {}


# an alarm that flaps ------------------------------------------------------------------------------------------------


def sways(shard: Shard, times: int) -> None:
    for n in range(times):
        shard.wait(SECOND)
        shard.commit(shard.says("U-1", {"fault": n % 2 == 0}))


def suppressed(shard: Shard) -> list[str]:
    return list(shard.one("SELECT suppressed FROM alarms WHERE rule_id = 'pump.fault'")["suppressed"])


def test_flapping_keeps_its_sinks_in_peace_and_tells_what_is_so_in_the_end(shard: Shard) -> None:
    shard.sink("crew", "crew")
    sways(shard, 6)
    assert suppressed(shard) == ["flapping"]
    told = shard.owed("crew")
    assert [notice for _, notice, _ in told] == ["raise", "clear"] * 3
    shard.restart()
    sways(shard, 9)
    assert shard.open("U-1") == {"pump.fault": 3}
    assert shard.owed("crew") == told, "nobody is told meanwhile"
    shard.restart()
    for _ in range(25):
        shard.wait(SECOND)
        shard.commit(shard.says("U-1", {"fault": True}))
    assert suppressed(shard) == []
    assert [notice for _, notice, _ in shard.owed("crew")[len(told) :]] == ["raise"], "what is open, now that it stays"
    reasons = shard.rows("SELECT reason FROM transitions WHERE region = 'suppression' ORDER BY transition_key")
    assert [row["reason"] for row in reasons] == ["flapping_began", "flapping_over"]


def test_silence_ends_flapping(shard: Shard) -> None:
    sways(shard, 7)
    shard.wait(HOUR)
    shard.catch_up()
    with connect(shard.database, "timers", autocommit=True) as connection:
        assert post_due(connection) == 1
    shard.look_around()
    assert suppressed(shard) == []
    assert shard.open("U-1")["pump.fault"] == 3


def test_withdrawn_rule_leaves_no_flapping_behind(shard: Shard) -> None:
    sways(shard, 7)
    shard.ask.execute(
        "INSERT INTO rules (rule_id, version, body, withdrawn, created_by)"
        " SELECT rule_id, version + 1, body, true, 'li' FROM rules WHERE rule_id = 'pump.fault'"
    )
    shard.restart()
    assert shard.open() == {}
    assert suppressed(shard) == []


# numbers by scope ---------------------------------------------------------------------------------------------------


def override(shard: Shard, scope: str, limit: float, *, enabled: bool = True) -> None:
    rule_id = "road.underpass"
    body = {"rule_id": rule_id, "scope": scope, "source": "a test", "enabled": enabled}
    if enabled:
        body |= {"levels": [{"severity": "red", "limit": limit, "dead_band": 1}]}
    shard.ask.execute(
        "INSERT INTO rules (rule_id, scope, version, body, created_by)"
        " SELECT %s, %s, max(version) + 1, %s, 'li' FROM rules WHERE rule_id = %s",
        [rule_id, scope, json.dumps(body), rule_id],
    )


def test_numbers_of_the_narrowest_scope_count(shard: Shard) -> None:
    override(shard, "area:4105", 90)
    shard.restart()
    shard.commit(shard.says("R-1", {"depth_cm": 30.0}))
    assert shard.open() == {}
    shard.ask.execute("UPDATE assets SET tags = '{school}' WHERE asset_code = '4105022100000003'")
    override(shard, "tag:school", 20)
    shard.restart()
    shard.wait(SECOND)
    shard.commit(shard.says("R-1", {"depth_cm": 30.0}))
    assert shard.open() == {"road.underpass": 4}
    override(shard, "device:R-1", 0, enabled=False)
    shard.restart()
    assert shard.open() == {}, "not judged here any more"
    shard.wait(SECOND)
    shard.commit(shard.says("R-1", {"depth_cm": 95.0}))
    assert shard.open() == {}


def test_new_device_has_the_numbers_of_its_scope(shard: Shard) -> None:
    override(shard, "area:410502", 8)
    shard.restart()
    shard.ask.execute(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT 'R-9', 'road', '410502', asset_key, 600 FROM devices WHERE device_id = 'R-1'"
    )
    shard.commit(shard.says("R-9", {"depth_cm": 9.0}))
    assert shard.open("R-9") == {"road.underpass": 4}


# slopes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarts", [False, True])
def test_rise_is_seen_over_restarts(shard: Shard, restarts: bool) -> None:
    found = []
    for n in range(8):
        shard.wait(MINUTE)
        shard.commit(shard.says("R-1", {"depth_cm": 0.5 * n}))
        if restarts:
            shard.restart()
        found.append(shard.open("R-1").get("road.rise"))
    assert found == [None, None, None, 2, 2, 2, 2, 2]
    proof = shard.one(
        "SELECT t.proof FROM transitions t JOIN alarms USING (alarm_key)"
        " WHERE rule_id = 'road.rise' AND to_state = 'active'"
    )["proof"]
    assert (proof["value"], proof["unit"]) == (2.5, "cm/5分钟")
