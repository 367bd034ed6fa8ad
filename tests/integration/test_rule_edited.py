"""A rule is edited while its alarm is open: nothing is raised twice, nothing is lost; what ends says why."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from alerts.rulebook import book as rulebook
from alerts.rules import Rule, parse_rule, shipped_pack
from alerts.rules.override import Scope, parse_override
from ingest.tenure import TenureLostError, watch_lock
from tests.integration.shard import HOUR, MINUTE, SECOND, Shard, shard_of
from underfoot.storage.connect import connect

PACK: dict[str, Rule] = {rule.rule_id: rule for rule in shipped_pack()}
UNDERPASS = "road.underpass"


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        made.sink("platform", "platform")
        made.sink("crew", "crew")
        yield made


class Edits:
    """What an administrator does while the shard is held; the holder then starts again, as it is told to."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    def __call__(self, change: Callable[[Any], object]) -> None:
        with connect(self.shard.database, "administrator", autocommit=True) as connection:
            change(connection)
        tenure = self.shard.tenure
        ready, _, _ = select.select([tenure.lock.fileno()], [], [], 10)
        assert ready, "the holder was not told"
        assert "underfoot_rules" in watch_lock(tenure)
        self.shard.restart()

    def put(self, rule_id: str, **changes: Any) -> None:
        rule = parse_rule(PACK[rule_id].model_dump(mode="json") | {"source": "a test"} | changes)
        self(lambda connection: rulebook.put(connection, rule, actor="li"))

    def levels(self, *levels: tuple[str, float], rule_id: str = UNDERPASS, **changes: Any) -> None:
        listed = [{"severity": severity, "limit": limit, "dead_band": 3} for severity, limit in levels]
        self.put(rule_id, levels=listed, **changes)

    def override(self, scope: str, rule_id: str = UNDERPASS, **numbers: Any) -> None:
        override = parse_override({"rule_id": rule_id, "scope": scope, "source": "a test"} | numbers)
        self(lambda connection: rulebook.put_override(connection, override, actor="li"))

    def withdraw(self, rule_id: str = UNDERPASS, scope: str = "city") -> None:
        self(lambda connection: rulebook.withdraw(connection, rule_id, Scope.parse(scope), actor="li"))


@pytest.fixture
def edit(shard: Shard) -> Edits:
    return Edits(shard)


def depth(shard: Shard, cm: float) -> None:
    shard.wait(MINUTE)
    shard.commit(shard.says("R-1", {"depth_cm": cm, "water": cm > 0}))


def clear(shard: Shard) -> list[str]:
    return [row["clear_reason"] for row in shard.rows("SELECT clear_reason FROM episodes WHERE cleared_at IS NOT NULL")]


def raised(shard: Shard) -> int:
    return int(shard.one("SELECT count(*) AS n FROM episodes")["n"])


def flooded(shard: Shard, cm: float = 12) -> None:
    depth(shard, cm)
    assert shard.open("R-1")


def test_a_limit_raised_above_the_value_ends_the_episode_as_any(shard: Shard, edit: Edits) -> None:
    flooded(shard)
    edit.levels(("blue", 30), ("yellow", 40), off_delay_s=600)
    assert shard.open("R-1") == {UNDERPASS: 2}
    depth(shard, 12)
    assert shard.open("R-1") == {UNDERPASS: 2}, "it is left for as long as the rule asks"
    shard.wait(11 * MINUTE)
    depth(shard, 12)
    assert shard.open("R-1") == {}
    assert (raised(shard), clear(shard)) == (1, ["clear_in_silence"])
    assert [notice for _, notice, _ in shard.owed("platform")] == ["raise", "clear"]


def test_a_limit_lowered_below_the_value_raises_no_second_one(shard: Shard, edit: Edits) -> None:
    flooded(shard)
    edit.levels(("blue", 1), ("yellow", 3), ("orange", 6), ("red", 9))
    assert shard.open("R-1") == {UNDERPASS: 4}
    assert shard.reasons(UNDERPASS) == ["limit_reached", "rule_changed"]
    depth(shard, 12)
    assert (raised(shard), shard.open("R-1")) == (1, {UNDERPASS: 4})
    assert shard.owed("platform") == [(UNDERPASS, "raise", 2), (UNDERPASS, "change", 4)]


def test_a_limit_lowered_between_the_reached_and_the_value_counts_from_the_next_report(
    shard: Shard, edit: Edits
) -> None:
    flooded(shard, 14)
    edit.levels(("blue", 5), ("yellow", 10), ("red", 13))
    assert shard.open("R-1") == {UNDERPASS: 2}
    depth(shard, 14)
    assert (raised(shard), shard.open("R-1")) == (1, {UNDERPASS: 4})


def test_fewer_levels_and_more_levels_keep_the_severity(shard: Shard, edit: Edits) -> None:
    flooded(shard)
    edit.levels(("yellow", 10), ("red", 25))
    assert shard.open("R-1") == {UNDERPASS: 2}
    depth(shard, 12)
    assert shard.open("R-1") == {UNDERPASS: 2}
    edit.put(UNDERPASS)
    assert shard.open("R-1") == {UNDERPASS: 2}
    depth(shard, 26)
    assert (raised(shard), shard.open("R-1")) == (1, {UNDERPASS: 4})
    assert shard.reasons(UNDERPASS) == ["limit_reached", "severity_rose"]


def test_what_the_new_levels_do_not_know_is_ended_with_that_reason_and_can_come_again(
    shard: Shard, edit: Edits
) -> None:
    flooded(shard)
    edit.levels(("red", 25))
    assert (shard.open("R-1"), clear(shard)) == ({}, ["rule_changed"])
    depth(shard, 12)
    assert raised(shard) == 1
    depth(shard, 26)
    assert (raised(shard), shard.open("R-1")) == (2, {UNDERPASS: 4})


def test_a_rule_withdrawn_ends_what_is_open_and_put_in_force_again_begins_anew(shard: Shard, edit: Edits) -> None:
    flooded(shard)
    edit.withdraw()
    assert (shard.open("R-1"), clear(shard)) == ({}, ["rule_withdrawn"])
    assert [notice for _, notice, _ in shard.owed("platform")] == ["raise", "clear"]
    depth(shard, 12)
    assert raised(shard) == 1
    edit.put(UNDERPASS)
    depth(shard, 12)
    assert (raised(shard), shard.open("R-1")) == (2, {UNDERPASS: 2})


def test_another_field_ends_what_is_open(shard: Shard, edit: Edits) -> None:
    shard.commit(
        shard.says("P-1", {"fill_ratio": 0.9, "network": 0}), shard.says("P-1", {"fill_ratio": 0.9, "network": 0})
    )
    assert shard.open("P-1") == {"pipe.foul_full": 2}
    edit.put("pipe.foul_full", field="level_m")
    assert (shard.open("P-1"), clear(shard)) == ({}, ["rule_changed"])


def test_another_kind_ends_what_is_open_both_ways(shard: Shard, edit: Edits) -> None:
    flooded(shard)
    edit.withdraw("road.offline")
    silence = PACK["road.offline"].model_dump(mode="json") | {"rule_id": UNDERPASS}
    edit(lambda connection: rulebook.put(connection, parse_rule(silence), actor="li"))
    assert (shard.open("R-1"), clear(shard)) == ({}, ["rule_changed"])


def test_an_override_for_the_device_alone_takes_what_is_open_with_it(shard: Shard, edit: Edits) -> None:
    flooded(shard)
    edit.override("device:R-1", levels=[{"severity": "red", "limit": 8, "dead_band": 3}])
    assert shard.open("R-1") == {UNDERPASS: 4}
    assert (raised(shard), shard.reasons(UNDERPASS)) == (1, ["limit_reached", "rule_changed"])
    depth(shard, 9)
    assert shard.open("R-1") == {UNDERPASS: 4}
    edit.withdraw(scope="device:R-1")
    assert shard.open("R-1") == {UNDERPASS: 4}, "it keeps its severity until it is judged"
    depth(shard, 9)
    shard.wait(11 * MINUTE)
    depth(shard, 9)
    assert (raised(shard), shard.open("R-1")) == (1, {UNDERPASS: 2}), "not below 10 − 3 cm: yellow"


def test_an_override_for_another_device_changes_nothing_here(shard: Shard, edit: Edits) -> None:
    flooded(shard)
    edit.override("device:R-2", levels=[{"severity": "red", "limit": 8, "dead_band": 3}])
    edit.override("area:4101", enabled=False)
    assert shard.open("R-1") == {UNDERPASS: 2}
    assert shard.reasons(UNDERPASS) == ["limit_reached"]


def test_a_rule_switched_off_for_a_scope_ends_what_is_open_there(shard: Shard, edit: Edits) -> None:
    flooded(shard)
    edit.override("area:410502", enabled=False)
    assert (shard.open("R-1"), clear(shard)) == ({}, ["rule_changed"])
    depth(shard, 30)
    assert raised(shard) == 1
    edit.withdraw(scope="area:410502")
    depth(shard, 30)
    assert (raised(shard), shard.open("R-1")) == (2, {UNDERPASS: 4})


def test_a_device_that_is_offline_where_its_rule_is_switched_off(shard: Shard, edit: Edits) -> None:
    depth(shard, 0)
    shard.wait(HOUR)
    shard.catch_up()
    shard.look_around()
    assert shard.open("R-1") == {"road.offline": 1}
    edit.override("device:R-1", rule_id="road.offline", intervals=2)
    assert shard.open("R-1") == {"road.offline": 1}
    edit.override("device:R-1", rule_id="road.offline", enabled=False)
    assert (shard.open("R-1"), clear(shard)) == ({}, ["rule_changed"])
    edit.withdraw("road.offline", scope="device:R-1")
    shard.catch_up()
    shard.look_around()
    assert (shard.open("R-1"), clear(shard)) == ({"road.offline": 1}, ["rule_changed"])


def test_what_was_about_to_be_raised_is_raised_under_the_new_numbers(shard: Shard, edit: Edits) -> None:
    waiting = [{"severity": "orange", "limit": 15, "dead_band": 2, "on_delay_s": 60}]
    edit.put("cover.tilt", levels=waiting)
    shard.commit(shard.says("C-1", {"tilt_deg": 40, "open": False}))
    assert shard.open("C-1") == {}
    edit.put("cover.tilt", levels=[waiting[0] | {"limit": 20}])
    shard.wait(61 * SECOND)
    shard.commit(shard.says("C-1", {"tilt_deg": 40, "open": False}))
    assert shard.open("C-1") == {"cover.tilt": 3}


def test_what_was_about_to_be_raised_and_is_not_by_the_new_numbers_is_forgotten(shard: Shard, edit: Edits) -> None:
    waiting = [{"severity": "orange", "limit": 15, "dead_band": 2, "on_delay_s": 60}]
    edit.put("cover.tilt", levels=waiting)
    shard.commit(shard.says("C-1", {"tilt_deg": 20, "open": False}))
    edit.put("cover.tilt", levels=[waiting[0] | {"limit": 30}])
    assert shard.reasons("cover.tilt") == ["limit_reached", "rule_changed"]
    shard.wait(61 * SECOND)
    shard.commit(shard.says("C-1", {"tilt_deg": 20, "open": False}))
    assert (raised(shard), shard.open("C-1")) == (0, {})


def test_a_tag_given_to_the_asset_while_its_alarm_is_open(shard: Shard, edit: Edits) -> None:
    """The holder starts again, and carries it over to the numbers that count now."""
    edit.override("tag:学校门口", levels=[{"severity": "red", "limit": 8, "dead_band": 3}])
    flooded(shard)
    assert shard.open("R-1") == {UNDERPASS: 2}
    shard.ask.execute("UPDATE assets SET tags = '{学校门口}' WHERE asset_code = '4105022100000003'")
    shard.ask.execute("UPDATE devices SET updated_at = clock_timestamp() WHERE device_id = 'R-1'")
    shard.worker._registry_changed.set()
    with pytest.raises(TenureLostError, match="other numbers count now"):
        depth(shard, 12)
    shard.restart()
    assert (raised(shard), shard.open("R-1")) == (1, {UNDERPASS: 4})
    depth(shard, 12)
    assert (raised(shard), shard.open("R-1")) == (1, {UNDERPASS: 4})


def test_an_edit_and_a_crash_before_anyone_has_loaded_it(shard: Shard, edit: Edits) -> None:
    """Two edits, the second taking the first back, and only then a holder: as if there had been none."""
    flooded(shard)
    with connect(shard.database, "administrator", autocommit=True) as connection:
        other = parse_rule(PACK[UNDERPASS].model_dump() | {"levels": [{"severity": "red", "limit": 25}]})
        rulebook.put(connection, other, actor="li")
        rulebook.restore(connection, UNDERPASS, actor="li")
    shard.restart()
    assert (shard.reasons(UNDERPASS), shard.open("R-1")) == (["limit_reached"], {UNDERPASS: 2})


def test_a_rule_that_this_version_can_t_read_keeps_what_is_open(shard: Shard) -> None:
    flooded(shard)
    body = PACK[UNDERPASS].model_dump(mode="json") | {"kind": "oracle"}
    shard.ask.execute(
        "INSERT INTO rules (rule_id, version, body, created_by) VALUES (%s, 2, %s, 'a later version')",
        [UNDERPASS, psycopg.types.json.Jsonb(body)],
    )
    shard.restart()
    assert shard.open("R-1") == {UNDERPASS: 2}
    shard.ask.execute("DELETE FROM rules WHERE version = 2")
    shard.restart()
    depth(shard, 26)
    assert (raised(shard), shard.open("R-1")) == (1, {UNDERPASS: 4})
