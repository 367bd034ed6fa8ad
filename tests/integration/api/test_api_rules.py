"""Rules through the API: who may write, versions and conflicts, overrides, checks, what alarms say of their rule."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from alerts.rulebook.book import install_shipped, put_override
from alerts.rules import shipped_pack
from alerts.rules.override import parse_override
from api.roles import Role
from tests.integration.api.served import Served, problem
from underfoot.plain_yaml import read_yaml
from underfoot.storage.connect import connect

ADMIN = Role.administrator
PACK = {rule.rule_id: rule for rule in shipped_pack()}
PONDING = PACK["road.ponding"].model_dump(mode="json")
RULES = "/api/v1/rules"
SCHOOL = f"{RULES}/road.ponding/overrides/{quote('tag:学校门口')}"
NUMBERS = {"source": "half the depth", "levels": [{"severity": "red", "limit": 20, "dead_band": 3}]}


@pytest.fixture
def rules(city: Served) -> Served:
    city.run("DELETE FROM rules")
    with connect(city.database, "test", autocommit=True) as connection:
        install_shipped(connection)
    return city


def send(served: Served, method: str, path: str, body: Any = None, *, role: Role = ADMIN, expected: Any = None) -> Any:
    headers = {} if expected is None else {"If-Match": f'"{expected}"'}
    return served.call(method, path, role, json=body, headers=headers)


def test_only_an_administrator_writes(rules: Served) -> None:
    for method, path, body in (
        ("PUT", f"{RULES}/road.ponding", PONDING),
        ("DELETE", f"{RULES}/road.ponding", None),
        ("POST", f"{RULES}/road.ponding/restore", None),
        ("PUT", SCHOOL, NUMBERS),
        ("DELETE", SCHOOL, None),
    ):
        problem(send(rules, method, path, body, role=Role.operator), 403, "role-too-low")
    assert rules.run("SELECT count(*) FROM rules") == [(len(PACK),)]


def test_a_rule_is_put_withdrawn_and_restored(rules: Served) -> None:
    answer = send(rules, "PUT", f"{RULES}/road.ponding", PONDING | {"off_delay_s": 60, "source": "ours"}, expected=1)
    assert answer.json() == {"changed": True, "version": 2}
    again = send(rules, "PUT", f"{RULES}/road.ponding", PONDING | {"off_delay_s": 60, "source": "ours"})
    assert again.json() == {"changed": False, "version": 2}
    shown = rules.ok(f"{RULES}/road.ponding")
    assert shown["in_force"]["body"]["off_delay_s"] == 60
    assert "恢复并保持 1 分钟后解除" in shown["in_force"]["text"]
    assert shown["in_force"]["created_by"] == "the-administrator"
    late = problem(send(rules, "PUT", f"{RULES}/road.ponding", PONDING, expected=1), 409, "conflict")
    assert late["newest_version"] == 2
    assert send(rules, "DELETE", f"{RULES}/road.ponding", expected=2).json() == {"changed": True, "version": 3}
    assert rules.ok(f"{RULES}/road.ponding")["in_force"] is None
    problem(send(rules, "DELETE", f"{RULES}/road.ponding"), 404, "not-found")
    assert send(rules, "POST", f"{RULES}/road.ponding/restore").json() == {"changed": True, "version": 4}
    assert rules.ok(f"{RULES}/road.ponding")["in_force"]["body"] == PONDING
    problem(send(rules, "POST", f"{RULES}/road.own/restore"), 404, "not-found")
    audited = rules.run("SELECT actor, action, subject FROM audit WHERE action LIKE 'rule.%' ORDER BY audit_key")
    assert audited == [
        ("the-administrator", action, "road.ponding") for action in ("rule.put", "rule.withdraw", "rule.restore")
    ]


def test_what_is_wrong_is_named_by_field_and_value(rules: Served) -> None:
    wrong = PONDING | {"levels": [{"severity": "red", "limit": "deep"}], "off_delay_s": -1}
    found = problem(send(rules, "PUT", f"{RULES}/road.ponding", wrong), 422, "invalid")
    errors = {error["field"]: error for error in found["errors"]}
    assert errors["levels.0.limit"]["value"] == "'deep'"
    assert errors["off_delay_s"]["value"] == "-1"
    other = problem(send(rules, "PUT", f"{RULES}/road.own", PONDING), 422, "invalid")
    assert other["errors"][0]["field"] == "rule_id"
    named = problem(send(rules, "PUT", f"{RULES}/road.ponding", PONDING | {"field": "depth"}), 422, "invalid")
    assert [(error["field"], error["value"]) for error in named["errors"]] == [("field", "'depth'")]
    second = PACK["road.offline"].model_dump(mode="json") | {"rule_id": "road.silent"}
    assert "edit or withdraw that one" in send(rules, "PUT", f"{RULES}/road.silent", second).text
    problem(
        rules.call("PUT", f"{RULES}/road.ponding", ADMIN, json=PONDING, headers={"If-Match": "two"}), 422, "invalid"
    )


def test_overrides_are_put_listed_and_taken_away(rules: Served) -> None:
    assert send(rules, "PUT", SCHOOL, NUMBERS, expected=0).json() == {"changed": True, "version": 2}
    problem(send(rules, "PUT", SCHOOL, NUMBERS, expected=0), 409, "conflict")
    assert send(rules, "PUT", SCHOOL, NUMBERS).json() == {"changed": False, "version": 2}
    off = {"source": "under repair", "enabled": False}
    send(rules, "PUT", f"{RULES}/road.ponding/overrides/device:road-0001", off)
    shown = rules.ok(f"{RULES}/road.ponding")
    school, device = shown["overrides"]
    assert (school["scope"], school["version"]) == ("tag:学校门口", 2)
    assert school["text"].startswith("道路积水：标签为“学校门口”的部件按：积水深度 ≥ 20 cm（回差 3 cm） → 红。")
    assert device["text"] == "道路积水：设备 road-0001 不按本规则判断。"
    assert [one["version"] for one in shown["versions"]] == [3, 2, 1]
    (listed,) = [one for one in rules.ok(RULES, family="road")["items"] if one["rule_id"] == "road.ponding"]
    assert listed["scopes"] == ["device:road-0001", "tag:学校门口"]
    assert send(rules, "DELETE", SCHOOL, expected=2).json() == {"changed": True, "version": 4}
    problem(send(rules, "DELETE", SCHOOL), 404, "not-found")
    assert [one["scope"] for one in rules.ok(f"{RULES}/road.ponding")["overrides"]] == ["device:road-0001"]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("school", NUMBERS, "scope"),
    ("city", NUMBERS, "scope"),
    ("tag:x", NUMBERS | {"field": "rise_cm"}, "field"),
    ("tag:x", NUMBERS | {"intervals": 3}, "intervals"),
    ("tag:x", {"source": "x"}, "enabled"),
    ("tag:x", {"levels": []}, "source"),
]


def test_what_is_wrong_with_an_override_is_named(rules: Served) -> None:
    for scope, body, field in WRONG:
        found = problem(send(rules, "PUT", f"{RULES}/road.ponding/overrides/{scope}", body), 422, "invalid")
        assert [error["field"] for error in found["errors"]] == [field], (scope, body)


def test_an_override_of_no_rule_is_not_found(rules: Served) -> None:
    problem(send(rules, "PUT", f"{RULES}/road.own/overrides/tag:x", NUMBERS), 404, "not-found")


def test_a_check_says_everything_and_changes_nothing(rules: Served) -> None:
    deeper = PONDING | {"off_delay_s": 60}
    override = NUMBERS | {"rule_id": "road.ponding", "scope": "tag:学校门口"}

    def check(*items: Any) -> Any:
        answer = send(rules, "POST", f"{RULES}/check", {"items": list(items)}, role=Role.operator)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert check(deeper, override, PACK["cover.open"].model_dump(mode="json")) == {
        "problems": [],
        "changes": [
            {"rule": "road.ponding", "change": "changed", "differences": ["off_delay_s 600 → 60"]},
            {"rule": "cover.open", "change": "unchanged", "differences": []},
            {"rule": "road.ponding (tag:学校门口)", "change": "new", "differences": []},
        ],
    }
    found = check(deeper | {"off_delay_s": "long"}, override | {"scope": "x"})["problems"]
    assert [(one["item"], one["rule"], one["field"], one["value"]) for one in found] == [
        (0, "road.ponding", "off_delay_s", "'long'"),
        (1, "road.ponding", "scope", "'x'"),
    ]
    second = PACK["road.offline"].model_dump(mode="json") | {"rule_id": "road.silent"}
    assert [(one["item"], one["field"]) for one in check(deeper, second)["problems"]] == [(1, "kind")]
    problem(send(rules, "POST", f"{RULES}/check", {"items": []}, role=Role.operator), 422, "invalid")
    assert rules.run("SELECT count(*) FROM rules") == [(len(PACK),)]


def test_the_export_is_what_is_in_force(rules: Served) -> None:
    send(rules, "PUT", SCHOOL, NUMBERS)
    answer = rules.get(f"{RULES}/export")
    assert answer.headers["content-type"].startswith("application/yaml")
    items = read_yaml(answer.content, "export", at_most=10**6).value
    assert len(items) == len(PACK) + 1
    assert items[-1] == {"rule_id": "road.ponding", "scope": "tag:学校门口"} | NUMBERS
    checked = send(rules, "POST", f"{RULES}/check", {"items": items}, role=Role.operator).json()
    assert {change["change"] for change in checked["changes"]} == {"unchanged"}


def test_an_alarm_s_rule_is_told_as_it_was_for_its_device(rules: Served) -> None:
    with connect(rules.database, "test", autocommit=True) as connection:
        override = parse_override(NUMBERS | {"rule_id": "road.ponding", "scope": "tag:学校门口"})
        put_override(connection, override, actor="li")
    ((episode_key,),) = rules.run("SELECT episode_key FROM episodes ORDER BY episode_key LIMIT 1")
    proof = {"field": "depth_cm", "label": "积水深度", "value": 21, "unit": "cm", "limit": 20, "scope": "tag:学校门口"}
    rules.run(
        "UPDATE alarms SET rule_id = 'road.ponding' FROM episodes"
        " WHERE episodes.alarm_key = alarms.alarm_key AND episode_key = %s",
        [episode_key],
    )
    rules.run(
        "UPDATE episodes SET rule_version = 2, proof = %s WHERE episode_key = %s", [json.dumps(proof), episode_key]
    )
    why = rules.ok(f"/api/v1/alarms/{episode_key}")["why"]
    assert "标签为“学校门口”的部件按：积水深度 ≥ 20 cm" in why["rule_text"]
    assert why["rule_body"]["levels"][0]["limit"] == 20
    assert why["rule_body"]["off_delay_s"] == 600
