"""A platform's receipts: its number, and whose the case is from then on; and a link upward that holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from alerts.upward.run import run_upward
from tests.integration.filed import Filing
from tests.integration.owing import dispatching, eventually, settings
from tests.integration.receivers import OK, Receiver, Reply, Request


@pytest.fixture
def filing(database: str) -> Iterator[Filing]:
    owing = Filing(database)
    yield owing
    owing.close()


def reported(filing: Filing, case: int) -> list[tuple[int, str | None]]:
    rows = filing.rows("SELECT sink_key, platform_no FROM case_reported WHERE case_key = %s ORDER BY sink_key", case)
    return [(row["sink_key"], row["platform_no"]) for row in rows]


def test_a_receipt_says_whose_it_is_and_its_number(filing: Filing) -> None:
    with Receiver() as receiver:
        sink = filing.platform(url=receiver.url)
        crew = filing.sink("crew", receiver.url, channel="webhook", audience="crew")
        case = filing.case(1, sink)
        alarm = filing.of(case)["alarm_key"]
        filing.owe(crew, alarm)
        filing.owe(sink, alarm, 2, "change")
        with dispatching(filing.database):
            eventually(lambda: set(filing.states().values()) == {"delivered"})
    assert reported(filing, case) == [(sink, "A1")]
    after = filing.of(case)
    assert (after["sink_key"], after["platform_no"]) == (sink, "A1")
    steps = [(step["event"], step["cause"], step["actor"]) for step in filing.steps(case)]
    assert ("received", "receipt", "dispatch") in steps
    assert len([step for step in steps if step[0] == "received"]) == 1
    row = filing.rows("SELECT reported_at <= told_at AS right, heard_at FROM case_reported")[0]
    assert (row["right"], row["heard_at"]) == (True, None)


def test_an_answer_without_a_number_and_a_second_platform(filing: Filing) -> None:
    def answer(request: Request) -> Reply:
        return OK if request.path == "/other" else Reply(body={"code": 0})

    with Receiver(answer) as receiver:
        first = filing.platform(url=receiver.url)
        second = filing.platform("second", url=receiver.url.replace("/events", "/other"))
        case = filing.case(1, first)
        with dispatching(filing.database):
            eventually(lambda: filing.of(case)["sink_key"] == first)
            filing.owe(second, filing.of(case)["alarm_key"])
            eventually(lambda: len(reported(filing, case)) == 2)
    assert reported(filing, case) == [(first, None), (second, "A1")]
    assert filing.of(case)["platform_no"] is None, "the number is the second platform's, the case the first one's"


def test_an_upper_platform_that_hangs_holds_up_nobody(filing: Filing) -> None:
    def hang(request: Request) -> Reply:
        time.sleep(3)
        return OK

    with Receiver(hang) as province, Receiver() as city:
        filing.sink("province", province.url, audience="upward", based_on="shengpingtai")
        sink = filing.platform(url=city.url)
        filing.execute(
            "INSERT INTO upward_streams (sink_key, began_at, step_key, next_day)"
            " SELECT sink_key, now(), 0, current_date + 1 FROM sinks WHERE name = 'province'"
        )
        stop = threading.Event()
        upward = threading.Thread(target=run_upward, args=(settings(filing.database), stop))
        with dispatching(filing.database):
            first = filing.case(1, sink)
            eventually(lambda: filing.of(first)["sink_key"] == sink)
            filing.execute(
                "INSERT INTO case_steps (case_key, step_no, to_state, event, at, actor, cause)"
                " VALUES (%s, 100, 'accepted', 'opened', now(), 'engine', 'engine')",
                first,
            )
            upward.start()
            eventually(lambda: province.requests)
            began = time.monotonic()
            second = filing.case(2, sink)
            eventually(lambda: filing.of(second)["sink_key"] == sink)
            assert time.monotonic() - began < 2.5
            assert len(province.requests) == 1, "it has answered by now: nothing was shown"
        stop.set()
        upward.join(20)
        assert not upward.is_alive()
