"""Cases as alarms open, worsen and end them: in the raise's own transaction, with what the platform is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import pytest
from psycopg.types.json import Jsonb

from alerts.cases import due
from alerts.cases.acts import act, judged, refile
from alerts.cases.book import book
from alerts.cases.events import (
    Arrived,
    Cancelled,
    Duplicate,
    Handled,
    Merged,
    Noted,
    Reached,
    Received,
    Refiled,
    Resumed,
    Suspended,
    Verified,
)
from alerts.cases.internal import is_internal
from alerts.cases.lifecycle import Refusal, Refused, Unmoved
from alerts.cases.record import Happened, NoSuchCaseError, apply, apply_all
from alerts.cases.states import CaseState, Need
from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import Recorder
from alerts.rulebook.book import put, put_override, withdraw
from alerts.rules import RuleError, parse_rule, shipped_pack
from alerts.rules.override import parse_override
from tests.integration.shard import MINUTE, SECOND, Shard, shard_of
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection, connect

RULES = {rule.rule_id: RuleInForce(rule, 1) for rule in shipped_pack()}
RED, ORANGE, YELLOW, BLUE = Severity.red, Severity.orange, Severity.yellow, Severity.blue
S = CaseState


@pytest.fixture(scope="module")
def connection(module_database: str) -> Iterator[Connection]:
    """One for the whole module, as ingest has one for its tenure: what it takes to file cases is read once."""
    with connect(module_database, "test", autocommit=True) as made:
        yield made


@pytest.fixture
def shard(module_database: str, connection: Connection) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        made.sink("city", "platform")
        _HANDS[made] = connection
        yield made


_HANDS: WeakKeyDictionary[Shard, Connection] = WeakKeyDictionary()


@contextmanager
def hand(shard: Shard) -> Iterator[Connection]:
    """A transaction."""
    with _HANDS[shard].transaction():
        yield _HANDS[shard]


def change(
    shard: Shard,
    rule_id: str,
    before: Severity | None,
    after: Severity | None,
    device_id: str = "C-1",
    rule: RuleInForce | None = None,
    **more: Any,
) -> Transition:
    """The condition goes from one severity to another; None: it is normal."""
    shard.now_us += SECOND
    facts: dict[str, Any] = {
        "subject_kind": SubjectKind.device,
        "subject_key": shard.device_key(device_id),
        "rule": rule or RULES[rule_id],
        "reason": Reason.below_limit if after is None else Reason.severity_rose if before else Reason.limit_reached,
        "before": Condition.active if before else Condition.normal,
        "after": Condition.active if after else Condition.normal,
        "severity_before": before or 0,
        "severity": after or 0,
        "at_us": shard.now_us,
        "received_us": shard.now_us,
        "proof": {"ts_us": shard.now_us, "received_us": shard.now_us, "field": "open", "value": 1.0},
    }
    return Transition(**facts | more)


def record(shard: Shard, *transitions: Transition) -> None:
    with hand(shard) as connection:
        Recorder(connection).record(transitions)


def raised(
    shard: Shard, rule_id: str = "cover.open", severity: Severity = RED, device_id: str = "C-1", **more: Any
) -> int:
    record(shard, change(shard, rule_id, None, severity, device_id, **more))
    return int(case(shard)["case_key"])


def cleared(shard: Shard, rule_id: str = "cover.open", severity: Severity = RED, device_id: str = "C-1") -> None:
    record(shard, change(shard, rule_id, severity, None, device_id))


def cases(shard: Shard) -> list[dict[str, Any]]:
    return shard.rows("SELECT * FROM cases ORDER BY case_key")


def case(shard: Shard, case_key: int | None = None) -> dict[str, Any]:
    """One case, or the newest."""
    rows = [row for row in cases(shard) if case_key in (None, row["case_key"])]
    return rows[-1]


def steps(shard: Shard, case_key: int) -> list[tuple[str, str | None, str]]:
    rows = shard.rows(
        "SELECT event, from_state, to_state FROM case_steps WHERE case_key = %s ORDER BY step_no", case_key
    )
    return [(row["event"], row["from_state"], row["to_state"]) for row in rows]


def told(shard: Shard) -> list[tuple[str, dict[str, Any]]]:
    """What the platform is owed, in order: the notice, and its case."""
    rows = shard.rows(
        "SELECT notice, snapshot FROM outbox JOIN sinks USING (sink_key) WHERE name = 'city' ORDER BY delivery_key"
    )
    assert all(row["notice"] == row["snapshot"]["notice"] for row in rows)
    return [(row["notice"], row["snapshot"]["case"]) for row in rows]


def notices(shard: Shard) -> list[str]:
    return [notice for notice, _ in told(shard)]


def says(shard: Shard, case_key: int, *states: CaseState) -> None:
    """The platform has it, and says where it is."""
    with hand(shard) as connection:
        sink_key = shard.one("SELECT sink_key FROM sinks WHERE name = 'city'")["sink_key"]
        happened = [Happened(case_key, Received(sink_key, f"A-{case_key}"), CLOCK.now())]
        happened += [Happened(case_key, Reached(state), CLOCK.now()) for state in states]
        apply_all(connection, happened, actor="platform:city", cause="callback")


def do(shard: Shard, case_key: int, event: Any, note: str = "") -> Any:
    with hand(shard) as connection:
        return act(connection, Happened(case_key, event, CLOCK.now(), note), actor="desk")


# opening -------------------------------------------------------------------------------------------------------------


def test_a_raise_opens_its_case_in_the_same_commit(shard: Shard) -> None:
    key = raised(shard)
    opened = case(shard)
    assert (opened["state"], opened["filing_id"], opened["code"], opened["code_name"]) == (
        "reported",
        "filing.cover_open",
        "0103",
        "雨水井盖",
    )
    assert (opened["level"], opened["case_type"], opened["code_scheme"]) == (2, "component", "GB/T 30428.2-2013")
    episode = shard.one("SELECT raised_received_at FROM episodes")
    assert opened["opened_at"] == opened["filed_at"] == episode["raised_received_at"]
    assert opened["arrive_by"] - opened["opened_at"] == timedelta(minutes=30)
    assert opened["repair_by"] - opened["opened_at"] == timedelta(hours=6)
    assert steps(shard, key) == [("opened", None, "reported")]
    [(notice, shown)] = told(shard)
    assert (notice, shown["case_key"], shown["condition_name"]) == ("raise", key, "井盖缺失、移位、打开")
    entered = shard.one("SELECT actor, action, detail FROM audit WHERE subject = %s", f"case:{key}")
    assert (entered["actor"], entered["action"], entered["detail"]["to"]) == ("engine", "case.opened", "reported")


def test_what_is_rolled_back_has_no_case(shard: Shard) -> None:
    with hand(shard) as connection:
        Recorder(connection).record([change(shard, "cover.open", None, RED)])
        raise psycopg.Rollback
    assert cases(shard) == []


def test_an_asset_without_a_class_is_filed_as_the_condition_says(shard: Shard) -> None:
    shard.ask.execute("UPDATE assets SET kind = ''")
    raised(shard)
    raised(shard, "pump.fault", ORANGE, "U-1")
    assert [(row["code"], row["code_name"]) for row in cases(shard)] == [("0114", "无主井盖"), ("2115", "泵站")]


@pytest.mark.parametrize(
    ("rule_id", "device_id", "severity"),
    [
        ("cover.offline", "C-1", BLUE),
        ("cover.battery", "C-1", YELLOW),
        ("cover.battery_voltage", "C-1", YELLOW),
        ("cover.signal", "C-1", YELLOW),
        ("lamp.offline", "L-1", BLUE),
        ("pump.offline", "U-1", BLUE),
    ],
)
def test_offline_and_battery_never_leave_whatever_a_rule_says(
    shard: Shard, rule_id: str, device_id: str, severity: Severity
) -> None:
    body = RULES[rule_id].rule.model_dump(mode="json") | {"case": {"type": "component", "code": "asset"}}
    with hand(shard) as connection:
        version = put(connection, parse_rule(body), actor="wang")
    assert version is not None
    insisting = RuleInForce(parse_rule(body), version)
    record(shard, change(shard, rule_id, None, severity, device_id, rule=insisting))
    record(shard, change(shard, rule_id, severity, RED, device_id, rule=insisting))
    record(shard, change(shard, rule_id, RED, None, device_id, rule=insisting))
    assert shard.one("SELECT count(*) AS n FROM episodes")["n"] == 1
    assert (cases(shard), told(shard)) == ([], [])
    with hand(shard) as connection:
        withdraw(connection, rule_id, actor="wang")


def test_every_shipped_rule_about_a_device_itself_is_an_internal_matter() -> None:
    internal = {rule.rule_id for rule in shipped_pack() if is_internal(rule.model_dump(mode="json"))}
    names = {rule_id.partition(".")[2] for rule_id in internal}
    assert {"offline", "battery", "battery_voltage", "signal", "outage", "stuck", "session_lost"} <= names
    assert (
        not {"cover.open", "cover.tilt", "road.ponding", "lamp.out", "drainage.blockage", "cover.late_hazard"}
        & internal
    )


def test_a_late_report_of_a_weak_battery_is_no_case_either(shard: Shard) -> None:
    proof = {"ts_us": shard.now_us, "received_us": shard.now_us, "field": "battery_pct", "value": 3.0}
    record(shard, change(shard, "cover.late_hazard", None, BLUE, proof=proof))
    assert cases(shard) == []


def test_surcharge_alone_is_no_case(shard: Shard) -> None:
    record(shard, change(shard, "pipe.surcharge", None, YELLOW, "P-1"))
    assert (cases(shard), told(shard)) == ([], [])


def test_an_alarm_is_filed_when_it_is_severe_enough_and_the_platform_gets_a_raise_then(shard: Shard) -> None:
    record(shard, change(shard, "cover.overflow", None, YELLOW))
    assert (cases(shard), told(shard)) == ([], []), "a level, and no water on the road yet"
    record(shard, change(shard, "cover.overflow", YELLOW, ORANGE))
    [opened] = cases(shard)
    assert (opened["code"], opened["condition_name"], opened["level"]) == ("0406", "检查井溢水", 1)
    record(shard, change(shard, "cover.overflow", ORANGE, RED))
    cleared(shard, "cover.overflow", RED)
    assert notices(shard) == ["raise", "change", "clear"]


def test_a_city_s_own_type_and_code_are_filed_as_the_rest(shard: Shard) -> None:
    body = RULES["cover.vibration"].rule.model_dump(mode="json") | {"case": {"type": "event", "code": "0499"}}
    with hand(shard) as connection:
        put(connection, parse_rule(body), actor="wang")
    record(shard, change(shard, "cover.vibration", None, BLUE, rule=RuleInForce(parse_rule(body), 2)))
    [opened] = cases(shard)
    assert (opened["filing_id"], opened["case_type"], opened["code"], opened["code_name"]) == (
        "filing.other",
        "event",
        "0499",
        "其他突发事件",
    )


def test_an_override_has_other_clocks_and_a_withdrawn_condition_files_nothing(shard: Shard) -> None:
    shard.ask.execute("UPDATE assets SET tags = '{学校门口}' WHERE asset_code = '4105020103000001'")
    sooner = {"red": {"kind": "urgent_hour", "amount": 2}}
    with hand(shard) as connection:
        override = {"rule_id": "filing.cover_open", "scope": "tag:学校门口", "source": "校门口", "repair": sooner}
        put_override(connection, parse_override(override), actor="wang")
    raised(shard)
    raised(shard, device_id="C-2")
    hours = [(row["repair_by"] - row["opened_at"]) / timedelta(hours=1) for row in cases(shard)]
    assert hours == [2, 6]
    with hand(shard) as connection:
        put_override(
            connection,
            parse_override({"rule_id": "filing.cover_open", "scope": "device:C-1", "source": "试用", "enabled": False}),
            actor="wang",
        )
    record(shard, change(shard, "cover.tilt", None, RED))
    record(shard, change(shard, "cover.tilt", None, RED, "C-2"))
    assert len(cases(shard)) == 3, "not of C-1"
    with hand(shard) as connection:
        withdraw(connection, "filing.cover_gas", actor="wang")
    record(shard, change(shard, "cover.ch4", None, RED))
    assert len(cases(shard)) == 3
    shard.ask.execute("DELETE FROM rules WHERE created_by = 'wang'")


def test_the_calendar_is_read_again_when_it_changes(shard: Shard) -> None:
    """And only then: what deadlines go by is in memory."""
    with hand(shard) as connection:
        first = book(connection)
        assert book(connection) is first
        connection.execute(
            "INSERT INTO calendar_days (day, kind, name, source) VALUES ('2031-10-01', 'holiday', '国庆节', 'test')"
        )
        second = book(connection)
        assert second is not first
        assert second.working.calendar.knows(2031)
        raise psycopg.Rollback
    with hand(shard) as connection:
        assert not book(connection).working.calendar.knows(2031)


# worse, and over -----------------------------------------------------------------------------------------------------


def test_a_worse_alarm_has_sooner_clocks_and_a_higher_level(shard: Shard) -> None:
    record(shard, change(shard, "cover.tilt", None, YELLOW))
    before = case(shard)
    assert (before["level"], before["arrive_amount"], before["repair_amount"]) == (0, 2, 36)
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    after = case(shard)
    assert (after["level"], after["arrive_amount"], after["repair_amount"]) == (2, 0.5, 6)
    assert after["arrive_by"] < before["arrive_by"]
    assert [shown["level"] for _, shown in told(shard)] == [0, 2]
    assert told(shard)[-1][1]["arrive_by"] == after["arrive_by"].isoformat()


def test_an_alarm_that_clears_before_anybody_is_sent_ends_on_both_sides(shard: Shard) -> None:
    key = raised(shard)
    says(shard, key, S.accepted)
    cleared(shard)
    over = case(shard)
    assert (over["state"], over["ended_how"], over["end_confirmed"]) == ("cancelled", "cancelled", False)
    [_, (notice, shown)] = told(shard)
    assert (notice, shown["state"], shown["ended_how"]) == ("clear", "cancelled", "cancelled")
    says(shard, key, S.cancelled)
    assert case(shard)["end_confirmed"] is True


def test_after_dispatch_it_waits_for_the_platform_s_check(shard: Shard) -> None:
    key = raised(shard)
    says(shard, key, S.accepted, S.dispatched)
    cleared(shard)
    assert (case(shard)["state"], case(shard)["condition_over_at"] is not None) == ("dispatched", True)
    assert notices(shard) == ["raise", "clear"]
    says(shard, key, S.handle_finish, S.checking, S.check_pass, S.closed)
    assert (case(shard)["state"], case(shard)["ended_how"], case(shard)["needs_person"]) == ("closed", "closed", None)


def test_it_opens_again_while_the_platform_still_has_the_first(shard: Shard) -> None:
    """A case of its own, at once: the first may be closed any moment for what was over then."""
    first = raised(shard)
    says(shard, first, S.dispatched)
    cleared(shard)
    second = raised(shard)
    assert (second != first, case(shard)["follows"], case(shard)["state"]) == (True, first, "reported")
    assert steps(shard, first)[-1] == ("recurred", "dispatched", "dispatched")
    assert notices(shard) == ["raise", "clear", "raise"]
    cleared(shard)
    third = raised(shard)
    assert case(shard, third)["follows"] == first, "the second is over"


def test_platform_that_ends_what_is_open_still_leaves_it_to_a_person(shard: Shard) -> None:
    key = raised(shard)
    says(shard, key, S.not_accepted)
    assert case(shard)["needs_person"] == Need.not_accepted
    cleared(shard)
    assert case(shard)["needs_person"] is None
    assert notices(shard) == ["raise"], "there it is over"


def test_an_alarm_told_before_there_were_cases_is_told_its_end(shard: Shard) -> None:
    raised(shard)
    shard.ask.execute("SET session_replication_role = replica")
    shard.ask.execute("DELETE FROM case_steps")
    shard.ask.execute("DELETE FROM cases")
    shard.ask.execute("RESET session_replication_role")
    cleared(shard)
    [_, (notice, shown)] = told(shard)
    assert (notice, shown["code"], shown["case_key"]) == ("clear", "0103", None)


# verified first ------------------------------------------------------------------------------------------------------


def test_what_is_only_suspected_waits_for_an_operator(shard: Shard) -> None:
    proof = {"ts_us": shard.now_us, "received_us": shard.now_us, "field": "open", "value": 1.0}
    key = raised(shard, "cover.late_hazard", BLUE, proof=proof)
    opened = case(shard)
    assert (opened["state"], opened["filed_at"], opened["needs_person"]) == ("pending_verify", None, Need.verify)
    assert told(shard) == []
    verified = do(shard, key, Verified(), "现场电话核实")
    assert (verified.after.state, verified.after.needs_person) == (S.pending_register, None)
    [(notice, shown)] = told(shard)
    assert (notice, shown["state"], shown["act"], shown["note"]) == (
        "raise",
        "pending_register",
        "verified",
        "现场电话核实",
    )
    assert do(shard, key, Verified()).step_no is None, "again is the same as once"
    assert notices(shard) == ["raise"]
    cleared(shard, "cover.late_hazard", BLUE)
    assert notices(shard) == ["raise", "clear"]


def test_the_clocks_begin_when_it_is_filed(shard: Shard) -> None:
    """Until then nobody could have set out: nothing is overdue, and nobody is pressed."""
    key = raised(shard, "cover.dry_weather_high", YELLOW)
    limits = [timedelta(seconds=0), timedelta(days=365)]
    for late in limits:
        with hand(shard) as connection:
            due.step(connection, CLOCK.now() + late)
    assert [event for event, _, _ in steps(shard, key)] == ["opened"]
    before = case(shard)
    later = CLOCK.now() + timedelta(days=20)
    with hand(shard) as connection:
        apply(connection, key, Verified(), actor="李强", cause="operator", at=later)
    after = case(shard)
    assert after["filed_at"] == later
    for name in ("arrive_by", "repair_by"):
        assert (before[name] is None) == (after[name] is None)
        assert after[name] is None or after[name] > later > before[name]


def test_cases_are_held_at_once(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds several cases holds them in one order: else a platform's list and we lock each other out."""
    held: list[list[int]] = []

    def seen(connection: Connection, happened: Any, **more: Any) -> Any:
        held.append([one.case_key for one in happened])
        return apply_all(connection, happened, **more)

    low, high = raised(shard), raised(shard, device_id="C-2")
    for key in (low, high):
        says(shard, key, S.accepted, S.dispatched)
    cleared(shard, device_id="C-2")
    monkeypatch.setattr("alerts.cases.filing.apply_all", seen)
    record(shard, change(shard, "cover.open", None, RED, "C-2"), change(shard, "cover.open", RED, None))
    assert held == [[high, low]]


def test_what_is_over_before_it_was_verified_never_reaches_the_platform(shard: Shard) -> None:
    raised(shard, "cover.dry_weather_high", YELLOW)
    assert case(shard)["condition_name"] == "疑似下水道堵塞"
    cleared(shard, "cover.dry_weather_high", YELLOW)
    assert (case(shard)["ended_how"], told(shard)) == ("cancelled", [])


# acts ----------------------------------------------------------------------------------------------------------------


def test_acts_are_told_and_stand_in_the_alarm_s_record(shard: Shard) -> None:
    key = raised(shard)
    says(shard, key, S.dispatched)
    for event in (Arrived(), Suspended(), Resumed(), Handled()):
        do(shard, key, event, "现场")
    acts = [shown["act"] for notice, shown in told(shard) if notice == "progress"]
    assert acts == ["arrived", "suspended", "resumed", "handled"]
    lines = shard.rows(
        "SELECT from_state, to_state, actor FROM transitions WHERE region = 'case' ORDER BY transition_no"
    )
    assert [line["to_state"] for line in lines] == ["handling", "suspended", "handling", "handle_finish"]
    assert {line["actor"] for line in lines} == {"desk"}
    assert [step[2] for step in steps(shard, key)][-4:] == ["handling", "suspended", "handling", "handle_finish"]


def test_a_cancelled_case_is_told_and_its_alarm_goes_on(shard: Shard) -> None:
    key = raised(shard)
    do(shard, key, Cancelled(), "已另行派单")
    [_, (notice, shown)] = told(shard)
    assert (notice, shown["ended_how"], shown["note"]) == ("cancel", "cancelled", "已另行派单")
    assert shard.open() == {"cover.open": 4}
    assert do(shard, key, Arrived()).refused is Refusal.ended


def test_nobody_cancels_what_the_platform_has_sent_people_to(shard: Shard) -> None:
    key = raised(shard)
    says(shard, key, S.dispatched)
    assert do(shard, key, Cancelled()).refused is Refusal.dispatched
    assert (case(shard)["state"], notices(shard)) == ("dispatched", ["raise"])


def test_a_duplicate_is_linked_and_told(shard: Shard) -> None:
    key = raised(shard)
    do(shard, key, Duplicate("12345-0088"))
    assert (case(shard)["ended_how"], case(shard)["duplicate_of"]) == ("duplicate", "12345-0088")
    [_, (notice, shown)] = told(shard)
    assert (notice, shown["duplicate_of"]) == ("cancel", "12345-0088")
    record(shard, change(shard, "cover.open", RED, RED, reason=Reason.severity_rose))
    assert len(cases(shard)) == 1, "the citizen's case goes on"


def test_a_verdict_of_false_alarm_ends_the_case_or_tells_who_was_sent(shard: Shard) -> None:
    early, episode = raised(shard), shard.one("SELECT episode_key FROM episodes")["episode_key"]
    with hand(shard) as connection:
        judged(connection, episode, False, actor="desk", at=CLOCK.now())
    assert (case(shard, early)["ended_how"], notices(shard)) == ("false_alarm", ["raise", "cancel"])
    late = raised(shard, device_id="C-2")
    says(shard, late, S.dispatched)
    episode = shard.one("SELECT max(episode_key) AS key FROM episodes")["key"]
    with hand(shard) as connection:
        judged(connection, episode, False, actor="desk", at=CLOCK.now())
    assert (case(shard, late)["state"], case(shard, late)["false_alarm_at"] is not None) == ("dispatched", True)
    assert notices(shard)[-1] == "cancel"
    with hand(shard) as connection:
        judged(connection, episode, None, actor="desk", at=CLOCK.now())
    assert case(shard, late)["false_alarm_at"] is None


def test_a_note_is_told_to_nobody(shard: Shard) -> None:
    key = raised(shard)
    do(shard, key, Noted(), "已电话通知")
    assert notices(shard) == ["raise"]
    assert steps(shard, key)[-1] == ("noted", "reported", "reported")


def test_a_case_that_is_not_there(shard: Shard) -> None:
    with hand(shard) as connection:
        with pytest.raises(NoSuchCaseError, match="case 999"):
            act(connection, Happened(999, Arrived(), CLOCK.now()), actor="desk")
        with pytest.raises(NoSuchCaseError, match="case 999"):
            apply(connection, 999, Reached(S.closed), actor="x", cause="callback", at=CLOCK.now())


# merged --------------------------------------------------------------------------------------------------------------


def test_what_was_merged_and_must_stand_alone_again_has_a_case_of_its_own(shard: Shard) -> None:
    other = raised(shard, device_id="C-2")
    key = raised(shard, "cover.tilt", YELLOW)
    do(shard, key, Merged(other))
    assert (case(shard, key)["ended_how"], case(shard, key)["merged_into"]) == ("merged", other)
    incident = shard.one("SELECT alarm_key, episode FROM cases WHERE case_key = %s", other)
    assert told(shard)[-1][0] == "cancel"
    assert told(shard)[-1][1]["merged_into"] == f"{incident['alarm_key']}-{incident['episode']}"
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    again = case(shard)
    assert (again["episode"], again["again"], again["state"]) == (1, 1, "reported")
    assert told(shard)[-1][0] == "raise"
    assert told(shard)[-1][1]["again"] == 1


# filed again ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [S.not_accepted, S.closed, S.forced_close, S.cancelled])
def test_what_the_platform_has_ended_and_gets_worse_is_filed_again(shard: Shard, end: CaseState) -> None:
    raised(shard, "cover.tilt", YELLOW)
    first = case(shard)["case_key"]
    says(shard, first, end)
    assert case(shard, first)["needs_person"] is not None
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    again = case(shard)
    assert (again["episode"], again["again"], again["state"], again["level"]) == (1, 1, "reported", 2)
    assert again["arrive_amount"] == 0.5
    notice, shown = told(shard)[-1]
    assert (notice, shown["again"], shown["case_key"]) == ("raise", 1, again["case_key"])
    assert notices(shard) == ["raise", "raise"]
    assert steps(shard, first)[-1][0] == "refiled"
    assert case(shard, first)["needs_person"] is None, "the new one is with the platform"
    cleared(shard, "cover.tilt", RED)
    assert notices(shard) == ["raise", "raise", "clear"]


def test_what_an_operator_cancelled_and_gets_worse_is_filed_again(shard: Shard) -> None:
    key = raised(shard, "cover.tilt", YELLOW)
    do(shard, key, Cancelled(), "已另行派单")
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    assert [row["again"] for row in cases(shard)] == [0, 1]
    assert notices(shard) == ["raise", "cancel", "raise"]


def test_what_is_no_worse_than_the_ended_case_was_is_not_filed_again(shard: Shard) -> None:
    key = raised(shard, "cover.tilt", YELLOW)
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    says(shard, key, S.closed)
    record(shard, change(shard, "cover.tilt", RED, YELLOW, reason=Reason.severity_fell))
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    assert len(cases(shard)) == 1, "the platform has closed it knowing that it was red"
    assert notices(shard) == ["raise", "change"]


def test_a_fall_and_a_rise_in_one_batch_open_one_case_and_tell_nothing_of_the_fall(shard: Shard) -> None:
    key = raised(shard, "cover.tilt", ORANGE)
    says(shard, key, S.closed)
    record(
        shard,
        change(shard, "cover.tilt", ORANGE, YELLOW, reason=Reason.severity_fell),
        change(shard, "cover.tilt", YELLOW, RED),
    )
    assert [row["again"] for row in cases(shard)] == [0, 1]
    assert notices(shard) == ["raise", "raise"]


def test_a_false_alarm_that_gets_worse_is_not_filed_but_somebody_must_look(shard: Shard) -> None:
    key = raised(shard, "cover.tilt", YELLOW)
    episode = shard.one("SELECT episode_key FROM episodes")["episode_key"]
    with hand(shard) as connection:
        judged(connection, episode, False, actor="desk", at=CLOCK.now())
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    assert [row["case_key"] for row in cases(shard)] == [key]
    assert case(shard)["needs_person"] == Need.worse_after_false_alarm
    assert notices(shard) == ["raise", "cancel"]
    do(shard, key, Noted(settles=True), "已去看过")
    record(shard, change(shard, "cover.tilt", RED, YELLOW, reason=Reason.severity_fell))
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    assert case(shard)["needs_person"] is None, "somebody looked at red"
    cleared(shard, "cover.tilt", RED)


def test_a_false_alarm_to_which_somebody_was_sent_and_that_gets_worse_needs_somebody_too(shard: Shard) -> None:
    key = raised(shard, "cover.tilt", YELLOW)
    says(shard, key, S.dispatched)
    episode = shard.one("SELECT episode_key FROM episodes")["episode_key"]
    with hand(shard) as connection:
        judged(connection, episode, False, actor="desk", at=CLOCK.now())
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    assert case(shard)["needs_person"] == Need.worse_after_false_alarm
    assert notices(shard) == ["raise", "cancel", "change"]
    says(shard, key, S.closed)
    assert case(shard)["needs_person"] == Need.worse_after_false_alarm, "what was called off is red"


def test_what_was_verified_once_does_not_wait_for_it_again(shard: Shard) -> None:
    proof = {"ts_us": shard.now_us, "received_us": shard.now_us, "field": "open", "value": 1.0}
    key = raised(shard, "cover.late_hazard", BLUE, proof=proof)
    do(shard, key, Verified())
    says(shard, key, S.not_accepted)
    record(shard, change(shard, "cover.late_hazard", BLUE, RED, proof=proof))
    assert (case(shard)["again"], case(shard)["state"]) == (1, "reported")
    assert notices(shard) == ["raise", "raise"]


def test_the_platform_s_late_word_on_the_ended_case_begins_no_second_one(shard: Shard) -> None:
    key = raised(shard, "cover.tilt", YELLOW)
    do(shard, key, Cancelled(), "已另行派单")
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    says(shard, key, S.dispatched)
    assert [(row["again"], row["state"]) for row in cases(shard)] == [(0, "cancelled"), (1, "reported")]
    assert case(shard, key)["known_state"] == "dispatched"


def test_where_the_platform_s_late_word_has_begun_it_again_it_gets_worse_there(shard: Shard) -> None:
    key = raised(shard, "cover.tilt", YELLOW)
    do(shard, key, Cancelled(), "已另行派单")
    says(shard, key, S.dispatched)
    record(shard, change(shard, "cover.tilt", YELLOW, RED))
    assert [(row["again"], row["level"]) for row in cases(shard)] == [(0, 2)]
    assert notices(shard) == ["raise", "cancel", "change"]


def again(shard: Shard, case_key: int, note: str = "") -> Refiled | Refused:
    with hand(shard) as connection:
        return refile(connection, case_key, actor="desk", at=CLOCK.now(), note=note)


def test_an_operator_files_again_what_was_ended_and_is_open(shard: Shard) -> None:
    key = raised(shard)
    says(shard, key, S.closed)
    done = again(shard, key, "现场仍打开")
    new = case(shard)
    assert done == Refiled(new["case_key"])
    assert (new["again"], new["state"]) == (1, "reported")
    assert [(name, shown["again"]) for name, shown in told(shard)] == [("raise", 0), ("raise", 1)]
    assert (steps(shard, key)[-1][0], case(shard, key)["needs_person"]) == ("refiled", None)
    entered = shard.rows("SELECT actor, action, detail FROM audit WHERE subject = %s", f"case:{new['case_key']}")
    assert [(row["actor"], row["action"], row["detail"]["note"]) for row in entered] == [
        ("desk", "case.opened", "现场仍打开")
    ]
    assert shard.one("SELECT actor FROM audit WHERE action = 'case.refiled'")["actor"] == "desk"
    line = shard.one("SELECT reason, actor FROM transitions WHERE region = 'case'")
    assert (line["reason"], line["actor"]) == ("case_refiled", "desk")
    assert again(shard, key) == Refused(Refusal.still_open)
    says(shard, new["case_key"], S.forced_close)
    assert again(shard, key) == Refiled(case(shard)["case_key"]), "by any of its cases"
    assert case(shard)["again"] == 2


def test_what_is_over_or_goes_on_elsewhere_is_not_filed_again(shard: Shard) -> None:
    other = raised(shard, device_id="C-2")
    assert again(shard, other) == Refused(Refusal.still_open)
    key = raised(shard, "cover.tilt", YELLOW)
    do(shard, key, Merged(other))
    assert again(shard, key) == Refused(Refusal.in_incident)
    says(shard, other, S.closed)
    assert again(shard, key) == Refiled(case(shard)["case_key"])
    cleared(shard, "cover.tilt", YELLOW)
    assert again(shard, key) == Refused(Refusal.alarm_over)
    with pytest.raises(NoSuchCaseError, match="case 999"):
        again(shard, 999)


def test_what_no_condition_files_any_more_is_not_filed_again(shard: Shard) -> None:
    key = raised(shard)
    says(shard, key, S.closed)
    off = parse_override({"rule_id": "filing.cover_open", "scope": "device:C-1", "source": "试用", "enabled": False})
    with hand(shard) as connection:
        put_override(connection, off, actor="wang")
    assert again(shard, key) == Refused(Refusal.files_nothing)
    assert (len(cases(shard)), notices(shard)) == (1, ["raise"])
    shard.ask.execute("DELETE FROM rules WHERE created_by = 'wang'")


def test_filing_a_false_alarm_again_takes_the_verdict_back(shard: Shard) -> None:
    key = raised(shard)
    episode = shard.one("SELECT episode_key FROM episodes")["episode_key"]
    with hand(shard) as connection:
        judged(connection, episode, False, actor="desk", at=CLOCK.now())
        connection.execute("UPDATE episodes SET confirmed = false, confirmed_by = 'desk', confirmed_at = now()")
    assert again(shard, key) == Refiled(case(shard)["case_key"])
    assert shard.one("SELECT confirmed FROM episodes")["confirmed"] is None
    assert (case(shard, key)["false_alarm_at"], case(shard, key)["needs_person"]) == (None, None)
    assert shard.one("SELECT actor FROM audit WHERE action = 'alarm.verdict'")["actor"] == "desk"
    assert notices(shard) == ["raise", "cancel", "raise"]


# clocks --------------------------------------------------------------------------------------------------------------


def test_clocks_run_out_once_each_and_stand_still_while_suspended(shard: Shard) -> None:
    key, second = raised(shard), raised(shard, device_id="C-2")
    says(shard, second, S.dispatched)
    do(shard, second, Suspended())

    def tick(hours: float) -> None:
        with hand(shard) as connection:
            due.step(connection, CLOCK.now() + timedelta(hours=hours))

    def overdue(of: int) -> list[str]:
        return [event for event, *_ in steps(shard, of) if event.startswith("overdue")]

    tick(0.4)
    assert overdue(key) == []
    tick(0.6)
    tick(0.6)
    assert overdue(key) == ["overdue_arrive"]
    assert case(shard, key)["arrive_overdue_at"] == case(shard, key)["arrive_by"]
    tick(7)
    tick(8)
    assert overdue(key) == ["overdue_arrive", "overdue_repair"]
    assert overdue(second) == ["overdue_arrive"], "挂账 stops the clock of the repair"
    do(shard, key, Handled())
    assert case(shard, key)["handled_at"] is not None


def test_a_suspension_prolongs_the_repair_by_itself(shard: Shard) -> None:
    key = raised(shard)
    says(shard, key, S.dispatched)
    by = case(shard)["repair_by"]
    with hand(shard) as connection:
        now = CLOCK.now()
        act(connection, Happened(key, Suspended(), now), actor="desk")
        act(connection, Happened(key, Resumed(), now + timedelta(hours=3)), actor="desk")
    after = case(shard)
    assert after["repair_by"] - by == timedelta(hours=3)
    assert (after["suspended_s"], after["suspended_since"]) == (10_800, None)
    assert after["arrive_by"] - after["opened_at"] == timedelta(minutes=30), "that one runs on"


# the record ----------------------------------------------------------------------------------------------------------


def test_what_moves_nothing_is_recorded_too(shard: Shard) -> None:
    key = raised(shard)
    says(shard, key, S.dispatched)
    with hand(shard) as connection:
        at = case(shard)["known_at"] - timedelta(minutes=5)
        older = apply(connection, key, Reached(S.accepted), actor="platform:city", cause="callback", at=at)
        repeated = apply(
            connection, key, Reached(S.dispatched), actor="platform:city", cause="callback", at=CLOCK.now()
        )
    assert (older.unmoved, older.step_no, older.moved) == (Unmoved.older, 4, False)
    assert (repeated.unmoved, repeated.step_no) == (Unmoved.repeated, None)
    row = shard.one("SELECT detail FROM case_steps WHERE case_key = %s AND step_no = 4", key)
    assert row["detail"] == {"to": "accepted", "unmoved": "older"}


def test_steps_are_never_changed(shard: Shard) -> None:
    raised(shard)
    for wrong in ("UPDATE case_steps SET note = 'x'", "DELETE FROM case_steps", "TRUNCATE case_steps CASCADE"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shard.ask.execute(wrong.encode())


def test_a_platform_s_sink_of_a_higher_severity_is_told_of_none_below(shard: Shard) -> None:
    shard.sink("red", "platform", min_severity=4)
    raised(shard, "cover.tilt", YELLOW)
    assert [row[1] for row in shard.owed("city")] == ["raise"]
    assert shard.owed("red") == []


def test_what_a_platform_hears_first_of_a_case_is_a_raise(shard: Shard) -> None:
    shard.sink("orange", "platform", min_severity=3)
    shard.sink("red", "platform", min_severity=4)
    raised(shard, "cover.tilt", YELLOW)
    record(shard, change(shard, "cover.tilt", YELLOW, ORANGE))
    assert [row[1] for row in shard.owed("orange")] == ["raise"]
    assert shard.owed("red") == []
    record(shard, change(shard, "cover.tilt", ORANGE, RED))
    cleared(shard, "cover.tilt")
    assert [row[1] for row in shard.owed("city")] == ["raise", "change", "change", "clear"]
    assert [row[1] for row in shard.owed("orange")] == ["raise", "change", "clear"]
    assert [row[1] for row in shard.owed("red")] == ["raise", "clear"]
    rows = shard.rows("SELECT o.notice, o.snapshot, o.transition_no FROM outbox o ORDER BY delivery_key")
    assert all(row["notice"] == row["snapshot"]["notice"] for row in rows)
    assert [row["transition_no"] for row in rows] == sorted(row["transition_no"] for row in rows)


def test_what_it_hears_first_of_several_changes_at_once_is_a_raise(shard: Shard) -> None:
    """All of them in one transaction, where none can be seen in the outbox yet."""
    shard.sink("orange", "platform", min_severity=3)
    record(
        shard,
        change(shard, "cover.tilt", None, YELLOW),
        change(shard, "cover.tilt", YELLOW, ORANGE),
        change(shard, "cover.tilt", ORANGE, RED),
        change(shard, "cover.tilt", RED, ORANGE),
    )
    assert [row[1] for row in shard.owed("city")] == ["raise", "change", "change", "change"]
    assert [row[1] for row in shard.owed("orange")] == ["raise", "change", "change"]


def test_a_notice_says_where_it_lies_and_how_long_there_is(shard: Shard) -> None:
    raised(shard)
    says(shard, case(shard)["case_key"], S.dispatched)
    do(shard, case(shard)["case_key"], Suspended(), "等配件")
    first, last = (said for _, said in (told(shard)[0], told(shard)[-1]))
    assert (first["arrive_kind"], first["arrive_amount"]) == ("urgent_hour", 0.5)
    assert (first["repair_kind"], first["repair_amount"]) == ("urgent_hour", 6)
    assert (first["supervised"], first["rework"], first["state"]) == (False, 0, "reported")
    assert (last["supervised"], last["rework"], last["state"]) == (False, 0, "suspended")
    row = shard.one("SELECT snapshot -> 'area' AS area FROM outbox ORDER BY delivery_key LIMIT 1")
    assert row["area"].keys() == {"code", "name", "district", "street"}


def test_a_platform_that_came_later_hears_of_a_case_by_a_raise(shard: Shard) -> None:
    raised(shard, "cover.tilt", YELLOW)
    shard.sink("new", "platform")
    record(shard, change(shard, "cover.tilt", YELLOW, ORANGE))
    assert [row[1] for row in shard.owed("city")] == ["raise", "change"]
    assert [row[1] for row in shard.owed("new")] == ["raise"]


def test_a_late_rule_in_the_database_cannot_make_an_internal_matter_a_case(shard: Shard) -> None:
    """Written past the rulebook, as by hand."""
    body = RULES["cover.offline"].rule.model_dump(mode="json") | {"case": {"filing": "filing.cover_open"}}
    shard.ask.execute(
        "INSERT INTO rules (rule_id, scope, version, body, created_by) VALUES ('cover.offline', 'city', 9, %s, 'hand')",
        [Jsonb(body)],
    )
    record(shard, change(shard, "cover.offline", None, BLUE, rule=RuleInForce(parse_rule(body), 9)))
    assert cases(shard) == []
    shard.wait(MINUTE)


def test_a_rule_that_names_a_condition_that_is_not_there_is_refused(shard: Shard) -> None:
    body = RULES["cover.open"].rule.model_dump(mode="json") | {"case": {"filing": "filing.nowhere"}}
    with hand(shard) as connection, pytest.raises(RuleError, match=r"filing\.nowhere") as refused:
        put(connection, parse_rule(body), actor="wang")
    assert "filing.cover_open" in str(refused.value)
