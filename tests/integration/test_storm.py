"""Storm: an operator sees ten lines that matter, not ten thousand; and nothing that matters is missing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast

import psycopg
import pytest
from pydantic import SecretStr

from alerts.cases import swallow
from alerts.channels.interface import Delivery
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.request import request
from alerts.messages.notice import message
from alerts.messages.wording import LONGEST
from alerts.record.snapshot import Snapshot
from alerts.regions import shelves
from alerts.regions.suppress import suppress
from alerts.rulebook.book import put, rule_as_last_known, withdraw
from alerts.rules import parse_rule
from tests.integration.storm_city import StormCity, storm_city
from underfoot.alarms import Severity, Suppression

RED, ORANGE, YELLOW, BLUE = Severity.red, Severity.orange, Severity.yellow, Severity.blue
PONDING_RAISED = ("road.ponding", "raise")


@pytest.fixture
def city(module_database: str) -> Iterator[StormCity]:
    with storm_city(module_database) as made:
        made.sink("crew")
        yield made


def in_flood(city: StormCity, count: int = 12, **where: Any) -> list[str]:
    """So many road gauges in alarm within one batch, and the tick that groups them."""
    roads = city.devices(count, **where)
    city.raises(*roads)
    city.tick(seconds=2)
    return roads


# ten lines ----------------------------------------------------------------------------------------------------------


def test_four_hundred_alarms_are_told_as_one_and_the_reds_by_themselves(city: StormCity) -> None:
    roads, covers = city.devices(400), city.devices(3, family="cover")
    city.sink("platform", "platform")
    for first in range(0, 400, 50):
        city.raises(*roads[first : first + 50], severity=Severity(1 + first // 50 % 3))
        city.tick(seconds=20)
    city.raises(*covers, rule="cover.open", severity=RED)
    city.tick(seconds=2)
    city.tick(seconds=300)

    told = Counter(city.owed("crew"))
    assert told.pop(("cover.open", "raise")) == 3
    assert told.pop(("storm.incident", "raise")) == 1
    assert told.pop(("storm.incident", "change")) == 1, "seven minutes, one update in five"
    assert not told
    filed = Counter(city.owed("platform"))
    assert filed.pop(("cover.open", "raise")) == 3
    assert filed.pop(("storm.incident", "raise")) == 1, "one case for the water of all of them"
    assert filed.pop(("storm.incident", "change")) == 1
    assert not filed
    assert city.one("SELECT count(*) AS n FROM cases")["n"] == 4
    assert city.one("SELECT count(*) AS n FROM incident_members")["n"] == 403
    whole = "SELECT count(*) AS n FROM transitions WHERE region = 'condition' AND reason = 'limit_reached'"
    assert city.one(whole)["n"] == 403, "members stay whole in the log"
    assert set(city.suppressed()) == set(roads)
    summary = city.snapshots("crew")[-1]["proof"]["summary"]
    assert (summary["now"], summary["total"], summary["unacknowledged"]) == (403, 403, 403)
    assert summary["by_severity"] == {"red": 3, "orange": 100, "yellow": 150, "blue": 150}
    assert sum(bucket["raised"] for bucket in summary["timeline"]) == 403


def test_the_digest_says_what_matters_in_seventy_characters(city: StormCity) -> None:
    in_flood(city)
    covers = city.devices(1, family="cover")
    city.raises(*covers, rule="cover.open", severity=RED)
    deep = city.devices(1)
    city.raises(*deep, severity=ORANGE, value=39.0)
    city.ask.execute(
        "INSERT INTO latest_road (device_key, ts, received_at, quality, depth_cm) VALUES (%s, now(), now(), 0, 42)",
        [city.key(deep[0])],
    )
    city.ask.execute(
        "INSERT INTO report_road (device_key, ts, digest, received_at, quality, depth_cm)"
        " VALUES (%s, now() - interval '5 minutes', 1, now(), 0, 36)",
        [city.key(deep[0])],
    )
    city.tick(seconds=301)
    snapshot = city.snapshots("crew")[-1]
    text = message(cast(Snapshot, snapshot), "https://x/1").text
    at = (city.now + timedelta(hours=8)).strftime("%H:%M")
    assert (
        text
        == f"【暴雨汇总{at}】文峰区宝莲寺街道 红1橙13，未接单14：井盖开1、路面积水13。最深东风路 点位14 42cm仍涨。查看▸"
    )
    assert len(text) <= LONGEST
    assert snapshot["asset"] is None
    assert snapshot["device"] is None
    assert snapshot["area"]["code"] == "410502"


def test_nobody_is_told_again_what_was_told_before_the_flood(city: StormCity) -> None:
    before = city.devices(8)
    for device in before:
        city.raises(device)
        city.tick(seconds=2)
    assert city.owed("crew") == [PONDING_RAISED] * 8
    in_flood(city, 5)
    city.raises(*before, severity=YELLOW)
    city.raises(*before, severity=ORANGE)
    city.tick(seconds=2)
    assert Counter(city.owed("crew")) == {PONDING_RAISED: 8, ("storm.incident", "raise"): 1}
    city.tick(minutes=11)
    city.ticks(2, minutes=11)
    again = Counter(key for key in told_alarms(city, "road.ponding"))
    assert set(again.values()) == {1}, "each once: eight before the flood, five after it"
    assert len(again) == 13


def told_alarms(city: StormCity, rule: str) -> list[int]:
    query = "SELECT alarm_key FROM outbox JOIN alarms USING (alarm_key) WHERE rule_id = %s AND notice <> 'clear'"
    return [row["alarm_key"] for row in city.rows(query, rule)]


def test_the_summary_is_told_again_only_when_it_has_changed(city: StormCity) -> None:
    roads = in_flood(city)
    city.tick(seconds=301)
    assert city.owed("crew") == [("storm.incident", "raise")], "nothing has changed"
    city.raises(*city.devices(6), severity=YELLOW)
    city.tick(seconds=1)
    city.raises(*roads[:6], severity=YELLOW)
    city.tick(seconds=1)
    assert city.owed("crew")[1:] == [("storm.incident", "change")]
    assert city.snapshots("crew")[-1]["reason"] == "incident_grew"
    city.tick(seconds=280)
    assert len(city.owed("crew")) == 2, "not more often than every five minutes"


def test_a_clock_that_is_put_right_does_not_keep_the_summary_back(city: StormCity) -> None:
    in_flood(city)
    city.raises(*city.devices(6), severity=YELLOW)
    city.tick(minutes=-60)
    assert city.owed("crew")[1:] == [("storm.incident", "change")]
    city.raises(*city.devices(6), severity=YELLOW)
    city.tick(seconds=280)
    assert len(city.owed("crew")) == 2, "not more often than every five minutes"


def test_a_calm_city_costs_two_small_questions(city: StormCity, monkeypatch: pytest.MonkeyPatch) -> None:
    city.raises(*city.devices(3))
    city.tick(seconds=2)
    sent: list[Any] = []
    execute = psycopg.Connection.execute

    def counting(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        sent.append(query)
        return execute(self, query, params, **more)

    monkeypatch.setattr(psycopg.Connection, "execute", counting)
    city.tick(seconds=2)
    assert len(sent) == 2


# nothing is missing -------------------------------------------------------------------------------------------------


def test_after_the_storm_nothing_open_is_untold_and_nobody_is_flooded(city: StormCity) -> None:
    roads = in_flood(city, 45)
    city.raises(*roads[:5], severity=BLUE)
    city.clears(*roads[40:])
    city.tick(seconds=30)
    told_at: list[int] = []
    for _ in range(60):
        city.tick(minutes=1)
        told_at.append(city.owed("crew").count(PONDING_RAISED))
    assert told_at[-1] == 40, "what was over before is not told; all that is open is"
    assert city.suppressed() == {}
    for before, after in pairwise([0, *told_at[::10]]):
        assert after - before <= 10, "no more in ten minutes than an operator can read"
    severities = [snapshot["severity"] for snapshot in city.snapshots("crew", "road.ponding")]
    assert severities[:30] == [ORANGE] * 30, "the worst first"
    end = city.snapshots("crew")[-1]
    assert (end["notice"], end["reason"]) == ("clear", "incident_over")
    assert message(cast(Snapshot, end), "").text.endswith("未恢复40条已逐条通知。最深东风路 点位1 30cm。查看▸")
    assert city.one("SELECT ended_at IS NOT NULL AS over FROM incidents")["over"]


def test_restarts_at_every_tick_change_nothing(city: StormCity, module_database: str) -> None:
    def storm(restarting: bool) -> tuple[list[Any], list[Any]]:
        with storm_city(module_database) as made:
            made.sink("crew")
            roads, more = made.devices(14), made.devices(4)
            for device in roads[:8]:
                made.raises(device)
            for devices, minutes in ((roads[8:], 1), (more, 1), ([], 5), ([], 11), ([], 11), ([], 11)):
                if devices:
                    made.raises(*devices)
                made.clears(*roads[:2])
                if restarting:
                    made.restart()
                made.tick(minutes=minutes)
            record = made.rows(
                "SELECT device_id, region, from_state, to_state, reason FROM transitions JOIN alarms USING (alarm_key)"
                " LEFT JOIN devices USING (device_key) ORDER BY transition_key"
            )
            return made.owed("crew"), record

    calm, restarted = storm(False), storm(True)
    assert restarted == calm
    assert ("storm.incident", "clear") in calm[0]


def test_what_is_raised_in_a_flood_and_no_incident_takes_is_told_by_the_next_tick(city: StormCity) -> None:
    in_flood(city)
    lone = city.devices(1, "410502002")
    city.raises(*lone)
    assert city.suppressed()[lone[0]] == ["by_design"]
    assert PONDING_RAISED not in city.owed("crew")
    city.tick(seconds=2)
    assert lone[0] not in city.suppressed()
    assert city.owed("crew") == [("storm.incident", "raise"), PONDING_RAISED]
    [snapshot] = city.snapshots("crew", "road.ponding")
    assert (snapshot["notice"], snapshot["severity"], snapshot["proof"]["value"]) == ("raise", ORANGE, 30.0)


def test_a_hold_that_no_step_takes_over_ends_by_itself(city: StormCity) -> None:
    """The step that groups alarms fails for good: the shelves' step tells what it would have taken."""
    in_flood(city)
    late = city.devices(2, "410502002")
    city.raises(*late)
    with city.engine.transaction():
        shelves.step(city.engine, city.now + timedelta(seconds=100))
    assert PONDING_RAISED not in city.owed("crew")
    with city.engine.transaction():
        shelves.step(city.engine, city.now + timedelta(seconds=130))
    assert city.owed("crew").count(PONDING_RAISED) == 2
    assert not set(late) & set(city.suppressed())


def test_a_member_that_turns_red_is_told_at_once_and_counted(city: StormCity) -> None:
    roads = in_flood(city)
    city.raises(roads[0], severity=RED, value=45.0)
    assert city.owed("crew")[1:] == [PONDING_RAISED], "in the transaction that raises it, before any tick"
    assert city.snapshots("crew", "road.ponding")[0]["severity"] == RED
    city.tick(seconds=301)
    assert city.snapshots("crew")[-1]["proof"]["summary"]["by_severity"]["red"] == 1
    assert city.snapshots("crew")[-1]["severity"] == RED
    city.raises(roads[0], severity=ORANGE)
    city.tick(seconds=2)
    assert roads[0] not in city.suppressed(), "what has been told by itself stays so"
    city.clears(roads[0])
    city.tick(seconds=2)
    assert ("road.ponding", "clear") in city.owed("crew")


def test_one_that_rises_below_red_stays_in_the_digest(city: StormCity) -> None:
    roads = city.devices(12)
    city.raises(*roads, severity=BLUE)
    city.tick(seconds=2)
    city.raises(*roads, severity=YELLOW)
    city.raises(*roads, severity=ORANGE)
    city.tick(seconds=2)
    assert city.owed("crew") == [("storm.incident", "raise")]


def test_red_from_the_first_report_on_is_never_held(city: StormCity) -> None:
    in_flood(city)
    deep = city.devices(2)
    city.raises(*deep, severity=RED)
    assert city.owed("crew").count(PONDING_RAISED) == 2
    city.tick(seconds=2)
    alone = city.rows("SELECT device_id FROM incident_members JOIN alarms USING (alarm_key)"
                      " JOIN devices USING (device_key) WHERE alone")  # fmt: skip
    assert {row["device_id"] for row in alone} == set(deep)


def test_causes_and_what_no_storm_brings_are_told_as_on_any_day(city: StormCity) -> None:
    in_flood(city)
    [pump] = city.devices(1, family="pump")
    [cover] = city.devices(1, family="cover")
    city.raises(pump, rule="pump.fault", severity=ORANGE)
    city.raises(cover, rule="cover.ch4", severity=ORANGE)
    assert city.owed("crew")[1:] == [("pump.fault", "raise"), ("cover.ch4", "raise")]
    city.tick(seconds=301)
    kinds = {kind["label"]: kind["count"] for kind in city.snapshots("crew")[-1]["proof"]["summary"]["kinds"]}
    assert kinds == {"路面积水": 12, "泵停": 1}, "a stopped pump is counted, gas is another matter"


def test_cleared_and_raised_again_in_the_storm_is_a_member_again(city: StormCity) -> None:
    roads = in_flood(city)
    city.clears(roads[0])
    city.raises(roads[0])
    city.tick(seconds=2)
    city.clears(roads[1])
    city.tick(seconds=2)
    city.raises(roads[1])
    city.tick(seconds=2)
    assert city.owed("crew") == [("storm.incident", "raise")]
    assert set(city.suppressed()) == set(roads)
    assert city.one("SELECT count(*) AS n FROM incident_members WHERE left_at IS NULL")["n"] == 12
    assert city.one("SELECT count(*) AS n FROM incident_members")["n"] == 14


def test_a_shelved_member_stays_shelved_when_the_storm_is_over(city: StormCity) -> None:
    roads = in_flood(city)
    key = city.one("SELECT alarm_key FROM alarms WHERE device_key = %s", city.key(roads[0]))["alarm_key"]
    with city.engine.transaction():
        suppress(
            city.engine, [key], Suppression.shelved, reason="现场处理", actor="wang", at=city.now,
            until=city.now + timedelta(hours=8),
        )  # fmt: skip
    assert city.suppressed()[roads[0]] == ["by_design", "shelved"]
    city.ticks(3, minutes=11)
    assert city.suppressed() == {roads[0]: ["shelved"]}
    assert city.owed("crew").count(PONDING_RAISED) == 11
    assert city.one("SELECT withheld FROM episodes WHERE alarm_key = %s", key)["withheld"], "told when the shelf ends"


def test_what_was_shelved_before_reaches_nobody_and_makes_no_flood(city: StormCity) -> None:
    roads = city.devices(12)
    city.raises(*roads[:2])
    city.clears(*roads[:2])
    keys = [row["alarm_key"] for row in city.rows("SELECT alarm_key FROM alarms")]
    with city.engine.transaction():
        suppress(city.engine, keys, Suppression.shelved, reason="校准", actor="wang", at=city.now)
    for device in roads[:2]:
        city.raises(device)
    for device in roads[2:10]:
        city.raises(device)
    city.tick(seconds=2)
    assert city.rows("SELECT * FROM floods") == [], "two before, eight now, two of the shelved: ten and not twelve"


def test_ingest_and_the_step_at_the_same_time(city: StormCity) -> None:
    """Alarms rise, turn red and clear while the step groups them: no deadlock, no red kept back, nothing in between."""
    in_flood(city, 20)
    roads = city.devices(30)
    failures: list[BaseException] = []

    def ingest() -> None:
        try:
            for number in range(12):
                city.raises(*roads[::2], severity=Severity(1 + number % 4))
                city.raises(*roads[1::2], severity=Severity(4 - number % 4))
                city.clears(*roads[number::4])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=ingest)
    thread.start()
    while thread.is_alive():
        city.tick(seconds=2)
    thread.join()
    city.tick(seconds=2)
    assert failures == []
    state = city.rows(
        "SELECT e.severity, al.suppressed, m.alone FROM episodes e JOIN alarms al USING (alarm_key)"
        " LEFT JOIN incident_members m ON m.alarm_key = e.alarm_key AND m.episode = e.episode AND m.left_at IS NULL"
        " WHERE e.cleared_at IS NULL AND al.subject_kind = 'device'"
    )
    assert len(state) >= 20
    for row in state:
        assert row["alone"] is not None, "every open alarm of the catchment is a member"
        assert row["severity"] < RED or (row["alone"] and row["suppressed"] == [])
        assert row["alone"] != (row["suppressed"] == ["by_design"])


# floods and catchments ----------------------------------------------------------------------------------------------


def test_flood_begins_above_ten_and_ends_below_five(city: StormCity) -> None:
    roads = city.devices(11)
    for device in roads[:10]:
        city.raises(device)
    city.tick(seconds=1)
    assert city.rows("SELECT * FROM floods") == []
    city.raises(roads[10])
    city.tick(seconds=1)
    assert city.one("SELECT area_code, peak, ended_at FROM floods") == {
        "area_code": "410502", "peak": 11, "ended_at": None,
    }  # fmt: skip
    city.tick(minutes=9)
    city.raises(*city.devices(3))
    city.tick(minutes=2)
    assert city.one("SELECT ended_at IS NOT NULL AS over FROM floods")["over"]


def test_two_catchments_are_two_incidents_and_another_district_is_in_no_flood(city: StormCity) -> None:
    first, second = city.devices(8), city.devices(5, "410502002")
    elsewhere = city.devices(4, "410503001")
    city.raises(*first, *second, *elsewhere)
    city.tick(seconds=2)
    assert [row["title"] for row in city.incidents()] == ["文峰区宝莲寺街道暴雨险情", "文峰区东大街街道暴雨险情"]
    assert Counter(city.owed("crew")) == {("storm.incident", "raise"): 2, PONDING_RAISED: 4}
    assert not set(elsewhere) & set(city.suppressed())


def test_the_pipe_network_says_what_belongs_together(city: StormCity) -> None:
    """Two streets, one outfall: what stands on its nodes, and near them, is one incident."""
    first, second = city.devices(6), city.devices(6, "410502002")
    keys = [
        city.one("SELECT asset_key FROM devices WHERE device_id = %s", device)["asset_key"]
        for device in (*first[:3], *second[:3])
    ]
    city.pipes(keys)
    city.raises(*first, *second)
    city.tick(seconds=2)
    [incident] = city.incidents()
    assert incident["catchment"] == f"outfall:{keys[-1]}"
    assert incident["catchment_name"].endswith("汇水区")
    assert len(city.suppressed()) == 12


def test_a_second_storm_is_another_incident(city: StormCity) -> None:
    roads = in_flood(city)
    city.clears(*roads)
    city.ticks(2, minutes=11)
    city.later(minutes=23)
    city.raises(*roads)
    city.tick(seconds=2)
    first, second = city.incidents()
    assert first["ended_at"] is not None
    assert second["ended_at"] is None
    assert city.owed("crew") == [("storm.incident", notice) for notice in ("raise", "clear", "raise")]


def test_a_storm_that_comes_back_goes_on_with_the_incident_that_is_not_over(city: StormCity) -> None:
    in_flood(city, 40)
    city.tick(minutes=11)
    city.later(minutes=12)
    assert city.owed("crew").count(PONDING_RAISED) == 10
    city.raises(*city.devices(12))
    city.tick(minutes=1)
    assert len(city.incidents()) == 1
    assert len(city.suppressed()) == 52, "what was told already joins again"
    city.ticks(8, minutes=11)
    told = Counter(told_alarms(city, "road.ponding"))
    assert len(told) == 52
    assert set(told.values()) == {1}


# who is told --------------------------------------------------------------------------------------------------------


def test_the_crews_whose_assets_are_in_it_get_the_digest(city: StormCity) -> None:
    city.sink("wenfeng", unit="文峰所", least=ORANGE)
    city.sink("beiguan", unit="北关所", least=ORANGE)
    city.sink("dongda", unit="东大所", least=ORANGE)
    in_flood(city, 12, unit="文峰所")
    city.raises(*city.devices(1, unit="东大所"), severity=YELLOW)
    city.raises(*city.devices(1, unit="无名所"))
    city.tick(seconds=301)
    assert city.owed("wenfeng") == [("storm.incident", "raise"), ("storm.incident", "change")]
    assert city.owed("beiguan") == []
    assert city.owed("dongda") == [], "what it has there is less than it is told of"
    assert city.owed("crew") == [("storm.incident", "change")], "since then it has an asset of a unit without a sink"


def test_a_city_may_make_an_incident_a_case(city: StormCity) -> None:
    city.sink("platform", "platform")
    with city.engine.transaction():
        body = rule_as_last_known(city.engine, "storm.incident").rule.model_dump(mode="json")
        put(city.engine, parse_rule(body | {"case": {"type": "event", "code": "0499"}}), actor="wang")
    in_flood(city)
    [snapshot] = city.snapshots("platform")
    config = PlatformConfig(url=SecretStr("http://127.0.0.1:1/"))
    said = request(Delivery("key", cast(Snapshot, snapshot), "https://x/1"), config).core
    assert (said["event_type"], said["case_code"], said["location"], said["level"]) == ("暴雨险情", "0499", "文峰区", 3)
    assert said["description"].startswith("暴雨险情：文峰区宝莲寺街道，橙12，未确认12，路面积水12。")


def test_an_incident_closed_by_hand_comes_back_when_it_grows(city: StormCity) -> None:
    roads = in_flood(city)
    city.close_by_hand("storm.incident")
    city.raises(*city.devices(3))
    city.tick(seconds=301)
    notices = [notice for rule, notice in city.owed("crew") if rule == "storm.incident"]
    assert notices == ["raise", "clear", "raise"]
    city.clears(*roads)
    assert len(city.incidents()) == 1


def test_a_rule_that_is_withdrawn_lets_everything_go(city: StormCity) -> None:
    in_flood(city, 15)
    with city.engine.transaction():
        withdraw(city.engine, "storm.incident", actor="wang")
    city.tick(seconds=2)
    assert city.rows("SELECT 1 FROM floods WHERE ended_at IS NULL") == []
    city.ticks(5, minutes=11)
    assert city.suppressed() == {}
    assert city.owed("crew").count(PONDING_RAISED) == 15
    assert city.owed("crew")[-1] == ("storm.incident", "clear")
    city.raises(*city.devices(15))
    assert city.suppressed() == {}


# cases ---------------------------------------------------------------------------------------------------------------


def cases(city: StormCity) -> dict[str, tuple[str, str | None]]:
    """Of each alarm's newest case: its state, and how it ended."""
    rows = city.rows(
        "SELECT DISTINCT ON (c.alarm_key) coalesce(d.device_id, al.rule_id) AS name, c.state, c.ended_how"
        " FROM cases c JOIN alarms al USING (alarm_key) LEFT JOIN devices d USING (device_key)"
        " ORDER BY c.alarm_key, c.case_key DESC"
    )
    return {row["name"]: (row["state"], row["ended_how"]) for row in rows}


def swallowed(city: StormCity) -> None:
    with city.engine.transaction():
        swallow.step(city.engine, city.now)


def test_an_incident_s_case_swallows_its_members_but_no_red_one_and_nobody_who_was_sent(city: StormCity) -> None:
    """What was raised before the flood has cases of its own already."""
    city.sink("platform", "platform")
    early, red, sent = city.devices(3), city.devices(1), city.devices(1)
    city.raises(*early, *sent)
    city.raises(*red, severity=RED)
    city.ask.execute(
        "UPDATE cases SET state = 'dispatched' FROM alarms JOIN devices USING (device_key)"
        " WHERE cases.alarm_key = alarms.alarm_key AND device_id = %s",
        [sent[0]],
    )
    later = in_flood(city)
    swallowed(city)
    found = cases(city)
    assert found.pop("storm.incident") == ("reported", None)
    assert {found[one] for one in early} == {("cancelled", "merged")}
    assert (found[red[0]], found[sent[0]]) == (("reported", None), ("dispatched", None))
    assert not set(later) & set(found), "what was raised in the flood is told by the incident alone"
    filed = Counter(city.owed("platform"))
    assert filed["road.ponding", "cancel"] == 3
    assert filed["storm.incident", "raise"] == 1
    swallowed(city)
    assert Counter(city.owed("platform")) == filed, "once"


def test_a_swallowed_alarm_that_gets_red_has_a_case_of_its_own_again(city: StormCity) -> None:
    city.sink("platform", "platform")
    [early] = city.devices(1)
    city.raises(early)
    in_flood(city)
    swallowed(city)
    assert cases(city)[early] == ("cancelled", "merged")
    city.raises(early, severity=RED)
    assert cases(city)[early] == ("reported", None)
    [again] = city.rows("SELECT again, level FROM cases WHERE again > 0")
    assert (again["again"], again["level"]) == (1, 2)
    assert city.owed("platform")[-1] == PONDING_RAISED
    swallowed(city)
    assert cases(city)[early] == ("reported", None)


def test_a_swallowed_alarm_that_outlasts_its_incident_has_a_case_of_its_own_again(city: StormCity) -> None:
    """The incident's case is over, and there is water on the road still."""
    city.sink("platform", "platform")
    [early] = city.devices(1)
    city.raises(early)
    later = in_flood(city)
    swallowed(city)
    assert cases(city)[early] == ("cancelled", "merged")
    city.clears(*later)
    city.ticks(40, seconds=60)
    assert city.suppressed() == {}
    assert cases(city)[early] == ("reported", None)
    assert city.owed("platform").count(PONDING_RAISED) == 2, "before the storm, and after it"


def test_an_incident_of_rain_and_surcharge_alone_is_no_case(city: StormCity) -> None:
    city.sink("platform", "platform")
    pipes = city.devices(12, family="pipe")
    city.raises(*pipes, rule="pipe.surcharge", severity=YELLOW)
    city.tick(seconds=2)
    assert city.one("SELECT count(*) AS n FROM incidents")["n"] == 1
    assert (cases(city), city.owed("platform")) == ({}, [])
    city.raises(*city.devices(2), severity=ORANGE)
    city.tick(seconds=301)
    assert cases(city) == {"storm.incident": ("reported", None)}, "now there is water on the road"
    assert city.owed("platform") == [("storm.incident", "raise")]
