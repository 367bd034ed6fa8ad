"""A platform's callbacks: whose they are, what they do to a case and to its alarm, and which are refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.cases.callbacks import RefusedError, Taken, Told, platform_sink, take
from alerts.cases.due import step
from tests.integration.filed import Filing, incoming, said, tif
from underfoot.storage.connect import Connection, connect

NOW = datetime.now(UTC).replace(microsecond=0)
CLOCKS: dict[str, Any] = {
    "arrive_by": NOW + timedelta(minutes=25), "arrive_kind": "urgent_hour", "arrive_amount": 0.5,
    "repair_by": NOW + timedelta(hours=6), "repair_kind": "urgent_hour", "repair_amount": 6,
}  # fmt: skip


@pytest.fixture
def filing(database: str) -> Iterator[Filing]:
    owing = Filing(database)
    yield owing
    owing.close()


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, "test", autocommit=True) as opened:
        yield opened


def call(
    connection: Connection, body: dict[str, Any], headers: dict[str, str] | None = None, sink: str = "wuhu"
) -> Taken:
    told = tell(connection, body, headers, sink)
    assert not told.listed
    [taken] = told.each
    assert isinstance(taken, Taken)
    return taken


def tell(
    connection: Connection, body: dict[str, Any], headers: dict[str, str] | None = None, sink: str = "wuhu"
) -> Told:
    with connection.transaction():
        return take(connection, platform_sink(connection, sink), incoming(body, headers), datetime.now(UTC))


def refused(connection: Connection, body: dict[str, Any], headers: dict[str, str] | None = None) -> tuple[int, str]:
    with pytest.raises(RefusedError) as error:
        call(connection, body, headers)
    return error.value.status, error.value.why


def test_a_case_is_found_by_whatever_names_it(filing: Filing, connection: Connection) -> None:
    sink = filing.platform()
    by_header, by_body, by_event, by_number = (filing.case(n, sink) for n in range(1, 5))
    filing.delivered(by_number, "SJ4")
    call(connection, said("accepted", NOW), {**tif(), "x-push-id": filing.push_id(by_header)})
    call(connection, said("accepted", NOW, push_id=filing.push_id(by_body), event_id="999-1"))
    call(
        connection, said("accepted", NOW, push_id="never-heard-of", event_id=filing.event(by_event), platform_no="SJ3")
    )
    call(connection, said("accepted", NOW, platform_no="SJ4"))
    assert [filing.of(key)["state"] for key in (by_header, by_body, by_event, by_number)] == ["accepted"] * 4
    # The receipts of the first three never came: the callback says that the platform has them, and under which number.
    assert [filing.of(key)["sink_key"] for key in (by_header, by_body, by_event)] == [sink] * 3
    assert filing.of(by_event)["platform_no"] == "SJ3"
    reported = filing.rows("SELECT case_key, platform_no FROM case_reported WHERE heard_at IS NOT NULL ORDER BY 1")
    assert [row["platform_no"] for row in reported] == [None, None, "SJ3", "SJ4"]


def test_the_same_again_is_one_step(filing: Filing, connection: Connection) -> None:
    case = filing.case(1, filing.platform())
    body = said("handling", NOW, event_id=filing.event(case), disposal_result="已到场")
    first, again = call(connection, body), call(connection, body)
    assert first.moved
    assert (again.moved, again.repeated) == (False, True)
    assert [step["to_state"] for step in filing.steps(case) if step["event"] == "reached"] == ["handling"]
    [step] = [step for step in filing.steps(case) if step["event"] == "reached"]
    assert (step["actor"], step["cause"], step["note"]) == ("platform:wuhu", "callback", "已到场")
    assert step["detail"]["operator"] == "值班员"


def test_what_comes_late_is_recorded_and_moves_nothing(filing: Filing, connection: Connection) -> None:
    case = filing.case(1, filing.platform())
    event = filing.event(case)
    call(connection, said("handle_finish", NOW, event_id=event))
    late = call(connection, said("dispatched", NOW - timedelta(minutes=3), event_id=event))
    assert not late.moved
    assert filing.of(case)["state"] == "handle_finish"
    assert filing.steps(case)[-1]["detail"]["unmoved"] == "older"


def test_closed_is_final(filing: Filing, connection: Connection) -> None:
    case = filing.case(1, filing.platform())
    event = filing.event(case)
    call(connection, {"event_id": event, "disposal_status": "closed", "disposal_time": "2026-07-01 10:00:00"})
    call(connection, said("handling", NOW, event_id=event))
    assert (filing.of(case)["state"], filing.of(case)["ended_how"]) == ("closed", "closed")


def test_a_status_of_which_nothing_is_known_falls_back_on_the_coarser(filing: Filing, connection: Connection) -> None:
    case = filing.case(1, filing.platform())
    call(connection, said("专项督导", NOW, event_id=filing.event(case), disposal_status="processing"))
    assert filing.of(case)["state"] == "dispatched"


@pytest.mark.parametrize("nothing", ["0001-01-01 00:00:00", "1970-01-01 08:00:00", 0])
def test_a_time_that_stands_for_none_is_none(filing: Filing, connection: Connection, nothing: Any) -> None:
    case = filing.case(1, filing.platform(), **CLOCKS)
    event = filing.event(case)
    for state in ("suspended", "handling"):
        call(connection, said(state, event_id=event, disposal_time=nothing))
    row = filing.of(case)
    assert (row["state"], row["repair_by"] - CLOCKS["repair_by"] < timedelta(minutes=1)) == ("handling", True)
    assert abs(row["arrived_at"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert call(connection, said("handle_finish", datetime.now(UTC) + timedelta(seconds=2), event_id=event)).moved


def test_a_clock_that_is_ahead_still_tells_what_came_after_what(filing: Filing, connection: Connection) -> None:
    case = filing.case(1, filing.platform())
    event, ahead = filing.event(case), NOW + timedelta(minutes=2)
    call(connection, said("handling", ahead, event_id=event))
    assert not call(connection, said("suspended", ahead - timedelta(seconds=30), event_id=event)).moved
    assert filing.of(case)["state"] == "handling"


def test_nobody_has_arrived_where_it_is_only_sent_or_suspended(filing: Filing, connection: Connection) -> None:
    """The first clock goes on until somebody is there: it is the one that guards people."""
    sink = filing.platform()
    sent, waits = filing.case(1, sink, **CLOCKS), filing.case(2, sink, **CLOCKS)
    call(connection, said("什么", NOW, event_id=filing.event(sent), disposal_status="processing"))
    for second, state in enumerate(("dispatched", "suspended")):
        call(connection, said(state, NOW + timedelta(seconds=second), event_id=filing.event(waits)))
    assert [filing.of(case)["arrived_at"] for case in (sent, waits)] == [None, None]
    step(connection, NOW + timedelta(hours=2))
    assert [filing.steps(case)[-1]["event"] for case in (sent, waits)] == ["overdue_arrive"] * 2


def test_what_the_platform_ends_while_it_is_open_is_nobodys_any_more(filing: Filing, connection: Connection) -> None:
    sink = filing.platform()
    ours, theirs, untouched = (filing.case(number, sink) for number in (1, 2, 3))
    who = "SELECT human, acknowledged_by FROM episodes ORDER BY episode_key"
    for case in (ours, theirs):
        call(connection, said("accepted", NOW, event_id=filing.event(case)))
    filing.execute("UPDATE episodes SET acknowledged_by = '李强' WHERE alarm_key = 1")
    for case in (ours, theirs, untouched):
        call(connection, said("closed", NOW + timedelta(seconds=1), event_id=filing.event(case)))
    assert [tuple(row.values()) for row in filing.rows(who)] == [
        ("acknowledged", "李强"), ("unacknowledged", None), ("unacknowledged", None),
    ]  # fmt: skip
    assert {filing.of(case)["needs_person"] for case in (ours, theirs, untouched)} == {"closed_while_open"}


def test_a_citizens_case_goes_on_instead(filing: Filing, connection: Connection) -> None:
    """Its end names that; a number that is none, or its own, is no reason for nobody to look at what is open."""
    sink = filing.platform()
    duplicate, *plain = (filing.case(n, sink) for n in range(1, 5))
    call(connection, said("accepted", NOW, event_id=filing.event(duplicate)))
    call(
        connection,
        said("cancelled", NOW + timedelta(seconds=9), event_id=filing.event(duplicate), duplicate_of="12345-0088"),
    )
    row = filing.of(duplicate)
    assert (row["ended_how"], row["duplicate_of"], row["end_confirmed"]) == ("duplicate", "12345-0088", True)
    assert row["needs_person"] is None
    assert filing.steps(duplicate)[-1]["detail"]["duplicate_of"] == "12345-0088"
    assert filing.rows("SELECT human FROM episodes ORDER BY episode_key")[0]["human"] == "unacknowledged"
    for case, named in zip(plain, ("0", "SJ9", ""), strict=True):
        body = said(
            "cancelled", NOW + timedelta(seconds=9), event_id=filing.event(case), platform_no="SJ9", duplicate_of=named
        )
        call(connection, body)
        assert filing.of(case)["needs_person"] == "closed_while_open"


def test_the_platform_acknowledges_the_alarm(filing: Filing, connection: Connection) -> None:
    sink = filing.platform()
    case, other = filing.case(1, sink), filing.case(2, sink)
    call(connection, said("pending_register", NOW, event_id=filing.event(case)))
    call(connection, said("not_accepted", NOW, event_id=filing.event(other)))
    episodes = "SELECT human, acknowledged_by FROM episodes ORDER BY episode_key"
    assert [row["human"] for row in filing.rows(episodes)] == ["unacknowledged"] * 2
    call(connection, said("accepted", NOW, event_id=filing.event(case)))
    assert [tuple(row.values()) for row in filing.rows(episodes)] == [
        ("acknowledged", "platform:wuhu"),
        ("unacknowledged", None),
    ]


def test_who_is_not_the_platform_is_refused(filing: Filing, connection: Connection) -> None:
    case = filing.case(1, filing.platform())
    body = said("closed", NOW, event_id=filing.event(case))
    used = tif()
    call(connection, said("accepted", NOW, event_id=filing.event(case)), used)
    assert refused(connection, body, {}) == (401, "unsigned")
    assert refused(connection, body, tif("another")) == (401, "bad_signature")
    assert refused(connection, body, tif(age_s=200)) == (401, "expired")
    assert refused(connection, body, tif(age_s=-200)) == (401, "expired")
    assert refused(connection, body, used) == (401, "replayed")
    assert filing.of(case)["state"] == "accepted"
    filing.execute("UPDATE callback_nonces SET used_at = now() - interval '11 minutes'")
    call(connection, body, used)  # ten minutes later it would be expired; its nonce may be another's
    assert filing.of(case)["state"] == "closed"


def test_what_cannot_be_understood_or_belongs_to_nobody(filing: Filing, connection: Connection) -> None:
    sink, other = filing.platform(), filing.platform("other")
    case, foreign = filing.case(1, sink), filing.case(2, other)
    event = filing.event(case)
    assert refused(connection, {"event_id": event}) == (400, "unreadable")
    assert refused(connection, said("fixed", NOW, event_id=event)) == (400, "unreadable")
    assert refused(connection, said("closed", event_id=event, disposal_time="yesterday")) == (400, "unreadable")
    assert refused(connection, said("closed", NOW, event_id=[event])) == (400, "unreadable")
    assert refused(connection, said("closed", NOW, event_id=event, disposal_result="\0")) == (400, "unreadable")
    assert refused(connection, said("closed", NOW, event_id=event, platform_no="S" * 9000)) == (400, "unreadable")
    deep: Any = {}
    for _ in range(300):
        deep = {"in": deep}
    assert refused(connection, said("closed", NOW, event_id=event, more=deep)) == (400, "unreadable")
    assert refused(connection, said("closed", NOW, event_id="77-1")) == (404, "no_such_case")
    assert refused(connection, said("closed", NOW, platform_no="SJ77")) == (404, "no_such_case")
    assert refused(connection, said("closed", NOW)) == (404, "no_such_case")
    assert refused(connection, said("closed", NOW, event_id=filing.event(foreign))) == (403, "not_its_case")
    for name, status in (("wu\0hu2", 404), ("wuhu2", 404), ("crew", 404), ("silent", 404), ("off", 403)):
        if "wu" not in name:
            filing.sink(name, "http://127.0.0.1:9/", audience="crew" if name == "crew" else "platform")
        filing.execute("UPDATE sinks SET enabled = false WHERE name = 'off'")
        with pytest.raises(RefusedError) as error:
            call(connection, said("closed", NOW, event_id=event), sink=name)
        assert error.value.status == status, name
    assert filing.of(case)["state"] == "reported"


# several in one body ------------------------------------------------------------------------------------------------


def test_a_list_is_as_one_by_one_in_its_order(filing: Filing, connection: Connection) -> None:
    sink = filing.platform()
    one, other, alone = (filing.case(number, sink) for number in (1, 2, 3))
    course = ("accepted", "dispatched", "handling", "handle_finish", "check_not_pass", "handling", "handle_finish")
    events = [
        said(state, NOW + timedelta(seconds=second - 60), event_id=filing.event(case), supervised=second % 2 == 0)
        for second, state in enumerate(course)
        for case in (one, other)
    ]
    told = tell(connection, {"callbacks": events})
    assert told.listed
    assert [(taken.case_key, taken.moved) for taken in told.each if isinstance(taken, Taken)] == [
        (case, True) for _ in course for case in (one, other)
    ]
    for second, state in enumerate(course):
        body = said(state, NOW + timedelta(seconds=second - 60), event_id=filing.event(alone))
        call(connection, body | {"supervised": second % 2 == 0})
    for case in (one, other):
        assert _life(filing, case) == _life(filing, alone)
    assert filing.of(one)["rework"] == 1
    assert [row["human"] for row in filing.rows("SELECT human FROM episodes")] == ["acknowledged"] * 3


def _life(filing: Filing, case: int) -> list[tuple[Any, ...]]:
    return [(step["event"], step["from_state"], step["to_state"], step["at"]) for step in filing.steps(case)]


@pytest.mark.parametrize(
    "course", [("handling", "suspended", "handling"), ("handle_finish", "check_not_pass", "handling")]
)
def test_a_list_without_times_is_as_one_by_one(filing: Filing, connection: Connection, course: tuple[str, ...]) -> None:
    sink = filing.platform()
    listed, alone = filing.case(1, sink), filing.case(2, sink)
    tell(connection, {"callbacks": [said(state, event_id=filing.event(listed)) for state in course]})
    for state in course:
        call(connection, said(state, event_id=filing.event(alone)))
    lives = [[line[:3] for line in _life(filing, case)] for case in (listed, alone)]
    assert lives[0] == lives[1]
    assert (filing.of(listed)["state"], filing.of(listed)["rework"]) == (
        filing.of(alone)["state"], filing.of(alone)["rework"],
    )  # fmt: skip


def test_each_of_a_list_is_judged_alone(filing: Filing, connection: Connection) -> None:
    sink, other = filing.platform(), filing.platform("other")
    case, foreign = filing.case(1, sink), filing.case(2, other)
    good = said("handling", NOW, event_id=filing.event(case))
    events = [
        said("fixed", NOW, event_id=filing.event(case)),
        good,
        said("closed", NOW, platform_no="SJ77"),
        good,
        said("closed", NOW, event_id=filing.event(foreign)),
    ]
    each = tell(connection, {"callbacks": events}).each
    assert [one.why for one in each if isinstance(one, RefusedError)] == ["unreadable", "no_such_case", "not_its_case"]
    assert [one.repeated for one in each if isinstance(one, Taken)] == [False, True]
    again = tell(connection, {"callbacks": events}).each
    assert [one.repeated for one in again if isinstance(one, Taken)] == [True, True]
    assert (filing.of(case)["state"], filing.of(foreign)["state"]) == ("handling", "reported")


def test_a_list_that_is_none(filing: Filing, connection: Connection) -> None:
    case = filing.case(1, filing.platform())
    good = said("handling", NOW, event_id=filing.event(case))
    for listed in ([], "handling", 7, {"0": good}, [good, "handling"], [good] * 1001):
        assert refused(connection, {"callbacks": listed}) == (400, "unreadable"), listed
    assert refused(connection, {"callbacks": [said("closed", NOW, platform_no="SJ77")]}) == (404, "no_such_case")
    assert filing.of(case)["state"] == "reported"
    # What nothing was taken of may come again under the same signature.
    signed = tif()
    assert refused(connection, {"callbacks": [said("closed", NOW, platform_no="SJ77")]}, signed)[0] == 404
    [taken] = tell(connection, {"callbacks": [good]}, signed).each
    assert isinstance(taken, Taken)
    assert not taken.repeated


def test_two_lists_with_the_same_in_another_order_do_not_block_each_other(
    filing: Filing, connection: Connection, database: str
) -> None:
    sink = filing.platform()
    named = [filing.event(filing.case(number, sink)) for number in range(1, 41)]
    events = [
        said("handling", NOW + timedelta(seconds=second - 60), event_id=event) for event in named for second in range(2)
    ]
    taken: list[Told] = []

    def tells(listed: list[dict[str, Any]]) -> None:
        with connect(database, "test", autocommit=True) as own:
            taken.extend(tell(own, {"callbacks": listed}) for _ in range(5))

    threads = [threading.Thread(target=tells, args=(order,)) for order in (events, events[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 10
    assert sum(not one.repeated for told in taken for one in told.each if isinstance(one, Taken)) == len(events)
