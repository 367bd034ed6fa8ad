"""Escalation on the real database: level by level, once, until somebody answers; over restarts; and where nobody is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from alerts.duty import escalation
from alerts.duty.message import escalation as escalated
from tests.integration.duty import ROSTER, City, city_of
from underfoot.alarms import Reason, Severity
from underfoot.storage.connect import connect


@pytest.fixture
def city(module_database: str) -> Iterator[City]:
    with city_of(module_database) as made:
        yield made


def test_level_by_level_while_nobody_acknowledges(city: City) -> None:
    city.roster()
    alarm = city.rise(1)
    city.tick()
    assert city.told() == [("wang", 1)], "red: at once, whoever has the district"
    for _ in range(3):
        city.tick(1)
    assert city.told() == [("wang", 1)]
    city.tick(2)
    assert city.told()[1:] == [("chen", 2)]
    city.tick(10)
    assert city.told()[2:] == [("zhao", 3)]
    city.tick(14)
    assert city.turns(alarm) == [1, 2, 3]


TAKEN = "UPDATE outbox SET state = 'delivered' WHERE notice = 'escalate'"


def climbs(city: City, *alarms: int) -> None:
    """From now on the ladder of red, as if they were raised at this moment; level 1 at once, or before."""
    for minutes, levels in ((0, [1]), (4, [1]), (1, [1, 2]), (10, [1, 2, 3])):
        city.tick(minutes)
        assert [city.turns(alarm) for alarm in alarms] == [levels] * len(alarms)


def test_after_the_last_level_it_is_told_again_until_somebody_acknowledges(city: City) -> None:
    city.roster()
    alarm = city.rise(1)
    for _ in range(18):
        city.tick(5)
        city.ask.execute(TAKEN)
    assert city.told() == [("wang", 1), ("chen", 2), *[("zhao", 3)] * 6], "at 15, 30, 45, 60, 75 and 90 minutes"
    city.tick(60 * 37)
    assert city.turns(alarm) == [1, 2, 3, 3, 3, 3, 3, 3, 3], "whatever was missed meanwhile is one message"
    [row] = city.rows("SELECT snapshot FROM outbox WHERE notice = 'escalate' ORDER BY delivery_key DESC LIMIT 1")
    assert "起38小时" in escalated(row["snapshot"], ("", "")), "since it was raised, not since somebody was told last"
    assert row["snapshot"]["escalation"]["unanswered"] == ["赵敏"]
    [row] = city.rows("SELECT proof FROM transitions WHERE alarm_key = %s ORDER BY transition_no DESC LIMIT 1", alarm)
    assert row["proof"]["label"] == "3级再次：赵敏（全天）"
    city.acknowledge(alarm)
    city.tick(600)
    assert len(city.turns(alarm)) == 9
    city.unacknowledge(alarm)
    city.tick()
    assert city.turns(alarm)[9:] == [1], "from the first level again"


@pytest.mark.parametrize(("severity", "after"), [(Severity.orange, 60), (Severity.yellow, 240)])
def test_how_often_it_is_told_again_goes_by_severity(city: City, severity: Severity, after: float) -> None:
    city.roster()
    alarm = city.rise(1, severity)
    city.tick(600)
    city.ask.execute(TAKEN)
    before = len(city.turns(alarm))
    city.tick(after - 1)
    assert len(city.turns(alarm)) == before
    city.tick(1)
    assert len(city.turns(alarm)) == before + 1


def test_whoever_has_not_got_the_last_one_yet_is_not_owed_another(city: City) -> None:
    """Their sink is dead: whoever is below is told, and it is not filled with what says the same."""
    city.roster()
    alarm = city.rise(1)
    city.tick(20)
    city.ask.execute(TAKEN + " AND sink_key <> (SELECT sink_key FROM sinks WHERE name = 'zhao')")
    city.tick(15)
    assert city.told()[3:] == [("chen", 2)]
    city.tick(600)
    assert city.told()[4:] == [("wang", 1)]
    city.tick(600)
    assert city.turns(alarm) == [1, 2, 3, 2, 1], "nobody whose sink works: their turn stays"
    city.ask.execute(TAKEN)
    city.tick(1)
    assert city.told()[5:] == [("zhao", 3)]


def test_with_nobody_at_the_last_level_the_one_below_is_told_again(city: City) -> None:
    city.roster()
    city.ask.execute("UPDATE sinks SET enabled = false WHERE name = 'zhao'")
    alarm = city.rise(1)
    for _ in range(4):
        city.tick(10)
        city.ask.execute(TAKEN)
    assert city.turns(alarm) == [1, 2, 2], "level 3 was empty at 15 minutes"
    city.ask.execute("UPDATE sinks SET enabled = true")
    city.tick(1)
    assert city.turns(alarm) == [1, 2, 2, 3], "and has its turn when somebody is there"


def test_the_record_says_whose_turn_it_was(city: City) -> None:
    city.roster()
    alarm = city.rise(1)
    city.tick(6)
    rows = city.rows("SELECT * FROM transitions WHERE alarm_key = %s AND reason = 'escalated' ORDER BY 1", alarm)
    assert [(row["region"], row["from_state"], row["to_state"], row["actor"]) for row in rows] == [
        ("human", "unacknowledged", "unacknowledged", "engine")
    ] * 2
    assert [row["proof"]["label"] for row in rows] == ["1级：王建国（全天）", "2级：陈静（全天）"]
    assert [row["transition_no"] for row in rows] == [2, 3]
    second = city.rows("SELECT snapshot FROM outbox WHERE notice = 'escalate' ORDER BY delivery_key DESC LIMIT 1")[0]
    shown = second["snapshot"]["escalation"]
    assert (shown["level"], shown["unanswered"]) == (2, ["王建国"])
    assert second["snapshot"]["asset"]["name"] == "雨水井0001"
    keys = city.rows("SELECT count(DISTINCT idempotency_key) AS keys, count(*) AS owed FROM outbox")
    assert keys[0]["keys"] == keys[0]["owed"]


def test_an_acknowledgement_stops_it_whoever_gave_it(city: City) -> None:
    city.roster()
    for device, actor in ((1, "desk"), (3, "platform")):
        alarm = city.rise(device)
        city.tick()
        city.acknowledge(alarm, actor)
        city.tick(30)
        assert city.turns(alarm) == [1]
    assert city.rows("SELECT * FROM escalation_clocks") == []


def test_unacknowledged_again_it_begins_again(city: City) -> None:
    city.roster()
    alarm = city.rise(1)
    city.tick(6)
    city.acknowledge(alarm)
    city.tick(30)
    city.unacknowledge(alarm)
    city.tick()
    assert city.turns(alarm) == [1, 2, 1]
    city.tick(4)
    assert city.turns(alarm) == [1, 2, 1]
    city.tick(1)
    assert city.turns(alarm) == [1, 2, 1, 2]


def test_the_end_stops_it_and_who_was_told_is_told_the_end(city: City) -> None:
    city.roster()
    alarm = city.rise(1)
    city.tick(6)
    city.clear(1)
    city.tick(30)
    assert city.turns(alarm) == [1, 2]
    ends = city.rows("SELECT s.name FROM outbox JOIN sinks s USING (sink_key) WHERE notice = 'clear' ORDER BY 1")
    assert [row["name"] for row in ends] == ["chen", "wang"], "but not those who never heard of it"


def test_what_is_suppressed_waits_for_nobody(city: City) -> None:
    city.roster()
    alarm = city.rise(1)
    city.shelve(alarm)
    city.tick(60)
    assert city.told() == []
    city.unshelve(alarm)
    city.tick()
    assert city.turns(alarm) == [1], "from the end of its suppression on, not from its raising"
    city.tick(5)
    assert city.turns(alarm) == [1, 2]


def test_growing_worse_begins_the_worse_ladder(city: City) -> None:
    city.roster()
    alarm = city.rise(1, Severity.orange)
    city.tick(16)
    assert city.turns(alarm) == [1]
    city.change(1, Severity.orange, Severity.red, Reason.severity_rose)
    climbs(city, alarm)


def test_growing_worse_when_acknowledged_is_news(city: City) -> None:
    city.roster()
    alarm = city.rise(1, Severity.orange)
    city.acknowledge(alarm)
    city.tick(100)
    city.change(1, Severity.orange, Severity.red, Reason.severity_rose)
    city.tick()
    assert city.turns(alarm) == [1]


def test_blue_is_never_escalated(city: City) -> None:
    city.roster()
    city.rise(1, Severity.blue)
    city.tick(100_000)
    assert city.told() == []


def test_without_a_roster_nothing_is_done(city: City) -> None:
    city.rise(1)
    city.tick(60)
    assert city.told() == []
    assert city.rows("SELECT * FROM escalation_clocks") == []
    assert city.rows("SELECT * FROM alarms WHERE rule_id = 'duty.uncovered'") == []


def test_a_city_that_was_down_tells_all_levels_and_nobody_twice(city: City) -> None:
    """One who is at two levels has one message: the last."""
    city.roster(ROSTER.replace("level: 3, people: [赵敏]", "level: 3, people: [陈静]"))
    alarm = city.rise(1)
    city.tick(60)
    assert city.turns(alarm) == [1, 2, 3]
    assert city.told() == [("wang", 1), ("chen", 3)]


# restarts ------------------------------------------------------------------------------------------------------------


class KilledError(Exception):
    pass


def test_killed_at_every_statement_nothing_is_told_twice_and_nothing_forgotten(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step dies before its n-th statement, for every n; the next one, a new process's, goes on."""
    city.roster()
    execute = psycopg.Connection.execute
    left = [0]

    def dying(self: psycopg.Connection, *given: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise KilledError
        return execute(self, *given, **more)

    def tick_until_it_lives() -> int:
        died = 0
        for n in range(1, 200):
            left[0] = n
            with monkeypatch.context() as patch:
                patch.setattr(psycopg.Connection, "execute", dying)
                try:
                    city.tick()
                except KilledError:
                    died += 1
                    continue
            break
        return died

    alarms = [city.rise(device) for device in (1, 2, 3)]
    city.wait(6)
    before = city.now
    assert tick_until_it_lives() > 10
    assert city.now == before
    city.tick()
    assert [city.turns(alarm) for alarm in alarms] == [[1, 2]] * 3
    assert sorted(city.told()) == [("chen", 2)] * 3 + [("li", 1)] + [("wang", 1)] * 2
    city.tick(10)
    assert [city.turns(alarm) for alarm in alarms] == [[1, 2, 3]] * 3
    for again in (1, 2):
        city.ask.execute(TAKEN)
        city.wait(15)
        assert tick_until_it_lives() > 10
        city.tick()
        assert [city.turns(alarm) for alarm in alarms] == [[1, 2, 3] + [3] * again] * 3


def test_the_database_itself_refuses_to_tell_a_level_twice(city: City) -> None:
    city.roster()
    city.rise(1)
    city.tick()
    with pytest.raises(psycopg.errors.UniqueViolation, match="escalations_once"):
        city.ask.execute(
            "INSERT INTO escalations"
            " (alarm_key, episode, cause, waiting_since, level, severity, told_at, told, transition_no)"
            " SELECT alarm_key, episode, cause, waiting_since, level, severity, now(), '[]', 99 FROM escalations"
        )


# the record's clock is set back --------------------------------------------------------------------------------------


def test_what_a_clock_that_was_ahead_had_stamped_is_waited_for_anew(city: City) -> None:
    city.roster()
    city.wait(60)
    alarm, worse = city.rise(1), city.rise(3, Severity.orange)
    city.change(3, Severity.orange, Severity.red, Reason.severity_rose)
    city.wait(-60)
    climbs(city, alarm, worse)
    for again in (1, 2, 3, 4, 5):
        city.ask.execute(TAKEN)
        city.tick(14)
        assert city.turns(alarm) == [1, 2, 3] + [3] * (again - 1)
        city.tick(1)
        assert city.turns(alarm) == [1, 2, 3] + [3] * again, "also when the record's time has come"
    city.acknowledge(alarm)
    city.tick(60)
    assert city.turns(alarm) == [1, 2, 3] + [3] * 5


@pytest.mark.parametrize("looked_at_meanwhile", [True, False])
def test_what_is_under_way_goes_on_when_the_clock_is_set_back(city: City, looked_at_meanwhile: bool) -> None:
    """Nobody is told twice what was told in the hour that is over, and nobody waits for it to come again."""
    city.roster()
    city.wait(60)
    alarm = city.rise(1)
    city.tick()
    city.wait(-60)
    if looked_at_meanwhile:
        climbs(city, alarm)
    else:
        city.tick(90)
        assert city.turns(alarm) == [1, 2, 3]


def test_growing_worse_in_an_hour_that_is_over_counts_from_the_beginning(city: City) -> None:
    city.roster()
    alarm = city.rise(1, Severity.orange)
    city.tick()
    city.wait(60)
    city.change(1, Severity.orange, Severity.red, Reason.severity_rose)
    city.tick(-60)
    assert city.turns(alarm) == [1]
    city.tick(5)
    assert city.turns(alarm) == [1, 2]


def test_people_are_waited_for_by_the_clock_that_stamps_the_record(city: City) -> None:
    """The engine's own clock may stay ahead for a while after it was set back: nobody waits less for that."""
    city.roster()
    alarm = city.rise(1)
    with connect(city.database, "test") as connection:
        escalation.by_the_records_clock(connection, city.now + timedelta(hours=1))
    assert city.turns(alarm) == [1]


def test_clocks_can_be_made_again_from_the_record(city: City) -> None:
    city.roster()
    alarm = city.rise(1)
    city.tick(6)
    kept = city.rows("SELECT * FROM escalation_clocks")
    city.ask.execute("DELETE FROM escalation_clocks")
    city.tick()
    assert city.turns(alarm) == [1, 2]
    assert city.rows("SELECT * FROM escalation_clocks") == kept


def test_an_edited_rule_counts_at_once(city: City) -> None:
    city.roster()
    alarm = city.rise(1)
    city.tick()
    city.ask.execute(
        "INSERT INTO rules (rule_id, scope, version, body, created_by)"
        " SELECT rule_id, scope, version + 1, jsonb_set(body, '{after_min,red}', '[0, 1]'), 'li' FROM rules"
        " WHERE rule_id = 'duty.escalation'"
    )
    city.tick(1)
    assert city.turns(alarm) == [1, 2]
    city.tick(60)
    assert city.turns(alarm) == [1, 2]


# nobody to tell ------------------------------------------------------------------------------------------------------


def uncovered(city: City) -> list[tuple[int, bool]]:
    rows = city.rows(
        "SELECT subject_key, cleared_at IS NULL AS open FROM alarms JOIN episodes USING (alarm_key)"
        " WHERE rule_id = 'duty.uncovered' ORDER BY episode_key"
    )
    return [(row["subject_key"], row["open"]) for row in rows]


@pytest.mark.parametrize(
    "gap",
    [
        ("UPDATE sinks SET enabled = false WHERE name = 'wang'", "UPDATE sinks SET enabled = true"),
        ("UPDATE sinks SET audience = 'crew' WHERE name = 'wang'", "UPDATE sinks SET audience = 'duty'"),
        (
            "UPDATE duty_people SET sink = NULL WHERE name = '王建国'",
            "UPDATE duty_people SET sink = 'wang' WHERE name = '王建国'",
        ),
        (
            "INSERT INTO duty_absences VALUES (DEFAULT, '王建国', now() - '1 day'::interval, now() + '1 day')",
            "DELETE FROM duty_absences",
        ),
    ],
    ids=["sink off", "no sink for duty", "person without sink", "away without stand-in"],
)
def test_with_nobody_at_a_level_the_next_is_told_and_an_alarm_says_so(city: City, gap: tuple[str, str]) -> None:
    city.roster()
    city.ask.execute(gap[0].encode())
    alarm = city.rise(1)
    city.tick()
    assert city.told() == [("chen", 1)]
    assert uncovered(city) == [(410502, True)]
    city.tick(1)
    assert city.told() == [("chen", 1)]
    assert uncovered(city) == [(410502, True)], "once"
    city.tick(4)
    assert city.turns(alarm) == [1, 2]
    city.ask.execute(gap[1].encode())
    city.tick(1)
    assert uncovered(city) == [(410502, False)]
    [row] = city.rows(
        "SELECT area_code, clear_reason FROM alarms JOIN episodes USING (alarm_key) WHERE rule_id = 'duty.uncovered'"
    )
    assert row == {"area_code": "410502", "clear_reason": "covered"}


def test_with_nobody_at_all_its_turn_stays_until_somebody_comes(city: City) -> None:
    city.roster()
    city.ask.execute("UPDATE sinks SET enabled = false")
    alarm = city.rise(1)
    for _ in range(5):
        city.tick(1)
    assert city.turns(alarm) == []
    numbers = city.rows("SELECT count(*) AS rows FROM transitions WHERE alarm_key = %s", alarm)
    assert numbers[0]["rows"] == 1, "and the record is not filled with attempts"
    city.ask.execute("UPDATE sinks SET enabled = true")
    city.tick(1)
    assert city.turns(alarm) == [1, 2]
    assert city.told() == [("wang", 1), ("chen", 2)]


def test_a_turn_beyond_the_last_level_is_the_last_ones(city: City) -> None:
    city.roster(ROSTER.partition("  - {shift: 全天, level: 3")[0])
    city.rise(1)
    city.tick(6)
    city.tick(10)
    assert city.told() == [("wang", 1), ("chen", 2), ("chen", 3)]
    assert uncovered(city) == []


def test_a_sink_is_told_from_its_severity_on(city: City) -> None:
    city.roster()
    city.ask.execute("UPDATE sinks SET min_severity = 4 WHERE name = 'wang'")
    city.rise(1, Severity.orange)
    city.tick(16)
    assert city.told() == [("chen", 1)]


PLATFORM = b"""
INSERT INTO sinks (name, channel, audience, config)
VALUES ('city', 'platform', 'platform', '{"url": "http://127.0.0.1:1/"}')
"""


# no receipt ----------------------------------------------------------------------------------------------------------


def test_a_delivery_that_is_not_taken_is_telephoned_about_once(city: City) -> None:
    city.roster()
    city.ask.execute(PLATFORM)
    alarms = [city.rise(device) for device in (1, 3)]
    for alarm in alarms:
        city.acknowledge(alarm)
    city.tick(14)
    assert city.told() == []
    city.tick(2)
    assert city.told() == [("wang", 1)], "one call for the sink, not one for each alarm"
    [row] = city.rows("SELECT snapshot FROM outbox WHERE notice = 'escalate'")
    assert row["snapshot"]["reason"] == "no_receipt"
    assert row["snapshot"]["escalation"]["sink"] == "city"
    assert row["snapshot"]["escalation"]["waiting"] == 2
    city.tick(10)
    assert len(city.told()) == 1
    city.tick(6)
    assert len(city.told()) == 2, "a quarter of an hour later, about the other one"
    city.tick(60)
    city.tick(60)
    assert len(city.told()) == 2
    assert [row["cause"] for row in city.rows("SELECT cause FROM escalations")] == ["city", "city"]


def test_what_was_taken_or_is_over_needs_no_telephone(city: City) -> None:
    city.roster()
    city.ask.execute(PLATFORM)
    alarms = [city.rise(device) for device in (1, 3)]
    for alarm in alarms:
        city.acknowledge(alarm)
    city.ask.execute("UPDATE outbox SET state = 'delivered' WHERE alarm_key = %s", [alarms[0]])
    city.clear(3)
    city.tick(60)
    assert city.told() == []


def test_a_case_of_which_the_platform_says_nothing_is_telephoned_about(city: City) -> None:
    """It has taken the case, and it calls back; yet not a word in an hour."""
    city.roster()
    city.ask.execute(PLATFORM)
    city.ask.execute("""UPDATE sinks SET config = config || '{"callbacks": {"signer": {"kind": "none"}}}'""")
    alarms = [city.rise(device) for device in (1, 3)]
    for alarm in alarms:
        city.acknowledge(alarm)
    city.ask.execute("UPDATE outbox SET state = 'delivered'")
    city.ask.execute(
        "INSERT INTO case_reported (case_key, sink_key, reported_at, told_at)"
        " SELECT c.case_key, s.sink_key, %(now)s, %(now)s FROM cases c, sinks s WHERE s.audience = 'platform'",
        {"now": city.now},
    )
    city.ask.execute(
        "UPDATE case_reported SET heard_at = %s WHERE case_key = (SELECT min(case_key) FROM cases)", [city.now]
    )
    city.tick(59)
    assert city.told() == []
    city.tick(2)
    assert city.told() == [("wang", 1)]
    [row] = city.rows("SELECT snapshot FROM outbox WHERE notice = 'escalate'")
    assert row["snapshot"]["reason"] == "no_callback"
    assert row["snapshot"]["escalation"]["sink"] == "city"
    assert "city1小时1分无反馈" in escalated(row["snapshot"], ("", ""))
    city.tick(600)
    assert len(city.told()) == 1


# what a tick costs ---------------------------------------------------------------------------------------------------


def test_a_quiet_tick_reads_little_and_writes_nothing(city: City) -> None:
    """Thousands of open alarms that nobody is to be told of: a tick must not go through their records."""
    city.roster()
    city.ask.execute(
        "INSERT INTO alarms (subject_kind, subject_key, rule_id, area_code, episode, transition_no)"
        " SELECT 'device', n, 'cover.many', '410502', 1, 1 FROM generate_series(1001, 2500) n"
    )
    city.ask.execute(
        "INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, raised_at,"
        " raised_received_at, committed_at, proof)"
        " SELECT alarm_key, 1, 1, 't', 'active', 1, 1, %(now)s, %(now)s, %(now)s, '{}'"
        " FROM alarms WHERE rule_id = 'cover.many'",
        {"now": city.now - timedelta(hours=1)},
    )
    city.tick(1)
    written = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::int AS rows FROM pg_stat_xact_user_tables"
    assert city.rows("SELECT count(*) AS clocks FROM escalation_clocks")[0]["clocks"] == 1500
    with psycopg.connect(city.database) as connection:
        escalation.step(connection, city.now + timedelta(seconds=2))
        assert connection.execute(written).fetchone() == (0,)
