"""Over HTTP: a platform's callbacks in its own envelope, what waits for it, and the city's indicators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from alerts.rulebook.book import install_shipped
from api.roles import Role
from tests.integration.api.served import Served, problem
from tests.integration.filed import Filing, said, tif
from underfoot.storage.connect import connect

V1 = "/api/v1"
CALLBACK = f"{V1}/platforms/wuhu/callback"
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def filing(api: Served) -> Iterator[Filing]:
    owing = Filing(api.database)
    yield owing
    owing.close()


def call(api: Served, body: Any, headers: dict[str, str] | None = None, path: str = CALLBACK) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": "application/json"} | (tif() if headers is None else headers)
    return api.call("POST", path, None, content=content, headers=given)


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    said = answer.json()
    assert set(said) == {"code", "message", "data"}
    assert (said["code"], said["data"]) == (status, None)
    return str(said["message"])


def test_it_is_answered_in_the_platforms_envelope(api: Served, filing: Filing) -> None:
    case = filing.case(1, filing.platform())
    body = said("handling", NOW, event_id=filing.event(case), disposal_result="已到场")
    answer = call(api, body)
    assert answer.status_code == 200
    assert answer.json() == {"code": 0, "message": "success", "data": {"case": case, "state": "handling"}}
    assert call(api, body).json()["message"] == "duplicate"
    assert len([step for step in filing.steps(case) if step["event"] == "reached"]) == 1
    filing.execute("UPDATE sinks SET config = jsonb_set(config, '{callbacks,success_code}', '200')")
    form = urlencode(said("handle_finish", NOW, event_id=filing.event(case))).encode()
    answer = call(api, form, {**tif(), "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
    assert answer.json()["code"] == 200
    assert filing.of(case)["state"] == "handle_finish"


def test_a_list_is_answered_line_by_line(api: Served, filing: Filing) -> None:
    case = filing.case(1, filing.platform())
    good = said("handling", NOW, event_id=filing.event(case))
    answer = call(api, {"callbacks": [good, said("closed", NOW, event_id="77-1"), good]})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["code"], body["message"]) == (0, "success")
    first, strange, again = body["data"]["list"]
    assert first == {"code": 0, "message": "success", "data": {"case": case, "state": "handling"}}
    assert (strange["code"], strange["data"]) == (404, None)
    assert "'77-1'" in strange["message"]
    assert again["message"] == "duplicate"
    assert call(api, {"callbacks": [good]}).json()["message"] == "duplicate"
    assert "callbacks.1 = 3: an object" in refused(call(api, {"callbacks": [good, 3]}), 400)
    assert [row["detail"]["why"] for row in filing.audited("callback.refused")] == ["no_such_case", "unreadable"]


def test_refusals_say_why_and_are_on_record(api: Served, filing: Filing) -> None:
    case = filing.case(1, filing.platform())
    body = said("closed", NOW, event_id=filing.event(case))
    used = tif()
    call(api, said("accepted", NOW, event_id=filing.event(case)), used)
    assert "timestamp" in refused(call(api, body, tif(age_s=400)), 401)
    assert "signature" in refused(call(api, body, tif("guessed")), 401)
    assert "nonce" in refused(call(api, body, used), 401)
    assert "missing" in refused(call(api, body, {"Authorization": "Bearer uf_x"}), 401)
    assert "'77-1'" in refused(call(api, said("closed", NOW, event_id="77-1")), 404)
    assert "nobody" in refused(call(api, body, path=f"{V1}/platforms/nobody/callback"), 404)
    assert "JSON" in refused(call(api, b"{"), 400)
    assert "object" in refused(call(api, []), 400)
    assert "'repaired'" in refused(call(api, said("repaired", NOW, event_id=filing.event(case))), 400)
    assert refused(call(api, b"x" * (1024 * 1024 + 1)), 413)
    filing.execute("UPDATE sinks SET enabled = false")
    assert refused(call(api, body), 403)
    assert filing.of(case)["state"] == "accepted"
    entered = [(row["actor"], row["subject"], row["detail"]["why"]) for row in filing.audited("callback.refused")]
    assert [why for _, _, why in entered] == [
        "expired", "bad_signature", "replayed", "unsigned", "no_such_case", "no_such_sink", "unreadable", "unreadable",
        "unreadable", "disabled",
    ]  # fmt: skip
    assert entered[0][:2] == ("platform:wuhu", "sink:wuhu")
    assert "s3cret" not in str(filing.rows("SELECT * FROM audit WHERE action = 'callback.refused'"))


def test_what_waits(api: Served, filing: Filing) -> None:
    with connect(api.database, "test", autocommit=True) as connection:
        install_shipped(connection)
    sink = filing.platform()
    unheard, silent, fresh = filing.case(1, sink), filing.case(2, sink), filing.case(3, sink)
    lost = filing.case(4, None, needs_person="not_on_platform")
    filing.delivered(silent, "SJ2")
    assert fresh < lost
    assert [row["why"] for row in api.ok(f"{V1}/cases/waiting")] == ["not_on_platform"]
    filing.execute("UPDATE outbox SET owed_since = now() - interval '16 min' WHERE alarm_key ="
                   " (SELECT alarm_key FROM cases WHERE case_key = %s)", unheard)  # fmt: skip
    filing.execute("UPDATE case_reported SET reported_at = now() - interval '61 min'")
    rows = api.ok(f"{V1}/cases/waiting")
    assert [(row["case_key"], row["why"]) for row in rows] == [
        (silent, "no_callback"), (unheard, "no_receipt"), (lost, "not_on_platform"),
    ]  # fmt: skip
    assert rows[1]["why_label"] == "推送无回执，请电话联系平台"
    assert rows[0]["platform_no"] == "SJ2"
    filing.execute("UPDATE case_reported SET heard_at = now()")
    filing.execute("UPDATE outbox SET state = 'delivered'")
    filing.execute("UPDATE cases SET needs_person = NULL")
    assert api.ok(f"{V1}/cases/waiting") == []


def test_indicators(api: Served, filing: Filing) -> None:
    due: dict[str, Any] = {
        "repair_kind": "urgent_hour",
        "repair_amount": 6,
        "opened_at": datetime(2026, 7, 1, tzinfo=UTC),
    }
    filing.case(1, **due, repair_by=datetime(2026, 7, 1, 6, tzinfo=UTC), handled_at=datetime(2026, 7, 1, 5, tzinfo=UTC))
    filing.case(2, **due, repair_by=datetime(2026, 7, 1, 16, tzinfo=UTC))  # midnight there: of the next day
    found = {one["name"]: one for one in api.ok(f"{V1}/indicators", day="2026-07-01")["indicators"]}
    assert (found["on_time"]["numerator"], found["on_time"]["denominator"], found["on_time"]["rate"]) == (1, 1, 1)
    assert found["online"]["rate"] is None
    month = api.ok(f"{V1}/indicators", month="2026-07")
    assert month["begin"] == "2026-06-30T16:00:00Z"
    assert {one["name"]: one["denominator"] for one in month["indicators"]}["handled"] == 2
    assert api.ok(f"{V1}/indicators")["complete"] is False
    for wrong in ({"day": "2026-07-32"}, {"month": "2026-7-1"}, {"day": "2026-07-01", "month": "2026-07"}):
        problem(api.get(f"{V1}/indicators", Role.viewer, **wrong), 422, "invalid")
    problem(api.get(f"{V1}/indicators", Role.viewer, day="2099-01-01"), 422, "invalid")
