"""Alarms: found, explained, acknowledged and closed, by several people at once too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from api.roles import Role
from tests.integration.api.served import Served, problem


def _keys(city: Served, **query: Any) -> list[int]:
    return [item["episode_key"] for item in city.ok("/api/v1/alarms", **query)["items"]]


def test_alarms_are_filtered_and_the_newest_raised_come_first(city: Served) -> None:
    assert _keys(city) == [3, 2, 5, 6]
    assert _keys(city, state="all") == [3, 2, 4, 5, 6, 1]
    assert _keys(city, state="unacknowledged") == [2, 4, 5, 6]
    assert _keys(city, state="cleared") == [4, 1]
    assert _keys(city, severity=4) == [3, 2]
    assert _keys(city, severity=[1, 2]) == [5, 6]
    assert _keys(city, state="all", severity=[3, 4]) == [3, 2, 4, 1]
    assert _keys(city, family="cover", state="all") == [2, 4, 1]
    assert _keys(city, area="410502") == [3, 2]
    assert _keys(city, area="410502001001") == [2]
    assert _keys(city, area="410500", state="all") == [3, 2, 4, 5, 1]
    assert _keys(city, area="4105", state="all") == [3, 2, 4, 5, 1]
    assert _keys(city, rule="cover.tilt", state="all") == [2, 4, 1]
    assert _keys(city, device="cover-0312", state="all") == [2, 1]
    assert _keys(city, asset=3, state="all") == [4]
    assert _keys(city, alarm=1, state="all") == [2, 1]
    span = {"from": "2026-07-01T18:00:00+08:00", "to": "2026-07-01T13:40:00Z"}
    assert _keys(city, state="all", **span) == [2, 4]


def test_a_listed_alarm_says_what_and_where(city: Served) -> None:
    [_, alarm, *_] = city.ok("/api/v1/alarms")["items"]
    assert (alarm["title"], alarm["severity"], alarm["severity_label"], alarm["state"]) == ("井盖倾斜", 4, "红", "open")
    assert alarm["asset"]["address"] == "人民大道文峰路口东北角"
    assert alarm["area"] == {"code": "410502001001", "name": "东关社区"}
    assert (alarm["proof"]["value"], alarm["proof"]["limit"], alarm["proof"]["unit"]) == (78.2, 30.0, "°")
    [system] = city.ok("/api/v1/alarms", severity=2)["items"]
    assert (system["subject_kind"], system["device_id"], system["asset"], system["area"]) == ("shard", None, None, None)


def _raise(city: Served, subjects: range, at: str) -> None:
    city.run(
        "WITH raised AS ("
        " INSERT INTO alarms (subject_kind, subject_key, rule_id)"
        " SELECT 'rule', n, 'x.y' FROM generate_series(%s::int, %s::int) n RETURNING alarm_key)"
        " INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity,"
        " raised_at, raised_received_at, proof) SELECT alarm_key, 1, 1, 't', 'active', 1, 1, %s, %s, '{}' FROM raised",
        [subjects.start, subjects.stop - 1, at, at],
    )


def test_pages_neither_repeat_nor_hide_though_alarms_are_raised_and_cleared_between_them(city: Served) -> None:
    _raise(city, range(30), "2026-07-02T00:00:00Z")
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 4}
    for turn in range(100):
        page = city.ok("/api/v1/alarms", **query)
        seen += [item["episode_key"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
        # A new one is raised, and one that was shown already clears.
        _raise(city, range(1000 + turn, 1001 + turn), "2026-07-03T00:00:00Z")
        city.run("UPDATE episodes SET cleared_at = '2026-07-03Z' WHERE episode_key = %s", [seen[0]])
    assert seen == [*range(36, 6, -1), 3, 2, 5, 6]


def test_one_alarm_tells_why_what_and_whom(city: Served) -> None:
    alarm = city.ok("/api/v1/alarms/2")
    assert alarm["why"]["sentence"] == "2026-07-01 21:38:05 设备 cover-0312 上报倾角 78.2 °，达到限值 30 °。"
    # The version that raised it, not the one in force now.
    assert "≥ 15 °（回差 2 °） 持续 3 秒 → 橙；≥ 30 °（回差 5 °） → 红" in alarm["why"]["rule_text"]
    assert alarm["why"]["rule_body"]["levels"][1]["limit"] == 30
    assert [line["transition_no"] for line in alarm["transitions"]] == [5, 4]
    newest = alarm["transitions"][0]
    assert (newest["reason"], newest["reason_label"], newest["actor"]) == ("severity_rose", "级别升高", "engine")
    assert (newest["from_label"], newest["to_label"], newest["proof"]["value"]) == ("告警中", "告警中", 78.2)
    told = [(line["sink"], line["notice"], line["state_label"], line["attempts"]) for line in alarm["told"]]
    assert told == [
        ("wenfeng", "change", "推送失败", 5),
        ("platform", "change", "待推送", 0),
        ("platform", "raise", "已送达", 2),
    ]
    assert [line["verdict_label"] for line in alarm["told"]] == ["已通知", None, "已通知"]
    assert alarm["told"][2]["receipt"] == {"platform_no": "A-1"}
    assert alarm["told"][0]["last_error"] == "errcode 40058"
    assert (alarm["told"][0]["next_attempt_at"], alarm["told"][1]["next_attempt_at"] is None) == (None, False)
    assert "never-shown" not in str(alarm)


def test_an_earlier_episode_has_its_own_lines(city: Served) -> None:
    alarm = city.ok("/api/v1/alarms/1")
    assert [line["transition_no"] for line in alarm["transitions"]] == [3, 2, 1]
    assert [line["delivery_key"] for line in alarm["told"]] == [4]
    assert alarm["clear_reason_label"] == "恢复到限值以下"
    assert alarm["acknowledged_by"] == "wang"


def test_an_alarm_of_the_system_itself_is_explained_too(city: Served) -> None:
    why = city.ok("/api/v1/alarms/6")["why"]
    assert why["sentence"] == "2026-07-01 16:00:00 代理重启后没有会话。"
    assert (why["rule_text"], why["rule_body"]) == ("消息会话丢失（规则原文已不在库中）。", None)
    assert city.ok("/api/v1/alarms/5")["why"]["sentence"] == "2026-07-01 17:00:00 设备 lamp-0007 上报检修门打开 是。"


def _transitions(city: Served, alarm_key: int) -> list[tuple[Any, ...]]:
    return city.run(
        "SELECT transition_no, episode, region, from_state, to_state, severity, reason, actor FROM transitions"
        " WHERE alarm_key = %s AND region = 'human' ORDER BY transition_no",
        [alarm_key],
    )


def test_acknowledging_writes_the_human_region_a_transition_and_the_audit_once(city: Served) -> None:
    answer = city.post("/api/v1/alarms/2/acknowledge", body={"note": "已电话通知养护所"})
    assert answer.status_code == 200, answer.text
    alarm = answer.json()
    assert (alarm["human"], alarm["acknowledged_by"], alarm["state"]) == ("acknowledged", "the-operator", "open")
    again = city.post("/api/v1/alarms/2/acknowledge", Role.administrator)
    assert again.status_code == 200
    assert again.json() == alarm
    assert _transitions(city, 1)[1:] == [
        (6, 2, "human", "unacknowledged", "acknowledged", 4, "acknowledged", "the-operator")
    ]
    assert city.run("SELECT transition_no FROM alarms WHERE alarm_key = 1") == [(6,)]
    assert city.run("SELECT actor, action, subject, detail FROM audit WHERE action = 'alarm.acknowledge'") == [
        (
            "the-operator",
            "alarm.acknowledge",
            "episode:2",
            {"alarm_key": 1, "episode": 2, "note": "已电话通知养护所"},
        )
    ]
    assert city.ok("/api/v1/alarms/2")["transitions"][0]["reason_label"] == "已确认"


def test_one_that_cleared_unseen_can_be_acknowledged_and_is_no_longer_listed(city: Served) -> None:
    answer = city.post("/api/v1/alarms/4/acknowledge")
    assert answer.json()["state"] == "cleared"
    assert answer.json()["human"] == "acknowledged"
    assert 4 not in _keys(city, state="unacknowledged")
    assert _transitions(city, 3) == [
        (4, 1, "human", "unacknowledged", "acknowledged", 3, "acknowledged", "the-operator")
    ]


def test_many_at_once_acknowledge_once(city: Served) -> None:
    with ThreadPoolExecutor(8) as people:
        answers = list(people.map(lambda _: city.post("/api/v1/alarms/2/acknowledge").status_code, range(16)))
    assert answers == [200] * 16
    assert len(_transitions(city, 1)) == 2
    assert city.run("SELECT count(*) FROM audit WHERE action = 'alarm.acknowledge'") == [(1,)]


def test_acknowledging_waits_for_the_engine_and_takes_the_number_after_its(city: Served) -> None:
    with ThreadPoolExecutor(1) as people, psycopg.connect(city.database) as engine:
        engine.execute("UPDATE alarms SET transition_no = 9 WHERE alarm_key = 1")
        engine.execute("UPDATE episodes SET severity = 3 WHERE episode_key = 2")
        waiting = people.submit(city.post, "/api/v1/alarms/2/acknowledge")
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        engine.commit()
        assert waiting.result(10).json()["severity"] == 3
    assert _transitions(city, 1)[-1][:6] == (10, 2, "human", "unacknowledged", "acknowledged", 3)


def test_an_acknowledgement_that_cannot_be_audited_is_not_one(city: Served) -> None:
    city.run("ALTER TABLE audit ADD CONSTRAINT refuse CHECK (action <> 'alarm.acknowledge')")
    problem(city.post("/api/v1/alarms/2/acknowledge"), 500, "internal")
    assert city.ok("/api/v1/alarms/2")["human"] == "unacknowledged"
    assert len(_transitions(city, 1)) == 1


def test_closing_posts_one_command_to_the_shard_and_wakes_it(city: Served) -> None:
    with psycopg.connect(city.database, autocommit=True) as holder:
        holder.execute("LISTEN underfoot_inbox")
        answer = city.post("/api/v1/alarms/2/close", body={"reason": "  现场核实为误报 "})
        assert answer.status_code == 202, answer.text
        assert [note.payload for note in holder.notifies(timeout=5, stop_after=1)] == ["main"]
    first = answer.json()
    assert (first["command"]["key"], first["command"]["state"]) == ("close:2", "waiting")
    assert first["alarm"]["state"] == "open"
    again = city.post("/api/v1/alarms/2/close", Role.administrator, {"reason": "again"})
    assert (again.status_code, again.json()) == (202, first)
    assert city.run("SELECT shard, kind, payload, key FROM inbox") == [
        (
            "main",
            "close",
            {"episode_key": 2, "alarm_key": 1, "actor": "the-operator", "reason": "现场核实为误报"},
            "close:2",
        )
    ]
    assert city.run("SELECT actor, subject, detail ->> 'reason' FROM audit WHERE action = 'alarm.close'") == [
        ("the-operator", "episode:2", "现场核实为误报")
    ]


def test_a_command_goes_to_the_shard_that_holds_the_device(city: Served) -> None:
    city.run("INSERT INTO shards (shard, filters) VALUES ('north', '{}'), ('south', '{}')")
    city.run("UPDATE devices SET shard = 'north' WHERE device_key IN (1, 2)")
    city.run(
        "INSERT INTO conditions (subject_kind, subject_key, rule_id, shard, state)"
        " VALUES ('device', 2, 'road.underpass', 'south', '{}')"
    )
    for episode in (2, 3, 6):
        assert city.post(f"/api/v1/alarms/{episode}/close", body={"reason": "r"}).status_code == 202
    assert city.run("SELECT key, shard FROM inbox ORDER BY key") == [
        ("close:2", "north"), ("close:3", "north"), ("close:6", "main"),
    ]  # fmt: skip


def test_closing_what_has_cleared_does_nothing(city: Served) -> None:
    answer = city.post("/api/v1/alarms/4/close", body={"reason": "r"})
    assert (answer.status_code, answer.json()["command"], answer.json()["alarm"]["state"]) == (200, None, "cleared")
    assert city.run("SELECT count(*) FROM inbox") == [(0,)]


def test_a_command_that_was_carried_out_is_shown_and_one_that_failed_can_be_tried_again(city: Served) -> None:
    city.post("/api/v1/alarms/2/close", body={"reason": "r"})
    city.run("UPDATE inbox SET consumed_at = clock_timestamp(), outcome = 'failed: KeyError'")
    retried = city.post("/api/v1/alarms/2/close", body={"reason": "r"})
    assert retried.status_code == 202
    assert retried.json()["command"]["state"] == "waiting"
    assert city.post("/api/v1/alarms/2/close", body={"reason": "r"}).json() == retried.json()
    assert city.run("SELECT count(*) FROM inbox") == [(2,)]
    city.run("UPDATE inbox SET consumed_at = clock_timestamp(), outcome = 'done'")
    city.run(
        "UPDATE episodes SET cleared_at = clock_timestamp(), clear_reason = 'closed_by_hand' WHERE episode_key = 2"
    )
    done = city.post("/api/v1/alarms/2/close", body={"reason": "r"})
    assert (done.status_code, done.json()["alarm"]["clear_reason_label"]) == (200, "人工关闭")
    assert done.json()["command"]["state"] == "done"


@pytest.mark.parametrize("act", ["acknowledge", "close"])
def test_acting_on_no_alarm(city: Served, act: str) -> None:
    problem(city.post(f"/api/v1/alarms/999/{act}", body={"reason": "r"} if act == "close" else None), 404, "not-found")
