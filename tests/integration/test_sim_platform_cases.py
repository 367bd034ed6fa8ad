"""Cases on the stand-in platform over real HTTP: their way, their clocks, what is told back, and what goes wrong."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.platform.access import Access
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


def test_a_citizen_had_reported_the_same(tmp_path: Path) -> None:
    settings = PlatformSettings(course=Course(takes=_AT_ONCE, fates=Fates(duplicate=1)), record=tmp_path / "kept.jsonl")
    with running(settings) as client:
        push(client, event("p1"))
        [case] = until(over(client), "end")
    assert (case["state"], case["history"][-1]["note"]) == ("cancelled", f"与市民上报案件{case['duplicate_of']}重复")
    with running(settings) as client:
        assert client.get("/cases").json()[0]["duplicate_of"] == case["duplicate_of"]


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
        statuses: list[int] = []

        def outage_begins() -> bool:
            statuses.append(push(client, event("p1")).status_code)
            return {200, 503} <= set(statuses[-2:])

        until(outage_begins, "outage")
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
    assert {state for state, _, _ in first.values()} == {"closed", "not_accepted", "cancelled"}


def test_every_open_state_leads_somewhere() -> None:
    assert set(WAY) | FINAL == set(CaseState)
    reached, look = {CaseState.reported}, [CaseState.reported]
    while look:
        for state in WAY.get(look.pop(), ()):
            if state not in reached:
                reached.add(state)
                look.append(state)
    assert reached == set(CaseState) - {CaseState.forced_close, CaseState.cancelled}


def test_callbacks_expire_and_are_replayed() -> None:
    answers: list[int] = []

    def check(request: Request) -> Reply:
        old = abs(time.time() - int(request.headers["x-tif-timestamp"])) > 180
        nonce = request.headers["x-tif-nonce"]
        known = any(one is not request and one.headers["x-tif-nonce"] == nonce for one in receiver.requests)
        answers.append(401 if old or known else 200)
        return Reply(status=answers[-1], body={"code": 0})

    with Receiver(check) as receiver:
        habits = Callbacks(token="t", expired=0.3, replayed=0.5)
        with running(PlatformSettings(course=Course(takes=_AT_ONCE, callbacks=habits))) as client:
            for number in range(4):
                push(client, event(f"p{number}", alarm=str(number), callback_url=receiver.url))
            until(over(client, 4), "ends")
            replays = client.get("/records", params={"kind": "replay"}).json()
            refused = client.get("/records", params={"kind": "callback", "outcome": "refused"}).json()
    assert replays
    assert {record["outcome"] for record in replays} == {"refused"}
    assert refused
    assert answers.count(401) == len(replays) + len(refused)
    with pytest.raises(ValueError, match="token"):
        Callbacks(expired=0.1)


def test_what_waits_goes_together_and_each_has_its_own_outcome() -> None:
    def judge(request: Request) -> Reply:
        time.sleep(0.1)
        told = request.body.get("callbacks", [])
        lines = [{"code": 404 if one["event_id"].startswith("3-") else 0, "message": ""} for one in told]
        return Reply(body={"code": 0, "data": {"list": lines}})

    with Receiver(judge) as receiver:
        habits = Callbacks(token="t", together=3)
        with running(PlatformSettings(course=Course(takes=_AT_ONCE, callbacks=habits))) as client:
            for number in range(1, 9):
                push(client, event(f"p{number}", alarm=str(number), callback_url=receiver.url))
            until(over(client, 8), "ends")
            records = client.get("/records", params={"kind": "callback"}).json()
        requests = list(receiver.requests)
    listed = [request.body["callbacks"] for request in requests if "callbacks" in request.body]
    assert listed
    assert all(2 <= len(told) <= 3 for told in listed)
    assert all("x-push-id" not in request.headers for request in requests if "callbacks" in request.body)
    each = [one for request in requests for one in request.body.get("callbacks", [request.body])]
    for number in range(1, 9):
        told = [one["case_status"] for one in each if one["event_id"] == f"{number}-1"]
        assert told == ["accepted", "dispatched", "handling", "handle_finish", "closed"]
    assert len(records) == 8 * 5
    in_lists = [one for told in listed for one in told]
    refused = [record for record in records if record["outcome"] == "refused"]
    assert len(refused) == sum(one["event_id"] == "3-1" for one in in_lists)


def test_a_lost_event_is_known_again_once_it_is_told_again() -> None:
    with running(PlatformSettings(course=Course(goes_on=False))) as client:
        client.post("/behaviour", json={"kind": "lose_event", "count": 1}).raise_for_status()
        first = push(client, event("p1")).json()
        assert first["message"] == "success"
        assert client.get("/cases").json() == []
        again = push(client, event("p1")).json()
        assert again == first
        assert only_case(client)["platform_no"] == first["data"]["platform_no"]
        assert push(client, event("p1")).json()["message"] == "duplicate"
        push(client, event("p2", 2, "clear"))
        assert client.get("/violations").json() == []


def test_a_case_that_was_lost_later_may_be_told_from_the_beginning(tmp_path: Path) -> None:
    record = tmp_path / "platform.jsonl"
    with running(PlatformSettings(record=record, course=Course(goes_on=False))) as client:
        number = push(client, event("p1")).json()["data"]["platform_no"]
        push(client, event("p2", 2, "change"))
        client.delete(f"/cases/{number}").raise_for_status()
        assert client.delete(f"/cases/{number}").status_code == 404
    with running(PlatformSettings(record=record, course=Course(goes_on=False))) as client:
        assert client.get("/cases").json() == []
        for push_id, transition, notice in (("p1", 1, "raise"), ("p2", 2, "change"), ("p3", 3, "clear")):
            answer = push(client, event(push_id, transition, notice)).json()
            assert (answer["message"], answer["data"]["platform_no"]) == ("success", number)
        assert client.get("/violations").json() == []


def test_it_lists_its_cases_to_whoever_reported_them() -> None:
    with running(PlatformSettings(course=Course(goes_on=False))) as client:
        numbers = [push(client, event(f"p{n}", alarm=str(n))).json()["data"]["platform_no"] for n in range(5)]
        client.post(f"/cases/{numbers[0]}", json={"state": "pending_register"})
        listed: list[dict[str, Any]] = []
        after = ""
        while after is not None:
            data = client.get("/query", params={"after": after, "limit": 2}).json()["data"]
            listed, after = listed + data["cases"], data["next"]
        assert [case["platform_no"] for case in listed] == numbers
        assert [case["case_status"] for case in listed] == ["pending_register", *["reported"] * 4]
        assert listed[3]["event_id"] == "3-1"
        certain = client.get("/query", params={"ids": f"{numbers[4]},SJ0"}).json()["data"]
        assert [case["platform_no"] for case in certain["cases"]] == [numbers[4]]
        assert client.get("/query", params={"limit": "many"}).status_code == 400
        client.post("/behaviour", json={"kind": "refuse", "target": "query", "status": 503, "count": 1})
        assert client.get("/query").status_code == 503
    with running(PlatformSettings(access=Access(token="t"))) as client:
        assert client.get("/query").status_code == 401


def test_what_was_reported_by_mistake_is_taken_back_until_somebody_was_sent() -> None:
    with running(PlatformSettings(course=Course(goes_on=False))) as client:
        early, late = (push(client, event(f"p{n}", alarm=str(n))).json()["data"]["platform_no"] for n in (1, 2))
        for state in ("pending_register", "accepted", "pending_dispatch", "dispatched"):
            client.post(f"/cases/{late}", json={"state": state}).raise_for_status()
        for n in (1, 2):
            push(client, event(f"c{n}", 2, "cancel", alarm=str(n)))
        assert [client.get(f"/cases/{number}").json()["state"] for number in (early, late)] == [
            "cancelled",
            "dispatched",
        ]
        assert client.get("/violations").json() == []
