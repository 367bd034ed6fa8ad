"""Out of service: what a work order is about, and nothing else, from the crew's arrival to its done."""

from __future__ import annotations

from typing import Any

import pytest

from api.roles import Role
from tests.integration.api.served import Served, problem

ORDERS = "/api/v1/out-of-service"


@pytest.fixture(autouse=True)
def _rules(city: Served) -> None:
    for rule_id in ("cover.battery", "cover.open"):
        city.run(
            "INSERT INTO rules (rule_id, version, body, created_by)"
            """ VALUES (%s, 1, '{"kind": "level", "family": "cover", "title": "t"}', 'x')""",
            [rule_id],
        )


def begin(city: Served, **body: Any) -> dict[str, Any]:
    given = {"asset": 1, "rules": ["cover.battery"], "order": "WO-7", "reason": "更换电池"} | body
    answer = city.post(ORDERS, body={name: value for name, value in given.items() if value is not None})
    assert answer.status_code == 200, answer.text
    order: dict[str, Any] = answer.json()
    return order


def suppressed(city: Served) -> list[tuple[Any, ...]]:
    return city.run("SELECT subject_key, rule_id FROM alarms WHERE suppressed = '{out_of_service}' ORDER BY 1, 2")


def test_an_order_is_about_the_named_rules_only_raised_before_or_not(city: Served) -> None:
    order = begin(city)
    assert (order["rules"], order["devices"], order["assets"], order["alarms"]) == (
        ["cover.battery"], ["cover-0312"], [1], 1,
    )  # fmt: skip
    assert suppressed(city) == [(1, "cover.battery")], "an alarm that was never raised"
    assert city.ok("/api/v1/alarms", suppressed="only")["items"] == [], "the open cover goes on"
    [shown] = city.ok("/api/v1/alarms/shelved", kind="out_of_service")["items"]
    assert (shown["episode_key"], shown["title"], shown["cause"], shown["kind_label"]) == (
        None, None, "order:WO-7", "检修中",
    )  # fmt: skip
    assert city.run("SELECT actor, subject FROM audit WHERE action = 'order.begin'") == [("the-operator", "order:WO-7")]


def test_again_is_the_same_as_once_and_more_is_added(city: Served) -> None:
    first = begin(city)
    assert begin(city) == first
    more = begin(city, rules=["cover.*"])
    assert (more["rules"], more["alarms"], more["since"]) == (
        ["cover.battery", "cover.open", "cover.tilt"],
        3,
        first["since"],
    )
    assert begin(city, asset=None, device="cover-0099")["devices"] == ["cover-0099", "cover-0312"]
    assert suppressed(city) == [(1, "cover.battery"), (1, "cover.open"), (1, "cover.tilt"), (3, "cover.battery")]


def test_done_puts_all_of_it_back_and_another_order_stays(city: Served) -> None:
    begin(city, rules=["cover.*"])
    begin(city, order="WO-8")
    assert [item["order"] for item in city.ok(ORDERS)["items"]] == ["WO-8", "WO-7"]
    first = city.ok(ORDERS, limit=1)
    assert [item["order"] for item in city.ok(ORDERS, limit=1, cursor=first["next"])["items"]] == ["WO-7"]
    for ended in (3, 0):
        answer = city.call("DELETE", f"{ORDERS}/WO-7", Role.operator)
        assert answer.json() == {"order": "WO-7", "ended": ended}
    assert suppressed(city) == [(1, "cover.battery")]
    assert [item["order"] for item in city.ok(ORDERS)["items"]] == ["WO-8"]
    assert city.run("SELECT count(*) FROM audit WHERE action = 'order.end'") == [(1,)]
    reasons = city.run("SELECT DISTINCT reason FROM transitions WHERE region = 'suppression' ORDER BY 1")
    assert reasons == [("in_service_again",), ("out_of_service",)]


UNCLEAR: list[tuple[dict[str, Any], str]] = [
    ({"asset": None}, "either asset, or device"),
    ({"device": "cover-0312"}, "either asset, or device"),
    ({"asset": 77}, "there is no asset with this key"),
    ({"asset": None, "device": "no-such"}, "no device reports under this id"),
    ({"rules": []}, "at least 1 item"),
    ({"rules": ["cover.nothing"]}, "there never was such a rule"),
    ({"rules": ["tank.*"]}, "there never was a rule of this name"),
    ({"rules": ["*"]}, "should match pattern"),
    ({"rules": ["road.underpass"]}, "there is nothing here that these rules judge"),
    ({"order": "WO 7"}, "should match pattern"),
]


def test_an_order_about_nothing_is_refused(city: Served) -> None:
    for body, says in UNCLEAR:
        given = {"asset": 1, "rules": ["cover.battery"], "order": "WO-7", "reason": "r"} | body
        answer = city.post(ORDERS, body={name: value for name, value in given.items() if value is not None})
        assert says in problem(answer, 422, "invalid")["detail"], body
    assert suppressed(city) == []


def test_an_order_that_never_was(city: Served) -> None:
    problem(city.call("DELETE", f"{ORDERS}/WO-9", Role.operator), 404, "not-found")
    problem(city.call("DELETE", f"{ORDERS}/WO-9", Role.viewer), 403, "role-too-low")
