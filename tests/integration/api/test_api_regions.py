"""What people do to one alarm: each does it once however often it is sent, is audited, and is seen in the alarm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from api.roles import Role
from tests.integration.api.served import Served, problem

ACTIONS: dict[str, dict[str, Any] | None] = {
    "acknowledge": None,
    "unacknowledge": None,
    "comment": {"text": "t"},
    "shelve": {"minutes": 5, "reason": "r"},
    "unshelve": None,
    "assign": {"to": "王工"},
    "unassign": None,
}


def act(city: Served, episode_key: int, action: str, **body: Any) -> dict[str, Any]:
    answer = city.post(f"/api/v1/alarms/{episode_key}/{action}", body=body or None)
    assert answer.status_code == 200, answer.text
    alarm: dict[str, Any] = answer.json()
    return alarm


def record(city: Served, region: str, alarm_key: int = 1) -> list[tuple[Any, ...]]:
    return city.run(
        "SELECT from_state, to_state, reason, actor FROM transitions"
        " WHERE alarm_key = %s AND region = %s AND transition_no > 5 ORDER BY transition_no",
        [alarm_key, region],
    )


def audited(city: Served, action: str) -> list[tuple[Any, ...]]:
    return city.run("SELECT actor, subject, detail FROM audit WHERE action = %s ORDER BY 1, 2", [f"alarm.{action}"])


def test_no_alarm_no_right(city: Served) -> None:
    for action, body in ACTIONS.items():
        problem(city.post(f"/api/v1/alarms/999/{action}", body=body), 404, "not-found")
        problem(city.post(f"/api/v1/alarms/2/{action}", Role.viewer, body), 403, "role-too-low")
    assert city.run("SELECT count(*) FROM audit WHERE action LIKE 'alarm.%%' AND action <> 'alarm.transition'") == [
        (0,)
    ]


def test_an_acknowledgement_is_taken_back(city: Served) -> None:
    assert act(city, 2, "acknowledge")["human_label"] == "已确认"
    for _ in range(2):
        alarm = act(city, 2, "unacknowledge", note="点错了")
        assert (alarm["human"], alarm["human_label"]) == ("unacknowledged", "未确认")
        assert (alarm["acknowledged_by"], alarm["acknowledged_at"]) == (None, None)
    assert record(city, "human") == [
        ("unacknowledged", "acknowledged", "acknowledged", "the-operator"),
        ("acknowledged", "unacknowledged", "unacknowledged", "the-operator"),
    ]
    assert audited(city, "unacknowledge") == [
        ("the-operator", "episode:2", {"alarm_key": 1, "episode": 2, "note": "点错了"})
    ]


def test_comments_are_kept_with_the_episode(city: Served) -> None:
    assert act(city, 2, "comment", text="井圈松动")["comments"] == 1
    assert act(city, 2, "comment", text=" 明日更换 ")["comments"] == 2
    said = city.ok("/api/v1/alarms/2")["said"]
    assert [(line["actor"], line["text"]) for line in said] == [
        ("the-operator", "明日更换"),
        ("the-operator", "井圈松动"),
    ]
    assert city.ok("/api/v1/alarms/1")["said"] == [], "another episode of the same alarm"
    assert len(audited(city, "comment")) == 2
    problem(city.post("/api/v1/alarms/2/comment", body={"text": "  "}), 422, "invalid")


def test_an_alarm_is_assigned_and_found_by_who_is_to_see_to_it(city: Served) -> None:
    first = act(city, 2, "assign", to="王工")
    assert first["assigned_to"] == "王工"
    assert act(city, 2, "assign", to="王工") == first
    act(city, 3, "assign", to="李工")
    assert [item["episode_key"] for item in city.ok("/api/v1/alarms", assigned_to="王工")["items"]] == [2]
    assert act(city, 2, "unassign")["assigned_to"] is None
    assert act(city, 2, "unassign")["assigned_at"] is None
    assert city.ok("/api/v1/alarms", assigned_to="王工")["items"] == []
    assert [row[2]["to"] for row in audited(city, "assign")] == ["王工", "李工"]
    assert len(audited(city, "unassign")) == 1


def test_a_shelved_alarm_says_until_when_and_why(city: Served) -> None:
    before = datetime.now(UTC)
    alarm = act(city, 2, "shelve", minutes=120, reason="道路施工")
    [shelf] = alarm["suppression"]
    assert (shelf["kind"], shelf["kind_label"], shelf["reason"], shelf["actor"]) == (
        "shelved", "搁置", "道路施工", "the-operator",
    )  # fmt: skip
    ends = datetime.fromisoformat(shelf["until"])
    assert before + timedelta(minutes=120) <= ends <= datetime.now(UTC) + timedelta(minutes=120)
    assert alarm["suppression_label"] == "搁置"
    line = city.ok("/api/v1/alarms/2")["transitions"][0]
    assert (line["region"], line["from_label"], line["to_label"], line["reason_label"]) == (
        "suppression", "正常通知", "搁置", "搁置",
    )  # fmt: skip
    assert line["proof"]["label"] == "道路施工"
    [listed] = city.ok("/api/v1/alarms/shelved")["items"]
    assert (listed["episode_key"], listed["title"], listed["severity_label"], listed["state"]) == (
        2, "井盖倾斜", "红", "open",
    )  # fmt: skip
    assert (listed["until"], listed["reason"], listed["device_id"]) == (shelf["until"], "道路施工", "cover-0312")
    assert listed["area"]["code"] == "410502001001"


def test_shelving_again_changes_until_when_and_the_same_again_nothing(city: Served) -> None:
    until = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    for _ in range(3):
        act(city, 2, "shelve", until=until, reason="施工")
    assert len(record(city, "suppression")) == len(audited(city, "shelve")) == 1
    act(city, 2, "shelve", minutes=10, reason="施工")
    [shelf] = act(city, 2, "shelve", minutes=20, reason="施工延期")["suppression"]
    assert shelf["reason"] == "施工延期"
    assert record(city, "suppression")[-1] == ("shelved", "shelved", "shelved", "the-operator")
    assert city.run("SELECT count(*) FROM suppressions WHERE ended_at IS NULL") == [(1,)]


def test_unshelving_tells_what_was_kept_back(city: Served) -> None:
    act(city, 2, "shelve", minutes=10, reason="施工")
    city.run("UPDATE episodes SET withheld = true WHERE episode_key = 2")
    city.run("""UPDATE rules SET body = body || '{"case": {"type": "component", "code": "asset"}}'""")
    for _ in range(2):
        alarm = act(city, 2, "unshelve")
        assert (alarm["suppression"], alarm["suppression_label"], alarm["withheld"]) == ([], "正常通知", False)
    owed = city.run("SELECT notice, severity, snapshot ->> 'reason' FROM outbox WHERE delivery_key > 4")
    assert owed == [("change", 4, "unshelved")], "the platform; it is no worse than what the crew was told"
    assert len(audited(city, "unshelve")) == 1


UNCLEAR: list[tuple[dict[str, Any], str, str]] = [
    ({}, "body", "either minutes, or until"),
    ({"minutes": 5, "until": "2099-01-01T00:00:00Z"}, "body", "either minutes, or until"),
    ({"minutes": 0}, "minutes", "greater than or equal to 1"),
    ({"minutes": 72 * 60 + 1, "reason": "r"}, "minutes", "at most 72 hours"),
    ({"until": "2099-01-01T00:00:00Z", "reason": "r"}, "until", "at most 72 hours"),
    ({"until": "2026-01-01T00:00:00Z", "reason": "r"}, "until", "must be after now"),
    ({"minutes": 5}, "reason", "red alarms are not shelved without a reason"),
]


def test_a_shelf_has_an_end_and_a_red_one_a_reason(city: Served) -> None:
    for body, field, says in UNCLEAR:
        document = problem(city.post("/api/v1/alarms/2/shelve", body=body), 422, "invalid")
        assert document["errors"][0]["field"] == field, body
        assert says in document["errors"][0]["message"], body
    assert city.run("SELECT count(*) FROM suppressions") == [(0,)]


def test_what_is_not_red_is_shelved_without_a_reason(city: Served) -> None:
    assert act(city, 5, "shelve", minutes=5)["suppression"][0]["reason"] == ""


def test_lists_with_and_without_what_is_suppressed(city: Served) -> None:
    act(city, 2, "shelve", minutes=10, reason="r")

    def keys(**query: Any) -> list[int]:
        return [item["episode_key"] for item in city.ok("/api/v1/alarms", **query)["items"]]

    assert keys() == keys(suppressed="any") == [3, 2, 5, 6]
    assert keys(suppressed="hide") == [3, 5, 6]
    assert keys(suppressed="only") == [2]
    assert keys(suppressed="only", state="all") == [2, 1], "both episodes of the alarm"


def test_suppressed_alarms_page_by_page_and_by_kind(city: Served) -> None:
    for number in range(5):
        city.run(
            "INSERT INTO suppressions (alarm_key, kind, cause, reason, actor)"
            " VALUES (2, 'by_design', %s, 'r', 'engine')",
            [f"incident:{number}"],
        )
    act(city, 2, "shelve", minutes=10, reason="r")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    for _ in range(3):
        page = city.ok("/api/v1/alarms/shelved", **query)
        seen += [item["cause"] for item in page["items"]]
        query["cursor"] = page["next"]
    assert page["next"] is None
    assert seen == ["", *(f"incident:{number}" for number in (4, 3, 2, 1, 0))]
    assert len(city.ok("/api/v1/alarms/shelved", kind="by_design")["items"]) == 5
    assert len(city.ok("/api/v1/alarms/shelved", area="410502001001")["items"]) == 1
    problem(city.get("/api/v1/alarms/shelved", kind="asleep"), 422, "invalid")


def test_an_alarm_whose_device_is_offline_is_stale(city: Served) -> None:
    assert city.ok("/api/v1/alarms/2")["stale"] is False
    city.run(
        "INSERT INTO rules (rule_id, version, body, created_by)"
        """ VALUES ('cover.offline', 1, '{"kind": "no_data", "title": "离线"}', 'x')"""
    )
    city.run(
        "WITH a AS (INSERT INTO alarms (subject_kind, subject_key, rule_id, device_key, episode)"
        " VALUES ('device', 1, 'cover.offline', 1, 1) RETURNING alarm_key)"
        " INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity,"
        " raised_at, raised_received_at, proof)"
        " SELECT alarm_key, 1, 1, '离线', 'active', 2, 2, now(), now(), '{}' FROM a"
    )
    stale = {item["episode_key"]: item["stale"] for item in city.ok("/api/v1/alarms", state="all")["items"]}
    assert {key for key, is_stale in stale.items() if is_stale} == {2}, "neither the offline alarm nor what is over"
    city.run("UPDATE episodes SET cleared_at = now() WHERE title = '离线'")
    assert city.ok("/api/v1/alarms/2")["stale"] is False


def test_what_late_data_has_shown_stands_beside_the_episode(city: Served) -> None:
    assert city.ok("/api/v1/alarms/4")["corrected"] is None
    city.run(
        "INSERT INTO corrections (alarm_key, episode, verdict, raised_at, cleared_at, worst_severity, transition_no)"
        " VALUES (3, 1, 'changed', '2026-07-01T10:00:00Z', '2026-07-01T10:30:00Z', 3, 3),"
        " (1, 1, 'unfounded', NULL, NULL, NULL, 3)"
    )
    alarm = city.ok("/api/v1/alarms/4")
    assert alarm["corrected"]["verdict"] == "changed"
    assert alarm["corrected"]["cleared_at"] == "2026-07-01T10:30:00Z"
    assert alarm["cleared_at"] == "2026-07-01T11:00:00Z", "the record stays as it was"
    assert city.ok("/api/v1/alarms/1")["corrected"]["raised_at"] is None
