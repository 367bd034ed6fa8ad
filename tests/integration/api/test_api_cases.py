"""Cases over the API: lists and filters, clocks and steps, what people do, and within whose reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.rulebook.book import install_shipped, put
from alerts.rules import shipped_pack
from api.keys import create
from api.roles import Role
from tests.integration.api.served import Served, keyed, problem
from underfoot.storage.connect import connect

CASES = "/api/v1/cases"
COVER, ROAD, CLOSED, DOOR = 1, 2, 3, 4


@pytest.fixture(scope="module")
def still(module_database: str) -> Iterator[Served]:
    """The small city for tests that only read."""
    with keyed(module_database) as running:
        running.run((Path(__file__).parent / "city.sql").read_text(encoding="utf-8"))
        yield running


def keys(page: dict[str, Any]) -> list[int]:
    return [item["case_key"] for item in page["items"]]


def secret(city: Served, role: Role, **scope: Any) -> str:
    with connect(city.database, "test") as connection:
        return create(connection, f"bound-{role.value}", role, "test", **scope).secret


# reading -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [ROAD, COVER, DOOR]),
        ({"show": "all"}, [ROAD, COVER, CLOSED, DOOR]),
        ({"show": "ended"}, [CLOSED]),
        ({"show": "overdue"}, [ROAD]),
        ({"show": "needs_person"}, [CLOSED, DOOR]),
        ({"state": "dispatched"}, [ROAD]),
        ({"state": ["dispatched", "reported"]}, [ROAD, COVER]),
        ({"area": "410503"}, [DOOR]),
        ({"area": "410502001"}, [COVER]),
        ({"unit": "文峰养护所"}, [ROAD, COVER]),
        ({"filing": "filing.cover_open", "show": "all"}, [COVER, CLOSED]),
        ({"alarm": 2}, [ROAD]),
        ({"from": "2026-07-01T13:39:00Z"}, [ROAD]),
        ({"to": "2026-07-01T10:00:00Z"}, [DOOR]),
    ],
)
def test_the_list_is_filtered(still: Served, query: dict[str, Any], found: list[int]) -> None:
    assert keys(still.ok(CASES, **query)) == found


def test_pages_follow_each_other(still: Served) -> None:
    first = still.ok(CASES, show="all", limit=3)
    second = still.ok(CASES, show="all", limit=3, cursor=first["next"])
    assert (keys(first), keys(second), second["next"]) == ([ROAD, COVER, CLOSED], [DOOR], None)


def test_a_filter_that_is_none_is_an_error(still: Served) -> None:
    for field, value in (("state", "gone"), ("show", "late"), ("area", "999999"), ("open", "true")):
        query: dict[str, Any] = {field: value}
        found = problem(still.get(CASES, **query), 422, "invalid")
        assert field in str(found["errors"])


def test_a_case_is_shown_with_its_clocks_and_its_steps(still: Served) -> None:
    case = still.ok(f"{CASES}/{ROAD}", Role.operator)
    assert (case["state_label"], case["code_name"], case["condition_name"], case["level_label"]) == (
        "已派遣",
        "道路积水",
        "道路积水",
        "重大",
    )
    assert (case["platform_no"], case["sink"], case["severity_label"]) == ("A-1", "platform", "红")
    assert (case["asset"]["name"], case["area"]["code"]) == ("东风路铁路桥下", "410502")
    arrive = case["arrive"]
    assert (arrive["label"], arrive["kind_label"], arrive["amount"], arrive["overdue"]) == (
        "到场",
        "紧急工作时",
        0.5,
        True,
    )
    assert arrive["remaining_s"] < 0
    assert case["repair"] is None, "until the water is gone"
    assert [step["event"] for step in case["steps"]] == ["overdue_arrive", "reached", "opened"]
    reached = case["steps"][1]
    assert (reached["event_label"], reached["to_label"], reached["cause_label"], reached["actor"]) == (
        "平台状态",
        "已派遣",
        "平台回传",
        "李强",
    )
    assert reached["detail"]["skipped"] == ["accepted"]
    assert still.ok(f"{CASES}/{ROAD}")["steps"][1]["actor"] == "李*", "a viewer need not know"


def test_an_alarm_shows_its_case(still: Served) -> None:
    case = still.ok("/api/v1/alarms/3")["case"]
    assert (case["case_key"], case["state"], case["needs_label"]) == (ROAD, "dispatched", None)
    assert still.ok("/api/v1/alarms/6")["case"] is None


def test_there_is_no_such_case(still: Served) -> None:
    problem(still.get(f"{CASES}/999"), 404, "not-found")
    problem(still.post(f"{CASES}/999/arrive"), 404, "not-found")


# acting --------------------------------------------------------------------------------------------------------------


def act(city: Served, case_key: int, what: str, body: Any = None, role: Role = Role.operator) -> dict[str, Any]:
    answer = city.post(f"{CASES}/{case_key}/{what}", role, body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def owed(city: Served) -> list[tuple[str, str]]:
    return [
        (row[0], row[1])
        for row in city.run(
            "SELECT notice, snapshot -> 'case' ->> 'act' FROM outbox WHERE idempotency_key !~ '^k[0-9]$'"
            " ORDER BY delivery_key"
        )
    ]


def test_a_crew_arrives_and_repairs(city: Served) -> None:
    there = act(city, COVER, "arrive", role=Role.crew)
    assert (there["state"], there["arrived_at"] is not None, there["arrive"]["done_at"]) == (
        "handling",
        True,
        there["arrived_at"],
    )
    again = act(city, COVER, "arrive", {"note": "again"}, Role.crew)
    assert again["arrived_at"] == there["arrived_at"]
    done = act(city, COVER, "handled", {"note": "井盖复位"}, Role.crew)
    assert (done["state"], done["repair"]["done_at"]) == ("handle_finish", done["handled_at"])
    assert owed(city) == [("progress", "arrived"), ("progress", "handled")]
    steps = city.ok(f"{CASES}/{COVER}", Role.operator)["steps"]
    assert [(step["event"], step["actor"], step["note"]) for step in steps[:2]] == [
        ("handled", "the-crew", "井盖复位"),
        ("arrived", "the-crew", ""),
    ]


def test_it_is_suspended_for_a_reason_and_goes_on(city: Served) -> None:
    problem(city.post(f"{CASES}/{ROAD}/suspend"), 422, "invalid")
    still = act(city, ROAD, "suspend", {"reason": "等待移动泵"})
    assert (still["state"], still["arrive"]["stopped_since"]) == ("suspended", None)
    assert act(city, ROAD, "resume")["state"] == "pending_handle"
    refused = problem(city.post(f"{CASES}/{ROAD}/resume"), 409, "conflict")
    assert refused["detail"] == "案件没有挂账 (not_suspended)"


def test_who_was_sent_is_not_cancelled(city: Served) -> None:
    refused = problem(city.post(f"{CASES}/{ROAD}/cancel", body={"reason": "r"}), 409, "conflict")
    assert "已派遣" in refused["detail"]
    ended = act(city, COVER, "cancel", {"reason": "已另行派单"})
    assert (ended["state"], ended["ended_label"]) == ("cancelled", "撤销")
    assert owed(city) == [("cancel", "cancelled")]
    problem(city.post(f"{CASES}/{COVER}/arrive"), 409, "conflict")


def test_what_waits_for_it_is_verified_and_goes_to_the_platform(city: Served) -> None:
    refused = problem(city.post(f"{CASES}/{DOOR}/arrive"), 409, "conflict")
    assert "尚未核实" in refused["detail"]
    verified = act(city, DOOR, "verify", {"note": "现场照片属实"})
    assert (verified["state"], verified["filed_at"] is not None, verified["needs_person"]) == (
        "pending_register",
        True,
        None,
    )
    assert owed(city) == [("raise", "verified")]
    assert city.ok("/api/v1/alarms/5")["confirmed"] is True


def test_what_is_not_there_is_a_false_alarm(city: Served) -> None:
    ended = act(city, COVER, "verify", {"real": False, "note": "探头松动"})
    assert (ended["state"], ended["ended_label"], ended["false_alarm_at"] is not None) == ("cancelled", "误报", True)
    assert city.ok("/api/v1/alarms/2")["confirmed"] is False
    assert owed(city) == [("cancel", "false_alarm")]


def test_a_verdict_on_the_alarm_is_one_on_its_case(city: Served) -> None:
    answer = city.post("/api/v1/alarms/3/verdict", body={"verdict": "false", "note": "探头被杂物遮挡"})
    assert answer.status_code == 200, answer.text
    case = city.ok(f"{CASES}/{ROAD}")
    assert (case["state"], case["false_alarm_at"] is not None) == ("dispatched", True), "the platform ends it"
    assert case["steps"][0]["note"] == "探头被杂物遮挡"
    city.post("/api/v1/alarms/3/verdict", body={"verdict": None})
    assert city.ok(f"{CASES}/{ROAD}")["false_alarm_at"] is None


def test_a_duplicate_supervision_and_notes(city: Served) -> None:
    problem(city.post(f"{CASES}/{COVER}/duplicate", body={"of": " "}), 422, "invalid")
    assert act(city, ROAD, "supervise")["supervised"] is True
    assert act(city, ROAD, "supervise", {"on": False})["supervised"] is False
    ended = act(city, COVER, "duplicate", {"of": "12345-0088"})
    assert (ended["duplicate_of"], ended["ended_label"]) == ("12345-0088", "与市民上报重复")
    looked = act(city, CLOSED, "note", {"text": "已到现场，井盖完好，探头待修", "settles": True})
    assert (looked["needs_person"], looked["state"]) == (None, "closed")


def test_what_is_over_is_filed_again_while_its_alarm_is_not(city: Served) -> None:
    with connect(city.database, "test", autocommit=True) as connection:
        install_shipped(connection)
        put(connection, next(rule for rule in shipped_pack() if rule.rule_id == "cover.tilt"), actor="test")
    refused = problem(city.post(f"{CASES}/{COVER}/refile"), 409, "conflict")
    assert refused["detail"] == "该告警仍有案件未办结，不能再次立案 (still_open)"
    refused = problem(city.post(f"{CASES}/{CLOSED}/refile"), 409, "conflict")
    assert refused["detail"] == "告警已解除，不能再次立案 (alarm_over)"
    problem(city.post(f"{CASES}/{COVER}/refile", Role.crew), 403, "role-too-low")
    act(city, COVER, "cancel", {"reason": "误操作"})
    again = act(city, COVER, "refile", {"note": "撤案有误"})
    assert (again["case_key"], again["again"], again["state"]) == (5, 1, "reported")
    assert [notice for notice, _ in owed(city)] == ["cancel", "raise"]
    [opened] = city.ok(f"{CASES}/5", Role.operator)["steps"]
    assert (opened["event"], opened["note"], opened["cause_label"]) == ("opened", "撤案有误", "人工")
    assert city.ok("/api/v1/alarms/2")["case"]["case_key"] == 5
    problem(city.post(f"{CASES}/{COVER}/refile"), 409, "conflict")


# whose ---------------------------------------------------------------------------------------------------------------


def test_another_s_cases_are_not_there(city: Served) -> None:
    bound = secret(city, Role.operator, areas=["410503"])
    listed = city.call("GET", CASES, secret=bound, params={"show": "all"}).json()
    assert keys(listed) == [CLOSED, DOOR]
    problem(city.call("GET", f"{CASES}/{COVER}", secret=bound), 404, "not-found")
    for what, body in (
        ("verify", None),
        ("arrive", None),
        ("handled", None),
        ("suspend", {"reason": "r"}),
        ("resume", None),
        ("supervise", None),
        ("cancel", {"reason": "r"}),
        ("duplicate", {"of": "C-7"}),
        ("refile", None),
        ("note", {"text": "t"}),
    ):
        problem(city.call("POST", f"{CASES}/{COVER}/{what}", secret=bound, json=body), 404, "not-found")
    assert city.run("SELECT count(*) FROM case_steps WHERE case_key = 1") == [(1,)]


def test_another_unit_s_cases_are_not_there(city: Served) -> None:
    bound = secret(city, Role.crew, units=["路灯所"])
    assert keys(city.call("GET", CASES, secret=bound).json()) == [DOOR]
    problem(city.call("POST", f"{CASES}/{COVER}/arrive", secret=bound), 404, "not-found")
