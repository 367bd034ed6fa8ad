"""Rules tried on history through the API, and what people say of alarms: real, or false."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.rulebook.book import install_shipped
from alerts.rules import shipped_pack
from api.roles import Role
from tests.integration.api.served import Served, problem
from underfoot.storage.connect import connect

UNDERPASS = next(rule for rule in shipped_pack() if rule.rule_id == "road.underpass").model_dump(mode="json")
SPAN = {"from": "2026-07-01T08:00:00+08:00", "to": "2026-07-02T08:00:00+08:00"}
REPORTS = """
INSERT INTO report_road (device_key, ts, digest, depth_cm, place, received_at, quality)
SELECT 2, t, 0, CASE WHEN t BETWEEN '2026-07-01T03:00Z' AND '2026-07-01T05:00Z' THEN 30 ELSE 0 END, 1, t, 0
FROM generate_series('2026-07-01T00:00Z'::timestamptz, '2026-07-01T12:00Z', '10 min') t;
"""


@pytest.fixture
def tried(city: Served) -> Served:
    city.run("DELETE FROM rules")
    with connect(city.database, "test", autocommit=True) as connection:
        install_shipped(connection)
    city.run(REPORTS)
    return city


def ask(served: Served, rule_id: str = "road.underpass", role: Role = Role.operator, **more: Any) -> Any:
    return served.post(f"/api/v1/rules/{rule_id}/backtests", role, SPAN | more)


def test_a_rule_in_force_is_tried(tried: Served) -> None:
    answer = ask(tried)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["devices"], found["reports"], found["raised"], found["version"]) == (1, 73, 1, 1)
    (episode,) = found["episodes"]
    assert episode["device_id"] == "road-0001"
    assert (episode["raised_at"], episode["severity"]) == ("2026-07-01T03:00:00Z", 4)
    assert episode["cleared_at"] == "2026-07-01T05:10:00Z"
    assert found["begins_at"] == "2026-07-01T00:00:00Z"
    assert [day["notices"] for day in found["days"]] == [2, 0]
    assert found["tells"] == ["case", "crew"]


def test_a_rule_that_is_not_stored_is_tried(tried: Served) -> None:
    body = UNDERPASS | {"levels": [{"severity": "yellow", "limit": 35, "dead_band": 3}]}
    found = ask(tried, rule=body).json()
    assert (found["version"], found["raised"]) == (None, 0)
    found = ask(tried, "road.own_rule", rule=body | {"levels": [{"severity": "blue", "limit": 1}]}).json()
    assert (found["rule_id"], found["raised"], found["by_severity"]) == ("road.own_rule", 1, [1, 0, 0, 0])
    wrong = problem(ask(tried, rule=body | {"field": "tilt_deg"}), 422, "invalid")
    assert wrong["errors"][0]["field"] == "field"


@pytest.mark.parametrize(
    ("more", "status", "kind", "said"),
    [
        ({"to": "2026-06-01T00:00:00Z"}, 422, "invalid", "must be after `from`"),
        ({"to": "2026-12-01T00:00:00Z"}, 422, "invalid", "at most 92 days later"),
        ({"area": "990000"}, 422, "invalid", "no area has this code"),
        ({"device": "nobody"}, 422, "invalid", "no device reports under this id"),
        ({"device": "cover-0312"}, 409, "conflict", "there is no road device"),
        ({"rule_id": "road.late_hazard"}, 409, "conflict", "can't be tried on history"),
        ({"rule_id": "road.nothing"}, 404, "not-found", "'road.nothing' in force"),
        ({"fromm": 1}, 422, "invalid", "fromm"),
    ],
)
def test_what_cannot_be_tried_is_told(tried: Served, more: dict[str, Any], status: int, kind: str, said: str) -> None:
    assert said in problem(ask(tried, **more), status, kind)["detail"]


def test_too_much_for_an_answer_is_refused_before_it_is_tried(tried: Served) -> None:
    tried.run("UPDATE devices SET expected_interval_s = 1 WHERE device_id = 'road-0001'")
    refused = problem(ask(tried, to="2026-09-01T00:00:00Z"), 422, "invalid")
    assert "at most 3,000,000 are tried here" in refused["detail"]


def test_who_only_reads_tries_nothing(tried: Served) -> None:
    problem(ask(tried, role=Role.viewer), 403, "role-too-low")


# what people say ----------------------------------------------------------------------------------------------------


def _says(served: Served, verdict: str | None, **more: Any) -> Any:
    (key,) = served.run(
        "SELECT episode_key FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'road.underpass'"
    )
    return served.post(f"/api/v1/alarms/{key[0]}/verdict", body={"verdict": verdict} | more)


def test_an_alarm_is_called_real_or_false_and_held_against_the_rule(tried: Served) -> None:
    tried.run(
        "UPDATE episodes SET raised_at = '2026-07-01T03:10Z', cleared_at = '2026-07-01T05:00Z' WHERE alarm_key = 2"
    )
    assert ask(tried).json()["of_this_rule"]["confirmed"] == 1, "acknowledged, and nobody has called it false"
    said = _says(tried, "false", note="探头被遮挡").json()
    assert (said["confirmed"], said["confirmed_by"]) == (False, "the-operator")
    overlap = ask(tried).json()["of_this_rule"]
    assert (overlap["false"], overlap["false_found"], overlap["confirmed"]) == (1, 1, 0)
    assert _says(tried, "false").json()["confirmed_at"] == said["confirmed_at"], "again is the same as once"
    assert _says(tried, "real").json()["confirmed"] is True
    assert _says(tried, None).json()["confirmed"] is None
    audited = tried.run(
        "SELECT actor, detail ->> 'verdict', detail ->> 'note' FROM audit WHERE action = 'alarm.verdict'"
    )
    assert audited == [
        ("the-operator", "false", "探头被遮挡"),
        ("the-operator", "real", None),
        ("the-operator", None, None),
    ]


def test_a_verdict_is_of_an_alarm_there_is(tried: Served) -> None:
    problem(tried.post("/api/v1/alarms/99999/verdict", body={"verdict": "real"}), 404, "not-found")
    problem(_says(tried, "maybe"), 422, "invalid")
    problem(tried.post("/api/v1/alarms/1/verdict", Role.viewer, {"verdict": "real"}), 403, "role-too-low")
