"""Cases on the stand-in platform over real HTTP: their way, their clocks, what is told back, and what goes wrong."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.platform.app import PlatformSettings
from simulators.platform.cases import FINAL, WAY, CaseState
from simulators.platform.course import Callbacks, Course, Fates, Limits, Outage, Takes, load_course
from tests.integration.receivers import Receiver, Reply, Request
from tests.integration.stand_in import event, push, running

_AT_ONCE = Takes(
    verify_s=0.01,
    register_s=0.01,
    dispatch_s=0.01,
    begin_s=0.01,
    handle_s=0.02,
    suspend_s=0.01,
    check_s=0.01,
    close_s=0.01,
)


def until(condition: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.02)
    return found


def only_case(client: httpx.Client) -> dict[str, Any]:
    [case] = client.get("/cases").json()
    return dict(case)


def states(case: dict[str, Any]) -> list[str]:
    return [step["state"] for step in case["history"]]


def over(client: httpx.Client, cases: int = 1) -> Callable[[], list[dict[str, Any]]]:
    """All of them, once all are over and everything about them is told."""

    def look() -> list[dict[str, Any]]:
        found = client.get("/cases", params={"limit": 10_000}).json()
        done = len(found) == cases and not any(case["open"] for case in found)
        return found if done and not client.get("/stats").json()["cases"]["callbacks_waiting"] else []

    return look


def test_a_case_goes_its_whole_way_and_every_step_is_told_in_order() -> None:
    course = Course(takes=_AT_ONCE, callbacks=Callbacks(token="t0ken", rename={"disposal_status": "status"}))
    with running(PlatformSettings(course=course)) as client, Receiver() as crew:
        push(client, event("p1", callback_url=crew.url))
        [case] = until(over(client), "closed case")
        requests = list(crew.requests)
    assert states(case) == [
        *("reported", "pending_register", "accepted", "pending_dispatch", "dispatched", "pending_handle", "handling"),
        *("handle_finish", "pending_check", "checking", "check_pass", "pending_close", "closed"),
    ]
    bodies = [request.body for request in requests]
    assert [body["case_status"] for body in bodies] == ["accepted", "dispatched", "handling", "handle_finish", "closed"]
    assert [body["status"] for body in bodies] == [*["processing"] * 4, "closed"]
    assert {(body["push_id"], body["event_id"], body["platform_no"]) for body in bodies} == {
        ("p1", "12-1", case["platform_no"])
    }
    for request in requests:
        stamp, nonce = request.headers["x-tif-timestamp"], request.headers["x-tif-nonce"]
        assert (
            request.headers["x-tif-signature"]
            == hashlib.sha256(f"{stamp}t0ken{nonce}{stamp}".encode()).hexdigest().upper()
        )


def test_rework_return_and_suspension_happen_where_they_are_asked_for() -> None:
    fates = Fates(verified=1, returned=1, suspended=1, rework=1, most_rework=2)
    with running(PlatformSettings(course=Course(takes=_AT_ONCE, fates=fates))) as client:
        push(client, event("p1"))
        [case] = until(over(client), "closed case")
    assert (case["rework"], case["returns"], case["state"]) == (2, 1, "closed")
    assert states(case).count("suspended") == 1
    assert states(case)[1] == "pending_verify"


@pytest.mark.parametrize(
    ("fates", "end"), [(Fates(verified=1, not_real=1), "not_accepted"), (Fates(not_accepted=1), "not_accepted")]
)
def test_what_is_not_there_is_no_case(fates: Fates, end: str) -> None:
    with running(PlatformSettings(course=Course(takes=_AT_ONCE, fates=fates))) as client:
        push(client, event("p1"))
        [case] = until(over(client), "end")
    assert case["state"] == end


def test_an_alarm_that_is_over_before_anybody_was_sent_makes_its_case_void() -> None:
    slow = Takes(register_s=0.3, spread=0)
    with running(PlatformSettings(course=Course(takes=slow))) as client:
        push(client, event("p1"))
        push(client, event("p2", 2, "clear"))
        [case] = until(over(client), "end")
    assert (case["state"], case["cleared"], case["push_id"]) == ("cancelled", True, "p2")


def test_overdue_and_supervised_are_said_once() -> None:
    course = Course(takes=_AT_ONCE, fates=Fates(overdue=1), limits=Limits(handle_s=0.2, supervise_after_s=0.01))
    with running(PlatformSettings(course=course)) as client, Receiver() as crew:
        push(client, event("p1", callback_url=crew.url))
        [case] = until(over(client), "closed case")
        late = [request.body for request in crew.requests if request.body["overdue"]]
    assert (case["overdue"], case["supervised"], case["state"]) == (True, True, "closed")
    assert [body["case_status"] for body in late] == ["handling", "handling", "handle_finish", "closed"]
    assert [body["supervised"] for body in late] == [False, True, True, True]


def test_callbacks_are_lost_repeated_late_and_wrongly_signed_and_all_is_on_record() -> None:
    habits = Callbacks(lost=0.2, repeated=0.3, late=0.3, late_s=0.1, bad_signature=0.2, token="t")
    with running(PlatformSettings(course=Course(takes=_AT_ONCE, callbacks=habits))) as client, Receiver() as crew:
        for number in range(30):
            push(client, event(f"p{number}", alarm=str(number), callback_url=crew.url))
        until(over(client, 30), "closed cases")
        time.sleep(0.3)
        until(over(client, 30), "late callbacks")
        records = client.get("/records", params={"kind": "callback"}).json()
        bodies = [request.body for request in crew.requests]
    lost = [record["body"] for record in records if record["outcome"] == "lost"]
    assert len([record for record in records if record["outcome"] == "delivered"]) == len(bodies)
    told = {(body["event_id"], body["case_status"]) for body in bodies}
    assert len(told) + len(lost) == 30 * 5
    assert len(bodies) > len(told)
    assert lost
    orders = [[body["case_status"] for body in bodies if body["event_id"] == f"{n}-1"] for n in range(30)]
    assert any(order and order[-1] != "closed" and "closed" in order for order in orders)


def test_a_receiver_that_is_away_is_tried_again_and_then_given_up() -> None:
    def away(request: Request) -> Reply:
        return Reply(503 if len(crew.requests) < 3 else 200)

    course = Course(goes_on=False, callbacks=Callbacks(attempts=3, retry_s=0.02))
    with running(PlatformSettings(course=course)) as client, Receiver() as crew:
        crew.behaviour = away
        push(client, event("p1", callback_url=crew.url))
        number = only_case(client)["platform_no"]
        assert client.post(f"/cases/{number}", json={"state": "cancelled", "by": "张三"}).json()["state"] == "cancelled"
        until(lambda: len(crew.requests) == 3, "third attempt")
        push(client, event("p2", alarm="13", callback_url=crew.url.replace("/events", "/x")))
        crew.behaviour = lambda request: Reply(500)
        client.post(f"/cases/{client.get('/cases').json()[1]['platform_no']}", json={"state": "cancelled"})
        records = until(
            lambda: [
                r for r in client.get("/records", params={"kind": "callback"}).json() if r["outcome"] == "given_up"
            ],
            "giving up",
        )
    assert records[0]["detail"].startswith("500")


def test_a_step_that_is_not_on_the_way_is_refused_and_says_what_is() -> None:
    with running(PlatformSettings()) as client:
        push(client, event("p1"))
        number = only_case(client)["platform_no"]
        refused = client.post(f"/cases/{number}", json={"state": "closed"})
        assert refused.status_code == 409
        assert "reported cannot become closed" in refused.json()["detail"]
        assert "pending_verify" in refused.json()["detail"]
        assert client.post("/cases/SJ0", json={"state": "closed"}).status_code == 404
        assert client.get("/cases/SJ0").status_code == 404
        assert client.post(f"/cases/{number}", json={"state": "lost"}).status_code == 422
        for state in ("pending_register", "accepted", "pending_dispatch", "dispatched", "pending_handle", "handling"):
            assert client.post(f"/cases/{number}", json={"state": state}).json()["state"] == state
        assert client.post(f"/cases/{number}", json={"state": "supervise"}).json()["supervised"] is True
        assert client.post(f"/cases/{number}", json={"state": "forced_close"}).json()["open"] is False
        assert client.post(f"/cases/{number}", json={"state": "handling"}).status_code == 409
        assert [case["state"] for case in client.get("/cases", params={"state": "forced_close"}).json()] == [
            "forced_close"
        ]
        assert client.get("/cases", params={"push_id": "other"}).json() == []


def test_a_course_may_be_told_while_it_runs_and_its_outages_come_on_time() -> None:
    outage = Outage.model_validate({"after_s": 0.2, "behaviour": {"kind": "refuse", "status": 503, "seconds": 0.5}})
    course = Course(name="mine", takes=_AT_ONCE, outages=(outage,))
    with running(PlatformSettings()) as client:
        push(client, event("p1"))
        assert only_case(client)["state"] == "reported"
        assert client.post("/course", json=course.model_dump(mode="json")).status_code == 200
        assert client.get("/course").json()["name"] == "mine"
        until(over(client), "closed case")
        statuses = []
        until(
            lambda: statuses.append(push(client, event("p1")).status_code) or {200, 503} <= set(statuses[-2:]), "outage"
        )
        until(lambda: push(client, event("p1")).status_code == 200, "end of the outage")


def test_a_platform_started_again_goes_on_with_its_cases(tmp_path: Path) -> None:
    record = tmp_path / "records.jsonl"
    with running(PlatformSettings(record=record)) as client:
        push(client, event("p1"))
        push(client, event("p2", alarm="13"))
        number = only_case_of(client, "12-1")
        for state in ("pending_register", "accepted", "supervise"):
            client.post(f"/cases/{number}", json={"state": state})
        before = client.get(f"/cases/{number}").json()
    with running(PlatformSettings(record=record, course=Course(takes=_AT_ONCE))) as client:
        cases = until(over(client, 2), "closed cases")
    after = next(case for case in cases if case["platform_no"] == number)
    assert [(step["state"], step["at_ms"]) for step in after["history"][:3]] == [
        (step["state"], step["at_ms"]) for step in before["history"]
    ]
    assert (after["state"], after["supervised"]) == ("closed", True)


def only_case_of(client: httpx.Client, key: str) -> str:
    return next(str(case["platform_no"]) for case in client.get("/cases").json() if case["event"] == key)


def test_the_same_seed_leads_cases_to_the_same_ends() -> None:
    course = load_course("unruly").model_copy(
        update={"takes": _AT_ONCE, "outages": (), "limits": Limits(handle_s=0.05)}
    )

    def ends() -> dict[str, tuple[str, int, int]]:
        with running(PlatformSettings(course=course, seed=7)) as client:
            for number in range(40):
                push(client, event(f"p{number}", alarm=str(number)))
            return {
                case["event"]: (case["state"], case["rework"], case["returns"])
                for case in until(over(client, 40), "ends")
            }

    first = ends()
    assert first == ends()
    assert {state for state, _, _ in first.values()} == {"closed", "not_accepted"}


def test_every_open_state_leads_somewhere() -> None:
    assert set(WAY) | FINAL == set(CaseState)
    reached, look = {CaseState.reported}, [CaseState.reported]
    while look:
        for state in WAY.get(look.pop(), ()):
            if state not in reached:
                reached.add(state)
                look.append(state)
    assert reached == set(CaseState) - {CaseState.forced_close, CaseState.cancelled}
