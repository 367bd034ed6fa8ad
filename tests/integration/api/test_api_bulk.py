"""One action on many alarms: what is meant is counted before anything is done, and one that fails stops no other."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from api.roles import Role
from tests.integration.api.served import Served, problem

BULK = "/api/v1/alarms/bulk"


def bulk(city: Served, action: str, **body: Any) -> dict[str, Any]:
    answer = city.post(BULK, body={"action": action} | body)
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    assert done["dry_run"] or done["matched"] == done["changed"] + done["unchanged"] + len(done["failed"])
    return done


def raised(city: Served, count: int) -> list[int]:
    """Alarms of one rule that are open and were acknowledged by nobody."""
    rows = city.run(
        "WITH raised AS ("
        " INSERT INTO alarms (subject_kind, subject_key, rule_id, episode, transition_no)"
        " SELECT 'device', 1000 + n, 'lamp.door', 1, 1 FROM generate_series(1, %s::int) n RETURNING alarm_key)"
        " INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity,"
        " raised_at, raised_received_at, proof)"
        " SELECT alarm_key, 1, 1, 't', 'active', 2, 2, now(), now(), '{}' FROM raised RETURNING episode_key",
        [count],
    )
    return [key for (key,) in rows]


def test_a_filter_is_tried_counted_and_then_acted_on(city: Served) -> None:
    raised(city, 450)
    meant = {"rule": "lamp.door"}
    tried = bulk(city, "acknowledge", filter=meant, dry_run=True)
    assert (tried["matched"], tried["changed"]) == (451, 0)
    assert city.run("SELECT count(*) FROM audit WHERE actor = 'the-operator'") == [(0,)]
    wrong = problem(city.post(BULK, body={"action": "acknowledge", "filter": meant, "expected": 450}), 409, "conflict")
    assert wrong["detail"] == "expected = 450, but they are 451: nothing was done."
    done = bulk(city, "acknowledge", filter=meant, expected=451, note="统一确认")
    assert (done["changed"], done["unchanged"], done["failed"]) == (451, 0, [])
    assert city.run(
        "SELECT count(*) FROM episodes WHERE human = 'acknowledged' AND acknowledged_by = 'the-operator'"
    ) == [(451,)]
    assert city.run("SELECT count(*), count(DISTINCT subject) FROM audit WHERE detail ->> 'note' = '统一确认'") == [
        (451, 451)
    ]
    assert city.run("SELECT count(*) FROM transitions WHERE region = 'human' AND reason = 'acknowledged'") == [(452,)]
    again = bulk(city, "acknowledge", filter=meant, expected=451)
    assert (again["changed"], again["unchanged"]) == (0, 451)


def test_one_that_fails_is_named_and_stops_no_other(city: Served) -> None:
    done = bulk(city, "shelve", episode_keys=[2, 5, 999], minutes=30)
    assert done["changed"] == 1
    assert done["failed"] == [
        {"episode_key": 2, "why": "red alarms are not shelved without a reason"},
        {"episode_key": 999, "why": "there is no such alarm"},
    ]
    assert [item["episode_key"] for item in city.ok("/api/v1/alarms", suppressed="only")["items"]] == [5]
    assert bulk(city, "unshelve", episode_keys=[2, 5])["changed"] == 1


def test_each_action_does_what_it_does_to_one(city: Served) -> None:
    both = {"episode_keys": [2, 3]}
    assert bulk(city, "acknowledge", **both)["unchanged"] == 1
    assert bulk(city, "unacknowledge", **both)["changed"] == 2
    assert bulk(city, "assign", to="王工", **both)["changed"] == 2
    assert len(city.ok("/api/v1/alarms", assigned_to="王工")["items"]) == 2
    assert bulk(city, "unassign", **both)["changed"] == 2
    assert bulk(city, "comment", text="已派人", **both)["changed"] == 2
    assert city.ok("/api/v1/alarms/3")["said"][0]["text"] == "已派人"
    done = bulk(city, "close", reason="误报", episode_keys=[2, 3, 4])
    assert (done["changed"], done["unchanged"]) == (2, 1)
    assert city.run("SELECT key FROM inbox ORDER BY key") == [("close:2",), ("close:3",)]
    assert bulk(city, "close", reason="误报", episode_keys=[2, 3])["unchanged"] == 2
    until = {row[0] for row in city.run("SELECT until FROM suppressions")}
    assert until == set()
    bulk(city, "shelve", minutes=30, reason="r", **both)
    assert len({row[0] for row in city.run("SELECT until FROM suppressions")}) == 1, "one end for all of them"


UNCLEAR: list[tuple[dict[str, Any], str]] = [
    ({"action": "acknowledge"}, "either filter, or episode_keys"),
    ({"action": "acknowledge", "filter": {}, "episode_keys": [1]}, "either filter, or episode_keys"),
    ({"action": "acknowledge", "filter": {}}, "say how many you expect"),
    ({"action": "acknowledge", "filter": {"severty": [4]}, "dry_run": True}, "there is no such field"),
    ({"action": "acknowledge", "filter": {"rule": "no.such"}, "dry_run": True}, "there never was such a rule"),
    ({"action": "acknowledge", "episode_keys": [1], "minutes": 5}, "acknowledge does not take minutes"),
    ({"action": "assign", "episode_keys": [1]}, "assign needs to"),
    ({"action": "close", "episode_keys": [1]}, "close needs reason"),
    ({"action": "shelve", "episode_keys": [1]}, "shelve needs either minutes, or until"),
    ({"action": "shelve", "episode_keys": [1], "minutes": 10_000, "reason": "r"}, "at most 72 hours"),
    ({"action": "forget", "episode_keys": [1]}, "Input should be"),
    ({"action": "acknowledge", "episode_keys": list(range(1, 5002))}, "at most 5000 alarms together"),
]


def test_what_is_not_clear_is_not_done(city: Served) -> None:
    for body, says in UNCLEAR:
        document = problem(city.post(BULK, body=body), 422, "invalid")
        assert says in document["detail"], body
    assert city.run("SELECT count(*) FROM audit WHERE actor = 'the-operator'") == [(0,)]


def test_a_viewer_may_not(city: Served) -> None:
    problem(city.post(BULK, Role.viewer, {"action": "acknowledge", "episode_keys": [2]}), 403, "role-too-low")


def test_a_deadlock_with_the_engine_costs_a_try_and_no_alarm(city: Served) -> None:
    """The engine holds one of the alarms and then wants another that the call holds by now."""
    keys = raised(city, 2)
    lock = "SELECT 1 FROM alarms JOIN episodes USING (alarm_key) WHERE episode_key = %s FOR UPDATE OF alarms"
    with ThreadPoolExecutor(1) as people, psycopg.connect(city.database) as engine:
        engine.execute("SET deadlock_timeout = '20s'")
        engine.execute(lock, [keys[1]])
        waiting = people.submit(bulk, city, "acknowledge", episode_keys=keys)
        time.sleep(0.3)
        engine.execute(lock, [keys[0]])
        engine.commit()
        assert waiting.result(20)["changed"] == 2
