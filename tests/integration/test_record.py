"""Record: transitions, episodes and what is owed, as one commit: one open episode an alarm, nothing forgotten, nothing
changed afterwards."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import Recorder, failure
from alerts.record.snapshot import Snapshot
from alerts.rules import shipped_pack
from tests.integration.shard import HOUR, MINUTE, SECOND, Shard, shard_of
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.storage.connect import connect

RULES = {rule.rule_id: RuleInForce(rule, 1) for rule in shipped_pack()}


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        yield made


def opening(
    shard: Shard,
    device_id: str = "C-1",
    rule_id: str = "cover.open",
    severity: Severity = Severity.red,
    **changes: Any,
) -> Transition:
    facts: dict[str, Any] = {
        "subject_kind": SubjectKind.device,
        "subject_key": shard.device_key(device_id),
        "rule": RULES[rule_id],
        "reason": Reason.limit_reached,
        "before": Condition.normal,
        "after": Condition.active,
        "severity_before": 0,
        "severity": severity,
        "at_us": shard.now_us,
        "received_us": shard.now_us + SECOND,
        "proof": {"ts_us": shard.now_us, "received_us": shard.now_us + SECOND, "field": "open", "value": 1.0},
    }
    return Transition(**facts | changes)


def ending(shard: Shard, **changes: Any) -> Transition:
    over: dict[str, Any] = {
        "reason": Reason.below_limit,
        "before": Condition.active,
        "after": Condition.normal,
        "severity_before": 4,
        "severity": 0,
        "at_us": shard.now_us + MINUTE,
    }
    return opening(shard, **over | changes)


def record(shard: Shard, *transitions: Transition) -> int:
    """How many deliveries are owed by it."""
    count = "SELECT count(*) AS owed FROM outbox"
    before = shard.one(count)["owed"]
    with connect(shard.database, "test") as connection:
        Recorder(connection).record(transitions)
    return int(shard.one(count)["owed"] - before)


# episodes -----------------------------------------------------------------------------------------------------------


def test_one_open_episode_under_concurrency(shard: Shard) -> None:
    """Ten at once find the same thing: one opens the episode, nine find it open."""
    transition = opening(shard)
    ready = threading.Barrier(10)
    errors: list[BaseException] = []

    def raise_it() -> None:
        try:
            with connect(shard.database, "test") as connection:
                ready.wait(20)
                Recorder(connection).record([transition])
        except BaseException as error:
            errors.append(error)

    shard.sink("city", "platform")
    threads = [threading.Thread(target=raise_it) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert shard.open() == {"cover.open": 4}
    assert shard.one("SELECT count(*) FROM episodes")["count"] == 1
    assert len(shard.owed("city")) == 1
    assert numbers(shard) == [list(range(1, 11))]


def numbers(shard: Shard) -> list[list[int]]:
    """transition_no of each alarm, in order."""
    query = "SELECT array_agg(transition_no ORDER BY transition_key) AS numbers FROM transitions GROUP BY alarm_key"
    return [row["numbers"] for row in shard.rows(query)]


def test_database_itself_refuses_a_second_open_episode(shard: Shard) -> None:
    record(shard, opening(shard))
    with pytest.raises(psycopg.errors.UniqueViolation, match="episodes_one_open"):
        shard.ask.execute(
            "INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity,"
            " raised_at, raised_received_at, proof)"
            " SELECT alarm_key, 2, 1, title, condition, 4, 4, now(), now(), '{}' FROM episodes"
        )


def test_opened_ended_and_opened_again_in_one_batch(shard: Shard) -> None:
    shard.sink("city", "platform")
    record(shard, opening(shard), ending(shard), opening(shard, at_us=shard.now_us + 2 * MINUTE))
    record(shard, ending(shard, at_us=shard.now_us + 3 * MINUTE), opening(shard, at_us=shard.now_us + 4 * MINUTE))
    rows = shard.rows("SELECT episode, cleared_at IS NULL AS open FROM episodes ORDER BY episode")
    assert [(row["episode"], row["open"]) for row in rows] == [(1, False), (2, False), (3, True)]
    assert [notice for _, notice, _ in shard.owed("city")] == ["raise", "clear", "raise", "clear", "raise"]
    assert numbers(shard) == [[1, 2, 3, 4, 5]]
    episodes = shard.rows("SELECT episode FROM transitions ORDER BY transition_no")
    assert [row["episode"] for row in episodes] == [1, 1, 2, 2, 3]


def test_transitions_number_without_gaps_over_batches_and_restarts(shard: Shard) -> None:
    for number in range(24):
        shard.commit(
            shard.says("C-1", {"tilt_deg": (3.0, 15.0, 40.0, 20.0)[number % 4], "open": number % 3 == 0}),
            shard.says("R-1", {"depth_cm": (0.0, 30.0, 12.0, 7.0)[number % 4]}),
        )
        shard.wait(5 * MINUTE)
        if number % 7 == 0:
            shard.restart()
    assert len(numbers(shard)) == 3
    for found in numbers(shard):
        assert found == list(range(1, len(found) + 1))
    for row in shard.rows("SELECT alarm_key, transition_no FROM alarms"):
        newest = shard.one("SELECT max(transition_no) FROM transitions WHERE alarm_key = %s", row["alarm_key"])["max"]
        assert row["transition_no"] == newest
    chains = shard.rows("SELECT alarm_key, from_state, to_state FROM transitions ORDER BY alarm_key, transition_no")
    for before, after in itertools.pairwise(chains):
        if before["alarm_key"] == after["alarm_key"]:
            assert before["to_state"] == after["from_state"]


def test_end_of_what_is_not_open_is_no_transition(shard: Shard) -> None:
    record(shard, ending(shard))
    assert shard.rows("SELECT * FROM transitions") == []
    record(shard, opening(shard), ending(shard), ending(shard))
    assert numbers(shard) == [[1, 2]]


def test_proof_is_copied_into_the_episode(shard: Shard) -> None:
    """Retention deletes reports; why an alarm was raised stays."""
    shard.wait(-HOUR)
    report = shard.says("C-1", {"open": True, "tilt_deg": 81.5, "battery_pct": 64})
    shard.wait(5 * SECOND)
    shard.commit(report._replace(received_us=shard.now_us))
    shard.ask.execute("DELETE FROM report_cover")
    episode = shard.one("SELECT * FROM episodes")
    proof = episode["proof"]
    assert proof["values"] == {"open": True, "tilt_deg": 81.5, "battery_pct": 64.0}
    assert (proof["field"], proof["label"], proof["value"], proof["limit"]) == ("open", "井盖打开", 1.0, 1.0)
    assert datetime.fromisoformat(proof["ts"]) == episode["raised_at"]
    assert datetime.fromisoformat(proof["received_at"]) == episode["raised_received_at"]
    assert (episode["raised_received_at"] - episode["raised_at"]).total_seconds() == pytest.approx(5, abs=0.01)
    assert shard.one("SELECT proof FROM transitions")["proof"] == proof


def test_cleared_is_never_before_raised(shard: Shard) -> None:
    record(shard, opening(shard), ending(shard, at_us=shard.now_us - HOUR))
    episode = shard.one("SELECT * FROM episodes")
    assert episode["cleared_at"] == episode["raised_at"]


def test_worst_severity_stays(shard: Shard) -> None:
    for depth_cm in (6.0, 30.0):
        shard.commit(shard.says("R-1", {"depth_cm": depth_cm}))
    for _ in range(2):
        shard.wait(10 * MINUTE)
        shard.commit(shard.says("R-1", {"depth_cm": 8.0}))
    episode = shard.one("SELECT severity, worst_severity, rule_version, title, condition FROM episodes")
    assert tuple(episode.values()) == (2, 4, 1, "下穿积水", "active")


# people -------------------------------------------------------------------------------------------------------------


def acknowledge(shard: Shard) -> None:
    shard.ask.execute("UPDATE episodes SET human = 'acknowledged', acknowledged_by = 'wang', acknowledged_at = now()")


def test_rising_severity_takes_back_the_acknowledgement(shard: Shard) -> None:
    shard.sink("city", "platform")
    shard.commit(shard.says("R-1", {"depth_cm": 6.0}))
    acknowledge(shard)
    shard.commit(shard.says("R-1", {"depth_cm": 12.0}))
    assert shard.one("SELECT human FROM episodes")["human"] == "unacknowledged"
    rows = shard.rows(
        "SELECT transition_no, region, from_state, to_state, reason FROM transitions ORDER BY transition_no"
    )
    assert [tuple(row.values()) for row in rows][1:] == [
        (2, "condition", "active", "active", "severity_rose"),
        (3, "human", "acknowledged", "unacknowledged", "severity_rose"),
    ]
    notices = shard.rows("SELECT transition_no, snapshot ->> 'transition_no' AS told FROM outbox ORDER BY delivery_key")
    assert [(row["transition_no"], row["told"]) for row in notices] == [(1, "1"), (2, "2")], (
        "what is told is the change"
    )
    shard.commit(shard.says("R-1", {"depth_cm": 30.0}))
    assert shard.one("SELECT count(*) FROM transitions WHERE region = 'human'")["count"] == 1


def test_falling_severity_keeps_the_acknowledgement(shard: Shard) -> None:
    shard.commit(shard.says("R-1", {"depth_cm": 30.0}))
    acknowledge(shard)
    for _ in range(2):
        shard.wait(10 * MINUTE)
        shard.commit(shard.says("R-1", {"depth_cm": 8.0}))
    assert shard.open() == {"road.underpass": 2}
    assert shard.one("SELECT human, acknowledged_by FROM episodes") == {
        "human": "acknowledged",
        "acknowledged_by": "wang",
    }


def test_an_operator_and_the_engine_wait_for_each_other(shard: Shard) -> None:
    """The engine records while an operator's transaction holds the alarm: it sees the acknowledgement, and keeps it."""
    shard.commit(shard.says("R-1", {"depth_cm": 6.0}))
    with connect(shard.database, "an operator") as operator:
        operator.execute("UPDATE alarms SET transition_no = transition_no + 1")
        thread = threading.Thread(target=shard.commit, args=(shard.says("R-1", {"depth_cm": 12.0}),))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it waits"
        operator.execute("UPDATE episodes SET human = 'acknowledged', acknowledged_by = 'wang'")
        operator.execute(
            "INSERT INTO transitions (alarm_key, transition_no, episode, region, from_state, to_state, severity,"
            " reason, actor, event_at, received_at)"
            " SELECT alarm_key, 2, 1, 'human', 'unacknowledged', 'acknowledged', 1,"
            " 'acknowledged', 'wang', now(), now() FROM alarms"
        )
    thread.join(10)
    reasons = shard.rows("SELECT transition_no, region, to_state FROM transitions ORDER BY transition_no")
    assert [tuple(row.values()) for row in reasons][1:] == [
        (2, "human", "acknowledged"),
        (3, "condition", "active"),
        (4, "human", "unacknowledged"),
    ]


# what is owed -------------------------------------------------------------------------------------------------------


def test_platform_is_told_of_cases_only(shard: Shard) -> None:
    shard.sink("city", "platform")
    shard.commit(
        shard.says("C-1", {"open": True, "battery_pct": 5, "h2s_mg_m3": 900}),
        shard.says("N-1", {"amount_mm": 90.0}),
        shard.says("L-1", {"door_open": True}),
    )
    assert {"cover.battery", "rain.hour", "cover.open", "lamp.door"} <= shard.open().keys()
    assert sorted(shard.owed("city")) == [("cover.open", "raise", 4), ("lamp.door", "raise", 2)]


def test_platform_gets_every_raise_change_and_clear(shard: Shard) -> None:
    shard.sink("city", "platform")
    for depth_cm in (6.0, 30.0, 30.5):
        shard.commit(shard.says("R-1", {"depth_cm": depth_cm}))
    for depth_cm in (8.0, 8.0, 0.0, 0.0):
        shard.wait(10 * MINUTE)
        shard.commit(shard.says("R-1", {"depth_cm": depth_cm}))
    assert shard.owed("city") == [
        ("road.underpass", "raise", 1),
        ("road.underpass", "change", 4),
        ("road.underpass", "change", 2),
        ("road.underpass", "clear", 2),
    ]


def test_crew_is_told_by_its_unit_and_severity(shard: Shard) -> None:
    """文峰养护所 has a sink of its own; every other unit falls to the one without a unit."""
    shard.sink("wenfeng", "crew", unit="文峰养护所", min_severity=3)
    shard.sink("others", "crew", min_severity=3)
    shard.commit(
        shard.says("C-1", {"open": True}),  # 文峰养护所
        shard.says("C-2", {"open": True}),  # 北关养护所
        shard.says("P-1", {"fill_ratio": 1.5, "network": 0}),  # no unit named
        shard.says("L-1", {"door_open": True}),  # yellow, and no order for a crew
        shard.says("L-1", {"leakage_ma": 200.0, "touch_voltage_v": 13.0}),
    )
    shard.wait(MINUTE)
    shard.commit(shard.says("P-1", {"fill_ratio": 1.5, "network": 0}))
    assert shard.owed("wenfeng") == [("cover.open", "raise", 4)]
    # What one commit raises is owed in any order: only an alarm's own notices have one.
    assert sorted(shard.owed("others")) == [
        ("cover.open", "raise", 4), ("lamp.leakage", "raise", 4), ("pipe.foul_full", "raise", 3),
    ]  # fmt: skip


def test_crew_hears_of_what_rose_and_of_its_end_but_not_of_what_fell(shard: Shard) -> None:
    shard.sink("crew", "crew", min_severity=3)
    for depth_cm in (6.0, 12.0, 18.0, 30.0):
        shard.commit(shard.says("R-1", {"depth_cm": depth_cm}))
    assert shard.owed("crew") == [("road.underpass", "change", 3), ("road.underpass", "change", 4)]
    for depth_cm in (8.0, 8.0, 0.0, 0.0):
        shard.wait(10 * MINUTE)
        shard.commit(shard.says("R-1", {"depth_cm": depth_cm}))
    assert shard.owed("crew")[2:] == [("road.underpass", "clear", 2)], "though it had fallen below its least severity"


def test_episode_that_never_reached_a_crew_has_no_end_for_it(shard: Shard) -> None:
    shard.sink("crew", "crew", min_severity=3)
    record(
        shard,
        opening(shard, "R-1", "road.underpass", Severity.yellow),
        ending(shard, device_id="R-1", rule_id="road.underpass"),
    )
    assert shard.owed("crew") == []


def test_sink_out_of_use_is_owed_nothing_and_its_unit_falls_to_the_others(shard: Shard) -> None:
    shard.sink("wenfeng", "crew", unit="文峰养护所")
    shard.sink("others", "crew")
    shard.ask.execute("UPDATE sinks SET enabled = false WHERE name = 'wenfeng'")
    record(shard, opening(shard))
    assert (shard.owed("wenfeng"), shard.owed("others")) == ([], [("cover.open", "raise", 4)])


def test_failures_of_our_own_are_nobodys_case(shard: Shard) -> None:
    shard.sink("city", "platform")
    shard.sink("crew", "crew")
    lost = failure(
        SubjectKind.shard,
        1,
        RULES["shard.session_lost"],
        Reason.session_lost,
        raised=True,
        at_us=shard.now_us,
        detail="main",
    )
    assert record(shard, lost) == 0
    assert shard.open() == {"shard.session_lost": 3}


def test_snapshot_says_everything_a_message_may_say(shard: Shard) -> None:
    shard.sink("city", "platform")
    shard.commit(shard.says("C-1", {"open": True, "tilt_deg": 80.0}))
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": False}))
    raised, cleared = (row["snapshot"] for row in shard.rows("SELECT snapshot FROM outbox ORDER BY delivery_key"))
    assert raised.keys() == cleared.keys() == Snapshot.__annotations__.keys() - {"escalation", "news", "pictures"}
    assert raised["installation_id"] == str(shard.one("SELECT installation_id FROM installation")["installation_id"])
    case = shard.one("SELECT case_key, arrive_by, repair_by, opened_at FROM cases")
    shown = raised["case"]
    assert (shown["type"], shown["code"], shown["code_name"]) == ("component", "0103", "雨水井盖"), "of its asset"
    assert (shown["case_key"], shown["condition_name"], shown["level"]) == (case["case_key"], "井盖缺失、移位、打开", 2)
    assert datetime.fromisoformat(shown["arrive_by"]) == case["arrive_by"] == case["opened_at"] + timedelta(minutes=30)
    assert datetime.fromisoformat(shown["repair_by"]) == case["repair_by"] == case["opened_at"] + timedelta(hours=6)
    assert (shown["state"], cleared["case"]["state"]) == ("reported", "cancelled"), "nobody was on the way"
    assert raised["crew"] == {"act": "先围挡", "watch": "", "tool": "", "end": "复位", "make_safe_min": 30}
    assert raised["device"] == {"device_id": "C-1", "family": "cover", "vendor": "甲厂"}
    assert raised["area"] == {"code": "410502", "name": "文峰区", "district": "410502", "street": None}
    assert raised["asset"]["maintenance_unit"] == "文峰养护所"
    assert (raised["asset"]["lon"], raised["asset"]["lat"]) == (114.372615, 36.098779)
    assert (raised["notice"], raised["cleared_at"], raised["severity"]) == ("raise", None, 4)
    assert (cleared["notice"], cleared["raised_at"], cleared["worst_severity"]) == ("clear", raised["raised_at"], 4)
    assert datetime.fromisoformat(cleared["cleared_at"]) > datetime.fromisoformat(raised["raised_at"])
    for name in ("event_at", "raised_at", "raised_received_at"):
        assert datetime.fromisoformat(raised[name]).utcoffset() is not None


def test_cover_without_a_known_class_is_nobodys_cover(shard: Shard) -> None:
    shard.sink("city", "platform")
    shard.ask.execute("UPDATE assets SET kind = '' WHERE asset_code = '4105020103000001'")
    record(shard, opening(shard))
    case = shard.one("SELECT snapshot FROM outbox")["snapshot"]["case"]
    assert (case["type"], case["code"], case["code_name"]) == ("component", "0114", "无主井盖")


def test_idempotency_key_is_the_same_over_a_second_run_from_the_same_state(shard: Shard) -> None:
    """A commit whose outcome is unknown is done again by the next tenure: same keys, whatever the clock says."""
    shard.sink("city", "platform")
    shard.sink("crew", "crew")
    batch = [opening(shard), opening(shard, "C-2"), ending(shard)]
    runs = []
    for _ in range(2):
        with connect(shard.database, "test") as connection:
            Recorder(connection).record(batch)
            rows = connection.execute(
                "SELECT s.name, al.subject_key, o.transition_no, o.idempotency_key FROM outbox o"
                " JOIN alarms al USING (alarm_key) JOIN sinks s USING (sink_key)"
            )
            runs.append({row[:3]: row[3] for row in rows})
            connection.rollback()
    assert runs[0] == runs[1]
    assert len(set(runs[0].values())) == len(runs[0]) == 6
    assert all(len(key) == 64 and int(key, 16) >= 0 for key in runs[0].values())
    record(shard, *batch)
    kept = {row["idempotency_key"] for row in shard.rows("SELECT idempotency_key FROM outbox")}
    assert kept == set(runs[0].values())


def test_dispatcher_is_woken_with_the_commit(shard: Shard) -> None:
    shard.sink("city", "platform")
    with connect(shard.database, "listener", autocommit=True) as listener:
        listener.execute("LISTEN underfoot_outbox")
        with connect(shard.database, "test") as connection:
            Recorder(connection).record([opening(shard)])
            assert list(listener.notifies(timeout=0.2, stop_after=1)) == [], "not before"
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1


# the record is append-only ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        "UPDATE transitions SET reason = 'acknowledged'",
        "DELETE FROM transitions",
        "TRUNCATE transitions",
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE transitions SET actor = 'x' WHERE false",
    ],
)
def test_record_cannot_be_changed(shard: Shard, act: str) -> None:
    record(shard, opening(shard))
    shard.ask.execute("INSERT INTO audit (actor, action, subject) VALUES ('wang', 'alarm.close', 'episode:1')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        shard.ask.execute(act.encode())
    assert shard.one("SELECT count(*) FROM transitions")["count"] == 1
    assert shard.one("SELECT actor FROM audit WHERE action = 'alarm.close'")["actor"] == "wang"
