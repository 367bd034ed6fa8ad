"""Duty by the API: who is on duty, the roster, the calendar, handing over, health. Phone numbers are never whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.duty.calendar import library_knows
from alerts.health.figures import step
from alerts.rulebook.book import install_shipped
from api.roles import Role
from tests.integration.api.served import Served, problem
from underfoot.plain_yaml import read_yaml
from underfoot.storage.connect import connect

UNKNOWN_YEAR = next(year for year in range(2027, 2100) if not library_knows(year))
EXAMPLE = Path(__file__).parents[3] / "docs" / "duty.md"
PHONE = "13803720001"

ROSTER: dict[str, Any] = {
    "people": [
        {"name": "王建国", "phone": PHONE, "role": "值班长", "areas": ["410502"], "sink": "wang"},
        {"name": "李强", "areas": ["410503"]},
        {"name": "陈静", "sink": "chen"},
    ],
    "shifts": [{"name": "白班", "begin": "08:00", "end": "20:00"}, {"name": "夜班", "begin": "20:00", "end": "08:00"}],
    "assignments": [
        {"shift": "白班", "people": ["王建国", "李强"], "from": "2020-01-01"},
        {"shift": "夜班", "turns": [["王建国"], ["李强"]], "from": "2026-07-01"},
        {"shift": "白班", "level": 2, "people": ["陈静"], "from": "2020-01-01"},
        {"shift": "夜班", "level": 2, "people": ["陈静"], "from": "2020-01-01"},
    ],
}


@pytest.fixture
def staffed(city: Served) -> Served:
    city.run(
        "INSERT INTO sinks (name, channel, audience, config) SELECT name, 'webhook', 'duty', '{\"url\": \"http://x/\"}'"
        " FROM unnest(ARRAY['wang', 'chen']) AS name"
    )
    written = city.call("PUT", "/api/v1/duty/roster", Role.administrator, json=ROSTER)
    assert written.json() == {"people": 3, "shifts": 2, "assignments": 4, "absences": 0, "swaps": 0}
    return city


def names(served: Served, **query: Any) -> list[tuple[str, int]]:
    return [(one["name"], one["level"]) for one in served.ok("/api/v1/duty/now", Role.operator, **query)["people"]]


def test_who_is_on_duty_now_and_then(staffed: Served) -> None:
    now = staffed.ok("/api/v1/duty/now", Role.operator, at="2026-10-01T22:00:00+08:00")
    assert [(one["name"], one["can_be_told"]) for one in now["people"]] == [("王建国", True), ("陈静", True)]
    assert now["people"][0]["phone"] == "138****0001"
    assert now["people"][0]["ends"] == "2026-10-02T00:00:00Z"
    assert now["day"] == {
        "day": "2026-10-01",
        "kind": "holiday",
        "name": "国庆节",
        "source": now["day"]["source"],
        "known": True,
    }
    assert now["escalates"] is True
    assert {(gap["level"], gap["area"]) for gap in now["gaps"]} == {(1, "410502"), (1, "410503")}
    assert names(staffed, at="2026-10-02T22:00:00+08:00") == [("李强", 1), ("陈静", 2)]
    assert len(names(staffed)) >= 2


def test_a_year_that_nobody_knows_is_told(staffed: Served) -> None:
    now = staffed.ok("/api/v1/duty/now", at=f"{UNKNOWN_YEAR}-05-03T10:00:00+08:00")
    assert f"{UNKNOWN_YEAR}年" in now["warning"]
    assert now["day"]["known"] is False
    assert now["people"]


def test_without_a_roster_nothing_is_escalated(city: Served) -> None:
    now = city.ok("/api/v1/duty/now")
    assert (now["people"], now["gaps"], now["escalates"]) == ([], [], False)


def test_a_roster_comes_back_masked_and_goes_in_again_whole(staffed: Served) -> None:
    shown = staffed.ok("/api/v1/duty/roster", Role.operator)
    assert PHONE not in json.dumps(shown)
    assert staffed.call("PUT", "/api/v1/duty/roster", Role.administrator, json=shown).status_code == 200
    assert staffed.run("SELECT phone FROM duty_people WHERE name = '王建国'") == [(PHONE,)]
    audits = staffed.run("SELECT action, actor, detail::text FROM audit WHERE action = 'duty.roster'")
    assert [row[:2] for row in audits] == [("duty.roster", "the-administrator")] * 2
    assert PHONE not in str(audits)
    shown["people"][0]["phone"] = "139****0001"
    refused = staffed.call("PUT", "/api/v1/duty/roster", Role.administrator, json=shown)
    assert "no number of 王建国 is known that looks so" in problem(refused, 422, "invalid")["detail"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"people": [{"name": "王建国", "areas": ["419999"]}]}, "'419999': there is no such area"),
        ({"people": [{"name": "王建国", "sink": "wenfeng"}]}, "'wenfeng': there is no sink of this name with audience"),
        ({"people": []}, "there is no such person"),
        ({"shifts": [{"name": "白班", "begin": "8 o'clock", "end": "20:00"}]}, "begin"),
    ],
)
def test_a_wrong_roster_is_refused_whole(staffed: Served, change: dict[str, Any], says: str) -> None:
    only = {"assignments": ROSTER["assignments"][:1] if "shifts" in change or change["people"] == [] else []}
    wrong = ROSTER | only | change
    if change.get("people"):
        wrong["assignments"] = []
    refused = staffed.call("PUT", "/api/v1/duty/roster", Role.administrator, json=wrong)
    assert says in problem(refused, 422, "invalid")["detail"]
    assert len(names(staffed, at="2026-10-01T10:00:00+08:00")) == 3


def test_an_absence_and_a_swap_are_added(staffed: Served) -> None:
    away = {"person": "王建国", "from": "2026-10-01T00:00:00+08:00", "until": "2026-10-02T00:00:00+08:00"}
    answer = staffed.post("/api/v1/duty/absences", Role.administrator, away | {"stand_in": "李强", "reason": "年假"})
    assert answer.status_code == 201, answer.text
    assert names(staffed, at="2026-10-01T22:00:00+08:00") == [("李强", 1), ("陈静", 2)]
    swap = {"day": "2026-10-03", "shift": "夜班", "person": "王建国", "stand_in": "陈静"}
    assert staffed.post("/api/v1/duty/swaps", Role.administrator, swap).status_code == 201
    assert names(staffed, at="2026-10-03T22:00:00+08:00") == [("陈静", 1), ("陈静", 2)]
    wrong = staffed.post("/api/v1/duty/swaps", Role.administrator, swap | {"day": "2026-10-04"})
    assert "not in 夜班 on 2026-10-04" in problem(wrong, 422, "invalid")["detail"]
    unknown = staffed.post("/api/v1/duty/absences", Role.administrator, away | {"person": "王刚"})
    assert "'王刚': there is no such person" in problem(unknown, 422, "invalid")["detail"]


def test_only_who_may_writes(staffed: Served) -> None:
    for method, path, role in (
        ("PUT", "/api/v1/duty/roster", Role.operator),
        ("POST", "/api/v1/duty/absences", Role.operator),
        ("PUT", "/api/v1/duty/calendar", Role.operator),
        ("POST", "/api/v1/duty/notes", Role.viewer),
        ("GET", "/api/v1/duty/roster", Role.viewer),
    ):
        problem(staffed.call(method, path, role, json={}), 403, "role-too-low")


# the calendar --------------------------------------------------------------------------------------------------------


def test_a_year_is_entered_looked_at_and_taken_back(city: Served) -> None:
    path = f"/api/v1/duty/calendar/{UNKNOWN_YEAR}"
    assert city.ok(path)["known"] is False
    days = [
        {"day": f"{UNKNOWN_YEAR}-10-01", "until": f"{UNKNOWN_YEAR}-10-08", "kind": "holiday", "name": "国庆节"},
        {"day": f"{UNKNOWN_YEAR}-01-01", "until": f"{UNKNOWN_YEAR}-01-03", "kind": "holiday", "name": "元旦"},
    ]
    body = {"source": "通知", "days": days}
    entered = city.call("PUT", "/api/v1/duty/calendar", Role.administrator, json=body)
    assert entered.json() == {"years": [UNKNOWN_YEAR], "days": 11}
    again = city.call("PUT", "/api/v1/duty/calendar", Role.administrator, json=body)
    assert again.status_code == 200, "a notice may be corrected"
    year = city.ok(path)
    assert (year["known"], year["warning"], len(year["days"])) == (True, None, 11)
    assert year["days"][0] == {
        "day": f"{UNKNOWN_YEAR}-01-01", "kind": "holiday", "name": "元旦", "source": "通知", "known": True,
    }  # fmt: skip
    short = city.call("PUT", "/api/v1/duty/calendar", Role.administrator, json=body | {"days": days[:1]})
    assert "8 holidays" in problem(short, 422, "invalid")["detail"]
    assert city.call("DELETE", path, Role.administrator).json()["days"] == 11
    problem(city.call("DELETE", path, Role.administrator), 404, "not-found")
    assert [row[0] for row in city.run("SELECT action FROM audit WHERE action LIKE 'duty%' ORDER BY 1")] == [
        "duty.calendar",
        "duty.calendar",
        "duty.calendar_forget",
    ]


def test_a_deadline_is_reckoned_by_calendar_and_working_hours(city: Served) -> None:
    def deadline(**query: Any) -> Any:
        return city.ok("/api/v1/duty/deadline", **({"from": "2026-09-30T17:00:00+08:00"} | query))

    assert deadline(kind="work_hour", amount=4)["deadline"] == "2026-10-08T03:00:00Z"
    assert deadline(kind="urgent_hour", amount=4)["deadline"] == "2026-09-30T13:00:00Z"
    assert deadline(kind="work_day", amount=1) == {
        "deadline": "2026-10-08T09:00:00Z", "label": "工作日", "warning": None,
    }  # fmt: skip
    body = {
        "rule_id": "duty.working_time",
        "kind": "working_time",
        "title": "t",
        "source": "s",
        "spans": [["09:00", "17:30"]],
    }
    city.run(
        "INSERT INTO rules (rule_id, version, body, created_by) VALUES ('duty.working_time', 99, %s, 'li')",
        [json.dumps(body)],
    )
    assert deadline(kind="work_hour", amount=1)["deadline"] == "2026-10-08T01:30:00Z"
    assert deadline(kind="natural_day", amount=500)["warning"] is not None
    wrong = {"from": "2026-09-30T17:00:00Z", "kind": "work_day", "amount": 99_999}
    assert "work_day = 99999" in problem(city.get("/api/v1/duty/deadline", **wrong), 422, "invalid")["detail"]


# handing over --------------------------------------------------------------------------------------------------------


def test_a_shift_is_handed_over(staffed: Served) -> None:
    staffed.run("UPDATE episodes SET committed_at = raised_received_at")
    staffed.run(
        "INSERT INTO duty_notes (at, actor, area_code, text)"
        " VALUES ('2026-07-01T13:50:00Z', 'wang', '410502', '泵车已到')"
    )
    staffed.run(
        "INSERT INTO suppressions (alarm_key, kind, since, reason, actor)"
        " VALUES (3, 'shelved', '2026-07-01T12:00:00Z', '施工', 'li')"
    )
    told = staffed.ok("/api/v1/duty/handover", Role.operator, at="2026-07-01T22:00:00+08:00", shift="夜班")
    window = told["window"]
    assert (window["shift"], window["begins"][:16], window["until"][:16]) == (
        "夜班", "2026-07-01T20:00", "2026-07-02T08:00",
    )  # fmt: skip
    assert [one["name"] for one in told["leaving"]] == ["王建国", "陈静"]
    assert [one["name"] for one in told["coming"]] == ["王建国", "李强", "陈静"]
    areas = {area["district"]: area for area in told["areas"]}
    assert areas["410502"]["raised"] == {"red": 2}
    assert areas["410502"]["open"] == {"red": 2}
    assert areas["410503"]["raised"] == {}
    assert areas["410503"]["open"] == {"blue": 1}
    assert [(one["title"], one["over"]) for one in told["unacknowledged"]] == [
        ("消息会话丢失", False),
        ("检修门打开", False),
        ("井盖倾斜", False),
    ]
    assert told["suppressed"][0]["label"] == "搁置"
    assert told["notes"][0]["text"] == "泵车已到"
    assert [(sink["name"], sink["owed"], sink["dead"]) for sink in told["sinks"]] == [
        ("platform", 1, 0),
        ("wenfeng", 0, 1),
    ]
    one = staffed.ok("/api/v1/duty/handover", at="2026-07-01T22:00:00+08:00", area="410503")
    assert [area["district"] for area in one["areas"]] == ["410503"]
    earlier = staffed.ok("/api/v1/duty/handover", **{"from": "2026-06-30T00:00:00Z", "to": "2026-06-30T12:00:00Z"})
    [district] = earlier["areas"]
    assert (district["raised"], district["closed"], district["open"]) == ({"orange": 1}, {"orange": 1}, {})


def test_a_handover_of_nothing_says_why(city: Served) -> None:
    for query, says in (
        ({}, "no shift is under way"),
        ({"shift": "夜班"}, "there is no such shift"),
        ({"from": "2026-07-01T00:00:00Z"}, "come together"),
        ({"from": "2026-07-01T00:00:00Z", "to": "2026-07-01T08:00:00Z", "area": "99"}, "no area has this code"),
    ):
        assert says in problem(city.get("/api/v1/duty/handover", **query), 422, "invalid")["detail"]


def test_a_note_is_written_down(staffed: Served) -> None:
    note = staffed.post("/api/v1/duty/notes", body={"text": "东风路泵车已到", "area": "410502"})
    assert note.status_code == 201
    assert note.json()["actor"] == "the-operator"
    assert staffed.run("SELECT count(*) FROM audit WHERE action = 'duty.note'") == [(1,)]
    problem(staffed.post("/api/v1/duty/notes", body={"text": "x", "area": "419999"}), 422, "invalid")
    problem(staffed.post("/api/v1/duty/notes", body={"text": "  "}), 422, "invalid")


# health --------------------------------------------------------------------------------------------------------------


def test_figures_of_health_are_answered_and_exported(city: Served) -> None:
    city.run("UPDATE episodes SET committed_at = raised_received_at")
    answer = city.ok("/api/v1/health/alarms", **{"from": "2026-07-01T00:00:00Z", "to": "2026-07-02T00:00:00Z"})
    figures = {figure["name"]: figure for figure in answer["figures"]}
    assert figures["raised"]["value"] == 5
    assert figures["per_day"]["value"] == 2.5
    assert figures["per_day"]["detail"] == "2个区"
    assert answer["kept"] == sum(figure["kept"] is True for figure in answer["figures"])
    assert "underfoot_alarm_health{" not in city.get("/metrics").text, "nothing reckoned yet"
    problem(city.get("/api/v1/health/alarms", **{"from": "2026-01-01T00:00:00Z"}), 422, "invalid")
    problem(city.get("/api/v1/health/alarms", **{"from": "2199-01-01T00:00:00Z"}), 422, "invalid")


def test_what_the_citys_thread_reckoned_is_exported(api: Served) -> None:
    with connect(api.database, "test") as connection:
        step(connection, datetime.now(UTC))
    shown = api.get("/metrics").text
    assert 'underfoot_alarm_health{figure="stale"} 0.0' in shown
    assert 'underfoot_alarm_health_kept{figure="stale"} 1.0' in shown
    assert "underfoot_calendar_known_days" in shown
    with connect(api.database, "test") as connection:
        before = connection.execute("SELECT state ->> 'at' FROM engines WHERE name = 'health'").fetchone()
        step(connection, datetime.now(UTC) + timedelta(seconds=30))
        assert connection.execute("SELECT state ->> 'at' FROM engines WHERE name = 'health'").fetchone() == before
        step(connection, datetime.now(UTC) + timedelta(seconds=90))
        assert connection.execute("SELECT state ->> 'at' FROM engines WHERE name = 'health'").fetchone() != before


def test_the_documents_example_is_a_roster(city: Served) -> None:
    """docs/duty.md, as a reader would copy it."""
    text = EXAMPLE.read_text(encoding="utf-8").partition("```yaml\npeople:")[2].partition("```")[0]
    body = read_yaml(f"people:{text}".encode(), "duty.md", at_most=100_000).value
    sinks = [person["sink"] for person in body["people"] if "sink" in person]
    city.run(
        "INSERT INTO sinks (name, channel, audience, config)"
        " SELECT name, 'webhook', 'duty', '{}' FROM unnest(%s::text[]) AS name",
        [sinks],
    )
    answer = city.call("PUT", "/api/v1/duty/roster", Role.administrator, json=body)
    assert answer.status_code == 200, answer.text
    now = city.ok("/api/v1/duty/now", at="2026-11-23T10:00:00+08:00")
    assert {one["level"] for one in now["people"]} == {1, 2, 3}
    assert now["gaps"] == []


def test_names_are_masked_for_who_need_not_see_them(staffed: Served) -> None:
    at = "2026-10-01T22:00:00+08:00"
    for role, shown in (
        (Role.viewer, ["王**", "陈*"]),
        (Role.crew, ["王建国", "陈静"]),
        (Role.operator, ["王建国", "陈静"]),
    ):
        now = staffed.ok("/api/v1/duty/now", role, at=at)
        assert [one["name"] for one in now["people"]] == shown
        assert PHONE not in str(now)
    told = staffed.ok("/api/v1/duty/handover", at="2026-07-01T22:00:00+08:00", shift="夜班")
    assert [one["name"] for one in told["leaving"]] == ["王**", "陈*"]


def test_names_and_phones_in_alarms_and_in_a_citys_own_columns_are_masked(city: Served) -> None:
    columns = (
        '{"责任人": "王建国", "责任人电话": "13803720001", "备注": "夜间打0372-5551234", "管材": "HDPE", "编号": 12}'
    )
    city.run("UPDATE assets SET attributes = %s WHERE asset_key = 1", [columns])
    whole = {"管材": "HDPE", "编号": 12, "责任人电话": "138****0001"}
    seen = city.ok("/api/v1/assets/1")["attributes"]
    assert seen.items() >= (whole | {"责任人": "王**"}).items()
    assert "5551234" not in str(seen)
    assert city.ok("/api/v1/assets/1", Role.crew)["attributes"].items() >= (whole | {"责任人": "王建国"}).items()
    city.post("/api/v1/alarms/2/assign", body={"to": "王建国"})
    city.post("/api/v1/alarms/2/acknowledge", body={})
    for role, shown in ((Role.viewer, "王**"), (Role.integrator, "王**"), (Role.operator, "王建国")):
        alarm = city.ok("/api/v1/alarms/2", role)
        assert alarm["assigned_to"] == shown
        assert alarm["acknowledged_by"] == "the-operator", "a key is nobody"
        [listed] = city.ok("/api/v1/alarms", role, device="cover-0312")["items"]
        assert listed["assigned_to"] == shown


def test_names_of_who_was_told_are_masked(city: Served) -> None:
    told = '[{"person": "王建国", "shift": "夜班", "level": 1, "sink": "wang", "instead_of": "王建"}]'
    city.run(
        "INSERT INTO transitions (alarm_key, transition_no, episode, region, from_state, to_state, severity, reason,"
        " actor, event_at, received_at, proof) SELECT alarm_key, 99, episode, 'human', 'unacknowledged',"
        " 'unacknowledged', 4, 'escalated', 'engine', now(), now(),"
        " jsonb_build_object('label', '1级：王建国（夜班）、王建（全天）', 'level', 1, 'told', %s::jsonb)"
        " FROM episodes WHERE episode_key = 2",
        [told],
    )
    city.run(
        "INSERT INTO escalations (alarm_key, episode, cause, waiting_since, level, severity, told_at, told,"
        " transition_no) SELECT alarm_key, episode, 'platform', now(), 1, 4, now(), %s::jsonb, 99 FROM episodes"
        " WHERE episode_key = 2",
        [told],
    )
    city.run("UPDATE outbox SET owed_since = now() - interval '2 days' WHERE state = 'owed'")
    with connect(city.database, "test") as connection:
        install_shipped(connection)
    for role, name, other in (
        (Role.viewer, "王**", "王*"),
        (Role.integrator, "王**", "王*"),
        (Role.crew, "王建国", "王建"),
        (Role.operator, "王建国", "王建"),
    ):
        transitions = city.ok("/api/v1/alarms/2", role)["transitions"]
        [proof] = [one["proof"] for one in transitions if one["reason"] == "escalated"]
        assert proof["label"] == f"1级：{name}（夜班）、{other}（全天）"
        assert (proof["told"][0]["person"], proof["told"][0]["instead_of"]) == (name, other)
        if role not in (Role.viewer, Role.operator):
            continue  # has nothing to do with what waits
        waiting = city.ok("/api/v1/cases/waiting", role)
        assert {person for one in waiting for person in one["told"]} == {name}, waiting
